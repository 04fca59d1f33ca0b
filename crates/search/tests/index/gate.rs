//! Stands between an index and its store, and does what a test cannot time: it breaks the connection, puts another
//! database in the store's place, or sees to it that somebody writes at every moment.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use haat_catalog::ports::{ChangeLog, ChangeLogError, Compacted, Compaction, ProductReader, StoreError, StoredProduct};
use haat_catalog::product::ProductKey;
use haat_catalog::{ChangePage, Origin, ProductId, Resume, Seq, Timestamp};
use haat_store::Store;
use tokio::sync::watch;

type Write = Box<dyn Fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A store behind a gate.
pub struct Gate {
    store: RwLock<Arc<dyn Store>>,
    down: AtomicBool,
    /// Called before every look at the log, with how many there were.
    before_read: Option<Write>,
    reads: AtomicUsize,
    refused: watch::Sender<usize>,
}

impl Gate {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store: RwLock::new(store),
            down: AtomicBool::new(false),
            before_read: None,
            reads: AtomicUsize::new(0),
            refused: watch::Sender::default(),
        }
    }

    /// With somebody who writes before every look at the log.
    pub fn with_writer(store: Arc<dyn Store>, write: Write) -> Self {
        Self { before_read: Some(write), ..Self::new(store) }
    }

    /// Breaks or mends the connection.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Release);
    }

    /// Puts another database in its place.
    pub fn replace(&self, store: Arc<dyn Store>) {
        *self.store.write().unwrap() = store;
    }

    /// How often the log was looked at.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Acquire)
    }

    /// Waits until so many looks at the log met a broken connection.
    pub async fn refused(&self, times: usize) {
        let _ = self.refused.subscribe().wait_for(|refused| *refused >= times).await;
    }

    /// The store, for a look at the log.
    fn log(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.store().inspect_err(|_| self.refused.send_modify(|n| *n += 1))
    }

    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        if self.down.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the test says so".to_owned()));
        }
        Ok(Arc::clone(&self.store.read().unwrap()))
    }
}

#[async_trait]
impl ProductReader for Gate {
    async fn product(&self, key: &ProductKey) -> Result<Option<StoredProduct>, StoreError> {
        self.store()?.product(key).await
    }

    async fn scan(&self, after: Option<ProductId>, limit: u32) -> Result<Vec<StoredProduct>, StoreError> {
        self.store()?.scan(after, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.store()?.count().await
    }
}

#[async_trait]
impl ChangeLog for Gate {
    async fn head(&self) -> Result<Seq, StoreError> {
        self.store()?.head().await
    }

    async fn origin(&self) -> Result<Origin, StoreError> {
        self.log()?.origin().await
    }

    async fn read(&self, from: Resume, limit: u32) -> Result<ChangePage, ChangeLogError> {
        let n = self.reads.fetch_add(1, Ordering::AcqRel);
        if let Some(write) = &self.before_read {
            write(n).await;
        }
        self.log()?.read(from, limit).await
    }

    async fn follow(&self, follower: &str, at: Seq, now: Timestamp) -> Result<(), StoreError> {
        self.store()?.follow(follower, at, now).await
    }

    async fn compact(&self, policy: Compaction) -> Result<Compacted, StoreError> {
        self.store()?.compact(policy).await
    }
}
