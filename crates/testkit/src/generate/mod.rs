//! Random products and random queries from a seed: the same in every run.
//!
//! Values are clustered, so that ties, missing values, equal prices by the hundred and equal names occur all the
//! time; queries take most of their values from products that exist, so that they rarely come up empty.

mod query;
mod vocabulary;

use haat_catalog::product::{AttributeValue, Attributes, Location, Status, Variant};
use haat_catalog::{Money, Product, ProductId, Sku, Timestamp};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use vocabulary as words;

/// A query string's pairs, decoded, in order.
pub type Pairs = Vec<(String, String)>;

/// 2026-01-02T03:04:05Z.
const BASE_MS: i64 = 1_767_323_045_000;

/// Draws products and queries.
#[derive(Debug)]
pub struct Generator {
    rng: ChaCha8Rng,
    drawn: u64,
}

impl Generator {
    /// A generator that draws the same things whenever it is given the same seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), drawn: 0 }
    }

    /// Random numbers of the same stream, for what a test decides itself.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    /// `n` products with different skus and ids.
    pub fn products(&mut self, n: usize) -> Vec<Product> {
        (0..n).map(|_| self.product()).collect()
    }

    /// One product; its sku and id are new, everything else may be like another's. It is as a client's first write
    /// makes it: version 1, changed when it was created.
    pub fn product(&mut self) -> Product {
        self.drawn += 1;
        let created_at = self.moment();
        let n = self.drawn;
        Product {
            id: self.id(),
            sku: self.sku(n),
            name: self.name(),
            description: self.maybe(0.7, Self::description),
            brand: self.maybe(0.85, |g| g.one(words::BRANDS).to_owned()),
            category: self.category(),
            tags: self.tags(),
            price: self.money(),
            list_price: self.maybe(0.3, Self::money),
            stock: self.maybe(0.75, Self::stock),
            unit: self.maybe(0.3, |g| g.one(&["kg", "l", "piece"]).to_owned()),
            rating: self.maybe(0.7, |g| f64::from(g.rng.random_range(0..=50_u8)) / 10.0),
            seller: self.maybe(0.8, |g| g.one(words::SELLERS).to_owned()),
            location: self.maybe(0.6, Self::location),
            attributes: self.attributes(),
            images: self.maybe(0.2, |g| vec![format!("https://img.example/{}.jpg", g.drawn)]).unwrap_or_default(),
            variants: self.variants(n),
            status: self.one(&[Status::Active, Status::Active, Status::Active, Status::Draft, Status::Archived]),
            created_at,
            updated_at: created_at,
            version: 1,
        }
    }

    /// The product with a few of its values drawn anew; sku, id and creation time stay.
    pub fn changed(&mut self, product: &Product) -> Product {
        let fresh = self.product();
        let mut next = product.clone();
        for _ in 0..self.rng.random_range(1..=3) {
            match self.rng.random_range(0..8) {
                0 => next.name.clone_from(&fresh.name),
                1 => next.price = fresh.price,
                2 => next.stock = fresh.stock,
                3 => next.rating = fresh.rating,
                4 => next.brand.clone_from(&fresh.brand),
                5 => next.category.clone_from(&fresh.category),
                6 => next.tags.clone_from(&fresh.tags),
                _ => next.attributes.clone_from(&fresh.attributes),
            }
        }
        next
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.rng).expect("a list to draw from is not empty")
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    fn maybe<T>(&mut self, p: f64, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(p).then(|| draw(self))
    }

    /// A UUID version 7 whose time says nothing about the product, so that no order can lean on it.
    fn id(&mut self) -> ProductId {
        let mut bytes = [0_u8; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        ProductId::from_bytes(bytes)
    }

    fn sku(&mut self, n: u64) -> Sku {
        let text = match n % 50 {
            0 => format!("SKU/{n}?a=b&c#d"),
            1 => format!("größe {n} ü"),
            2 => format!("{n}%2F.."),
            _ => format!("G{n:08}"),
        };
        Sku::new(text).expect("a generated sku is valid")
    }

    fn words(&mut self, n: usize) -> String {
        (0..n).map(|_| self.one(words::WORDS)).collect::<Vec<_>>().join(" ")
    }

    fn name(&mut self) -> String {
        match self.rng.random_range(0..100) {
            0..30 => self.one(words::COMMON_NAMES).to_owned(),
            // Alike in the 256 characters by which names are sorted.
            30..33 => format!("{}{}", "long name ".repeat(26), self.rng.random_range(0..100)),
            _ => {
                let n = self.rng.random_range(1..=5);
                let name = self.words(n);
                if self.chance(0.3) { name.to_uppercase() } else { name }
            }
        }
    }

    fn description(&mut self) -> String {
        let n = self.rng.random_range(1..=25);
        format!("{}.", self.words(n))
    }

    fn category(&mut self) -> Vec<String> {
        let path = self.maybe(0.9, |g| g.one(words::CATEGORIES));
        path.unwrap_or_default().iter().map(|level| (*level).to_owned()).collect()
    }

    /// Sometimes with a repeat: a facet counts it once.
    fn tags(&mut self) -> Vec<String> {
        let n = self.rng.random_range(0..=4);
        (0..n).map(|_| self.one(words::TAGS).to_owned()).collect()
    }

    fn amount(&mut self) -> i64 {
        if self.chance(0.5) { self.one(words::AMOUNTS) } else { self.rng.random_range(0..200_000) }
    }

    fn money(&mut self) -> Money {
        let currency = self.one(words::CURRENCIES).parse().expect("a currency of ISO 4217");
        Money { amount: self.amount(), currency }
    }

    fn stock(&mut self) -> i64 {
        match self.rng.random_range(0..3) {
            0 => 0,
            1 => self.rng.random_range(1..5),
            _ => self.rng.random_range(0..100_000),
        }
    }

    fn moment(&mut self) -> Timestamp {
        let ms = match self.rng.random_range(0..10) {
            0 => -86_400_000,
            1..5 => BASE_MS + self.rng.random_range(0..5) * 3_600_000,
            5..7 => BASE_MS + self.rng.random_range(0..5),
            _ => BASE_MS - self.rng.random_range(0..31_536_000_000_i64),
        };
        Timestamp::from_millis(ms)
    }

    /// Exactly at a town, so that distances tie, or up to some 50 km from it. Four decimal places: every JSON
    /// reader gives back the same number.
    fn location(&mut self) -> Location {
        let (lat, lon) = self.one(words::PLACES);
        if self.chance(0.5) {
            return Location { lat, lon };
        }
        let mut near = |degrees: f64, bound: f64| {
            let moved = degrees + f64::from(self.rng.random_range(-5_000..=5_000)) / 10_000.0;
            ((moved.clamp(-bound, bound)) * 10_000.0).round() / 10_000.0
        };
        Location { lat: near(lat, 90.0), lon: near(lon, 180.0) }
    }

    fn attributes(&mut self) -> Attributes {
        let n = self.rng.random_range(0..=4);
        (0..n).map(|_| (self.one(words::ATTRIBUTES).to_owned(), self.attribute(true))).collect()
    }

    fn attribute(&mut self, lists: bool) -> AttributeValue {
        match self.rng.random_range(0..if lists { 5 } else { 4 }) {
            0 => AttributeValue::Bool(self.chance(0.5)),
            1 => AttributeValue::Number(self.one(&[0_i64, 1, 500, 1_000, -5]).into()),
            2 => AttributeValue::Number(serde_json::Number::from_f64(self.one(&[0.5, 1.25, -2.0])).expect("finite")),
            3 => AttributeValue::Text(self.one(words::ATTRIBUTE_TEXTS).to_owned()),
            _ => {
                let n = self.rng.random_range(0..=3);
                AttributeValue::List((0..n).map(|_| self.attribute(false)).collect())
            }
        }
    }

    fn variants(&mut self, product: u64) -> Vec<Variant> {
        if self.chance(0.85) {
            return Vec::new();
        }
        let n = self.rng.random_range(1..=3);
        (0..n)
            .map(|i| Variant {
                sku: Sku::new(format!("V{product}-{i}")).expect("a generated sku is valid"),
                name: self.maybe(0.5, Self::name),
                price: self.maybe(0.5, Self::money),
                stock: self.maybe(0.6, Self::stock),
                attributes: self.attributes(),
            })
            .collect()
    }
}

