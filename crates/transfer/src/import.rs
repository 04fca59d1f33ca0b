//! The writing half of an import: takes batches from the reading thread and hands them to the store.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{ImportCounts, ImportJob, ImportJobs, ProductWriter, RecordError, StoreError};
use haat_catalog::write::{BatchError, BatchOutcome, BatchRequest, Checkpoint};
use haat_catalog::{Clock, Ids};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::brief;
use crate::csv::Places;
use crate::reader::{self, Batch, Message};
use crate::spec::{ImportError, ImportReport, ImportSpec, KEPT_ERROR_BYTES, KEPT_ERRORS, StopCause};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(3);

/// How often the progress of a job is saved where batches do not carry it.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Called after every batch with what was done so far and how many raw bytes of the input that took (compressed
/// ones for gzip, so that they compare with the size of a file).
pub type Observe<'a> = &'a (dyn Fn(&ImportCounts, u64) + Send + Sync);

/// Imports products: all that are valid are written, in batches, only what differs from what is there. Running it
/// again with the same input changes nothing.
///
/// Cancelling finishes the batch in hand; so does too many errors. What the report counts is committed.
///
/// # Errors
/// When the import cannot begin: a mapping that does not fit, a header that cannot be used. Whatever happens later
/// is in the report.
pub async fn import(
    input: Box<dyn Read + Send>,
    spec: ImportSpec,
    writer: Arc<dyn ProductWriter>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    observe: Observe<'_>,
    cancel: CancellationToken,
) -> Result<ImportReport, ImportError> {
    spec.check()?;
    Run::new(&spec, writer, clock, ids, observe, &cancel).carry_out(input).await
}

/// Why an import ends early.
struct Stop {
    cause: StopCause,
    why: String,
}

/// The job in which an import keeps its progress.
pub(crate) struct Tracker<'a> {
    pub(crate) jobs: &'a dyn ImportJobs,
    pub(crate) job: ImportJob,
}

/// An import under way.
pub(crate) struct Run<'a> {
    spec: &'a ImportSpec,
    writer: Arc<dyn ProductWriter>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    observe: Observe<'a>,
    cancel: &'a CancellationToken,
    counts: ImportCounts,
    errors: Vec<RecordError>,
    tracker: Option<Tracker<'a>>,
    saved_at: Instant,
    places: Option<Arc<Places>>,
}

