//! Building a generation from nothing: all products by id, then the changes made meanwhile.
//!
//! The log's head is noted first. Whatever is written while the products are read has a later place in the log and
//! is applied afterwards; applying what the products had already changes nothing. What is written while that goes on is
//! left to the follower: a build that waited for a quiet moment would never end beside a busy writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_catalog::ports::{ChangeLog, ChangeLogError, IndexError, ProductReader, StoreError};
use haat_catalog::{Clock, Origin, ProductId, Seq};
use tantivy::merge_policy::NoMergePolicy;
use tokio_util::sync::CancellationToken;

use super::backstage::blocking;
use super::generation::{Generation, Payload};
use super::writer::{Effort, Writer};
use crate::engine::view::View;

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Products in the new index.
    pub done: u64,
    /// Products in the store when the build began.
    pub total: u64,
    /// Whether all products were read and only the changes made meanwhile are left.
    pub catching_up: bool,
}

/// Why a build ended early.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Changes made meanwhile are gone from the log already.
    #[error("the changes made meanwhile are no longer in the log")]
    Overtaken,
    /// The index cannot be written.
    #[error("the index cannot be written: {0}")]
    Index(#[from] tantivy::TantivyError),
    /// Its folder cannot be written.
    #[error("the index's folder cannot be written: {0}")]
    Folder(#[from] std::io::Error),
    /// It was told to.
    #[error("it was stopped")]
    Stopped,
}

impl From<BuildError> for IndexError {
    fn from(e: BuildError) -> Self {
        match e {
            BuildError::Store(e) => e.into(),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<ChangeLogError> for BuildError {
    fn from(e: ChangeLogError) -> Self {
        match e {
            // The database was put back meanwhile, or changes are gone: what was read is of no use.
            ChangeLogError::Compacted { .. } | ChangeLogError::Ahead { .. } => Self::Overtaken,
            ChangeLogError::Store(e) => Self::Store(e),
        }
    }
}

/// Where products and changes come from, and who asks.
#[derive(Clone)]
pub struct Source {
    /// The products.
    pub reader: Arc<dyn ProductReader>,
    /// The changes.
    pub log: Arc<dyn ChangeLog>,
    /// The time that the log notes of its followers.
    pub clock: Arc<dyn Clock>,
    /// The name by which the log knows this follower.
    pub follower: String,
}

impl Source {
    /// The product that the change at a place was about; `None` when the log no longer has it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn change_at(&self, seq: Seq) -> Result<Option<ProductId>, StoreError> {
        let Some(before) = seq.0.checked_sub(1) else { return Ok(None) };
        match self.log.read(Seq(before).into(), 1).await {
            Ok(page) => Ok(page.changes.first().filter(|change| change.seq == seq).map(|change| change.id)),
            // Being ahead is told by whoever reads on from there.
            Err(ChangeLogError::Compacted { .. } | ChangeLogError::Ahead { .. }) => Ok(None),
            Err(ChangeLogError::Store(e)) => Err(e),
        }
    }
}

/// A generation that was built.
pub struct Built {
    /// The generation.
    pub generation: Arc<Generation>,
    /// Its state.
    pub view: Arc<View>,
    /// Every change up to this one is in.
    pub seq: Seq,
    /// Which database's log that is a place of.
    pub origin: Origin,
    /// The product that change was about.
    pub last: Option<ProductId>,
}

/// A build under way.
pub struct Build<'a> {
    /// Where from.
    pub source: Source,
    /// Where to: a generation without a product.
    pub generation: Arc<Generation>,
    /// Threads and memory.
    pub effort: Effort,
    /// Products, or changes, read at once.
    pub batch: u32,
    /// Told how far it has come.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
    /// Given unfinished states now and then, so that there is something to list; none are made without it.
    pub publish: Option<&'a (dyn Fn(Arc<View>) + Send + Sync)>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// How often unfinished states are published, at first; each takes longer to come than the one before.
const FIRST_STATE: Duration = Duration::from_secs(1);
/// How often the log is told that it is still being followed.
const NOTE_EVERY: Duration = Duration::from_secs(20);

impl Build<'_> {
    /// Builds.
    ///
    /// # Errors
    /// [`BuildError`]; what was written so far is of no use then.
    pub async fn run(&self) -> Result<Built, BuildError> {
        let origin = self.source.log.origin().await?;
        let from = self.source.log.head().await?;
        self.note(from).await?;
        let total = self.source.reader.count().await?;
        let generation = Arc::clone(&self.generation);
        let effort = self.effort;
        // No merges: the segments are large, and what is left to merge the follower merges in its own time.
        let writer = blocking(move || Writer::open(&generation, effort, Box::new(NoMergePolicy))).await?;
        let (writer, done) = self.products(writer, from, total).await?;
        self.changes(writer, from, origin, Progress { done, total, catching_up: true }).await
    }

    async fn note(&self, at: Seq) -> Result<(), StoreError> {
        self.source.log.follow(&self.source.follower, at, self.source.clock.now()).await
    }

    /// Adds all products; the next ones are read while those before are added.
    async fn products(&self, mut writer: Writer, from: Seq, total: u64) -> Result<(Writer, u64), BuildError> {
        let mut done = 0;
        let (mut noted, mut published, mut pause) = (Instant::now(), Instant::now(), FIRST_STATE);
        let mut next = self.scan(None);
        loop {
            let products = next.await.map_err(|e| StoreError::Internal(e.to_string()))??;
            let Some(last) = products.last().map(|p| p.id) else { return Ok((writer, done)) };
            next = self.scan(Some(last));
            done += products.len() as u64;
            writer = blocking(move || writer.add(&products).map(|()| writer)).await?;
            (self.progress)(Progress { done, total, catching_up: false });
            if self.stop.is_cancelled() {
                next.abort();
                return Err(BuildError::Stopped);
            }
            if noted.elapsed() > NOTE_EVERY {
                self.note(from).await?;
                noted = Instant::now();
            }
            if let Some(publish) = self.publish
                && published.elapsed() > pause
            {
                let view;
                (writer, view) =
                    self.commit(writer, Payload::new(Seq(0), false, Origin::default(), None), None).await?;
                publish(view);
                (published, pause) = (Instant::now(), pause * 3);
            }
        }
    }

    fn scan(
        &self,
        after: Option<ProductId>,
    ) -> tokio::task::JoinHandle<Result<Vec<haat_catalog::ports::StoredProduct>, StoreError>> {
        let (reader, batch) = (Arc::clone(&self.source.reader), self.batch);
        tokio::spawn(async move { reader.scan(after, batch).await })
    }

    /// Applies the changes made while the products were read: those up to where the log's head is now.
    async fn changes(
        &self,
        mut writer: Writer,
        from: Seq,
        origin: Origin,
        progress: Progress,
    ) -> Result<Built, BuildError> {
        let goal = self.source.log.head().await?;
        let (mut seq, mut last) = (from, self.source.change_at(from).await?);
        let mut view;
        (writer, view) = self.commit(writer, Payload::new(seq, seq >= goal, origin, last), None).await?;
        while seq < goal {
            (self.progress)(progress);
            let page = self.source.log.read(seq.into(), self.batch).await?;
            // Places without a change are passed as well.
            (seq, last) = page.changes.last().map_or((page.head, None), |newest| (newest.seq, Some(newest.id)));
            let known = Arc::clone(&view);
            writer = blocking(move || writer.apply(&page.changes, &known).map(|()| writer)).await?;
            (writer, view) = self.commit(writer, Payload::new(seq, seq >= goal, origin, last), Some(view)).await?;
            if self.stop.is_cancelled() {
                return Err(BuildError::Stopped);
            }
        }
        if self.source.log.origin().await? != origin {
            return Err(BuildError::Overtaken);
        }
        Ok(Built { generation: Arc::clone(&self.generation), view, seq, origin, last })
    }

    async fn commit(
        &self,
        mut writer: Writer,
        payload: Payload,
        previous: Option<Arc<View>>,
    ) -> Result<(Writer, Arc<View>), BuildError> {
        let generation = Arc::clone(&self.generation);
        blocking(move || {
            writer.commit(payload)?;
            let view = Arc::new(generation.view(previous.as_deref())?);
            Ok((writer, view))
        })
        .await
        .map_err(BuildError::Index)
    }
}