/// A product's JSON as a client writes it: without the members that the server owns.
pub fn written(product: &Product) -> serde_json::Value {
    let mut json = serde_json::to_value(product).expect("a product is JSON");
    if let Some(members) = json.as_object_mut() {
        members.retain(|name, value| !(value.is_null() || name == "version" || name == "updated_at"));
    }
    json
}

#[cfg(test)]
mod tests {
    use haat_catalog::{Draft, Query};

    use super::*;

    #[test]
    fn a_query_says_itself() {
        let mut generator = Generator::new(3);
        let products = generator.products(200);
        for n in 0..2_000 {
            let pairs = if n % 2 == 0 { generator.listing(&products) } else { generator.search(&products) };
            let query = Query::parse(pairs.iter().map(|(n, v)| (&**n, &**v))).unwrap();
            let said = query.parameters();
            let again = Query::parse(said.iter().map(|(n, v)| (&**n, &**v))).unwrap();
            let query = Query { cursor: None, min_seq: None, ..query };
            assert_eq!(again, query, "{pairs:?} says {said:?}");
        }
        let padded = [("facets", ",,,,brand,,"), ("brand", "A"), ("brand", "A"), ("limit", "020")];
        let said = Query::parse(padded).unwrap().parameters();
        assert_eq!(said, [("brand", "A"), ("facets", "brand")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn every_generated_product_is_one_that_a_client_may_write() {
        for product in Generator::new(1).products(500) {
            let draft = Draft::from_json(&written(&product)).unwrap();
            assert_eq!(draft, Draft::from(product));
        }
    }

    #[test]
    fn every_generated_query_is_valid() {
        let mut generator = Generator::new(2);
        let products = generator.products(100);
        for _ in 0..2_000 {
            for pairs in [generator.listing(&products), generator.search(&products)] {
                let parsed = Query::parse(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                assert!(parsed.is_ok(), "{pairs:?}: {parsed:?}");
            }
        }
    }

    #[test]
    fn equal_seeds_draw_equal_things() {
        let (mut a, mut b) = (Generator::new(3), Generator::new(3));
        let (x, y) = (a.products(50), b.products(50));
        assert_eq!(x, y);
        assert_eq!(a.search(&x), b.search(&y));
    }
}
