//! Imports over HTTP. An upload is spooled to disk before it is acknowledged, kept as a job in SQL, and imported by
//! a worker, one at a time. The job's progress is written in the same transaction as the products, so that after a
//! restart the import goes on behind the last batch that was committed, neither losing nor repeating a record.

mod spool;
mod worker;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::Stream;
use haat_catalog::ports::{ImportCounts, ImportJob, ImportJobs, JobState, ProductWriter, StoreError};
use haat_catalog::{Clock, Ids};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::spec::{ImportError, ImportSpec, InputLimits};
use crate::uploads::spool::{Spool, SpoolError};

/// How uploads are kept.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Where they wait to be imported; this replica's own folder, made when it is missing.
    pub dir: PathBuf,
    /// The name of this replica: it carries out the jobs that have it.
    pub owner: String,
    /// The largest upload in bytes, as sent (a gzipped one is larger unpacked).
    pub max_bytes: u64,
    /// How many uploads may wait or be under way.
    pub max_queued: usize,
    /// How large each may be once it is unpacked.
    pub limits: InputLimits,
}

/// Why an upload was not accepted. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is larger than allowed.
    #[error("the upload is larger than {limit} bytes")]
    TooLarge {
        /// The most that is accepted.
        limit: u64,
    },
    /// As many uploads as allowed are waiting: try again later.
    #[error("as many imports as allowed are waiting")]
    Busy,
    /// The body ended before its end.
    #[error("the upload was cut off: {0}")]
    Interrupted(String),
    /// What is asked for makes no sense.
    #[error(transparent)]
    Spec(#[from] ImportError),
    /// It could not be written to disk; the text is for the log.
    #[error("the upload could not be kept: {0}")]
    Io(#[from] std::io::Error),
    /// The job could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes uploads in and imports them.
pub struct Uploads {
    options: UploadOptions,
    spool: Spool,
    writer: Arc<dyn ProductWriter>,
    jobs: Arc<dyn ImportJobs>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    arriving: Arriving,
    wake: Arc<Notify>,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Uploads {
    /// Uploads that are kept as `options` says. Nothing happens to them before [`Self::run`].
    pub fn new(
        options: UploadOptions,
        writer: Arc<dyn ProductWriter>,
        jobs: Arc<dyn ImportJobs>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Arc<Self> {
        let spool = Spool::new(options.dir.clone());
        let (arriving, wake) = (Arriving::default(), Arc::new(Notify::new()));
        Arc::new(Self { options, spool, writer, jobs, clock, ids, arriving, wake })
    }

    /// Takes an upload in. When this returns, the upload is on disk and its job in the database: both survive a
    /// crash.
    ///
    /// # Errors
    /// As [`UploadError`] says; nothing of the upload is kept then.
    pub async fn submit<E: fmt::Display>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
        spec: ImportSpec,
    ) -> Result<ImportJob, UploadError> {
        spec.check()?;
        let id = Uuid::from_bytes(*self.ids.next_id().as_bytes());
        let (arrival, others) = self.arriving.enter(id);
        // In this order an upload that is just becoming a job is counted twice rather than not at all.
        let queued = self.jobs.unfinished_jobs(&self.options.owner).await?.len();
        if queued + others >= self.options.max_queued {
            return Err(UploadError::Busy);
        }
        let received = self.spool.receive(id, body, self.options.max_bytes).await.map_err(|e| match e {
            SpoolError::TooLarge => UploadError::TooLarge { limit: self.options.max_bytes },
            SpoolError::Interrupted(why) => UploadError::Interrupted(why),
            SpoolError::Io(e) => UploadError::Io(e),
        })?;
        let now = self.clock.now();
        let job = ImportJob {
            id,
            owner: self.options.owner.clone(),
            state: JobState::Queued,
            options: serde_json::to_value(&spec).map_err(|e| UploadError::Io(e.into()))?,
            counts: ImportCounts::default(),
            errors: Vec::new(),
            message: None,
            created_at: now,
            updated_at: now,
        };
        let (jobs, wake) = (Arc::clone(&self.jobs), Arc::clone(&self.wake));
        // A task of its own: a client that hangs up now must not leave half of this done.
        let keep = tokio::spawn(async move {
            let _arrival = arrival;
            let kept = received.keep().await?;
            jobs.create_job(&job).await?;
            kept.accepted();
            wake.notify_one();
            Ok(job)
        });
        keep.await.map_err(|e| UploadError::Io(std::io::Error::other(e)))?
    }

    /// Cancels the job of that id, whichever replica it belongs to: a batch of it that is being written may still be, and
    /// counts, none after that is. Gives where the job stands now; `None` when there is no such job.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel(&self, id: Uuid) -> Result<Option<JobState>, StoreError> {
        let state = self.jobs.cancel_job(id, self.clock.now()).await?;
        if state == Some(JobState::Cancelled) {
            // Should it be under way, its worker has the file open and notices at its next batch.
            self.forget_upload(id).await;
        }
        Ok(state)
    }

    /// The job of that id, whichever replica it belongs to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn job(&self, id: Uuid) -> Result<Option<ImportJob>, StoreError> {
        self.jobs.job(id).await
    }
}

/// The uploads that are being received, which are not jobs yet.
#[derive(Default)]
struct Arriving(Arc<Mutex<HashSet<Uuid>>>);

impl Arriving {
    /// Enters an upload; gives the number of the others. It leaves when the [`Arrival`] is dropped.
    fn enter(&self, id: Uuid) -> (Arrival, usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = all.len();
        all.insert(id);
        (Arrival { all: Arc::clone(&self.0), id }, others)
    }

    fn snapshot(&self) -> HashSet<Uuid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Arrival {
    all: Arc<Mutex<HashSet<Uuid>>>,
    id: Uuid,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
