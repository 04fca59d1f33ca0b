//! The follower: the one writer of the index. It reads the change log in batches, applies them, shows searches the
//! new state, and sees to it that the index is built anew when it is absent, damaged, another database's, or so far
//! behind that the log no longer tells what it missed.
//!
//! While the index is built anew, the one in use goes on being followed and served if it can be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haat_catalog::ports::{ChangeLogError, StoreError};
use haat_catalog::{Change, Origin, ProductId, Seq};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backstage::{self, blocking};
use super::build::{Build, BuildError, Built, Progress, Source};
use super::folder::Folder;
use super::generation::{Generation, Payload, empty_view};
use super::index::{Index, IndexOptions};
use super::merging::Tiers;
use super::urgent;
use super::writer::Writer;
use crate::engine::view::View;

/// A generation in use.
pub struct Live {
    /// The generation.
    pub generation: Arc<Generation>,
    /// Its state.
    pub view: Arc<View>,
    /// Every change up to this one is in.
    pub seq: Seq,
    pub(super) origin: Origin,
    last: Option<ProductId>,
    writer: Option<Writer>,
    /// Whether it can still be followed; what cannot is served until it is replaced.
    followed: bool,
}

impl Live {
    /// A generation as it was found or built.
    pub fn new(generation: Arc<Generation>, view: Arc<View>, payload: Payload) -> Self {
        let Payload { seq, origin, last, .. } = payload;
        Self { generation, view, seq, origin, last, writer: None, followed: true }
    }

