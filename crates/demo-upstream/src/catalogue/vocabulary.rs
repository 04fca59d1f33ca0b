//! What an open-air market sells. Stalls and makers are made up.

/// How something is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sold {
    Weight,
    Measure,
    Piece,
}

impl Sold {
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Measure => "measure",
            Self::Piece => "piece",
        }
    }

    pub fn phrase(self) -> &'static str {
        match self {
            Self::Weight => "weighed for you at the stall",
            Self::Measure => "poured into your own bottle or ours",
            Self::Piece => "sold by the piece",
        }
    }
}

/// A row of stalls that sell the same sort of thing.
pub(super) struct Aisle {
    /// The broadest first.
    pub path: &'static [&'static str],
    /// What there is, with its usual price in cents.
    pub goods: &'static [(&'static str, i64)],
    pub sold: Sold,
    pub keeps_days: u32,
}

pub(super) const AISLES: &[Aisle] = &[
    Aisle {
        path: &["Produce", "Fruit"],
        goods: &[
            ("Russet Apples", 320),
            ("Damson Plums", 450),
            ("Quinces", 520),
            ("Blackcurrants", 690),
            ("Wild Strawberries", 980),
            ("Williams Pears", 380),
            ("Greengages", 490),
            ("Sour Cherries", 740),
        ],
        sold: Sold::Weight,
        keeps_days: 10,
    },
    Aisle {
        path: &["Produce", "Vegetables"],
        goods: &[
            ("New Potatoes", 210),
            ("Rainbow Chard", 340),
            ("Purple Carrots", 290),
            ("Broad Beans", 410),
            ("Celeriac", 260),
            ("Ox-Heart Tomatoes", 560),
            ("Kohlrabi", 230),
            ("Golden Beetroot", 300),
        ],
        sold: Sold::Weight,
        keeps_days: 8,
    },
    Aisle {
        path: &["Produce", "Herbs"],
        goods: &[
            ("Lemon Thyme", 190),
            ("Curly Parsley", 150),
            ("Chervil", 180),
            ("Garden Mint", 160),
            ("Purple Basil", 220),
            ("Bay Leaves", 200),
        ],
        sold: Sold::Piece,
        keeps_days: 5,
    },
    Aisle {
        path: &["Dairy", "Cheese"],
        goods: &[
            ("Goat Log", 1_450),
            ("Washed-Rind Round", 1_890),
            ("Ewe's Milk Wheel", 2_400),
            ("Blue Crumble", 2_100),
            ("Farm Cheddar", 1_750),
            ("Fresh Curd", 980),
        ],
        sold: Sold::Weight,
        keeps_days: 30,
    },
    Aisle {
        path: &["Bakery", "Bread"],
        goods: &[
            ("Rye Loaf", 480),
            ("Spelt Rolls", 120),
            ("Potato Bread", 450),
            ("Caraway Braid", 420),
            ("Malted Tin Loaf", 390),
            ("Chestnut Flatbread", 350),
        ],
        sold: Sold::Piece,
        keeps_days: 4,
    },
    Aisle {
        path: &["Larder", "Oils and Vinegars"],
        goods: &[
            ("Rapeseed Oil", 1_150),
            ("Walnut Oil", 2_300),
            ("Cider Vinegar", 690),
            ("Elderflower Vinegar", 840),
            ("Pumpkin Seed Oil", 1_980),
        ],
        sold: Sold::Measure,
        keeps_days: 365,
    },
    Aisle {
        path: &["Larder", "Preserves"],
        goods: &[
            ("Heather Honey", 890),
            ("Rhubarb Jam", 540),
            ("Green Tomato Chutney", 620),
            ("Pickled Walnuts", 760),
            ("Bramble Jelly", 580),
            ("Plum Butter", 600),
        ],
        sold: Sold::Piece,
        keeps_days: 540,
    },
    Aisle {
        path: &["Larder", "Grains and Pulses"],
        goods: &[
            ("Pearl Barley", 330),
            ("Brown Lentils", 420),
            ("Buckwheat Groats", 450),
            ("Emmer Flour", 380),
            ("Split Peas", 290),
            ("Borlotti Beans", 510),
        ],
        sold: Sold::Weight,
        keeps_days: 400,
    },
    Aisle {
        path: &["Crafts", "Pottery"],
        goods: &[
            ("Slipware Jug", 3_400),
            ("Salt Pig", 2_200),
            ("Stoneware Bowl", 2_700),
            ("Egg Cup", 900),
            ("Butter Dish", 2_900),
        ],
        sold: Sold::Piece,
        keeps_days: 36_500,
    },
    Aisle {
        path: &["Crafts", "Baskets and Brooms"],
        goods: &[
            ("Willow Basket", 4_200),
            ("Rush Mat", 2_600),
            ("Birch Broom", 1_800),
            ("Bread Basket", 2_300),
            ("Log Trug", 5_400),
        ],
        sold: Sold::Piece,
        keeps_days: 36_500,
    },
    Aisle {
        path: &["Garden", "Seedlings"],
        goods: &[
            ("Sweet Pea Tray", 650),
            ("Leek Plugs", 420),
            ("Squash Seedling", 280),
            ("Foxglove Pot", 390),
            ("Sage Bush", 720),
        ],
        sold: Sold::Piece,
        keeps_days: 21,
    },
];

pub(super) const TOUCHES: &[&str] = &[
    "Hillside",
    "Early Morning",
    "Old Orchard",
    "River Meadow",
    "Grandmother's",
    "Hand-Picked",
    "Late Summer",
    "Market Day",
    "Windfall",
    "Small-Batch",
    "Stone Barn",
    "Frost-Kissed",
    "Lantern Hill",
    "Weathered",
    "First-Cut",
    "Northside",
    "Walled Garden",
    "Carter's",
];

pub(super) const MAKERS: &[&str] = &[
    "Tansy & Rook",
    "Fallow Lane Farm",
    "The Crooked Stall",
    "Marlpit Growers",
    "Brindle Hill Dairy",
    "Osier Works",
    "Pennywort Kitchen",
    "Sallow Mill",
    "Two Kilns",
    "Hobday Orchards",
    "Larkspur Nursery",
    "Old Toll House Bakery",
];

pub(super) const LABELS: &[&str] =
    &["seasonal", "local", "handmade", "fair-trade", "gift", "new-in", "bestseller", "zero-waste"];
