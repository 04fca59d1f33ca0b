//! The change log's first promise: what a follower reads has no gap and no repeat, although transactions commit out
//! of order. Shown on real MariaDB with 16 writers that dawdle before they commit, beside the same race without the
//! safeguard, which the same follower must catch at losing changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haat_catalog::ports::ChangeLog;
use haat_catalog::{ProductId, Seq};
use haat_testkit::clock::test_id;
use haat_testkit::conformance::{Subject, batch, create, delete, draft, patch};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, MySqlPool};
use stage::slow::{dawdle, reckless_pool, slow_stage};
use tokio::task::JoinSet;

const WRITERS: u64 = 16;
const ROUNDS: u64 = 12;

/// What a follower saw: each place with the product it was about, in the order in which they came.
#[derive(Default)]
struct Seen {
    places: Vec<Seq>,
    products: BTreeMap<Seq, ProductId>,
}

/// Follows the log as the index does, until the writers are done and nothing is left to read.
async fn follow(log: &dyn ChangeLog, writers_done: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut at = Seq(0);
    loop {
        let last_look = writers_done.load(Ordering::SeqCst);
        let page = log.read(at.into(), 50).await.unwrap();
        for change in &page.changes {
            seen.places.push(change.seq);
            seen.products.insert(change.seq, change.id);
        }
        match page.changes.last() {
            Some(last) => at = last.seq,
            None if last_look => return seen,
            None => tokio::task::yield_now().await,
        }
    }
}

/// Creates, changes, deletes and batches of one writer; gives every place that the store acknowledged.
async fn write_all(stage: Subject, writer: u64) -> BTreeMap<Seq, ProductId> {
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let id = 10_000 * (writer + 1) + round * 10;
        let sku = format!("W{writer}-{round}");
        let mut receipts = vec![stage.done(create(draft(&sku, "x"), id)).await];
        receipts.push(stage.done(patch(&sku, json!({"stock": round}))).await);
        if round % 3 == 0 {
            receipts.push(stage.done(delete(&sku)).await);
        }
        acknowledged.extend(receipts.into_iter().map(|receipt| (receipt.seq, receipt.id)));
        if round % 4 == 0 {
            let drafts = (0..3).map(|n| draft(&format!("B{writer}-{round}-{n}"), "y")).collect();
            stage.batch(batch(drafts, id + 1)).await;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_every_change_once_while_sixteen_writers_commit_out_of_order() {
    let stage = slow_stage().await;
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn({
        let (log, done) = (stage.subject.log.clone(), done.clone());
        async move { follow(&*log, &done).await }
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_all(stage.subject.clone(), writer));
    }
    let acknowledged: BTreeMap<Seq, ProductId> = writers.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::SeqCst);
    let seen = follower.await.unwrap();

    let single = WRITERS * (2 * ROUNDS + ROUNDS.div_ceil(3));
    let total = single + WRITERS * 3 * ROUNDS.div_ceil(4);
    assert_eq!(acknowledged.len() as u64, single, "no place was given twice");
    assert_eq!(seen.places, (1..=total).map(Seq).collect::<Vec<_>>(), "every place, once, in order");
    for (place, product) in acknowledged {
        assert_eq!(seen.products.get(&place), Some(&product), "the change at {place}");
    }
}

/// Takes its place in the log in a transaction of its own, then writes and commits the row: what an auto-increment
/// column, a sequence or a counter taken first would do.
async fn write_recklessly(pool: &MySqlPool, id: ProductId) {
    let taken = "UPDATE change_seq SET value = LAST_INSERT_ID(value + 1) WHERE id = 1";
    let place = pool.execute(taken).await.unwrap().last_insert_id();
    let mut transaction = pool.begin().await.unwrap();
    let hex: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let row = format!(
        "INSERT INTO change_log (seq, product_id, op, sku, version, changed_at) VALUES ({place}, X'{hex}', 1, 's', 1, 0)"
    );
    transaction.execute(AssertSqlSafe(row)).await.unwrap();
    dawdle().await;
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_follower_loses_changes_when_the_place_is_taken_outside_the_transaction() {
    let stage = slow_stage().await;
    let pool = reckless_pool(&stage, WRITERS).await;
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn({
        let (log, done) = (stage.subject.log.clone(), done.clone());
        async move { follow(&*log, &done).await }
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let pool = pool.clone();
        writers.spawn(async move {
            for round in 0..ROUNDS {
                write_recklessly(&pool, test_id(1_000 * (writer + 1) + round)).await;
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    let seen: BTreeSet<Seq> = follower.await.unwrap().places.into_iter().collect();
    pool.close().await;

    let total = WRITERS * ROUNDS;
    let all = stage.log.read(Seq(0).into(), 10_000).await.unwrap().changes.len() as u64;
    assert_eq!(all, total, "every change was committed");
    let lost = total - seen.len() as u64;
    assert!(lost > 0, "this race must lose changes, or the test above proves nothing");
}
