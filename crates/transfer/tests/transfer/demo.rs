//! The sample catalogue that comes with Haat: valid, and with something to show for every kind of listing.

use std::collections::{BTreeMap, BTreeSet};

use haat_transfer::ImportSpec;
use serde_json::Value;

use crate::market::{Market, counts, ndjson};

const DEMO: &str = include_str!("../../../haat/assets/demo.ndjson");

#[tokio::test]
async fn the_sample_catalogue_has_something_for_every_filter_and_facet() {
    let market = Market::open().await;
    let report = market.import(ImportSpec { max_errors: 0, ..ndjson() }, DEMO).await.unwrap();
    let all = DEMO.lines().count();
    assert!((280..=400).contains(&all), "{all}");
    assert_eq!(report.counts, counts(all as u64, all as u64, 0, 0, 0), "{:?}", report.errors);

    let products = market.products().await;
    let having = |what: &dyn Fn(&Value) -> bool| products.iter().filter(|p| what(p)).count();
    let values = |pointer: &str| {
        let all = products.iter().filter_map(|p| p.pointer(pointer).filter(|v| !v.is_null()));
        all.map(Value::to_string).collect::<BTreeSet<_>>().len()
    };
    for (pointer, least) in [("/brand", 20), ("/seller", 25), ("/category/0", 10), ("/rating", 15), ("/unit", 10)] {
        assert!(values(pointer) >= least, "{pointer}: {}", values(pointer));
    }
    for (pointer, least) in [("/attributes/origin", 40), ("/attributes/grain", 8), ("/attributes/weight_g", 20)] {
        assert!(values(pointer) >= least, "{pointer}: {}", values(pointer));
    }
    assert_eq!(values("/attributes/organic"), 2);
    assert_eq!(values("/price/currency"), 3);
    for (what, missing) in [("stock", 10), ("rating", 10), ("location", 5), ("brand", 30), ("list_price", 100)] {
        let without = having(&|p| p[what].is_null());
        assert!(without >= missing && without < all - 50, "{what}: {without} of {all}");
    }
    assert!(having(&|p| p["stock"] == 0) >= 10);
    assert!(having(&|p| p["variants"].as_array().is_some_and(|v| v.len() > 1)) >= 30);
    assert!(having(&|p| p["status"] != "active") >= 5);
    assert!(products.iter().all(|p| p["category"].as_array().is_some_and(|levels| (2..=3).contains(&levels.len()))));

    // A place has neighbours, and there is more than one place.
    let mut near: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    for p in products.iter().filter(|p| !p["location"].is_null()) {
        let degree = |name: &str| (p["location"][name].as_f64().unwrap() / 2.0).round() as i64;
        *near.entry((degree("lat"), degree("lon"))).or_default() += 1;
    }
    assert!(near.values().filter(|n| **n >= 10).count() >= 6, "{near:?}");
    let mut created: Vec<&str> = products.iter().map(|p| p["created_at"].as_str().unwrap()).collect();
    created.sort_unstable();
    assert!(created[0] < "2025-01" && created[all - 1] > "2026-06");
}
