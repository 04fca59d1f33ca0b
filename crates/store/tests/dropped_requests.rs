//! A client that hangs up drops its request's future, at any moment. Ten thousand of them leave the pools as they were.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::time::{Duration, Instant};

use haat_catalog::product::ProductKey;
use haat_catalog::{Draft, Seq};
use haat_store::{MySqlOptions, StoreOptions, open};
use haat_testkit::conformance::{Subject, batch, create, draft, draft_with, key, patch, put, sku};
use rand::RngExt;
use serde_json::json;
use stage::Stage;
use tokio::task::JoinSet;

const CALLS: u64 = 10_000;
const AT_ONCE: u64 = 50;

/// A product of some size: it does not arrive in one piece, so that what reads it can be dropped half way.
fn fat(sku: &str, text: &str, kilobytes: usize) -> Draft {
    let texts = vec!["x".repeat(100); kilobytes / 10];
    let attributes: serde_json::Map<_, _> = (0..100).map(|n| (format!("a{n}"), json!(texts))).collect();
    draft_with(sku, text, json!({"attributes": attributes}))
}

/// One of every kind of call.
async fn call(s: &Subject, n: u64) {
    let any = format!("S{}", n % 50);
    match n % 8 {
        0 => drop(s.reader.product(&ProductKey::Sku(sku(&any))).await),
        1 => drop(s.reader.scan(None, 10).await),
        2 => drop(s.log.read(Seq(0).into(), 10).await),
        3 | 6 => drop(s.writer.write(patch(&any, json!({"stock": n}))).await),
        4 => {
            let mut request = put(fat(&any, &n.to_string(), 20), 1_000_000 + n);
            request.idempotency = key(&format!("k{}", n % 200), 1);
            drop(s.writer.write(request).await);
        }
        5 => {
            let drafts = (0..5).map(|i| fat(&format!("B{}", (n + i) % 90), &n.to_string(), 20)).collect();
            drop(s.writer.write_batch(batch(drafts, 2_000_000 + 100 * n)).await);
        }
        _ => drop(s.writer.write(create(draft(&format!("N{n}"), "x"), 9_000_000 + n)).await),
    }
}

/// Starts calls and drops each after a random while: before it began, on the wire, or done.
async fn drop_many(stage: &Stage) {
    let mut tasks = JoinSet::new();
    for n in 0..CALLS {
        if tasks.len() as u64 >= AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let s = stage.subject.clone();
        tasks.spawn(async move {
            let patience = Duration::from_micros(rand::rng().random_range(0..6_000));
            let _ = tokio::time::timeout(patience, call(&s, n)).await;
        });
    }
    tasks.join_all().await;
}

async fn survives_dropped_requests(stage: Stage) {
    stage.batch(batch((0..50).map(|n| fat(&format!("S{n}"), "x", 20)).collect(), 1)).await;
    drop_many(&stage).await;
    let asked = Instant::now();
    // More calls at once than there are connections: a single lost connection per drop would show.
    let mut tasks = JoinSet::new();
    for n in 0..64 {
        let s = stage.subject.clone();
        tasks.spawn(async move {
            assert!(s.product(&format!("S{}", n % 50)).await.is_some());
            s.done(patch(&format!("S{}", n % 50), json!({"rating": 4.5, "stock": 1_000_000 + n}))).await;
        });
    }
    tasks.join_all().await;
    assert!(asked.elapsed() < Duration::from_secs(20), "answering took {:?}", asked.elapsed());

    // What was begun was finished or undone: log, products and counter agree.
    let head = stage.log.head().await.unwrap();
    let changes = everything(&stage).await;
    assert_eq!(changes, head.0, "a gap in the change log");
    assert_eq!(stage.products().await.len() as u64, stage.reader.count().await.unwrap());
}

async fn everything(stage: &Stage) -> u64 {
    let (mut at, mut count) = (Seq(0), 0);
    loop {
        let page = stage.log.read(at.into(), 1_000).await.unwrap();
        let Some(last) = page.changes.last() else { return count };
        at = last.seq;
        count += page.changes.len() as u64;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_dropped_calls_leave_mysql_answering() {
    survives_dropped_requests(stage::mysql().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_dropped_calls_leave_sqlite_answering() {
    survives_dropped_requests(stage::sqlite().await).await;
}

/// The drop that does the harm: of a transaction, while an answer of many rows comes in. Where nothing is done about it,
/// sqlx's MySQL pool loses all its connections within some hundred of these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_dropped_while_they_read_leave_mysql_answering() {
    let stage = stage::mysql().await;
    let long = "x".repeat(100);
    let drafts: Vec<Draft> = (0..256).map(|n| draft(&format!("{long}{n:05}"), "x")).collect();
    stage.batch(batch(drafts.clone(), 1)).await;
    let StoreOptions::MySql(options) = &stage.options else { unreachable!() };
    let few = MySqlOptions { max_connections: 4, acquire_timeout: Duration::from_secs(10), ..options.clone() };
    let store = open(&StoreOptions::MySql(few)).await.unwrap();
    // Nothing differs, so that reading is all a batch does.
    let begun = Instant::now();
    store.write_batch(batch(drafts.clone(), 1_000)).await.unwrap();
    let longest = begun.elapsed().as_micros() as u64 * 3;
    let mut tasks = JoinSet::new();
    for _ in 0..1_500 {
        if tasks.len() >= 4 {
            tasks.join_next().await.unwrap().unwrap();
        }
        let (store, request) = (store.clone(), batch(drafts.clone(), 1_000));
        tasks.spawn(async move {
            let patience = Duration::from_micros(rand::rng().random_range(0..longest));
            let _ = tokio::time::timeout(patience, store.write_batch(request)).await;
        });
    }
    tasks.join_all().await;
    for _ in 0..20 {
        store.write_batch(batch(drafts.clone(), 1_000)).await.unwrap();
        assert_eq!(store.count().await.unwrap(), 256);
    }
}
