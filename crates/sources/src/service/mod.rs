//! What HTTP, the command line and the server's worker use: the sources of a deployment, what they do and how they stand.

mod begin;
mod errors;
mod schedule;
mod status;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::{Clock, Ids, Timestamp};
use haat_outbound::Caller;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::breaker::BreakerControl;
use crate::connector::Connector;
use crate::live::{Live, LiveAnswer, LiveFields, LiveOptions, LiveSource};
use crate::ports::{BreakerOrder, BreakerReport, ForgetSource, Forgotten, SourceRow, SourceStore};
use crate::run::Mode;
use crate::sync::{SyncOptions, Synchronizer};
use crate::upstream::Upstream;
pub use begin::{Confirmation, SyncRequest};
pub use errors::{ForgetError, StartError};
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
    /// Who holds leases and reports breakers: the replica, or which command.
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

/// A source with its machinery.
struct Part {
    parts: SourceParts,
    engine: Synchronizer,
    /// Runs of it in this process.
    busy: AtomicUsize,
    reported: Mutex<Reported>,
    /// Held from the reading, or giving, of an order to the breaker until the breaker has it: what was read before an order was
    /// given must not be heeded after it.
    orders: tokio::sync::Mutex<()>,
}

/// The sources of a deployment.
pub struct Sources {
    parts: Vec<Arc<Part>>,
    store: Arc<dyn SourceStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    options: SourcesOptions,
    live: Arc<Live>,
    /// When this process began to look after them.
    started: Timestamp,
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
            let (busy, reported, orders) = (AtomicUsize::new(0), Mutex::default(), tokio::sync::Mutex::default());
            Arc::new(Part { parts, engine, busy, reported, orders })
        };
        let parts = parts.into_iter().map(part).collect();
        let (tasks, stop, started) = (TaskTracker::new(), CancellationToken::new(), clock.now());
        Self { parts, store, clock, ids, options, live: Arc::new(live), started, tasks, stop }
    }

    /// The names of the sources, as declared.
    pub fn names(&self) -> Vec<&str> {
        self.parts.iter().map(|part| part.parts.name.as_str()).collect()
    }

    /// All sources as they stand: the declared ones in their order, then those that are in the store alone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn statuses(&self) -> Result<Vec<SourceStatus>, StoreError> {
        let mut rows = self.store.sources().await?;
        let reports = self.store.breaker_reports(self.heard_since()).await?;
        let now = self.clock.now();
        let declared = self.parts.iter().map(|part| {
            let row = rows.iter().position(|row| row.name == part.parts.name).map(|at| rows.remove(at));
            status::status(&part.parts, row, reports_of(&part.parts.name, &reports), now)
        });
        let mut all: Vec<SourceStatus> = declared.collect();
        all.extend(rows.into_iter().map(|row| {
            let reports = reports_of(&row.name, &reports);
            status::undeclared(row, reports, now)
        }));
        Ok(all)
    }

    /// A source as it stands; `None` where there is none of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self, name: &str) -> Result<Option<SourceStatus>, StoreError> {
        let row = self.store.source(name).await?;
        let part = self.part(name);
        if part.is_none() && row.is_none() {
            return Ok(None);
        }
        let reports = reports_of(name, &self.store.breaker_reports(self.heard_since()).await?);
        let now = self.clock.now();
        Ok(match part {
            Some(part) => Some(status::status(&part.parts, row, reports, now)),
            None => row.map(|row| status::undeclared(row, reports, now)),
        })
    }

    /// Tells the breakers of a source, on all replicas, what to do; here at once, elsewhere within a second or so.
    ///
    /// # Errors
    /// When there is no such source, or the store fails.
    pub async fn order_breaker(&self, name: &str, order: BreakerOrder) -> Result<(), StartError> {
        let part = self.part(name).ok_or_else(|| StartError::Unknown(name.to_owned()))?;
        let one_by_one = part.orders.lock().await;
        self.store.order_breaker(name, order).await?;
        part.parts.breaker.order(order);
        drop(one_by_one);
        self.report(part, true).await;
        Ok(())
    }

    /// Forgets a source that is not declared any more. Its products stay: nobody's, so that another source may take them up, or
    /// `heir`'s from now on. Gives how many they are.
    ///
    /// # Errors
    /// When it is declared (its next run would take the products up again), not known, or in the middle of a run; when the heir is
    /// not declared; or when the store fails.
    pub async fn forget(&self, name: &str, heir: Option<&str>) -> Result<u64, ForgetError> {
        if self.part(name).is_some() {
            return Err(ForgetError::Declared(name.to_owned()));
        }
        if let Some(heir) = heir.filter(|heir| self.part(heir).is_none()) {
            return Err(ForgetError::NoHeir(heir.to_owned()));
        }
        let now = self.clock.now();
        let forget = ForgetSource { source: name.to_owned(), heir: heir.map(str::to_owned), now };
        match self.store.forget_source(forget).await? {
            Forgotten::Done(products) => Ok(products),
            Forgotten::Unknown => Err(ForgetError::Unknown(name.to_owned())),
            Forgotten::Running(run) => Err(ForgetError::Running(run)),
        }
    }

    /// A stored product with its live members as they are now, or by `deadline` as it is stored; see [`Live::live`].
    pub async fn live(&self, product: &StoredProduct, deadline: Instant) -> LiveAnswer {
        self.live.live(product, deadline).await
    }

    fn part(&self, name: &str) -> Option<&Arc<Part>> {
        self.parts.iter().find(|part| part.parts.name == name)
    }

    /// How a source stands. Its breaker is told what an operator wants of it.
    async fn heed(&self, part: &Part) -> Result<SourceRow, StoreError> {
        let _one_by_one = part.orders.lock().await;
        let row = self.store.source(&part.parts.name).await?;
        let row = row.unwrap_or_else(|| SourceRow { name: part.parts.name.clone(), ..SourceRow::default() });
        part.parts.breaker.order(row.breaker_order);
        Ok(row)
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
