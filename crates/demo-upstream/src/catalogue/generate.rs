//! A catalogue from a seed: the same one on every machine.

use std::collections::BTreeMap;
use std::time::Duration;

use haat_catalog::Timestamp;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::MAX_PRODUCTS;
use super::vocabulary::{AISLES, Aisle, LABELS, MAKERS, Sold, TOUCHES};
use crate::product::{Choice, Price, Product, State};

/// 2025-03-01T06:00:00Z: when the market opened. Before whatever a clock is likely to say, so that what is written later is
/// modified later.
const OPENED_MS: i64 = 1_740_808_800_000;
/// So much later each product came than the one before.
const APART: Duration = Duration::from_secs(60);

/// `count` products drawn from `seed`, at most [`MAX_PRODUCTS`]. Every product depends on the seed and its number alone: a
/// longer catalogue begins with the shorter one.
pub fn generate(seed: u64, count: usize) -> impl Iterator<Item = Product> {
    (0..count.min(MAX_PRODUCTS)).map(move |n| product(seed, n as u64))
}

fn product(seed: u64, n: u64) -> Product {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(n);
    let rng = &mut rng;
    let fallback = Aisle { path: &[], goods: &[("Oddments", 100)], sold: Sold::Piece, keeps_days: 30 };
    let aisle = AISLES.choose(rng).unwrap_or(&fallback);
    let (goods, usual) = aisle.goods.choose(rng).copied().unwrap_or(("Oddments", 100));
    let touch = TOUCHES.choose(rng).copied().unwrap_or_default();
    let maker = MAKERS.choose(rng).copied().unwrap_or_default();
    let sku = format!("OM-{:06}", n + 1);
    // Between half and twice the usual price, ending in 5 or 0 as on a slate.
    let cents = (usual * rng.random_range(50..200) / 100 / 5).max(1) * 5;
    let price = |cents| Price { cents, currency: "EUR".into() };
    let created = Timestamp::from_millis(OPENED_MS).plus(APART * u32::try_from(n).unwrap_or(u32::MAX));
    Product {
        title: format!("{touch} {goods}"),
        text: format!("{goods} from {maker}, {}.", aisle.sold.phrase()),
        maker: Some(maker.to_owned()),
        path: aisle.path.iter().map(|&level| level.to_owned()).collect(),
        labels: LABELS.sample(rng, (n % 4) as usize).map(|&label| label.to_owned()).collect(),
        was_price: rng.random_ratio(1, 5).then(|| price(cents + cents / 4 + 5)),
        quantity: if rng.random_ratio(1, 10) { 0 } else { rng.random_range(1..120) },
        rating: rng.random_ratio(4, 5).then(|| f64::from(rng.random_range(20..=50_u8)) / 10.0),
        images: vec![format!("https://images.example.org/market/{}.jpg", sku.to_lowercase())],
        specs: specs(aisle, rng),
        options: options(aisle.sold, &sku, rng),
        state: if rng.random_ratio(1, 25) { State::Off } else { State::On },
        created,
        modified: created.plus(Duration::from_secs(rng.random_range(0..86_400))),
        version: 1,
        ..Product::new(&format!("p-{:06}", n + 1), &sku, "", price(cents))
    }
}

fn specs(aisle: &Aisle, rng: &mut ChaCha8Rng) -> BTreeMap<String, Value> {
    let mut specs = BTreeMap::new();
    specs.insert("keeps_days".to_owned(), json!(aisle.keeps_days));
    specs.insert("organic".to_owned(), json!(rng.random_bool(0.3)));
    specs.insert("sold_by".to_owned(), json!(aisle.sold.name()));
    if aisle.sold == Sold::Weight {
        specs.insert("weight_g".to_owned(), json!([250, 500, 1_000].choose(rng).copied().unwrap_or(500)));
    }
    specs
}

/// What is sold by weight or by measure comes in several sizes.
fn options(sold: Sold, sku: &str, rng: &mut ChaCha8Rng) -> Vec<Choice> {
    let sizes: &[(&str, &str)] = match sold {
        Sold::Weight => &[("250G", "250 g"), ("500G", "500 g"), ("1KG", "1 kg")],
        Sold::Measure => &[("25CL", "25 cl"), ("1L", "1 l")],
        Sold::Piece => &[],
    };
    let choice = |&(code, title): &(&str, &str)| Choice {
        sku: format!("{sku}-{code}"),
        title: title.to_owned(),
        quantity: rng.random_range(0..40),
    };
    sizes.iter().map(choice).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_catalogue_and_another_one_another() {
        let draw = |seed, count| generate(seed, count).collect::<Vec<_>>();
        assert_eq!(draw(7, 200), draw(7, 200));
        assert_eq!(draw(7, 50), draw(7, 200)[..50]);
        assert_ne!(draw(7, 50), draw(8, 50));
    }

    #[test]
    fn every_id_and_sku_is_there_once() {
        let products: Vec<_> = generate(1, 2_000).collect();
        let of = |value: fn(&Product) -> &str| products.iter().map(value).collect::<HashSet<_>>().len();
        assert_eq!((of(|p| &p.id), of(|p| &p.sku)), (2_000, 2_000));
        let choices: Vec<_> = products.iter().flat_map(|p| &p.options).map(|choice| &choice.sku).collect();
        assert_eq!(choices.iter().collect::<HashSet<_>>().len(), choices.len());
    }

    #[test]
    fn it_is_varied_enough_to_be_looked_at() {
        let products: Vec<_> = generate(1, 500).collect();
        let count = |is: fn(&Product) -> bool| products.iter().filter(|p| is(p)).count();
        for (what, n) in [
            ("off", count(|p| p.state == State::Off)),
            ("sold out", count(|p| p.quantity == 0)),
            ("reduced", count(|p| p.was_price.as_ref().is_some_and(|was| was.cents > p.price.cents))),
            ("unrated", count(|p| p.rating.is_none())),
            ("with options", count(|p| !p.options.is_empty())),
        ] {
            assert!((5..400).contains(&n), "{what}: {n}");
        }
        let titles: HashSet<_> = products.iter().map(|p| &p.title).collect();
        assert!(titles.len() > 250, "{}", titles.len());
    }
}