    /// Sees to it that there is a writer. One that is opened, be it for the first time or after a failure, begins at
    /// the last commit, of which this may know nothing: false when that has come further than thought.
    async fn open_writer(&mut self, options: &IndexOptions) -> tantivy::Result<bool> {
        if self.writer.is_some() {
            return Ok(true);
        }
        let (generation, effort) = (Arc::clone(&self.generation), options.follow_effort());
        let opened = blocking(move || {
            let writer = Writer::open(&generation, effort, Box::new(Tiers::default()))?;
            Ok((writer, Arc::new(generation.view(None)?), generation.payload()))
        });
        let (writer, view, payload) = opened.await?;
        (self.writer, self.view) = (Some(writer), view);
        match payload {
            Some(payload) if payload.seq > self.seq => {
                (self.seq, self.last) = (payload.seq, payload.last);
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Applies a batch and commits it. After a failure the writer is gone.
    async fn apply(&mut self, changes: Vec<Change>, payload: Payload) -> tantivy::Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let (generation, view) = (Arc::clone(&self.generation), Arc::clone(&self.view));
        let done = blocking(move || {
            writer.apply(&changes, &view)?;
            writer.commit(payload)?;
            let view = Arc::new(generation.view(Some(&view))?);
            Ok((writer, view))
        });
        let (writer, view) = done.await?;
        (self.writer, self.view) = (Some(writer), view);
        (self.seq, self.last) = (payload.seq, payload.last);
        Ok(())
    }
}

impl From<Built> for Live {
    fn from(built: Built) -> Self {
        let payload = Payload::new(built.seq, true, built.origin, built.last);
        Self::new(built.generation, built.view, payload)
    }
}

/// What following came to.
enum Step {
    /// There may be more to read at once.
    More,
    /// Nothing new.
    Idle,
    /// Changes were applied, which took so long.
    Applied(Duration),
    /// The index is of no use any more.
    Lost(&'static str, Keep),
    /// The store or the disk failed; to be tried again.
    Failed(String),
}

/// Whether what is there may be listed from while a new index is built.
#[derive(PartialEq, Eq)]
enum Keep {
    Serving,
    Nothing,
}

/// How long to wait.
struct Pause {
    /// Whatever happens.
    least: Duration,
    /// On top of that, unless somebody says that there is something to do.
    unless_nudged: Duration,
}

impl Pause {
    fn least(least: Duration) -> Self {
        Self { least, unless_nudged: Duration::ZERO }
    }

    fn unless_nudged(unless_nudged: Duration) -> Self {
        Self { least: Duration::ZERO, unless_nudged }
    }
}

/// Keeps an index in step with its log.
pub struct Follower {
    index: Arc<Index>,
    live: Option<Live>,
    build: Option<JoinHandle<Result<Built, BuildError>>>,
    /// Whether what is being built is of no use: the database was replaced meanwhile.
    build_is_void: bool,
    /// When a build that failed is begun again.
    retry_at: Option<Instant>,
    failed_builds: u32,
    stop: CancellationToken,
    /// Whether the log is known to be the one that the index was made from. Not after a failure: who knows to what the
    /// connection leads now.
    same_log: bool,
    /// Where the log's head was when it was first seen: an index that has come so far is ready.
    goal: Option<Seq>,
    /// When somebody last wrote through this server.
    urgent_at: Option<Instant>,
    failures: u32,
    noted: Option<Instant>,
    checked: Instant,
    /// A look at the files' checksums, under way.
    inspection: Option<JoinHandle<Option<PathBuf>>>,
    /// Whether the files were looked at since the start.
    inspected: bool,
}

/// Changes read at once while somebody waits to see a product that is far behind in the log.
const URGENT_BATCH: u32 = 1_000;
/// For how long after that.
const URGENT_FOR: Duration = Duration::from_secs(5);
/// How often the log is told how far this follower has come.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether somebody asks for a rebuild.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// The longest pause after a batch: what is written meanwhile is visible well within a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);

impl Follower {
    /// A follower that goes on where `live` ends.
    pub fn new(index: Arc<Index>, live: Option<Live>) -> Self {
        Self {
            index,
            live,
            build: None,
            build_is_void: false,
            retry_at: None,
            failed_builds: 0,
            stop: CancellationToken::new(),
            same_log: false,
            goal: None,
            urgent_at: None,
            failures: 0,
            noted: None,
            checked: Instant::now(),
            inspection: None,
            inspected: false,
        }
    }

    /// Follows until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if self.live.is_none() {
            self.start_build("there is none to begin with");
        }
        while !shutdown.is_cancelled() {
            let pause = self.turn().await;
            let index = Arc::clone(&self.index);
            let waited = async {
                tokio::time::sleep(pause.least).await;
                let _ = tokio::time::timeout(pause.unless_nudged, index.nudged.notified()).await;
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = waited => {}
            }
        }
        self.stop.cancel();
        if let Some(build) = self.build.take() {
            let _ = build.await;
        }
        // A writer waits for its threads when it is dropped.
        let live = self.live.take();
        let _ = tokio::task::spawn_blocking(move || drop(live)).await;
    }

    /// One round; gives how long to wait before the next.
    async fn turn(&mut self) -> Pause {
        self.look_around().await;
        if self.build.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_build().await;
        }
        let step = self.follow().await;
        let idle = self.index.options.poll_interval;
        match step {
            Step::Failed(_) => self.same_log = false,
            _ => self.failures = 0,
        }
        match step {
            Step::More => Pause::least(Duration::ZERO),
            Step::Idle => Pause::unless_nudged(idle),
            // Under steady writing a third of the time at most goes into following.
            Step::Applied(took) => Pause::least((took * 2).min(LONGEST_PAUSE)),
            Step::Lost(why, keep) => {
                self.lose(why, keep);
                Pause::unless_nudged(idle)
            }
            // A nudge says that a write just succeeded, so that the database must be back. Not at once all the same:
            // where it is the disk that fails, every write would mean an attempt.
            Step::Failed(why) => Pause { least: idle, unless_nudged: self.back_off(&why) },
        }
    }

    fn back_off(&mut self, why: &str) -> Duration {
        if self.failures == 0 {
            tracing::warn!(error = why, "the index cannot follow for now and is served as it is");
        }
        self.failures = self.failures.saturating_add(1);
        self.pause_after(self.failures)
    }

    /// How long to wait after so many failures in a row.
    fn pause_after(&self, failures: u32) -> Duration {
        let pause = self.index.options.poll_interval.max(Duration::from_millis(50)) * 2_u32.pow(failures.min(8));
        pause.min(LONGEST_BACKOFF)
    }

