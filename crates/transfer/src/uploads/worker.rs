//! Imports the uploads, one at a time, oldest first.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{ImportCounts, ImportJob, JobState};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::brief;
use crate::import::{Run, Tracker};
use crate::spec::{ImportError, ImportReport, ImportSpec, StopCause};
use crate::uploads::Uploads;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// How often a worker without work looks for what nobody told it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What is told of a job while its records cannot be written.
const WAITING: &str = "the database does not take the records at the moment (the server's log says why); the import goes \
                       on by itself, or can be cancelled";
/// What is told of a job whose report cannot be kept.
const UNTOLD: &str = "how the import went could not be saved; the server's log says why";

/// The worker was told to stop.
struct ShutDown;

/// How an attempt at a job went.
enum Attempt {
    /// Somebody else has ended it, and what its row says stands.
    Ended,
    /// It came to its end, good or bad.
    Finished(JobState, Option<String>, ImportReport),
    /// The database went away; to be tried again.
    Later,
}

impl Uploads {
    /// Imports what was uploaded until `shutdown`: first what an earlier run of this replica left unfinished. Stops
    /// between two batches; the job that was under way goes on with the next start.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        // Only a shutdown ends it.
        let _: Result<(), ShutDown> = self.work(&shutdown).await;
    }

    async fn work(&self, shutdown: &CancellationToken) -> Result<(), ShutDown> {
        self.persist(shutdown, "uploads of no job could not be removed", || self.remove_orphans()).await?;
        let mut delay = FIRST_DELAY;
        // Jobs whose end could not be saved: left to the next start, so that they do not hold up the others.
        let mut aside = HashSet::new();
        loop {
            let listed = || self.jobs.unfinished_jobs(&self.options.owner);
            let jobs = self.persist(shutdown, "the list of imports could not be read", listed).await?;
            let Some(job) = jobs.into_iter().find(|job| !aside.contains(&job.id)) else {
                tokio::select! {
                    () = shutdown.cancelled() => return Err(ShutDown),
                    () = self.wake.notified() => {}
                    // Another replica may have cancelled a job of this one, whose upload then waits for nothing.
                    () = tokio::time::sleep(LOOK_AGAIN) => {
                        if let Err(error) = self.remove_orphans().await {
                            tracing::warn!(%error, "uploads of no job could not be removed; trying again later");
                        }
                    }
                }
                continue;
            };
            match self.attempt(job.clone(), shutdown).await? {
                Attempt::Finished(state, message, report) => {
                    let id = job.id;
                    if !self.finish(job, state, message, report, shutdown).await? {
                        aside.insert(id);
                    }
                    delay = FIRST_DELAY;
                }
                Attempt::Ended => self.forget_upload(job.id).await,
                Attempt::Later => {
                    self.tell_why(job).await;
                    wait(shutdown, delay).await?;
                    delay = LONGEST_DELAY.min(delay * 2);
                }
            }
        }
    }

    /// Does something that stands in front of every job until it works.
    async fn persist<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
        &self,
        shutdown: &CancellationToken,
        failure: &str,
        mut act: impl FnMut() -> F,
    ) -> Result<T, ShutDown> {
        let mut delay = FIRST_DELAY;
        loop {
            match act().await {
                Ok(done) => return Ok(done),
                Err(error) => tracing::warn!(%error, "{failure}; trying again"),
            }
            wait(shutdown, delay).await?;
            delay = LONGEST_DELAY.min(delay * 2);
        }
    }

    /// Removes what a crash left behind: uploads that never became a job, and those of jobs that are done.
    async fn remove_orphans(&self) -> io::Result<()> {
        // In this order whoever is in the list and is needed is found: an upload that is no longer arriving when the
        // snapshot is taken has become a job before the jobs are read.
        let there = self.spool.list().await?;
        let mut needed: HashSet<_> = self.arriving.snapshot();
        let jobs = self.jobs.unfinished_jobs(&self.options.owner).await.map_err(io::Error::other)?;
        needed.extend(jobs.iter().map(|job| job.id));
        let mut removed = 0;
        for (_, path) in there.iter().filter(|(id, _)| !needed.contains(id)) {
            tokio::fs::remove_file(path).await?;
            removed += 1;
        }
        if removed > 0 {
            tracing::info!(removed, "removed uploads that belong to no unfinished import");
        }
        Ok(())
    }

    async fn attempt(&self, mut job: ImportJob, shutdown: &CancellationToken) -> Result<Attempt, ShutDown> {
        let Ok(mut spec) = serde_json::from_value::<ImportSpec>(job.options.clone()) else {
            return Ok(failed(&job, "what the import was asked to do cannot be read; send it again".to_owned()));
        };
        spec.limits = self.options.limits;
        let file = match self.spool.open(job.id).await {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(%error, job = %job.id, "an upload cannot be read");
                return Ok(failed(&job, "the upload is no longer there; send it again".to_owned()));
            }
        };
        if spec.dry_run {
            // Nothing was written, so there is nothing to go on from.
            job.counts = ImportCounts::default();
            job.errors.clear();
        }
        job.state = JobState::Running;
        job.message = None;
        job.updated_at = self.clock.now();
        if !self.keep(&job, shutdown).await? {
            return Ok(failed(&job, UNTOLD.to_owned()));
        }
        tracing::info!(job = %job.id, format = %spec.format, records_done = job.counts.records, "importing an upload");
        let tracker = Tracker { jobs: self.jobs.as_ref(), job: job.clone() };
        let (writer, clock, ids) = (Arc::clone(&self.writer), Arc::clone(&self.clock), Arc::clone(&self.ids));
        let run = Run::new(&spec, writer, clock, ids, &|_, _| {}, shutdown).tracked(tracker);
        conclude(&job, run.carry_out(Box::new(file)).await)
    }

    /// Saves the end of a job and removes its upload; `false` when nothing of that end can be saved.
    async fn finish(
        &self,
        job: ImportJob,
        state: JobState,
        message: Option<String>,
        report: ImportReport,
        shutdown: &CancellationToken,
    ) -> Result<bool, ShutDown> {
        let ImportReport { counts, errors, .. } = report;
        let message = message.map(brief::message);
        let job = ImportJob { state, counts, errors, message, updated_at: self.clock.now(), ..job };
        // Should its report be what cannot be kept, then at least that it has ended.
        let bare =
            ImportJob { state: JobState::Failed, errors: Vec::new(), message: Some(UNTOLD.into()), ..job.clone() };
        if !self.keep(&job, shutdown).await? && !self.keep(&bare, shutdown).await? {
            return Ok(false);
        }
        self.forget_upload(job.id).await;
        tracing::info!(job = %job.id, ?state, ?counts, "an import came to its end");
        Ok(true)
    }

    /// Says in the job why it does not move, if the database takes that much.
    async fn tell_why(&self, job: ImportJob) {
        let Ok(Some(job)) = self.jobs.job(job.id).await else { return };
        let message = Some(WAITING.to_owned());
        if let Err(error) = self.jobs.save_job(&ImportJob { message, updated_at: self.clock.now(), ..job }).await {
            tracing::debug!(%error, "the job cannot be told either");
        }
    }

    pub(super) async fn forget_upload(&self, id: Uuid) {
        if let Err(error) = self.spool.remove(id).await {
            tracing::warn!(%error, job = %id, "an upload could not be removed; the next start will");
        }
    }

    /// Saves a job, waiting for a database that is away; `false` when it cannot be saved as it is.
    async fn keep(&self, job: &ImportJob, shutdown: &CancellationToken) -> Result<bool, ShutDown> {
        let mut delay = FIRST_DELAY;
        loop {
            match self.jobs.save_job(job).await {
                // One that is gone has nothing to be saved.
                Ok(_) => return Ok(true),
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, job = %job.id, "an import could not be saved; trying again");
                }
                Err(error) => {
                    tracing::error!(%error, job = %job.id, "an import could not be saved");
                    return Ok(false);
                }
            }
            wait(shutdown, delay).await?;
            delay = LONGEST_DELAY.min(delay * 2);
        }
    }
}

