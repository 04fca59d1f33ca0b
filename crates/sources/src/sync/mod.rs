//! Synchronisation: a run from its first page to its end.
//!
//! A run may end anywhere: its process is killed, its future dropped, its lease lost. Whoever holds the next lease goes on from
//! what was written last. That holds because everything a run knows is written with the page that it was learnt from, in one
//! transaction:
//! - Its place moves with the last part of a page, so a page that was half written is read and written again, which changes
//!   nothing that is right already.
//! - That all pages were read is a state of its own ([`RunState::Removing`]): the place after the last page is none, as before
//!   the first.
//! - What was seen is kept with the run, so what vanished can be found by whoever comes to it.

mod fetch;
mod orders;
mod page;
mod reconcile;
mod rules;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::StoreError;
use haat_catalog::{Clock, Ids};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::measure;
use crate::ports::{Lease, RunError, SourceStore, WritePage};
use crate::run::{Mode, Run, RunState};
use crate::upstream::Upstream;
use fetch::{Fetching, Wanted};
use page::Prepared;

/// The most items written in one transaction; larger pages are split.
const MAX_WRITE: usize = 500;
/// How often the store is asked in all before a run is left to whoever comes next, and how long after the first time.
const STORE_TRIES: u32 = 5;
const STORE_PAUSE: Duration = Duration::from_millis(100);

/// How a source is synchronised.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// How long a lease lasts without a sign of life.
    pub hold: Duration,
    /// How long the upstream may fail before a run ends.
    pub give_up_after: Duration,
    /// The share of a source's products, 0 to 1, that may vanish at once without a confirmation.
    pub max_vanished: f64,
    /// How many single items are asked for at once.
    pub asks: usize,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { hold: Duration::from_secs(30), give_up_after: Duration::from_secs(15 * 60), max_vanished: 0.2, asks: 4 }
    }
}

/// Is shown the run after every page and whenever it waits for the upstream. Must not block.
pub type Progress = Arc<dyn Fn(&Run) + Send + Sync>;

/// How the driving of a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It came to an end; [`Run::state`] says which.
    Finished(Run),
    /// It was told to stop, and has given back its lease: whoever comes next goes on with it.
    Stopped(Run),
}

/// Synchronises one source.
pub struct Synchronizer {
    /// The source's name.
    pub source: String,
    /// Its upstream.
    pub upstream: Upstream,
    /// Where it is written.
    pub store: Arc<dyn SourceStore>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Ids of new products.
    pub ids: Arc<dyn Ids>,
    /// How.
    pub options: SyncOptions,
}

/// Why a run does not go on here.
enum Halt {
    /// It was told to stop.
    Stopped,
    /// The upstream gives nothing, and this is why.
    Failed(String),
    /// More vanished than may go unasked.
    Waits(String),
    /// It is somebody else's, or the store fails.
    Run(RunError),
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// A run in hand.
struct Driving<'a> {
    engine: &'a Synchronizer,
    lease: Lease,
    run: Run,
    progress: &'a Progress,
    stop: &'a CancellationToken,
    /// When the lease was last renewed.
    renewed: Instant,
}

