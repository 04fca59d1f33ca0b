//! What the catalogue needs from the outside. Each port is narrow and one method is one transaction.
//!
//! | port | implemented by |
//! |---|---|
//! | [`ProductReader`], [`ProductWriter`], [`ChangeLog`], [`ImportJobs`], [`Health`] | `haat-store`, for SQLite and for MySQL |
//! | [`ListingIndex`] | `haat-search` |
//!
//! Every implementation of a store port passes the conformance suite of `haat-testkit`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::{ChangePage, Origin, Resume, Seq};
use crate::page::{Page, Suggestions};
use crate::product::{ProductId, ProductKey, Sku, etag_of};
use crate::query::Query;
use crate::time::Timestamp;
use crate::write::{BatchError, BatchOutcome, BatchRequest, Receipt, WriteError, WriteRequest};

/// Why a store could not do its work. The text is for the log, never for a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or refuses connections; worth trying again later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database does not let Haat in, or not at this: wrong user or password, unknown database, missing right.
    /// Somebody has to change a setting.
    #[error("the database refuses Haat: {0}")]
    Denied(String),
    /// No answer within the time allowed, or no free connection; worth trying again later.
    #[error("the database did not answer in time: {0}")]
    Timeout(String),
    /// The database kept refusing the transaction (deadlock, serialization, certification) after all retries.
    #[error("the database refused the transaction repeatedly: {0}")]
    Contention(String),
    /// What is stored is not what Haat stores.
    #[error("the stored data is damaged: {0}")]
    Corrupt(String),
    /// Anything else: a fault in Haat or in the database.
    #[error("the database failed: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether the same call may succeed later although nothing that Haat does or keeps is changed. A refused login is
    /// among these: once somebody has mended the setting, it passes.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Denied(_) | Self::Timeout(_) | Self::Contention(_) => true,
            Self::Corrupt(_) | Self::Internal(_) => false,
        }
    }
}

/// A product as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProduct {
    /// Its id.
    pub id: ProductId,
    /// Its sku.
    pub sku: Sku,
    /// Its version.
    pub version: u64,
    /// Its JSON ([`crate::Product::to_json`]).
    pub document: Bytes,
}

impl StoredProduct {
    /// Its entity tag.
    ///
    /// # Errors
    /// When its JSON is no product's.
    pub fn etag(&self) -> Result<String, StoreError> {
        etag_of(&self.document).ok_or_else(|| StoreError::Corrupt(format!("the document of the product {}", self.id)))
    }
}

/// Reads products, one by one or all of them in order of id.
#[async_trait]
pub trait ProductReader: Send + Sync {
    /// The product of that id or sku.
    async fn product(&self, key: &ProductKey) -> Result<Option<StoredProduct>, StoreError>;
    /// Up to `limit` products with ids after `after`, in order of id. Fewer than that say nothing of the end, only none
    /// do: a page is bounded by its bytes as well, some 16 MiB, but has at least one product.
    async fn scan(&self, after: Option<ProductId>, limit: u32) -> Result<Vec<StoredProduct>, StoreError>;
    /// How many products there are.
    async fn count(&self) -> Result<u64, StoreError>;
}

