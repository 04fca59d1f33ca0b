//! Following the log: what is written is listed, whoever asks for a place waits for it, a restart goes on.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{Compaction, IndexError, ListingIndex, SuggestQuery};
use haat_catalog::product::Status;
use haat_catalog::{Clock, Query, Seq, Sku, Timestamp};
use haat_search::{RebuildReport, rebuild};
use haat_testkit::generate::Generator;

use crate::stage::{Stage, skus};

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_from_what_is_there_and_follows_what_is_written() {
    let stage = Stage::new().await;
    let mut products = Generator::new(1).products(450);
    let late = products.split_off(400);
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    assert_eq!(running.list(&[]).await.total.unwrap().value, 400);

    stage.import(&late).await;
    stage.delete(&products[0].sku).await;
    let mut changed = products[1].clone();
    changed.name = "Another name".to_owned();
    let receipt = stage.put(changed).await;
    running.index.nudge(&[]);
    let min_seq = receipt.seq.to_string();
    let page = running.list(&[("min_seq", &min_seq)]).await;
    assert!(page.complete && page.seq >= receipt.seq);
    assert_eq!(page.total.unwrap().value, 449);
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_listed_within_a_second_without_a_nudge() {
    let stage = Stage::new().await;
    let running = stage.start().await;
    running.ready().await;
    for product in Generator::new(2).products(10) {
        let sku = product.sku.clone();
        let written = std::time::Instant::now();
        let seq = stage.put(product).await.seq;
        running.until("the write is in", || running.index.status().seq >= seq).await;
        assert!(written.elapsed() < Duration::from_secs(1), "{sku} took {:?}", written.elapsed());
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_place_that_does_not_come_is_told_how_far_the_index_is() {
    let stage = Stage::new().await;
    stage.import(&Generator::new(3).products(5)).await;
    let running = stage.start().await;
    running.ready().await;
    let query = Query { min_seq: Some(Seq(1_000_000)), ..Query::default() };
    let answer = running.index.list(Arc::new(query), Duration::from_millis(30)).await;
    assert!(matches!(answer, Err(IndexError::Behind { at }) if at == running.index.status().seq), "{answer:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_goes_on_after_a_restart_where_it_was() {
    let stage = Stage::new().await;
    let products = Generator::new(4).products(300);
    stage.import(&products[..200]).await;
    let running = stage.start().await;
    running.ready().await;
    let before = stage.dir().join("CURRENT");
    let generation = std::fs::read_to_string(&before).unwrap();
    running.stop().await;
    stage.import(&products[200..]).await;
    let running = stage.start().await;
    running.ready().await;
    assert_eq!(std::fs::read_to_string(&before).unwrap(), generation, "nothing was built anew");
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_index_and_its_place_in_the_log_agree() {
    let stage = Arc::new(Stage::new().await);
    let products = Generator::new(5).products(3_000);
    stage.import(&products[..100]).await;
    for round in 0..6_usize {
        let running = stage.start().await;
        let part = products[100 + round * 400..100 + (round + 1) * 400].to_vec();
        let importing = tokio::spawn({
            let stage = Arc::clone(&stage);
            async move { stage.import(&part).await }
        });
        let goal = stage.store.head().await.unwrap().0 + 37 * (round as u64 + 1);
        running.until("some of it is in", || running.index.status().seq.0 >= goal).await;
        running.kill().await;
        importing.await.unwrap();
    }
    let running = stage.start().await;
    running.ready().await;
    stage.assert_clean(&running).await;
    Arc::try_unwrap(stage).ok().unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_away_for_too_long_is_built_anew() {
    let stage = Stage::new().await;
    let products = Generator::new(6).products(300);
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    for product in &products[..50] {
        stage.delete(&product.sku).await;
    }
    stage.import(&Generator::new(61).products(10)).await;
    let later = Timestamp::from_millis(stage.clock.now().as_millis() + 1);
    let policy = Compaction { keep_newest: 0, deletions_before: later, followers_since: later };
    assert!(stage.store.compact(policy).await.unwrap().deletions > 0);
    let running = stage.start().await;
    running.ready().await;
    assert_eq!(running.list(&[]).await.total.unwrap().value, 260);
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_asked_for_while_a_server_runs_is_done_by_the_server() {
    let stage = Stage::new().await;
    stage.import(&Generator::new(7).products(200)).await;
    let ask = || {
        let clock: Arc<dyn Clock> = stage.clock.clone();
        rebuild(stage.options(), stage.store.clone(), stage.store.clone(), clock, &|_| {})
    };
    let report = ask().await.unwrap();
    assert!(matches!(report, RebuildReport::Built { products: 200, .. }), "{report:?}");
    let running = stage.start().await;
    running.ready().await;
    let current = || std::fs::read_to_string(stage.dir().join("CURRENT")).unwrap();
    let before = current();
    assert_eq!(ask().await.unwrap(), RebuildReport::Requested);
    running.until("the server has built the index anew", || current() != before).await;
    running.ready().await;
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_write_one_index() {
    let stage = Stage::new().await;
    let running = stage.start().await;
    let clock: Arc<dyn Clock> = stage.clock.clone();
    let second = haat_search::Index::open(stage.options(), stage.store.clone(), stage.store.clone(), clock).await;
    assert!(matches!(second, Err(IndexError::Internal(why)) if why.contains("in use by another process")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_are_of_active_products_and_count_whole_categories() {
    let stage = Stage::new().await;
    let mut products = Generator::new(81).products(12);
    for (i, p) in products.iter_mut().enumerate() {
        p.name = format!("Thing {i}");
        (p.description, p.tags) = (None, Vec::new());
        p.status = if i < 9 { Status::Active } else { Status::Draft };
        p.brand = Some(if i < 9 { "Acme" } else { "Acme Secret" }.to_owned());
        // Of three words two must match: by the category alone the products of "Snacks" would not be found.
        let leaf = ["Organic Snacks", "Snacks"][i % 2];
        p.category = vec!["Organic Food".to_owned(), leaf.to_owned()];
    }
    products[9].name = "Acme unreleased".to_owned();
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    let ask = async |text: &str| {
        let query = SuggestQuery { text: text.to_owned(), limit: 5 };
        running.index.suggest(query).await.unwrap()
    };
    let counts = |found: &[haat_catalog::FacetCount]| -> Vec<_> {
        found.iter().map(|v| (serde_json::to_value(&v.value).unwrap(), v.count)).collect()
    };
    let acme = ask("acme").await;
    assert_eq!(counts(&acme.brands), [("Acme".into(), 9)]);
    assert!(
        ask("acme unreleased")
            .await
            .products
            .iter()
            .all(|hit| { haat_catalog::Product::from_json(&hit.document).unwrap().status == Status::Active })
    );
    let categories = counts(&ask("organic food snacks bar").await.categories);
    assert!(categories.contains(&("Organic Food".into(), 9)), "{categories:?}");
    assert!(categories.contains(&("Organic Food > Organic Snacks".into(), 5)), "{categories:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_draft_does_not_hide_what_is_for_sale() {
    let stage = Stage::new().await;
    let mut products = Generator::new(84).products(61);
    for (i, p) in products.iter_mut().enumerate() {
        (p.name, p.description, p.status) = (format!("Chocolate {i}"), None, Status::Active);
    }
    products[60].name = "Cake".to_owned();
    products[60].description = Some("with choclate".to_owned());
    products[60].status = Status::Draft;
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    let page = running.list(&[("q", "choclate"), ("status", "active")]).await;
    assert_eq!(page.total.unwrap().value, 60);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_sku_finds_its_product_first_and_tags_are_searched() {
    let stage = Stage::new().await;
    let mut products = Generator::new(82).products(40);
    for (i, p) in products.iter_mut().enumerate() {
        (p.name, p.tags) = (format!("AB 12 Thing {i}"), Vec::new());
    }
    products[7].sku = Sku::new("Ab-12/xL").unwrap();
    products[7].name = "Something else".to_owned();
    products[9].tags = vec!["Gluten-free".to_owned()];
    let mut variant = Generator::new(83).products(50).into_iter().find_map(|p| p.variants.first().cloned()).unwrap();
    variant.sku = Sku::new("V-9 Ä").unwrap();
    products[11].variants = vec![variant];
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    for text in ["Ab-12/xL", "ab-12/XL", "  AB-12/xl "] {
        let found = skus(&running.list(&[("q", text)]).await);
        assert_eq!(found[0], "Ab-12/xL", "{text}");
    }
    let by_variant = skus(&running.list(&[("q", "v-9 ä")]).await);
    assert_eq!(by_variant[0], products[11].sku.as_str());
    assert_eq!(skus(&running.list(&[("q", "gluten free")]).await), [products[9].sku.as_str()]);
    let sorted = running.list(&[("q", "AB-12/XL"), ("sort", "name"), ("limit", "100")]).await;
    assert!(skus(&sorted).contains(&"Ab-12/xL".to_owned()), "in every order");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_are_products_categories_and_brands_that_match_by_their_own_words() {
    let stage = Stage::new().await;
    let mut products = Generator::new(8).products(6);
    for (i, p) in products.iter_mut().enumerate() {
        p.name = format!("Thing {i}");
        p.description = None;
        p.status = Status::Active;
        p.brand = Some(["Basmati House", "Fresho"][i % 2].to_owned());
        p.category = vec!["Foodgrains".to_owned(), ["Basmati Rice", "Flours"][usize::from(i > 3)].to_owned()];
    }
    products[5].name = "Basmati, aged".to_owned();
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    let query = SuggestQuery { text: "basm".to_owned(), limit: 5 };
    let found = running.index.suggest(query).await.unwrap();
    let text = |v: &haat_catalog::FacetCount| (serde_json::to_value(&v.value).unwrap(), v.count);
    let categories: Vec<_> = found.categories.iter().map(text).collect();
    assert_eq!(categories, [("Foodgrains > Basmati Rice".into(), 4)]);
    assert_eq!(found.brands.iter().map(text).collect::<Vec<_>>(), [("Basmati House".into(), 3)]);
    let first = haat_catalog::Product::from_json(&found.products[0].document).unwrap();
    assert_eq!(first.name, "Basmati, aged");
    running.stop().await;
}