fn failed(job: &ImportJob, message: String) -> Attempt {
    let (counts, errors) = (job.counts, job.errors.clone());
    let report = ImportReport { counts, errors, stopped: None, cause: None, elapsed: Duration::ZERO };
    Attempt::Finished(JobState::Failed, Some(message), report)
}

fn conclude(job: &ImportJob, result: Result<ImportReport, ImportError>) -> Result<Attempt, ShutDown> {
    let report = match result {
        Ok(report) => report,
        Err(ImportError::Internal(error)) => {
            tracing::error!(%error, job = %job.id, "an import failed");
            return Ok(failed(job, "the import failed; the server's log says why".to_owned()));
        }
        Err(why) => return Ok(failed(job, why.to_string())),
    };
    let message = match report.cause {
        None => return Ok(Attempt::Finished(JobState::Done, None, report)),
        Some(StopCause::Cancelled) => return Err(ShutDown),
        Some(StopCause::StoreUnavailable) => return Ok(Attempt::Later),
        Some(StopCause::Ended) => return Ok(Attempt::Ended),
        // The store's own words are for the log, where they are already.
        Some(StopCause::StoreFailed) => Some("the database failed; the server's log says how".to_owned()),
        Some(StopCause::TooManyErrors | StopCause::Input) => report.stopped.clone(),
    };
    Ok(Attempt::Finished(JobState::Failed, message, report))
}

async fn wait(shutdown: &CancellationToken, delay: Duration) -> Result<(), ShutDown> {
    tokio::select! {
        () = shutdown.cancelled() => Err(ShutDown),
        () = tokio::time::sleep(delay) => Ok(()),
    }
}
