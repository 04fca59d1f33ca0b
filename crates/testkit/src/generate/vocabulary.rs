//! The values that generated products and queries draw from: few enough to collide, odd enough to trip.

/// Words of names and descriptions. No two of them have the same 16-bit hash in the index, where closeness is measured
/// over hashes ("ghee" would pass for "brûlée").
pub(super) const WORDS: &[&str] = &[
    "rice",
    "basmati",
    "organic",
    "fresh",
    "water",
    "bottle",
    "waterbottle",
    "olive",
    "oil",
    "garlic",
    "bread",
    "whole",
    "wheat",
    "flour",
    "sugar",
    "cane",
    "honey",
    "raw",
    "milk",
    "almond",
    "Crème",
    "brûlée",
    "café",
    "Cafe",
    "jalapeño",
    "Straße",
    "müsli",
    "łosoś",
    "tomato",
    "tomatoes",
    "potato",
    "potatoes",
    "running",
    "run",
    "runner",
    "berries",
    "berry",
    "500ml",
    "1kg",
    "2",
    "No.7",
    "A",
    "of",
    "with",
    "and",
    "the",
    "spiced",
    "chilli",
    "chili",
    "green",
    "tea",
    "teas",
    "cardamom",
    "cardamon",
    "turmeric",
    "butter",
    "paneer",
    "yoghurt",
    "yogurt",
    "chocolate",
    "dark",
];

/// Names that many products share.
pub(super) const COMMON_NAMES: &[&str] = &[
    "Basmati Rice",
    "basmati rice",
    "Olive Oil - Extra Virgin",
    "Water Bottle",
    "Waterbottle",
    "Crème Brûlée",
    "creme brulee",
    "बासमती चावल",
    "緑茶",
    "🍎 Apple",
    "Z",
    "a",
    "ñ",
    "Ⅷ ﬁne ½ cup",
    "'; DROP TABLE products; --",
    "100% \"pure\" <b>honey</b>",
];

/// Brands: the last two differ only in case.
pub(super) const BRANDS: &[&str] =
    &["Fresho", "Bb Royal", "Amul", "Nestlé", "O'Brien & Sons", "गोदरेज", "Water & Co", "Almond House", "acme", "ACME"];

/// Category paths; several share a textual prefix without sharing a level.
pub(super) const CATEGORIES: &[&[&str]] = &[
    &["Food"],
    &["Food", "Rice"],
    &["Food", "Rice", "Basmati"],
    &["Food", "Rice", "Basmati", "Aged"],
    &["Foodgrains", "Rice"],
    &["Food & Drink", "Tea"],
    &["Kitchen", "Bottles"],
    &["Kitchen", "Bottles & Jars"],
    &["Ünïcode", "Größe"],
    &["Home", "Kitchen", "Bottles"],
];

/// Tags.
pub(super) const TAGS: &[&str] =
    &["organic", "new", "sale", "vegan", "gluten free", "Organic", "bio/öko", "a,b", "50% off", "x=y&z"];

/// Sellers.
pub(super) const SELLERS: &[&str] = &["Green Acre Pune", "Müller", "North Market", "North market", "Stall 7"];

/// Currencies.
pub(super) const CURRENCIES: &[&str] = &["INR", "INR", "INR", "INR", "EUR", "USD", "JPY", "KWD"];

/// Amounts that a great many products share, with both ends of what is allowed.
pub(super) const AMOUNTS: &[i64] = &[0, 1, 99, 100, 4_900, 4_999, 5_000, 12_900, 9_007_199_254_740_991];

/// Towns, around and exactly at which products lie; two near the date line, one at a pole.
pub(super) const PLACES: &[(f64, f64)] = &[
    (18.52, 73.86),
    (18.5204, 73.8567),
    (48.137, 11.575),
    (-33.87, 151.21),
    (-17.0, 179.99),
    (-17.0, -179.99),
    (90.0, 0.0),
];

/// Attribute names.
pub(super) const ATTRIBUTES: &[&str] = &["organic", "weight_g", "grain", "colour", "ratio", "Mixed-1.x"];

/// Texts for attributes; some look like other kinds of value.
pub(super) const ATTRIBUTE_TEXTS: &[&str] = &["long", "short", "true", "1000", "0.5", "", "Größe L", "a b"];