impl Synchronizer {
    /// Carries a run on to its end, or until `stop`: then the page that is being written is finished. May be dropped at any
    /// await; the run then waits for its lease to run out.
    ///
    /// # Errors
    /// When the run is somebody else's by now, or the store keeps failing: the run is unfinished and goes on with whoever
    /// begins next.
    pub async fn drive(
        &self,
        lease: Lease,
        run: Run,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<Ended, RunError> {
        let waited = run.state == RunState::AwaitingConfirmation;
        let mut driving = Driving { engine: self, lease, run, progress, stop, renewed: Instant::now() };
        let went = driving.go(waited).await;
        let message = match went {
            Ok(()) => driving.run.message.take(),
            Err(Halt::Stopped) => {
                driving.save(Duration::ZERO).await?;
                return Ok(Ended::Stopped(driving.run));
            }
            Err(Halt::Run(error)) => return driving.lost(error).await,
            Err(Halt::Waits(message)) => {
                driving.run.state = RunState::AwaitingConfirmation;
                Some(message)
            }
            Err(Halt::Failed(message)) => {
                driving.run.state = RunState::Failed;
                Some(message)
            }
        };
        driving.run.message = message;
        match driving.end(waited).await {
            Ok(()) => Ok(Ended::Finished(driving.run)),
            Err(error) => driving.lost(error).await,
        }
    }
}

impl Driving<'_> {
    async fn go(&mut self, waited: bool) -> Result<(), Halt> {
        if waited {
            // It goes on only because somebody confirmed; whoever takes it over must know.
            (self.run.state, self.run.removals_confirmed) = (RunState::Removing, true);
            self.save(self.engine.options.hold).await?;
        }
        self.renew_orders().await?;
        if self.run.state == RunState::Reading {
            self.read().await?;
        }
        self.run.message = None;
        if self.run.mode == Mode::Full {
            self.reconcile().await?;
        }
        self.run.state = RunState::Done;
        Ok(())
    }

    /// Reads and writes all pages that are left.
    async fn read(&mut self) -> Result<(), Halt> {
        let mut fetching = self.fetch(self.run.position.clone(), self.run.counts.pages + 1);
        loop {
            let page = self.arrived(&mut fetching).await?;
            let next = page.next.clone().map(|position| self.fetch(Some(position), self.run.counts.pages + 2));
            let (next_position, total) = (page.next.clone(), page.total);
            self.write(page, |run| {
                run.counts.pages += 1;
                run.total = total.or(run.total);
                if next_position.is_none() {
                    run.state = RunState::Removing;
                }
                run.position = next_position;
            })
            .await?;
            let Some(next) = next else { return Ok(()) };
            fetching = next;
        }
    }

    fn fetch(&self, position: Option<Value>, number: u64) -> Fetching {
        let wanted = Wanted {
            source: self.engine.source.clone(),
            since: self.run.since,
            position,
            number,
            give_up_after: self.engine.options.give_up_after,
        };
        let (ids, clock) = (Arc::clone(&self.engine.ids), Arc::clone(&self.engine.clock));
        Fetching::begin(wanted, self.engine.upstream.clone(), ids, clock)
    }

