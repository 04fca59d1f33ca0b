//! The promise of cursors: a product whose sort values do not change is neither skipped nor repeated, however much
//! is written meanwhile, forward and back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haat_catalog::Product;
use haat_catalog::ports::ListingIndex;
use haat_testkit::generate::Generator;

use crate::stage::{Running, Stage, skus};

/// Writers at work until they are told to stop.
fn writers(stage: &Arc<Stage>, restless: &[Product]) -> (Arc<AtomicBool>, Vec<tokio::task::JoinHandle<()>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = restless.chunks(restless.len() / 8).enumerate().map(|(n, mine)| {
        let (stage, stop, mine) = (Arc::clone(stage), Arc::clone(&stop), mine.to_vec());
        tokio::spawn(async move {
            let mut generator = Generator::new(1_000 + n as u64);
            while !stop.load(Ordering::Acquire) {
                for product in &mine {
                    stage.put(generator.changed(product)).await;
                    if generator.product().price.amount % 3 == 0 {
                        stage.delete(&product.sku).await;
                        stage.put(product.clone()).await;
                    }
                }
            }
        })
    });
    let tasks = tasks.collect();
    (stop, tasks)
}

/// Every page of a listing, forward to the end and back to the beginning.
async fn there_and_back(running: &Running, sort: &str) -> [Vec<String>; 2] {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let mut cursor: Option<String> = None;
    let mut last;
    loop {
        let mut pairs = vec![("sort", sort), ("limit", "17"), ("count", "none")];
        pairs.extend(cursor.as_deref().map(|c| ("cursor", c)));
        last = running.list(&pairs).await;
        there.extend(skus(&last));
        if last.next.is_none() {
            break;
        }
        cursor.clone_from(&last.next);
    }
    back.extend(skus(&last));
    let mut cursor = last.prev;
    while let Some(at) = cursor {
        let page = running.list(&[("sort", sort), ("limit", "17"), ("count", "none"), ("cursor", &at)]).await;
        back.extend(skus(&page));
        cursor = page.prev;
    }
    [there, back]
}

#[tokio::test(flavor = "multi_thread")]
async fn untouched_products_are_seen_exactly_once_while_eight_writers_write() {
    let stage = Arc::new(Stage::new().await);
    let mut generator = Generator::new(9);
    let restless = generator.products(240);
    let mut calm = generator.products(300);
    // Ties by the hundred, so that only the id tells them apart.
    for product in calm.iter_mut().take(200) {
        product.price.amount = 500;
        product.rating = None;
    }
    stage.import(&restless).await;
    stage.import(&calm).await;
    let running = stage.start().await;
    running.ready().await;
    let (stop, tasks) = writers(&stage, &restless);
    for sort in ["price", "-rating,name", "-created_at", "name", "stock,-price"] {
        for seen in there_and_back(&running, sort).await {
            let mut times: HashMap<String, usize> = HashMap::new();
            seen.into_iter().for_each(|sku| *times.entry(sku).or_default() += 1);
            for product in &calm {
                let n = times.get(product.sku.as_str()).copied().unwrap_or(0);
                assert_eq!(n, 1, "{} under sort={sort}", product.sku);
            }
        }
    }
    stop.store(true, Ordering::Release);
    for task in tasks {
        task.await.unwrap();
    }
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_by_a_misspelt_word_goes_on_when_somebody_creates_a_product_that_is_misspelt_like_that() {
    for sort in ["relevance", "price"] {
        let stage = Stage::new().await;
        let mut generator = Generator::new(14);
        let mut products = generator.products(40);
        for (n, product) in products.iter_mut().enumerate() {
            (product.name, product.description) = (format!("Chocolate number {n}"), None);
        }
        stage.import(&products).await;
        let running = stage.start().await;
        running.ready().await;
        let mut seen: Vec<String> = Vec::new();
        let mut cursor: Option<String> = None;
        let mut pages = 0;
        loop {
            let mut pairs = vec![("q", "choclate xyz"), ("sort", sort), ("limit", "7")];
            pairs.extend(cursor.as_deref().map(|c| ("cursor", c)));
            let page = running.list(&pairs).await;
            seen.extend(skus(&page));
            let Some(next) = page.next else { break };
            cursor = Some(next);
            if pages == 0 {
                let mut misspelt = generator.product();
                misspelt.name = "Choclate".to_owned();
                let seq = stage.put(misspelt).await.seq;
                running.index.nudge(&[]);
                running.until("the misspelt product is in", || running.index.status().seq >= seq).await;
            }
            pages += 1;
        }
        for product in &products {
            let times = seen.iter().filter(|sku| *sku == product.sku.as_str()).count();
            assert_eq!(times, 1, "{} under sort={sort}", product.name);
        }
        running.stop().await;
    }
}
