//! The index as the rest of Haat sees it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::page::Suggestions;
use haat_catalog::ports::{ChangeLog, IndexError, IndexStatus, ListingIndex, ProductReader, SuggestQuery};
use haat_catalog::{Clock, Page, ProductId, Query, Seq};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::backstage;
use super::build::Source;
use super::folder::{Folder, Ownership};
use super::follow::{Follower, Live};
use super::generation::{Generation, Unusable, empty_view};
use super::shown::{Shown, State};
use super::urgent::Urgent;
use super::writer::Effort;
use crate::engine::page::page;
use crate::engine::plan::Strategy;
use crate::engine::view::View;
use crate::suggest::suggest;

/// How an index is kept.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// Its own folder.
    pub dir: PathBuf,
    /// The name by which the change log knows this follower: one per replica.
    pub follower: String,
    /// Memory for products on their way into the index while it follows the log, in bytes. A rebuild takes
    /// more.
    pub writer_memory_bytes: usize,
    /// Threads that write while it follows the log; a rebuild takes one per core.
    pub writer_threads: usize,
    /// Searches that run at once.
    pub max_concurrent_searches: usize,
    /// Searches that wait; one more is told to come back.
    pub max_waiting_searches: usize,
    /// How often the log is looked at unless something nudges.
    pub poll_interval: Duration,
    /// Changes or products read at once.
    pub batch: u32,
}

/// Memory for products on their way into the index while it is built anew, in bytes.
pub const REBUILD_MEMORY: usize = 256_000_000;

impl Default for IndexOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            dir: PathBuf::from("data/index"),
            follower: "haat".to_owned(),
            writer_memory_bytes: 50_000_000,
            writer_threads: 1,
            max_concurrent_searches: cores.max(2),
            max_waiting_searches: 256,
            poll_interval: Duration::from_millis(200),
            batch: 5_000,
        }
    }
}

impl IndexOptions {
    /// What a rebuild may take.
    pub(super) fn rebuild_effort() -> Effort {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Effort { threads: cores.clamp(1, 4), memory: REBUILD_MEMORY }
    }

    /// What following may take.
    pub(super) fn follow_effort(&self) -> Effort {
        Effort { threads: self.writer_threads, memory: self.writer_memory_bytes }
    }
}

/// A listing index over a change log.
pub struct Index {
    pub(super) options: IndexOptions,
    pub(super) source: Source,
    pub(super) folder: Folder,
    shown: Shown,
    pub(super) nudged: Notify,
    pub(super) urgent: Urgent,
    pub(super) head: AtomicU64,
    pub(super) caught_up: AtomicBool,
    /// Set when a search failed in a way that damaged files could explain.
    pub(super) suspect: AtomicBool,
    admission: Admission,
    /// What was found in the folder, until the follower takes it over.
    found: Mutex<Option<Live>>,
    _ownership: Ownership,
}

impl Index {
    /// Opens what is in the folder. An index that is absent or of no use leaves an empty one that is not ready; it is
    /// built anew by [`Self::run`], never here.
    ///
    /// # Errors
    /// When the folder cannot be written or another process has it.
    pub async fn open(
        options: IndexOptions,
        reader: Arc<dyn ProductReader>,
        log: Arc<dyn ChangeLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, IndexError> {
        let dir = options.dir.clone();
        let (folder, ownership, found) =
            tokio::task::spawn_blocking(move || open_folder(&dir)).await.map_err(internal)??;
        let (view, seq) = match &found {
            Some(live) => (Arc::clone(&live.view), live.seq),
            None => (Arc::new(empty_view().map_err(internal)?), Seq(0)),
        };
        let source = Source { reader, log, clock, follower: options.follower.clone() };
        let whole = found.is_some();
        let origin = found.as_ref().map_or(0, |live| live.origin.as_u128());
        let admission = Admission::new(options.max_concurrent_searches.max(1), options.max_waiting_searches);
        Ok(Arc::new(Self {
            options,
            source,
            folder,
            shown: Shown::new(view, seq, whole, origin),
            nudged: Notify::new(),
            urgent: Urgent::default(),
            head: AtomicU64::new(seq.0),
            caught_up: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            admission,
            found: Mutex::new(found),
            _ownership: ownership,
        }))
    }

    /// Follows the change log until `shutdown`, building the index anew whenever it has to. One call per index.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let live = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        Follower::new(self, live).run(shutdown).await;
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.shown.now()
    }

