//! Following the log: what is written is listed, whoever asks for a place waits for it, a restart goes on.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{Compaction, IndexError, ListingIndex, SuggestQuery};
use haat_catalog::{Clock, Query, Seq, Timestamp};
use haat_search::{RebuildReport, rebuild};
use haat_testkit::generate::Generator;

use crate::stage::Stage;

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
    running.index.nudge();
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
async fn suggestions_are_products_categories_and_brands_that_match_by_their_own_words() {
    let stage = Stage::new().await;
    let mut products = Generator::new(8).products(6);
    for (i, p) in products.iter_mut().enumerate() {
        p.name = format!("Thing {i}");
        p.description = None;
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
