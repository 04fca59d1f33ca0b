//! The kinds of listing, drawn from the catalogue's own words and prices.

use haat_catalog::Product;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Each kind and what it is to take at most over HTTP (p50, without a total).
pub const KINDS: [(&str, &str); 14] = [
    ("newest above a price", "2 ms"),
    ("category, brand, price range by price", "1.5 ms"),
    ("price range by name", "3 ms"),
    ("two words", "4 ms"),
    ("two words, one typo", "3 ms"),
    ("three facets over a price range", "15 ms"),
    ("newest", ""),
    ("one brand by name", ""),
    ("best rated in a category", ""),
    ("two words by price", ""),
    ("two words in a brand", ""),
    ("nearest within 20 km", ""),
    ("cheapest in stock in a city (attribute)", ""),
    ("five facets over everything", ""),
];

/// Draws questions; the same ones in every run.
pub struct Asker {
    samples: Vec<Product>,
    random: ChaCha8Rng,
}

type Pairs = Vec<(String, String)>;

impl Asker {
    /// Over these products.
    pub fn new(samples: Vec<Product>) -> Self {
        Self { samples, random: ChaCha8Rng::seed_from_u64(1) }
    }

    /// A question of that kind.
    pub fn draw(&mut self, kind: &str, count: &str) -> Pairs {
        let p = self.samples.choose(&mut self.random).unwrap().clone();
        let mut pairs: Vec<(&str, String)> = vec![("count", count.to_owned())];
        match kind {
            "newest above a price" => pairs.push(("price_min", self.price().to_string())),
            "category, brand, price range by price" => {
                let Some(brand) = p.brand.clone() else { return self.draw(kind, count) };
                pairs.push(("category", p.category[0].clone()));
                pairs.push(("brand", brand));
                pairs.push(("price_min", (p.price.amount * self.random.random_range(30..=100) / 100).to_string()));
                pairs.push(("price_max", (p.price.amount * self.random.random_range(100..=300) / 100).to_string()));
                pairs.push(("sort", "price".into()));
            }
            "price range by name" => {
                self.range(&mut pairs);
                pairs.push(("sort", "name".into()));
            }
            "two words" => pairs.push(("q", self.words(false))),
            "two words, one typo" => pairs.push(("q", self.words(true))),
            "two words by price" => {
                pairs.push(("q", self.words(false)));
                pairs.push(("sort", "price".into()));
            }
            "two words in a brand" => {
                let Some(brand) = p.brand.clone() else { return self.draw(kind, count) };
                pairs.push(("q", self.words(false)));
                pairs.push(("brand", brand));
            }
            "three facets over a price range" => {
                self.range(&mut pairs);
                pairs.push(("facets", "brand,category,rating".into()));
            }
            "newest" => {}
            "one brand by name" => {
                let Some(brand) = p.brand.clone() else { return self.draw(kind, count) };
                pairs.push(("brand", brand));
                pairs.push(("sort", "name".into()));
            }
            "best rated in a category" => {
                pairs.push(("category", p.category[..2].join(" > ")));
                pairs.push(("sort", "-rating,price".into()));
            }
            "nearest within 20 km" => {
                pairs.push(("near", "18.52,73.86".into()));
                pairs.push(("radius_km", "20".into()));
                pairs.push(("sort", "distance".into()));
            }
            "cheapest in stock in a city (attribute)" => {
                pairs.push(("attr.city", ["Pune", "Delhi", "Mumbai"][self.random.random_range(0..3)].into()));
                pairs.push(("in_stock", "true".into()));
                pairs.push(("sort", "price".into()));
            }
            "five facets over everything" => {
                pairs.push(("facets", "brand,category,price_range,attr.city,seller".into()));
            }
            other => panic!("{other}"),
        }
        pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()
    }

    fn price(&mut self) -> i64 {
        let price = self.samples.choose(&mut self.random).unwrap().price.amount;
        price + self.random.random_range(0..=50)
    }

    fn range(&mut self, pairs: &mut Vec<(&str, String)>) {
        let (a, b) = (self.price(), self.price());
        pairs.push(("price_min", a.min(b).to_string()));
        pairs.push(("price_max", a.max(b).to_string()));
    }

    fn words(&mut self, typo: bool) -> String {
        loop {
            let name = &self.samples.choose(&mut self.random).unwrap().name;
            let split = name.split(|c: char| !c.is_alphanumeric());
            let words: Vec<String> = split
                .filter(|w| w.len() >= 4 && w.bytes().all(|b| b.is_ascii_alphabetic()))
                .map(str::to_ascii_lowercase)
                .collect();
            let Some(a) = words.choose(&mut self.random) else { continue };
            let Some(b) = words.choose(&mut self.random).filter(|b| *b != a && b.len() >= 5) else { continue };
            let mut b = b.clone().into_bytes();
            if typo {
                let at = self.random.random_range(1..b.len());
                b[at] = self.random.random_range(b'a'..=b'z');
            }
            return format!("{a} {}", String::from_utf8(b).unwrap());
        }
    }
}
