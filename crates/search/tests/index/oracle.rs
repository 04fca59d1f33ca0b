//! The index over a store against the oracle, while the catalogue changes in between.

use haat_catalog::{FacetResult, Product, Query};
use haat_testkit::generate::Generator;
use haat_testkit::oracle;
use rand::RngExt;

use crate::stage::{Running, Stage};

async fn assert_as_the_oracle_says(running: &Running, products: &[Product], pairs: &[(String, String)]) {
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let query = Query::parse(pairs.iter().copied()).unwrap();
    let answer = oracle::listing(products, &query);
    let mut found: Vec<String> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut at = pairs.clone();
        at.extend(cursor.as_deref().map(|c| ("cursor", c)));
        let page = running.list(&at).await;
        if let Some(total) = page.total {
            assert_eq!(total.value, answer.products.len() as u64, "{pairs:?}");
        }
        let facets: &Vec<FacetResult> = &page.facets;
        assert_eq!(facets, &answer.facets, "{pairs:?}");
        found.extend(crate::stage::skus(&page));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<&str> = answer.products.iter().map(|p| p.sku.as_str()).collect();
    assert_eq!(found, expected, "{pairs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_stay_what_the_oracle_says_while_the_catalogue_changes() {
    let stage = Stage::new().await;
    let mut generator = Generator::new(12);
    stage.import(&generator.products(250)).await;
    let running = stage.start().await;
    running.ready().await;
    for _ in 0..12 {
        for _ in 0..15 {
            let products = stage.products().await;
            let product = &products[generator.rng().random_range(0..products.len())];
            match generator.rng().random_range(0..3) {
                0 => drop(stage.delete(&product.sku).await),
                1 => drop(stage.put(generator.product()).await),
                _ => drop(stage.put(generator.changed(product)).await),
            }
        }
        stage.assert_clean(&running).await;
        let products = stage.products().await;
        for _ in 0..25 {
            let pairs = generator.listing(&products);
            assert_as_the_oracle_says(&running, &products, &pairs).await;
        }
    }
    running.stop().await;
}
