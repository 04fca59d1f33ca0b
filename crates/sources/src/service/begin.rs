//! How a run begins that somebody asks for, who carries it on, and how it is stopped.

use std::convert::Infallible;
use std::sync::Arc;

use haat_catalog::ports::StoreError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::worker::LOOK;
use super::{Busy, Part, SourceStatus, Sources, StartError, reports_of, status};
use crate::ports::{Begin, Begun, Lease, RunError, SourceRow};
use crate::run::{Mode, Run, RunState};
use crate::sync::{Ended, Progress};

/// A synchronisation that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncRequest {
    /// What to read; `None` for what changed. What changed is everything where nobody can tell.
    pub mode: Option<Mode>,
    /// That what a run waits to remove may go: that run goes on, whatever `mode` says, and nothing begins where none waits.
    pub confirms: Option<Confirmation>,
}

/// Whose removals somebody confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// Those of the run that waits, whichever it is.
    Waiting,
    /// Those of this run: who has looked at them has not looked at another's.
    Run(Uuid),
}

/// A run that is this process's.
struct Taken {
    part: Arc<Part>,
    lease: Lease,
    run: Run,
    /// How its source stood before.
    row: SourceRow,
}

impl Sources {
    /// Begins a synchronisation, or goes on with one whose holder is gone, and gives how the source stands once it is this
    /// process's; it goes on in the background. Whoever asks may go away meanwhile.
    ///
    /// # Errors
    /// When there is no such source, one of its is under way, what is confirmed does not wait, or the store fails.
    pub async fn start(self: &Arc<Self>, name: &str, request: SyncRequest) -> Result<SourceStatus, StartError> {
        let (sources, name) = (Arc::clone(self), name.to_owned());
        // In a task of its own, or a caller that hangs up between the two steps leaves a lease that nobody carries on.
        let begun = self.tasks.spawn(async move {
            let Taken { part, lease, run, row } = sources.take(&name, request).await?;
            sources.go_on(&part, lease, run.clone());
            // It has begun, whatever else the store says.
            let reports = sources.store.breaker_reports(sources.heard_since()).await.unwrap_or_else(|error| {
                tracing::debug!(source = name, %error, "how breakers stand cannot be read");
                Vec::new()
            });
            let row = SourceRow { run: Some(run), ..row };
            Ok(status::status(&part.parts, Some(row), reports_of(&name, &reports), sources.clock.now()))
        });
        begun.await.unwrap_or_else(|error| Err(StoreError::Internal(error.to_string()).into()))
    }

    /// Synchronises and comes back at the end, or at `stop` after the page that is being written; then the run is
    /// unfinished ([`RunState::is_unfinished`]), and others go on with it. Orders to the breaker are heard meanwhile.
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
        let Taken { part, lease, run, .. } = self.take(name, request).await?;
        let _busy = Busy::new(&part);
        progress(&run);
        let ended = tokio::select! {
            biased;
            ended = part.engine.drive(lease, run, &progress, &stop) => ended?,
            never = self.listen(&part) => match never {},
        };
        match ended {
            Ended::Finished(run) | Ended::Stopped(run) => Ok(run),
        }
    }

    /// Ends the run of a source that is under way, on whichever server or in whichever command, or that waits for a confirmation.
    /// What it has written stays; whoever carries it on notices with the next page, or within a third of the lease. Gives it, or
    /// `None` where there is none.
    ///
    /// # Errors
    /// When there is no such source, or the store fails.
    pub async fn cancel(&self, name: &str) -> Result<Option<Run>, StartError> {
        self.part(name).ok_or_else(|| StartError::Unknown(name.to_owned()))?;
        Ok(self.store.cancel_run(name, self.clock.now()).await?)
    }

    /// Takes the lease of a source for what is asked for.
    async fn take(&self, name: &str, request: SyncRequest) -> Result<Taken, StartError> {
        let part = self.part(name).ok_or_else(|| StartError::Unknown(name.to_owned()))?;
        // A process that was just started has not heard of an order yet.
        let row = self.heed(part).await?;
        let confirms = match request.confirms {
            None => None,
            Some(Confirmation::Run(id)) => Some(id),
            Some(Confirmation::Waiting) => {
                let newest = row.run.as_ref().map(|run| run.id);
                Some(newest.ok_or_else(|| part.nothing_to_confirm(None, None))?)
            }
        };
        let mode = match confirms {
            Some(_) => Mode::Full,
            None => part.possible(request.mode.unwrap_or(Mode::Incremental), &row),
        };
        match self.begin(part, mode, confirms).await? {
            Begun::Mine(lease, run) => Ok(Taken { part: Arc::clone(part), lease, run: *run, row }),
            Begun::Running(run) => Err(StartError::Running(run)),
            Begun::NothingToConfirm(newest) => Err(part.nothing_to_confirm(newest.as_deref(), confirms)),
        }
    }

    pub(super) async fn begin(&self, part: &Part, mode: Mode, confirms: Option<Uuid>) -> Result<Begun, StoreError> {
        let begin = Begin {
            source: part.parts.name.clone(),
            mode,
            id: Uuid::from_bytes(*self.ids.next_id().as_bytes()),
            owner: self.options.replica.clone(),
            hold: part.parts.hold,
            confirms,
            fingerprint: part.fingerprint(),
            now: self.clock.now(),
        };
        let begun = self.store.begin_run(begin).await?;
        if let Begun::Mine(lease, run) = &begun {
            tracing::info!(source = lease.source, run = %run.id, mode = ?run.mode, state = ?run.state, pages = run.counts.pages, "a synchronisation begins, or goes on");
        }
        Ok(begun)
    }

    /// Carries on a run in the background.
    pub(super) fn go_on(self: &Arc<Self>, part: &Arc<Part>, lease: Lease, run: Run) {
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

    /// Tells the breaker what an operator wants of it, for as long as this is polled: a command has no worker.
    async fn listen(&self, part: &Part) -> Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.heed(part).await {
                tracing::debug!(source = part.parts.name, %error, "orders to a breaker cannot be read; looking again");
            }
        }
    }
}

impl Part {
    /// Why the store found nothing to confirm in the newest run.
    fn nothing_to_confirm(&self, newest: Option<&Run>, confirmed: Option<Uuid>) -> StartError {
        let waiting = newest.filter(|run| run.state == RunState::AwaitingConfirmation);
        let why = match waiting {
            None => "no run of this source waits for it",
            Some(run) if Some(run.id) != confirmed => "the run that waits for it is another",
            Some(_) => "the run that waits for it began under other settings; what would go now, a new full run tells",
        };
        StartError::NothingToConfirm { why, waits: waiting.map(|run| run.id) }
    }
}
