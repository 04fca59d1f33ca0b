//! Walking through a listing while others write: every product that nobody touches is seen exactly once, in both
//! directions, in every order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use haat_catalog::Product;
use haat_testkit::generate::{Generator, written};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rstest::rstest;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{Backend, Server, Stage, ndjson};

const WRITERS: u64 = 8;
/// Far more than any walk has, even one that writers keep adding to.
const MOST_PAGES: usize = 1_000;

/// Every order there is, alone and combined, broad and narrow.
const WALKS: &[&[(&str, &str)]] = &[
    &[("sort", "price")],
    &[("sort", "-price")],
    &[("sort", "name")],
    &[("sort", "-name")],
    &[("sort", "created_at")],
    &[],
    &[("sort", "updated_at")],
    &[("sort", "-updated_at")],
    &[("sort", "rating")],
    &[("sort", "-rating")],
    &[("sort", "stock")],
    &[("sort", "-stock")],
    &[("sort", "distance"), ("near", "18.52,73.86")],
    &[("sort", "-distance"), ("near", "-17.0,180")],
    &[("q", "rice")],
    &[("q", "water bottle"), ("sort", "relevance,-price,name")],
    &[("q", "rice"), ("sort", "price")],
    &[("sort", "-rating,price,name")],
    &[("sort", "stock,-distance,rating"), ("near", "48.137,11.575")],
    &[("sort", "-price"), ("price_min", "99"), ("price_max", "5000")],
    &[("sort", "name"), ("category", "Food"), ("status", "active")],
    &[("sort", "rating,-name"), ("tag", "organic"), ("tag", "new")],
];

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_sees_every_untouched_product_once_while_eight_writers_write(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = Arc::new(stage.start().await);
    let mut generator = Generator::new(21);
    let mut untouched = generator.products(1_600);
    // Equal prices by the thousand.
    for product in untouched.iter_mut().take(1_100) {
        product.price.amount = 4_900;
    }
    let touched = generator.products(400);
    server.import(ndjson(untouched.iter().chain(&touched))).await;
    let expected = Arc::new(expectations(&server, &untouched).await);

    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let mine: Vec<Product> = touched.iter().skip(n as usize).step_by(WRITERS as usize).cloned().collect();
        writers.spawn(write(Arc::clone(&server), mine, n, Arc::clone(&stop), Arc::clone(&written)));
    }
    let mut walkers = JoinSet::new();
    for part in 0..2 {
        let (server, expected) = (Arc::clone(&server), Arc::clone(&expected));
        walkers.spawn(async move {
            for walk in WALKS.iter().skip(part).step_by(2) {
                check_walk(&server, walk, &expected[walk]).await;
            }
        });
    }
    while let Some(done) = walkers.join_next().await {
        done.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert!(written.load(Ordering::Relaxed) > 100, "the writers wrote: {written:?}");
    stage.verify_index().await;
}

/// The untouched products of each walk in its order, before anything is written.
async fn expectations(
    server: &Server,
    untouched: &[Product],
) -> HashMap<&'static [(&'static str, &'static str)], Vec<String>> {
    let known: HashMap<String, ()> = untouched.iter().map(|p| (p.id.to_string(), ())).collect();
    let mut expected = HashMap::new();
    for walk in WALKS {
        let mut seen = Vec::new();
        forward(server, walk, 100, &mut seen).await;
        seen.retain(|id| known.contains_key(id));
        expected.insert(*walk, seen);
    }
    let everything: usize = expected[&WALKS[0]].len();
    assert_eq!(everything, untouched.len());
    expected
}

/// Forward to the end and back to the beginning; only the untouched count.
async fn check_walk(server: &Server, walk: &[(&str, &str)], expected: &[String]) {
    let known: HashMap<&String, ()> = expected.iter().map(|id| (id, ())).collect();
    let mut seen = Vec::new();
    let last = forward(server, walk, 41, &mut seen).await;
    seen.retain(|id| known.contains_key(id));
    assert_eq!(seen, expected, "forward, {walk:?}");

    let mut seen: Vec<String> = Vec::new();
    let mut page = last;
    loop {
        let data = page["data"].as_array().unwrap();
        seen.extend(data.iter().rev().map(|p| p["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["page"]["prev"].as_str() else { break };
        page = server
            .list(&[walk, &[("limit", "37"), ("count", "none"), ("cursor", cursor)]].concat())
            .await
            .expect(200)
            .json();
    }
    seen.retain(|id| known.contains_key(id));
    seen.reverse();
    assert_eq!(seen, expected, "backward, {walk:?}");
}

/// Walks to the end, gathers the ids, gives the last page.
async fn forward(server: &Server, walk: &[(&str, &str)], limit: u16, seen: &mut Vec<String>) -> Value {
    let limit = limit.to_string();
    let shape = [walk, &[("limit", limit.as_str()), ("count", "none")]].concat();
    let mut page = server.list(&shape).await.expect(200).json();
    for _ in 0..MOST_PAGES {
        seen.extend(page["data"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["page"]["next"].as_str() else { return page };
        page = server.list(&[shape.as_slice(), &[("cursor", cursor)]].concat()).await.expect(200).json();
    }
    panic!("{walk:?} does not end");
}

/// Changes, deletes and creates its own products until it is stopped.
async fn write(
    server: Arc<Server>,
    mut mine: Vec<Product>,
    n: u64,
    stop: Arc<AtomicBool>,
    written_so_far: Arc<AtomicU64>,
) {
    let mut generator = Generator::new(1_000 + n);
    while !stop.load(Ordering::Relaxed) {
        let i = generator.rng().random_range(0..mine.len());
        match *[0, 0, 1, 2].choose(generator.rng()).unwrap() {
            0 => {
                mine[i] = generator.changed(&mine[i].clone());
                server.put(&written(&mine[i])).await.expect(200);
            }
            1 if mine.len() > 20 => {
                let gone = mine.swap_remove(i);
                server.delete(gone.sku.as_str()).await.expect(204);
            }
            _ => {
                let mut fresh = generator.product();
                fresh.sku = haat_catalog::Sku::new(format!("W{n}-{}", fresh.sku)).unwrap();
                server.put(&written(&fresh)).await.expect(201);
                mine.push(fresh);
            }
        }
        written_so_far.fetch_add(1, Ordering::Relaxed);
    }
}
