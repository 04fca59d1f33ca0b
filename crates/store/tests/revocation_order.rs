//! No replica misses a revocation, although transactions commit out of order: shown as for the change log
//! (`change_log_order.rs`), beside the same race without the safeguard, which the same follower must catch at missing some.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haat_testkit::conformance::authorization::{concurrent_revocations_leave_no_gap, follow_revocations};
use sqlx::{AssertSqlSafe, Executor, MySqlPool};
use stage::slow::{dawdle, reckless_pool, slow_stage};
use tokio::task::JoinSet;

const REVOKERS: u64 = 16;
const ROUNDS: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_misses_no_revocation_while_sixteen_revokers_commit_out_of_order() {
    let stage = slow_stage().await;
    concurrent_revocations_leave_no_gap(&stage).await;
}

/// Counts in a transaction of its own, then writes and commits the row.
async fn revoke_recklessly(pool: &MySqlPool, n: u64) {
    let count = "UPDATE auth_revisions SET revocations = LAST_INSERT_ID(revocations + 1) WHERE id = 1";
    let revision = pool.execute(count).await.unwrap().last_insert_id();
    let mut transaction = pool.begin().await.unwrap();
    let row = format!("INSERT INTO revoked_tokens (jti, revision, expires_at) VALUES (X'{n:032x}', {revision}, 0)");
    transaction.execute(AssertSqlSafe(row)).await.unwrap();
    dawdle().await;
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_replica_misses_some_when_they_are_counted_outside_the_transaction() {
    let stage = slow_stage().await;
    let pool = reckless_pool(&stage, REVOKERS).await;
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn({
        let (auth, done) = (Arc::clone(&stage.auth), Arc::clone(&done));
        async move { follow_revocations(&*auth, &done).await }
    });
    let mut revokers = JoinSet::new();
    for revoker in 0..REVOKERS {
        let pool = pool.clone();
        revokers.spawn(async move {
            for round in 0..ROUNDS {
                revoke_recklessly(&pool, revoker * ROUNDS + round).await;
            }
        });
    }
    revokers.join_all().await;
    done.store(true, Ordering::SeqCst);
    let seen = follower.await.unwrap().len() as u64;
    pool.close().await;

    let all = stage.auth.revoked_since(0).await.unwrap().len() as u64;
    assert_eq!(all, REVOKERS * ROUNDS, "every revocation was committed");
    assert!(seen < all, "this race must miss revocations, or the test above proves nothing");
}
