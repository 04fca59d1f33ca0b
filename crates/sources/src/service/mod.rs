//! What HTTP, the command line and the server's worker use: the sources of a deployment, what they do and how they stand.

mod schedule;
mod status;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::{Clock, Ids};
use haat_outbound::Caller;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::breaker::BreakerControl;
use crate::connector::Connector;
use crate::live::{Live, LiveAnswer, LiveFields, LiveOptions, LiveSource};
use crate::ports::{Begin, Begun, BreakerOrder, BreakerReport, Lease, RunError, SourceRow, SourceStore};
use crate::run::{Mode, Run, RunState};
use crate::sync::{Ended, Progress, SyncOptions, Synchronizer};
use crate::upstream::Upstream;
pub use status::{SourceState, SourceStatus};
use worker::Reported;

/// A source as it is declared, with what it needs.
#[derive(Clone)]
pub struct SourceParts {
    /// Its name.
    pub name: String,
    /// What kind it is, to be shown.
    pub kind: String,
    /// What to ask for, and what answers mean.
    pub connector: Arc<dyn Connector>,
    /// Sends it.
    pub caller: Arc<dyn Caller>,
    /// The breaker that the caller passes.
    pub breaker: Arc<dyn BreakerControl>,
    /// How often what changed is read (everything, where that cannot be told); `None` for only when asked to.
    pub schedule: Option<Duration>,
    /// How often everything is read; `None` for only when asked to.
    pub full_every: Option<Duration>,
    /// The members that are live.
    pub live: LiveFields,
    /// The share of its products, 0 to 1, that may vanish at once without a confirmation.
    pub max_vanished: f64,
    /// How long the upstream may fail before a run ends.
    pub give_up_after: Duration,
    /// How long a run's lease lasts without a sign of life.
    pub hold: Duration,
}

/// What all sources have in common.
#[derive(Debug, Clone)]
pub struct SourcesOptions {
    /// Who holds leases and reports breakers: the replica, or `command`.
    pub replica: String,
    /// How many single items of one source a run asks for at once.
    pub asks: usize,
    /// How live values are looked up.
    pub live: LiveOptions,
}

impl SourcesOptions {
    /// The usual ones.
    pub fn new(replica: impl Into<String>) -> Self {
        let SyncOptions { asks, .. } = SyncOptions::default();
        Self { replica: replica.into(), asks, live: LiveOptions::default() }
    }
}

/// A synchronisation that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncRequest {
    /// What to read; `None` for what changed. What changed is everything where nobody can tell.
    pub mode: Option<Mode>,
    /// Whether more may vanish than goes without a confirmation. A run that waits for one goes on; else a full run begins. One
    /// that waits and began under other settings is not confirmed: the full run may wait anew.
    pub confirm_removals: bool,
}

/// Why a synchronisation does not begin, or did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such source.
    #[error("there is no source '{0}'")]
    Unknown(String),
    /// One of this source is under way.
    #[error("a synchronisation of this source is under way, by {}", .0.owner)]
    Running(Box<Run>),
    /// Somebody else has taken the run over: this process was silent for longer than its lease.
    #[error("the synchronisation was taken over by somebody else")]
    Lost,
    /// The store failed. A run that had begun goes on with whoever begins next.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RunError> for StartError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lost(_) => Self::Lost,
            RunError::Store(error) => Self::Store(error),
        }
    }
}

/// A source with its machinery.
struct Part {
    parts: SourceParts,
    engine: Synchronizer,
    /// Runs of it in this process.
    busy: AtomicUsize,
    reported: Mutex<Reported>,
}

/// The sources of a deployment.
pub struct Sources {
    parts: Vec<Arc<Part>>,
    store: Arc<dyn SourceStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    options: SourcesOptions,
    live: Arc<Live>,
    /// Runs in the background.
    tasks: TaskTracker,
    /// Ends them.
    stop: CancellationToken,
}

