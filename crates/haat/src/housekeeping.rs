//! Clears away what nobody may ask for any more: old change-log rows, idempotency keys, finished import jobs.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{Compaction, StoreError};
use haat_catalog::{Clock, Timestamp};
use haat_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::Retention;
use crate::config::units::Period;

/// Clears away, again and again, until told to stop.
pub async fn run(store: Arc<dyn Store>, clock: Arc<dyn Clock>, retention: Retention, shutdown: CancellationToken) {
    loop {
        let pause = jittered(retention.every.duration(), RandomState::new().build_hasher().finish());
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        // Every step is small transactions, so it may be dropped between any two of them.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sweep(&*store, clock.now(), &retention) => {}
        }
    }
}

/// Clears away once.
async fn sweep(store: &dyn Store, now: Timestamp, retention: &Retention) {
    let policy = Compaction {
        keep_newest: retention.newest_changes,
        deletions_before: before(now, retention.deletions),
        followers_since: before(now, retention.followers),
    };
    match store.compact(policy).await {
        Ok(done) => report("change-log rows", Ok(done.superseded + done.deletions)),
        Err(e) => report("change-log rows", Err(e)),
    }
    let gone = before(now, retention.followers);
    match store.fail_abandoned_jobs(gone, now).await {
        Ok(0) => {}
        Ok(jobs) => tracing::warn!(jobs, "failed import jobs of servers that have not been heard of"),
        Err(error) => tracing::warn!(%error, "cannot look for abandoned import jobs now; trying again later"),
    }
    report("idempotency keys", store.prune_keys(before(now, retention.idempotency_keys)).await);
    report("import jobs", store.prune_jobs(before(now, retention.import_jobs)).await);
}

fn report(what: &str, removed: Result<u64, StoreError>) {
    match removed {
        Ok(0) => tracing::debug!("no {what} to clear away"),
        Ok(removed) => tracing::info!(removed, "cleared away {what}"),
        Err(error) => tracing::warn!(%error, "cannot clear away {what} now; trying again later"),
    }
}

fn before(now: Timestamp, period: Period) -> Timestamp {
    let ms = i64::try_from(period.duration().as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(ms))
}

/// 80 to 120 % of `pause`, so that replicas started together do not do this at the same moment ever after.
fn jittered(pause: Duration, random: u64) -> Duration {
    let percent = 80 + u32::try_from(random % 41).unwrap_or_default();
    pause / 100 * percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_but_not_by_much() {
        let pause = Duration::from_secs(100);
        assert_eq!(jittered(pause, 0), Duration::from_secs(80));
        assert_eq!(jittered(pause, 40), Duration::from_secs(120));
        assert_eq!(jittered(pause, 41), Duration::from_secs(80));
    }
}