    /// Looks after what is neither following nor building: requests for a rebuild, suspicions of damage.
    async fn look_around(&mut self) {
        if self.checked.elapsed() >= CHECK_EVERY {
            self.checked = Instant::now();
            if self.index.folder.take_request() {
                self.start_build("it was asked for");
            }
        }
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.start_build("the last attempt failed");
        }
        if self.inspection.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(inspection) = self.inspection.take()
            && let Ok(Some(file)) = inspection.await
            // What is replaced already need not be given up.
            && self.live.as_ref().is_some_and(|live| file.starts_with(&live.generation.path))
        {
            tracing::error!(file = %file.display(), "the index is damaged");
            self.lose("it is damaged", Keep::Serving);
        }
        if self.build.is_some() || self.inspection.is_some() {
            return;
        }
        let first_time = !self.inspected && self.index.caught_up.load(Ordering::Acquire);
        if let Some(live) = &self.live
            && (self.index.suspect.swap(false, Ordering::AcqRel) || first_time)
        {
            self.inspected = true;
            let generation = Arc::clone(&live.generation);
            self.inspection = Some(backstage::spawn(move || generation.damaged_file()));
        }
    }

    /// Gives the index in use up.
    fn lose(&mut self, why: &'static str, keep: Keep) {
        if let Some(live) = &mut self.live {
            live.followed = false;
            live.writer = None;
        }
        self.index.caught_up.store(false, Ordering::Release);
        if keep == Keep::Nothing
            && let Ok(view) = empty_view()
        {
            self.live = None;
            self.index.publish_nothing(view);
            // Places of the old database say nothing of the new one, nor does what is being built from it.
            (self.goal, self.same_log) = (None, false);
            self.build_is_void = self.build.is_some();
        }
        self.start_build(why);
    }

    fn start_build(&mut self, why: &'static str) {
        if self.build.is_some() {
            return;
        }
        self.retry_at = None;
        tracing::info!(why, "building the index anew");
        let index = Arc::clone(&self.index);
        let (empty, stop) = (self.live.is_none(), self.stop.clone());
        self.build = Some(tokio::spawn(async move { build(index, empty, stop).await }));
    }

    /// Puts a generation that was built into use, or begins again if it was not.
    async fn finish_build(&mut self) {
        let Some(build) = self.build.take() else { return };
        let built = match build.await {
            _ if std::mem::take(&mut self.build_is_void) => return self.start_build("the database was replaced"),
            Ok(Ok(built)) => built,
            Ok(Err(e)) => return self.build_failed(&e.to_string()),
            Err(e) => return self.build_failed(&e.to_string()),
        };
        if let Err(e) = self.index.folder.switch(&built.generation.path) {
            return self.build_failed(&e.to_string());
        }
        self.failed_builds = 0;
        tracing::info!(products = built.view.num_docs(), seq = built.seq.0, "the index was built anew");
        let old = self.live.replace(Live::from(built));
        // Searches must not go back in time: what the old one had followed further the new one catches up first.
        if let Some(old) = old.filter(|old| old.followed) {
            let goal = old.seq;
            self.goal = Some(self.goal.map_or(goal, |g| g.max(goal)));
            while self.live.as_ref().is_some_and(|live| live.seq < goal) {
                if !matches!(self.catch_up().await, Step::More | Step::Applied(_)) {
                    break;
                }
            }
            let _ = tokio::task::spawn_blocking(move || drop(old)).await;
        }
        if let Some(live) = &self.live {
            self.index.publish_live(live);
            if let Err(e) = self.index.folder.clean(Some(&live.generation.path)) {
                tracing::warn!(error = %e, "old generations of the index could not be removed");
            }
        }
        self.inspected = true;
    }

    fn build_failed(&mut self, why: &str) {
        self.failed_builds = self.failed_builds.saturating_add(1);
        let pause = self.pause_after(self.failed_builds);
        tracing::warn!(error = why, again_in = ?pause, "the index could not be built");
        self.retry_at = Some(Instant::now() + pause);
    }

    /// One batch of changes.
    async fn follow(&mut self) -> Step {
        let step = self.catch_up().await;
        let Some(live) = self.live.as_ref().filter(|live| live.followed) else { return step };
        if matches!(step, Step::More | Step::Applied(_)) || live.seq > self.index.state().seq {
            self.index.publish_live(live);
        }
        if self.goal.is_some_and(|goal| live.seq >= goal) {
            self.index.caught_up.store(true, Ordering::Release);
        }
        self.note().await;
        step
    }

    /// Tells the log how far this follower has come, now and then. Not while a new index is built: that one follows
    /// from where it began.
    async fn note(&mut self) {
        let due = self.noted.is_none_or(|at| at.elapsed() >= NOTE_EVERY);
        let Some(live) = self.live.as_ref().filter(|_| due && self.build.is_none()) else { return };
        let source = &self.index.source;
        if source.log.follow(&source.follower, live.seq, source.clock.now()).await.is_ok() {
            self.noted = Some(Instant::now());
        }
    }

    /// Reads and applies one batch, without showing it to searches.
    async fn catch_up(&mut self) -> Step {
        let Some(live) = self.live.as_mut().filter(|live| live.followed) else { return Step::Idle };
        let source = &self.index.source;
        if !self.same_log
            && let Err(step) = same_database(&self.index, live).await
        {
            return step;
        }
        self.same_log = true;
        // Taken before the log is read: a page that comes to its end has them all.
        let urgent = self.index.urgent.take();
        if !urgent.is_empty() {
            self.urgent_at = Some(Instant::now());
        }
        // Whoever writes now will soon write again, and would wait for the batch under way.
        let busy = self.urgent_at.is_some_and(|at| at.elapsed() < URGENT_FOR);
        let batch = if busy { self.index.options.batch.min(URGENT_BATCH) } else { self.index.options.batch };
        let mut page = match source.log.read(live.seq.into(), batch).await {
            Ok(page) => page,
            Err(ChangeLogError::Compacted { .. }) => return Step::Lost("it was away for too long", Keep::Serving),
            Err(ChangeLogError::Ahead { .. }) => {
                return Step::Lost("it is ahead of the database, which must be another one", Keep::Nothing);
            }
            Err(ChangeLogError::Store(e)) => return Step::Failed(e.to_string()),
        };
        self.index.head.store(page.head.0, Ordering::Release);
        self.goal.get_or_insert(page.head);
        let Some(newest) = page.changes.last() else {
            // Everything up to the head was looked at: places without a change are passed as well.
            if live.seq < page.head {
                (live.seq, live.last) = (page.head, None);
            }
            return Step::Idle;
        };
        let payload = Payload::new(newest.seq, true, live.origin, Some(newest.id));
        // Not by their number: a page is bounded by bytes as well.
        let more = newest.seq < page.head;
        if more && !urgent.is_empty() {
            match urgent::read(&*source.reader, urgent).await {
                Ok(changes) => page.changes.extend(changes),
                Err(e) => return Step::Failed(e.to_string()),
            }
        }
        let began = Instant::now();
        let applied = match live.open_writer(&self.index.options).await {
            // The index was further than was thought: what was read would be applied twice.
            Ok(false) => return Step::More,
            Ok(true) => live.apply(page.changes, payload).await,
            Err(e) => Err(e),
        };
        match applied {
            Ok(()) if more => Step::More,
            Ok(()) => Step::Applied(began.elapsed()),
            Err(e) => {
                // The files may be what is wrong: they are looked at before the next attempt.
                self.index.suspect.store(true, Ordering::Release);
                Step::Failed(e.to_string())
            }
        }
    }
}