impl Sources {
    /// The sources of these parts, in their order. Nothing happens until it is asked for or [`Self::run`] is.
    pub fn new(
        parts: Vec<SourceParts>,
        store: Arc<dyn SourceStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        options: SourcesOptions,
    ) -> Self {
        let live = parts.iter().map(|p| LiveSource::new(p.name.clone(), upstream(p), p.live.clone(), &options.live));
        let live = Live::new(live.collect(), Arc::clone(&store), Arc::clone(&clock), options.live.clone());
        let part = |parts: SourceParts| {
            let engine = Synchronizer {
                source: parts.name.clone(),
                upstream: upstream(&parts),
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&ids),
                options: SyncOptions {
                    hold: parts.hold,
                    give_up_after: parts.give_up_after,
                    max_vanished: parts.max_vanished,
                    asks: options.asks,
                },
            };
            Arc::new(Part { parts, engine, busy: AtomicUsize::new(0), reported: Mutex::default() })
        };
        let parts = parts.into_iter().map(part).collect();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { parts, store, clock, ids, options, live: Arc::new(live), tasks, stop }
    }

    /// The names of the sources, as declared.
    pub fn names(&self) -> Vec<&str> {
        self.parts.iter().map(|part| part.parts.name.as_str()).collect()
    }

    /// All sources as they stand.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn statuses(&self) -> Result<Vec<SourceStatus>, StoreError> {
        let mut rows = self.store.sources().await?;
        let reports = self.store.breaker_reports(self.heard_since()).await?;
        let now = self.clock.now();
        let status = |part: &Arc<Part>| {
            let row = rows.iter().position(|row| row.name == part.parts.name).map(|at| rows.swap_remove(at));
            status::status(&part.parts, row, reports_of(&part.parts.name, &reports), now)
        };
        Ok(self.parts.iter().map(status).collect())
    }

    /// A source as it stands; `None` where there is none of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self, name: &str) -> Result<Option<SourceStatus>, StoreError> {
        let Some(part) = self.part(name) else { return Ok(None) };
        let row = self.store.source(name).await?;
        let reports = self.store.breaker_reports(self.heard_since()).await?;
        Ok(Some(status::status(&part.parts, row, reports_of(name, &reports), self.clock.now())))
    }

    /// Begins a synchronisation, or goes on with one whose holder is gone, and gives it once it is this process's; it goes
    /// on in the background.
    ///
    /// # Errors
    /// When there is no such source, one of its is under way, or the store fails.
    pub async fn start(self: &Arc<Self>, name: &str, request: SyncRequest) -> Result<Run, StartError> {
        let (part, lease, run) = self.take(name, request).await?;
        self.go_on(&part, lease, run.clone());
        Ok(run)
    }

    /// Synchronises and comes back at the end, or at `stop` after the page that is being written; then the run is
    /// unfinished ([`RunState::is_unfinished`]), and others go on with it.
    ///
    /// # Errors
    /// As [`Self::start`]; and when the run is lost or the store fails on the way.
    pub async fn run_here(
        &self,
        name: &str,
        request: SyncRequest,
        progress: Progress,
        stop: CancellationToken,
    ) -> Result<Run, StartError> {
        let (part, lease, run) = self.take(name, request).await?;
        let _busy = Busy::new(&part);
        progress(&run);
        match part.engine.drive(lease, run, &progress, &stop).await? {
            Ended::Finished(run) | Ended::Stopped(run) => Ok(run),
        }
    }

    /// Tells the breakers of a source, on all replicas, what to do; here at once, elsewhere within a second or so.
    ///
    /// # Errors
    /// When there is no such source, or the store fails.
    pub async fn order_breaker(&self, name: &str, order: BreakerOrder) -> Result<(), StartError> {
        let part = self.part(name).ok_or_else(|| StartError::Unknown(name.to_owned()))?;
        self.store.order_breaker(name, order).await?;
        part.parts.breaker.order(order);
        self.report(part, true).await;
        Ok(())
    }

    /// A stored product with its live members as they are now, or by `deadline` as it is stored; see [`Live::live`].
    pub async fn live(&self, product: &StoredProduct, deadline: Instant) -> LiveAnswer {
        self.live.live(product, deadline).await
    }

    fn part(&self, name: &str) -> Option<&Arc<Part>> {
        self.parts.iter().find(|part| part.parts.name == name)
    }

    /// Takes the lease of a source for what is asked for.
    async fn take(&self, name: &str, request: SyncRequest) -> Result<(Arc<Part>, Lease, Run), StartError> {
        let part = self.part(name).ok_or_else(|| StartError::Unknown(name.to_owned()))?;
        let row = self.store.source(name).await?.unwrap_or_default();
        // A process that was just started has not heard of it yet.
        part.parts.breaker.order(row.breaker_order);
        let mode = match request {
            SyncRequest { confirm_removals: true, .. } => Mode::Full,
            SyncRequest { mode, .. } => part.possible(mode.unwrap_or(Mode::Incremental), &row),
        };
        // What was found under other settings is not what the next run may remove.
        let is_outdated =
            |run: &Run| run.state == RunState::AwaitingConfirmation && run.fingerprint != part.fingerprint();
        let confirmed = request.confirm_removals && !row.run.as_ref().is_some_and(is_outdated);
        match self.begin(part, mode, confirmed).await? {
            Begun::Mine(lease, run) => Ok((Arc::clone(part), lease, *run)),
            Begun::Running(run) => Err(StartError::Running(run)),
        }
    }

    async fn begin(&self, part: &Part, mode: Mode, confirm_removals: bool) -> Result<Begun, StartError> {
        let begin = Begin {
            source: part.parts.name.clone(),
            mode,
            id: Uuid::from_bytes(*self.ids.next_id().as_bytes()),
            owner: self.options.replica.clone(),
            hold: part.parts.hold,
            confirm_removals,
            fingerprint: part.fingerprint(),
            now: self.clock.now(),
        };
        let mut begun = self.store.begin_run(begin).await?;
        if let Begun::Mine(lease, run) = &mut begun {
            tracing::info!(source = lease.source, run = %run.id, mode = ?run.mode, state = ?run.state, pages = run.counts.pages, "a synchronisation begins, or goes on");
            // Of a run that waits, the driver makes one that is confirmed. The others are to be told: whoever takes one over
            // must know as well.
            if confirm_removals && run.state != RunState::AwaitingConfirmation && !run.removals_confirmed {
                run.removals_confirmed = true;
                self.store.save_run(lease, run, part.parts.hold, self.clock.now()).await?;
            }
        }
        Ok(begun)
    }

    /// Carries on a run in the background.
    fn go_on(self: &Arc<Self>, part: &Arc<Part>, lease: Lease, run: Run) {
        let (part, stop) = (Arc::clone(part), self.stop.clone());
        let busy = Busy::new(&part);
        self.tasks.spawn(async move {
            let _busy = busy;
            let silent: Progress = Arc::new(|_| {});
            let (source, id) = (&part.parts.name, run.id);
            match part.engine.drive(lease, run, &silent, &stop).await {
                Ok(Ended::Finished(_)) => {}
                Ok(Ended::Stopped(_)) => tracing::info!(source, run = %id, "a synchronisation is given to whoever comes next"),
                Err(error @ RunError::Lost(_)) => tracing::warn!(%error, run = %id, "a synchronisation is stopped here"),
                Err(error) => {
                    tracing::warn!(source, run = %id, %error, "a synchronisation stops, and goes on when its lease has run out");
                }
            }
        });
    }

    async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Part {
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }

    fn fingerprint(&self) -> u64 {
        self.parts.connector.fingerprint()
    }

    /// What can be read of what is wanted.
    fn possible(&self, wanted: Mode, row: &SourceRow) -> Mode {
        match wanted {
            Mode::Incremental if self.parts.connector.is_incremental() && row.watermark.is_some() => Mode::Incremental,
            _ => Mode::Full,
        }
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run of a source in this process, for as long as it is kept.
struct Busy(Arc<Part>);

impl Busy {
    fn new(part: &Arc<Part>) -> Self {
        part.busy.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(part))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn upstream(parts: &SourceParts) -> Upstream {
    Upstream { connector: Arc::clone(&parts.connector), caller: Arc::clone(&parts.caller) }
}

fn reports_of(name: &str, reports: &[(String, BreakerReport)]) -> Vec<BreakerReport> {
    reports.iter().filter(|(source, _)| source == name).map(|(_, report)| report.clone()).collect()
}
