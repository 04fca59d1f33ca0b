//! What a server does about its sources without being asked: runs that are due, runs whose holder is gone, orders for the
//! breakers, and what these report.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use haat_catalog::Timestamp;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;
use super::{Part, Sources};
use crate::measure;
use crate::ports::{Begun, BreakerReport, SourceRow};
use crate::run::Mode;

/// How often it is looked whether there is something to do.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How often a breaker reports that does not change.
const REPORT: Duration = Duration::from_secs(2);
/// How long a run has not moved before it is asked whether its holder is gone.
const STILL: Duration = Duration::from_secs(1);

/// What a breaker reported last, and when.
pub(super) type Reported = Option<(Instant, String)>;

impl Sources {
    /// Does what there is to do until `stop`; then the runs of this process finish the pages that they write and give back
    /// their leases, so that others go on with them at once.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        // Each for itself: what takes long with one must not keep the others waiting.
        let all = join_all(self.parts.iter().map(|part| self.look_after(part, &stop)));
        tokio::join!(all, stop.cancelled());
        self.drain().await;
    }

    async fn look_after(self: &Arc<Self>, part: &Arc<Part>, stop: &CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = looks.tick() => heard = self.look(part, heard).await,
            }
        }
    }

    /// Looks at a source once; `false` when the store does not answer. That is said once, not every second.
    async fn look(self: &Arc<Self>, part: &Arc<Part>, heard: bool) -> bool {
        let row = match self.heed(part).await {
            Ok(row) => row,
            Err(error) => {
                if heard {
                    tracing::warn!(source = part.parts.name, %error, "how a source stands cannot be read; looking again");
                }
                return false;
            }
        };
        self.report(part, false).await;
        measure::standing(&part.parts.name, &row, self.started, self.clock.now());
        if let Some(mode) = self.is_to_begin(part, &row) {
            self.begin_here(part, mode, &row).await;
        }
        true
    }

    /// What is to be begun here and now, if anything.
    fn is_to_begin(&self, part: &Part, row: &SourceRow) -> Option<Mode> {
        let now = self.clock.now();
        if part.is_busy() {
            return None;
        }
        if let Some(run) = row.run.as_ref().filter(|run| run.state.is_unfinished()) {
            // Whether its lease has run out, only the store can say.
            return (now.since(run.moved_at) >= STILL).then_some(run.mode);
        }
        let schedule = Schedule { every: part.parts.schedule, full_every: part.parts.full_every };
        let due = schedule.next(row, now)?;
        let at = if row.run.is_none() { due.at } else { due.here(&part.parts.name, &self.options.replica) };
        (at <= now).then_some(due.mode)
    }

    async fn begin_here(self: &Arc<Self>, part: &Arc<Part>, mode: Mode, row: &SourceRow) {
        let mode = part.possible(mode, row);
        match self.begin(part, mode, None).await {
            Ok(Begun::Mine(lease, run)) => self.go_on(part, lease, *run),
            // Another replica was first, or the holder is alive.
            Ok(Begun::Running(_) | Begun::NothingToConfirm(_)) => {}
            Err(error) => {
                tracing::warn!(source = part.parts.name, %error, "a synchronisation cannot begin; trying again");
            }
        }
    }

    /// Says how a breaker stands, if that has changed, was not said for a while, or has to be said `now`.
    pub(super) async fn report(&self, part: &Part, now: bool) {
        let standing = part.parts.breaker.report();
        let is_new = match &*part.reported() {
            Some((at, state)) => at.elapsed() >= REPORT || *state != standing.state,
            None => true,
        };
        if !is_new && !now {
            return;
        }
        let report = BreakerReport {
            replica: self.options.replica.clone(),
            state: standing.state,
            since: standing.since,
            failure_rate: standing.failure_rate,
            slow_rate: standing.slow_rate,
            calls: standing.calls,
            seen_at: self.clock.now(),
        };
        match self.store.report_breaker(&part.parts.name, &report).await {
            Ok(()) => *part.reported() = Some((Instant::now(), report.state)),
            Err(error) => tracing::debug!(source = part.parts.name, %error, "how a breaker stands cannot be told"),
        }
    }

    /// Since when reports are new enough to be shown.
    pub(super) fn heard_since(&self) -> Timestamp {
        self.clock.now().minus(REPORT * 5)
    }
}