/// Whether the log is the one that the index was made from, and tells the same story up to where the index has come.
/// Where that place is gone from the log, it cannot be told, and is believed.
async fn same_database(index: &Index, live: &Live) -> Result<(), Step> {
    let failed = |e: StoreError| Step::Failed(e.to_string());
    if index.source.log.origin().await.map_err(failed)? != live.origin {
        return Err(Step::Lost("it was made from another database", Keep::Nothing));
    }
    // A database that was put back from a backup has the same origin, and may have come as far again since.
    let Some(last) = live.last else { return Ok(()) };
    match index.source.change_at(live.seq).await.map_err(failed)? {
        Some(id) if id != last => Err(Step::Lost("its database was put back to an earlier state", Keep::Nothing)),
        _ => Ok(()),
    }
}

/// Builds a new generation. With nothing else to list from, its unfinished states are listed from.
async fn build(index: Arc<Index>, empty: bool, stop: CancellationToken) -> Result<Built, BuildError> {
    let publish = |view: Arc<View>| index.publish(view, Seq(0), false);
    let progress = |p: Progress| tracing::debug!(done = p.done, total = p.total, "building the index");
    let publish: Option<&(dyn Fn(Arc<View>) + Send + Sync)> = if empty { Some(&publish) } else { None };
    build_into(&index.folder, index.source.clone(), index.options.batch, &progress, publish, stop).await
}

/// Builds a new generation in `folder`; of one that fails nothing is left.
///
/// # Errors
/// [`BuildError`].
pub async fn build_into(
    folder: &Folder,
    source: Source,
    batch: u32,
    progress: &(dyn Fn(Progress) + Send + Sync),
    publish: Option<&(dyn Fn(Arc<View>) + Send + Sync)>,
    stop: CancellationToken,
) -> Result<Built, BuildError> {
    let path = folder.add()?;
    let place = path.clone();
    let generation = Arc::new(blocking(move || Generation::create(&place)).await?);
    let effort = IndexOptions::rebuild_effort();
    let built = Build { source, generation, effort, batch, progress, publish, stop }.run().await;
    if built.is_err() {
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await;
    }
    built
}