    /// Waits for a page, and holds on to the lease meanwhile.
    async fn arrived(&mut self, fetching: &mut Fetching) -> Result<Prepared, Halt> {
        loop {
            let came = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halt::Stopped),
                came = &mut fetching.task => came,
                () = tokio::time::sleep_until(self.renewal()) => {
                    self.run.message.clone_from(&fetching.trouble.borrow());
                    self.save(self.engine.options.hold).await?;
                    (self.progress)(&self.run);
                    continue;
                }
            };
            return match came {
                Ok(page) => page.map_err(Halt::Failed),
                // A page that its connector chokes on must not take the whole worker with it.
                Err(error) => {
                    tracing::error!(source = self.engine.source, %error, "the reading of a page has failed");
                    Err(Halt::Failed("the reading of a page has failed; the server's log says where".to_owned()))
                }
            };
        }
    }

    /// Writes what was read. `last` says what becomes of the run once all of it is written.
    async fn write(&mut self, page: Prepared, last: impl FnOnce(&mut Run)) -> Result<(), Halt> {
        let source = &self.engine.source;
        let mut seen = page.seen;
        let mut once = HashSet::with_capacity(seen.len());
        seen.retain(|hash| once.insert(*hash));
        let parts = page.items.len().div_ceil(MAX_WRITE).max(seen.len().div_ceil(MAX_WRITE)).max(1);
        measure::items(source, "failed", page.told.refused.len() as u64);
        let (mut items, mut seen) = (page.items.into_iter(), seen.into_iter());
        let mut rest = Some((page.told, last));
        for part in 1..=parts {
            let mut run = Run { moved_at: self.engine.clock.now(), message: None, ..self.run.clone() };
            if part == parts
                && let Some((told, last)) = rest.take()
            {
                told.account(&mut run);
                last(&mut run);
            }
            let write = WritePage {
                lease: self.lease.clone(),
                items: items.by_ref().take(MAX_WRITE).collect(),
                seen: seen.by_ref().take(MAX_WRITE).collect(),
                now: run.moved_at,
                run,
                hold: self.engine.options.hold,
            };
            let begun = Instant::now();
            let (run, outcomes) = insist(|| self.engine.store.write_page(write.clone())).await?;
            (self.run, self.renewed) = (run, begun);
            measure::outcomes(source, &outcomes);
        }
        (self.progress)(&self.run);
        Ok(())
    }

    /// When the lease has to be renewed.
    fn renewal(&self) -> Instant {
        self.renewed + self.engine.options.hold / 3
    }

    /// Renews the lease if it is time.
    async fn keep(&mut self) -> Result<(), Halt> {
        if self.stop.is_cancelled() {
            return Err(Halt::Stopped);
        }
        if Instant::now() >= self.renewal() {
            self.save(self.engine.options.hold).await?;
        }
        Ok(())
    }

    async fn save(&mut self, hold: Duration) -> Result<(), RunError> {
        self.run.moved_at = self.engine.clock.now();
        let begun = Instant::now();
        insist(|| self.engine.store.save_run(&self.lease, &self.run, hold, self.run.moved_at)).await?;
        self.renewed = begun;
        Ok(())
    }

    async fn end(&mut self, waited: bool) -> Result<(), RunError> {
        let now = self.engine.clock.now();
        (self.run.moved_at, self.run.ended_at) = (now, Some(now));
        // One that waited has said so when it began to wait.
        let all_read = matches!(self.run.state, RunState::Done | RunState::AwaitingConfirmation) && !waited;
        let watermark = if all_read { rules::watermark(&self.run, now) } else { None };
        match insist(|| self.engine.store.end_run(&self.lease, &self.run, watermark)).await {
            Err(RunError::Lost(_)) if self.has_ended().await => {}
            ended => ended?,
        }
        self.tell_the_end();
        Ok(())
    }

    fn tell_the_end(&self) {
        let Run { id, state, counts, message, .. } = &self.run;
        let (source, mode) = (&self.engine.source, self.run.mode.name());
        measure::ended(source, &self.run);
        tracing::info!(source, run = %id, mode, ?state, ?counts, why = message, "a synchronisation has ended");
        (self.progress)(&self.run);
    }

    /// Whether the store has ended the run as it should, and only its answer was lost.
    async fn has_ended(&self) -> bool {
        self.kept().await.is_some_and(|run| run.state == self.run.state)
    }

    /// The run as the store has it, if it is still the newest.
    async fn kept(&self) -> Option<Run> {
        let row = self.engine.store.source(&self.engine.source).await;
        row.ok().flatten().and_then(|row| row.run).filter(|run| run.id == self.run.id)
    }

    /// Why the run cannot be written here any more: it is somebody else's, unless an operator has ended it.
    async fn lost(&mut self, error: RunError) -> Result<Ended, RunError> {
        let cancelled = match error {
            RunError::Lost(_) => self.kept().await.filter(|run| run.state == RunState::Cancelled),
            RunError::Store(_) => None,
        };
        self.run = cancelled.ok_or(error)?;
        self.tell_the_end();
        Ok(Ended::Finished(self.run.clone()))
    }
}

/// Asks the store again where that may help, for a moment: the lease is running.
async fn insist<T, E: Into<RunError>, F: Future<Output = Result<T, E>>>(
    mut act: impl FnMut() -> F,
) -> Result<T, RunError> {
    let mut tries = 0;
    loop {
        let error: RunError = match act().await {
            Ok(done) => return Ok(done),
            Err(error) => error.into(),
        };
        tries += 1;
        match &error {
            RunError::Store(cause) if cause.may_pass() && tries < STORE_TRIES => {
                tracing::debug!(%cause, "the store does not take a step of a synchronisation; trying again");
            }
            _ => return Err(error),
        }
        tokio::time::sleep(STORE_PAUSE * (1 << (tries - 1))).await;
    }
}