/// What became of a batch.
enum Written {
    Now(Vec<BatchOutcome>),
    /// By an attempt whose answer was lost; the job knows the counts.
    Before(ImportCounts),
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        spec: &'a ImportSpec,
        writer: Arc<dyn ProductWriter>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        observe: Observe<'a>,
        cancel: &'a CancellationToken,
    ) -> Self {
        let (counts, errors) = (ImportCounts::default(), Vec::new());
        let saved_at = Instant::now();
        Self { spec, writer, clock, ids, observe, cancel, counts, errors, tracker: None, saved_at, places: None }
    }

    /// Goes on where the job stands, and keeps its progress there.
    pub(crate) fn tracked(mut self, tracker: Tracker<'a>) -> Self {
        self.counts = tracker.job.counts;
        self.errors.clone_from(&tracker.job.errors);
        self.tracker = Some(tracker);
        self
    }

    pub(crate) async fn carry_out(mut self, input: Box<dyn Read + Send>) -> Result<ImportReport, ImportError> {
        let begun = Instant::now();
        if let Some(Stop { cause, why }) = self.too_many_errors() {
            // A job may be resumed behind the very batch that had one error too many.
            let Self { counts, errors, .. } = self;
            return Ok(ImportReport {
                counts,
                errors,
                stopped: Some(why),
                cause: Some(cause),
                elapsed: Duration::ZERO,
            });
        }
        let mut messages = reader::spawn(input, self.spec, Arc::clone(&self.ids), self.counts.records)
            .map_err(|e| ImportError::Internal(format!("no thread to read the input: {e}")))?;
        let stop = loop {
            let message = tokio::select! {
                biased;
                () = self.cancel.cancelled() => break Some(self.cancelled()),
                message = messages.recv() => message,
            };
            match message {
                Some(Message::Opened(places)) => self.places = places,
                Some(Message::Refused(why)) => return Err(why),
                Some(Message::Batch(batch)) => {
                    if let Err(stop) = self.take(*batch).await {
                        break Some(stop);
                    }
                }
                Some(Message::Broken(why)) => break Some(Stop { cause: StopCause::Input, why }),
                Some(Message::End) => break None,
                None => {
                    let why = "the thread that reads the input ended unexpectedly".to_owned();
                    break Some(Stop { cause: StopCause::Input, why });
                }
            }
        };
        let (cause, stopped) = stop.map(|s| (s.cause, s.why)).unzip();
        Ok(ImportReport { counts: self.counts, errors: self.errors, stopped, cause, elapsed: begun.elapsed() })
    }

    fn cancelled(&self) -> Stop {
        let why = format!("interrupted after {} records; what is counted is done", self.counts.records);
        Stop { cause: StopCause::Cancelled, why }
    }

    async fn take(&mut self, batch: Batch) -> Result<(), Stop> {
        let Batch { drafts, lines, new_ids, mut errors, failed, records, repeated, consumed } = batch;
        self.remember_again(repeated);
        let (records, failed) = (self.counts.records + records, self.counts.failed + failed);
        let checkpoint = self.checkpoint(records, failed);
        let checkpointed = checkpoint.is_some();
        let written = if drafts.is_empty() && !checkpointed {
            Written::Now(Vec::new())
        } else {
            let now = self.clock.now();
            self.write(BatchRequest { drafts, new_ids, now, dry_run: self.spec.dry_run, checkpoint }).await?
        };
        match written {
            Written::Now(outcomes) => {
                self.counts.records = records;
                self.counts.failed = failed;
                self.count(outcomes, &lines, &mut errors);
            }
            Written::Before(counts) => self.counts = counts,
        }
        let news = !errors.is_empty();
        self.remember(errors);
        (self.observe)(&self.counts, consumed);
        self.save(checkpointed, news).await?;
        self.too_many_errors().map_or(Ok(()), Err)
    }

    fn too_many_errors(&self) -> Option<Stop> {
        if self.counts.failed <= self.spec.max_errors {
            return None;
        }
        let why = match self.spec.max_errors {
            0 => "a record was refused, and not one may be".to_owned(),
            most => format!("more than {most} records were refused"),
        };
        Some(Stop { cause: StopCause::TooManyErrors, why })
    }

    fn count(&mut self, outcomes: Vec<BatchOutcome>, lines: &[u64], errors: &mut Vec<RecordError>) {
        for (outcome, &line) in outcomes.into_iter().zip(lines) {
            match outcome {
                BatchOutcome::Created => self.counts.created += 1,
                BatchOutcome::Updated => self.counts.updated += 1,
                BatchOutcome::Unchanged => self.counts.unchanged += 1,
                BatchOutcome::Refused(violation) => {
                    self.counts.failed += 1;
                    let pointer = match &self.places {
                        Some(places) => places.name(&violation.pointer),
                        None => violation.pointer,
                    };
                    errors.push(brief::error(RecordError { line, pointer, detail: violation.detail }));
                }
            }
        }
        errors.sort_by_key(|e| e.line);
    }

    fn remember(&mut self, errors: Vec<RecordError>) {
        self.errors.extend(errors);
        keep_first(&mut self.errors);
    }

    /// Errors found a second time, of which the job may have lost some.
    fn remember_again(&mut self, repeated: Vec<RecordError>) {
        if repeated.is_empty() {
            return;
        }
        let lost: Vec<RecordError> = repeated.into_iter().filter(|e| !self.errors.contains(e)).collect();
        self.errors.extend(lost);
        self.errors.sort_by_key(|e| e.line);
        keep_first(&mut self.errors);
    }

    fn checkpoint(&self, records: u64, failed: u64) -> Option<Checkpoint> {
        let tracker = self.tracker.as_ref().filter(|_| !self.spec.dry_run)?;
        Some(Checkpoint { job: tracker.job.id, from: self.counts.records, records, failed })
    }

    /// Writes a batch, again and again for a bounded time while the store cannot be reached. A batch of a job is written
    /// once whatever happens: the checkpoint says from where. Without a job, one whose answer was lost is written a second
    /// time, which says the same again, but over whatever another writer wrote to these products in between.
    async fn write(&mut self, request: BatchRequest) -> Result<Written, Stop> {
        let begun = Instant::now();
        let mut delay = FIRST_DELAY;
        loop {
            let error = match self.writer.write_batch(request.clone()).await {
                Ok(outcomes) => return Ok(Written::Now(outcomes)),
                Err(BatchError::Moved(job)) => return self.moved(request.checkpoint.as_ref(), job.as_deref()),
                Err(BatchError::Store(error)) => error,
            };
            // Whoever runs a command is told at once that the database refuses it; a job waits until that is mended.
            let denied = matches!(error, StoreError::Denied(_)) && self.tracker.is_none();
            if !error.may_pass() || denied {
                tracing::error!(%error, "a batch of an import failed");
                let why = format!("{error}, after {} records", self.counts.records);
                return Err(Stop { cause: StopCause::StoreFailed, why });
            }
            if begun.elapsed() + delay > self.spec.retry_for {
                tracing::error!(%error, "a batch of an import failed too often");
                let why = format!("{error}, for {:.0?}, after {} records", self.spec.retry_for, self.counts.records);
                return Err(Stop { cause: StopCause::StoreUnavailable, why });
            }
            tracing::warn!(%error, delay_ms = delay.as_millis() as u64, "a batch of an import is tried again");
            tokio::select! {
                () = self.cancel.cancelled() => return Err(self.cancelled()),
                () = tokio::time::sleep(delay) => {}
            }
            delay = LONGEST_DELAY.min(delay * 2);
        }
    }

    /// What it means that the job is not where the batch goes on from.
    fn moved(&self, checkpoint: Option<&Checkpoint>, job: Option<&ImportJob>) -> Result<Written, Stop> {
        match (checkpoint, job) {
            (Some(checkpoint), Some(job)) if !job.state.is_final() && job.counts.records == checkpoint.records => {
                Ok(Written::Before(job.counts))
            }
            _ => Err(self.ended()),
        }
    }

    /// Keeps in the job what its checkpoints do not: errors by line, and all progress of a dry run.
    async fn save(&mut self, checkpointed: bool, news: bool) -> Result<(), Stop> {
        let due = news || (!checkpointed && self.saved_at.elapsed() >= SAVE_EVERY);
        let Some(tracker) = self.tracker.as_mut().filter(|_| due) else { return Ok(()) };
        tracker.job.counts = self.counts;
        tracker.job.errors.clone_from(&self.errors);
        tracker.job.updated_at = self.clock.now();
        self.saved_at = Instant::now();
        match tracker.jobs.save_job(&tracker.job).await {
            Ok(true) => {}
            Ok(false) => return Err(self.ended()),
            // The next batch with errors, or the end of the import, saves them.
            Err(error) => tracing::warn!(%error, job = %tracker.job.id, "the errors of an import were not saved"),
        }
        Ok(())
    }

    fn ended(&self) -> Stop {
        Stop { cause: StopCause::Ended, why: format!("the import was ended after {} records", self.counts.records) }
    }
}

/// Leaves the first errors, as many as a report keeps.
fn keep_first(errors: &mut Vec<RecordError>) {
    let mut bytes = 0;
    let fits = |e: &&RecordError| {
        bytes += e.pointer.len() + e.detail.len();
        bytes <= KEPT_ERROR_BYTES
    };
    let kept = errors.iter().take(KEPT_ERRORS).take_while(fits).count();
    errors.truncate(kept);
}