/// Writes products, each write with its change-log row in one transaction.
#[async_trait]
pub trait ProductWriter: Send + Sync {
    /// Carries out a command as [`crate::write::decide`] decides.
    async fn write(&self, request: WriteRequest) -> Result<Receipt, WriteError>;
    /// Writes many products; the outcomes are in the order of the drafts.
    async fn write_batch(&self, request: BatchRequest) -> Result<Vec<BatchOutcome>, BatchError>;
    /// Forgets idempotency keys used before `before`; gives their number.
    async fn prune_keys(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Why the change log could not be read from a place.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeLogError {
    /// Deletions after that place are no longer kept: who follows from there would keep products that are gone.
    /// Start afresh: forget everything and read from [`Seq`] 0, which gives the newest change of every product, and
    /// until past the floor of the first page keep that floor in [`Resume::floor`].
    #[error("the change log no longer goes back to that place, only to {floor}")]
    Compacted {
        /// The earliest place that can still be followed from, other than 0 and what follows from it.
        floor: Seq,
    },
    /// The log has not come as far as that place: it was read in another database, or in this one before it was put back
    /// to an earlier state. Start afresh, as after [`Self::Compacted`].
    #[error("the change log ends at {head}, before that place")]
    Ahead {
        /// The newest place.
        head: Seq,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What of the change log to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// This many of the newest places are left alone, so that those who follow closely see every single change.
    pub keep_newest: u64,
    /// Deletions before this moment are forgotten.
    pub deletions_before: Timestamp,
    /// Followers not heard of since this moment no longer hold back the compaction, and are forgotten.
    pub followers_since: Timestamp,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Rows removed because a newer one of the same product is kept.
    pub superseded: u64,
    /// Deletions forgotten.
    pub deletions: u64,
}

/// The log of all changes, followed without a gap although transactions commit out of order.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// The newest place; every change up to it is visible.
    async fn head(&self) -> Result<Seq, StoreError>;
    /// What tells this log from every other: drawn at random when its database was set up, the same ever since. A copy
    /// of the database, and the database put back from a backup, has the same.
    async fn origin(&self) -> Result<Origin, StoreError>;
    /// Up to `limit` changes from there on, in order. Fewer than that say nothing of the end, only none do: a page is
    /// bounded by its bytes as well, some 16 MiB, but has at least one change if there is one.
    async fn read(&self, from: Resume, limit: u32) -> Result<ChangePage, ChangeLogError>;
    /// Tells how far a follower has come, so that compaction stays behind it.
    async fn follow(&self, follower: &str, at: Seq, now: Timestamp) -> Result<(), StoreError>;
    /// Removes what nobody needs, in small transactions.
    async fn compact(&self, policy: Compaction) -> Result<Compacted, StoreError>;
}

/// Where an import job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted, not begun.
    Queued,
    /// Under way; resumes by itself after a restart.
    Running,
    /// All records were read.
    Done,
    /// Stopped before the end; `message` says why.
    Failed,
    /// Stopped by whoever sent it; what is counted is done.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// How many records an import has dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportCounts {
    /// Read so far.
    pub records: u64,
    /// Products created.
    pub created: u64,
    /// Products changed.
    pub updated: u64,
    /// Products that already were so.
    pub unchanged: u64,
    /// Records refused.
    pub failed: u64,
}

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordError {
    /// The line in the input where the record begins; the first is 1.
    pub line: u64,
    /// The field, as a JSON Pointer or a CSV column; empty for the whole record.
    pub pointer: String,
    /// What is wrong and what to do.
    pub detail: String,
}

/// An import that was sent over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportJob {
    /// Its id.
    pub id: Uuid,
    /// The replica that holds the upload.
    pub owner: String,
    /// Where it stands.
    pub state: JobState,
    /// What was asked for (format, mapping, dry run), as the importer wrote it.
    pub options: serde_json::Value,
    /// What was done.
    pub counts: ImportCounts,
    /// The first errors.
    pub errors: Vec<RecordError>,
    /// Why it failed.
    pub message: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// Keeps import jobs, so that they survive a restart and every replica can answer for them.
#[async_trait]
pub trait ImportJobs: Send + Sync {
    /// Keeps a new job.
    async fn create_job(&self, job: &ImportJob) -> Result<(), StoreError>;
    /// The job of that id.
    async fn job(&self, id: Uuid) -> Result<Option<ImportJob>, StoreError>;
    /// Writes state, counts, errors and message of a job that is unfinished; tells whether there is such a job. One that
    /// was ended (by whoever cancelled it, say) stays as it is.
    async fn save_job(&self, job: &ImportJob) -> Result<bool, StoreError>;
    /// The jobs of a replica that are queued or running, oldest first. One whose row cannot be read is left out (and
    /// logged), so that it does not stand in the way of the others.
    async fn unfinished_jobs(&self, owner: &str) -> Result<Vec<ImportJob>, StoreError>;
    /// Cancels a job: no batch of it is written from now on. Gives where it stands now, which is
    /// [`JobState::Cancelled`] unless it had ended before; `None` when there is no such job.
    async fn cancel_job(&self, id: Uuid, now: Timestamp) -> Result<Option<JobState>, StoreError>;
    /// Fails unfinished jobs that have not moved since `since` and whose owners have not told since then how far they
    /// follow the change log: these will not come back to carry them out. Gives their number.
    async fn fail_abandoned_jobs(&self, since: Timestamp, now: Timestamp) -> Result<u64, StoreError>;
    /// Forgets finished jobs last moved before `before`.
    async fn prune_jobs(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Whether a dependency works.
#[async_trait]
pub trait Health: Send + Sync {
    /// What it is called in `/readyz`.
    fn name(&self) -> &'static str;
    /// Asks it something small; the error's text is for operators.
    async fn check(&self) -> Result<(), String>;
}

/// Why the index could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IndexError {
    /// As many searches as allowed are running and waiting: try again shortly.
    #[error("too many searches at once")]
    Overloaded,
    /// The index has not come as far as `min_seq` asks within the time allowed.
    #[error("the index has come to change {at}, not yet to the one asked for")]
    Behind {
        /// How far it has come.
        at: Seq,
    },
    /// The store that the index is made from or compared with failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A fault in the index; the text is for the log.
    #[error("the index failed: {0}")]
    Internal(String),
}

/// Where an index stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStatus {
    /// Every change up to this one is visible.
    pub seq: Seq,
    /// The newest change in the log when the follower last looked.
    pub head: Seq,
    /// Products in it.
    pub documents: u64,
    /// Whether it holds the whole catalogue and has caught up at least once since the start.
    pub ready: bool,
    /// Counts up whenever what readers see changes.
    pub generation: u64,
}

/// What is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestQuery {
    /// The text so far, not empty.
    pub text: String,
    /// How many of each kind, 1 to 20.
    pub limit: usize,
}

/// Answers listings. There is one way to read: no listing ever reaches SQL.
#[async_trait]
pub trait ListingIndex: Send + Sync {
    /// A page. Waits up to `wait` for [`Query::min_seq`].
    async fn list(&self, query: Arc<Query>, wait: Duration) -> Result<Page, IndexError>;
    /// Completions.
    async fn suggest(&self, query: SuggestQuery) -> Result<Suggestions, IndexError>;
    /// Where the index stands.
    fn status(&self) -> IndexStatus;
    /// How long ago what readers see moved on from the state that had come to `seq`; `None` while it has not. What was
    /// made from that state is out of date for so long.
    fn superseded(&self, seq: Seq) -> Option<Duration>;
    /// Tells one run of places from another: of another database, or of this one after it was put back to an earlier state,
    /// the same places are other states. Replicas of one database have the same until one of them saw it put back.
    fn lineage(&self) -> u128;
    /// Tells the follower that something was written, so that it need not wait for its next look. The products that are
    /// named are shown soon even while the follower is far behind, which whoever wrote them would otherwise wait out.
    fn nudge(&self, written: &[ProductId]);
}