    /// Shows searches a new state.
    pub(super) fn publish(&self, view: Arc<View>, seq: Seq, whole: bool) {
        self.shown.publish(view, seq, whole);
    }

    /// Shows searches what is followed.
    pub(super) fn publish_live(&self, live: &Live) {
        self.shown.publish_of(live.origin.as_u128(), Arc::clone(&live.view), live.seq);
    }

    /// Shows searches nothing: what was published so far says nothing of what comes.
    pub(super) fn publish_nothing(&self, empty: View) {
        self.shown.publish_nothing(empty);
    }

    async fn wait_for(&self, seq: Seq, wait: Duration) -> Result<(), IndexError> {
        let mut reached = self.shown.reached();
        let there = reached.wait_for(|at| *at >= seq);
        if tokio::time::timeout(wait, there).await.is_ok_and(|r| r.is_ok()) {
            return Ok(());
        }
        Err(IndexError::Behind { at: self.state().seq })
    }

    /// Runs a search off the asynchronous threads, when there is room for one more.
    async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State) -> tantivy::Result<T> + Send + 'static,
    ) -> Result<T, IndexError> {
        let permit = self.admission.enter().await?;
        let state = self.state();
        // The permit goes along: a request that is dropped gives it back when its search ends, not before.
        let done = backstage::spawn(move || {
            let _permit = permit;
            work(&state)
        });
        let failure = match done.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => e.to_string(),
            Err(e) => e.to_string(),
        };
        if !self.suspect.swap(true, Ordering::AcqRel) {
            self.nudged.notify_one();
        }
        Err(IndexError::Internal(failure))
    }
}

type Opened = (Folder, Ownership, Option<Live>);

fn open_folder(dir: &std::path::Path) -> Result<Opened, IndexError> {
    let cannot = |e: std::io::Error| IndexError::Internal(format!("the index folder {}: {e}", dir.display()));
    let folder = Folder::open(dir).map_err(cannot)?;
    let taken = || IndexError::Internal(format!("the index folder {} is in use by another process", dir.display()));
    let ownership = folder.own().map_err(cannot)?.ok_or_else(taken)?;
    let found = match folder.current().map(|path| Generation::open(&path)) {
        None => None,
        Some(Ok((generation, payload))) => match generation.view(None) {
            Ok(view) => Some(Live::new(Arc::new(generation), Arc::new(view), payload)),
            Err(e) => {
                tracing::warn!(error = %Unusable::from(e), "the index will be built anew");
                None
            }
        },
        Some(Err(e)) => {
            tracing::warn!(error = %e, "the index will be built anew");
            None
        }
    };
    folder.clean(found.as_ref().map(|live| live.generation.path.as_path())).map_err(cannot)?;
    Ok((folder, ownership, found))
}

/// A fault of the index, for the log.
pub(super) fn internal(e: impl std::fmt::Display) -> IndexError {
    IndexError::Internal(e.to_string())
}

#[async_trait]
impl ListingIndex for Index {
    async fn list(&self, query: Arc<Query>, wait: Duration) -> Result<Page, IndexError> {
        if let Some(seq) = query.min_seq {
            self.wait_for(seq, wait).await?;
        }
        let caught_up = self.caught_up.load(Ordering::Acquire);
        self.search(move |state| {
            let page = page(&state.view, &query, Strategy::Cheapest)?;
            Ok(Page { seq: state.seq, complete: state.whole && caught_up, ..page })
        })
        .await
    }

    async fn suggest(&self, query: SuggestQuery) -> Result<Suggestions, IndexError> {
        self.search(move |state| suggest(&state.view, &query)).await
    }

    fn status(&self) -> IndexStatus {
        let state = self.state();
        IndexStatus {
            seq: state.seq,
            head: Seq(self.head.load(Ordering::Acquire).max(state.seq.0)),
            documents: state.view.num_docs(),
            ready: state.whole && self.caught_up.load(Ordering::Acquire),
            generation: state.generation,
        }
    }

    fn lineage(&self) -> u128 {
        self.shown.lineage()
    }

    fn superseded(&self, seq: Seq) -> Option<Duration> {
        self.shown.superseded(seq)
    }

    fn nudge(&self, written: &[ProductId]) {
        self.urgent.add(written);
        self.nudged.notify_one();
    }
}
