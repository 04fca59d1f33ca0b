//! A store in a folder of its own and an index that follows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_catalog::ports::{ChangeLog, ListingIndex, ProductReader};
use haat_catalog::product::ProductKey;
use haat_catalog::write::{BatchOutcome, BatchRequest, Command, Precondition, Receipt, WriteRequest};
use haat_catalog::{Clock, Draft, Ids, Page, Product, Query, Sku};
use haat_search::{Index, IndexOptions, VerifyReport, verify};
use haat_store::{SqliteOptions, Store, StoreOptions};
use haat_testkit::clock::{TestClock, TestIds};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;

/// The longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// A store and where its index lives.
pub struct Stage {
    pub store: Arc<dyn Store>,
    pub clock: Arc<TestClock>,
    pub ids: Arc<TestIds>,
    pub folder: tempfile::TempDir,
}

/// An index at work.
pub struct Running {
    pub index: Arc<Index>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Stage {
    /// An empty store and no index.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store_at(&folder.path().join("haat.db")).await;
        Self { store, clock: Arc::default(), ids: Arc::default(), folder }
    }

    /// The index's folder.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    pub fn options(&self) -> IndexOptions {
        IndexOptions { dir: self.dir(), follower: "test".to_owned(), batch: 100, ..IndexOptions::default() }
    }

    /// Opens the index and lets it run.
    pub async fn start(&self) -> Running {
        self.start_with(self.options(), self.store.clone(), self.store.clone()).await
    }

    /// The same with the store behind a gate.
    pub async fn start_behind(&self, gate: &Arc<Gate>) -> Running {
        self.start_with(self.options(), gate.clone(), gate.clone()).await
    }

    /// The same with other options.
    pub async fn start_with(
        &self,
        options: IndexOptions,
        reader: Arc<dyn ProductReader>,
        log: Arc<dyn ChangeLog>,
    ) -> Running {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let index = Index::open(options, reader, log, clock).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&index).run(stop.clone()));
        Running { index, stop, task }
    }

    /// Writes products as an import does.
    pub async fn import(&self, products: &[Product]) {
        for part in products.chunks(200) {
            let drafts: Vec<Draft> = part.iter().cloned().map(Draft::from).collect();
            let new_ids = part.iter().map(|_| self.ids.next_id()).collect();
            let request = BatchRequest { drafts, new_ids, now: self.clock.now(), dry_run: false, checkpoint: None };
            let outcomes = self.store.write_batch(request).await.unwrap();
            assert!(!outcomes.iter().any(|o| matches!(o, BatchOutcome::Refused(_))), "{outcomes:?}");
        }
    }

    pub async fn put(&self, product: Product) -> Receipt {
        self.write(Command::Put(Box::new(product.into()))).await
    }

    pub async fn delete(&self, sku: &Sku) -> Receipt {
        self.write(Command::Delete { key: ProductKey::Sku(sku.clone()) }).await
    }

    async fn write(&self, command: Command) -> Receipt {
        let request = WriteRequest {
            command,
            precondition: Precondition::None,
            idempotency: None,
            now: self.clock.advance(Duration::from_millis(1)),
            new_id: self.ids.next_id(),
        };
        self.store.write(request).await.unwrap()
    }

    /// Every product as the store has it.
    pub async fn products(&self) -> Vec<Product> {
        let stored = self.store.scan(None, 1_000_000).await.unwrap();
        stored.iter().map(|p| Product::from_json(&p.document).unwrap()).collect()
    }

    pub async fn verify(&self) -> VerifyReport {
        verify(&self.dir(), self.store.clone(), self.store.clone(), &|_| {}).await.unwrap()
    }

    /// Asserts that the index has exactly what the store has.
    pub async fn assert_clean(&self, running: &Running) {
        let head = self.store.head().await.unwrap();
        running.until("the index has caught up", || running.index.status().seq >= head).await;
        let report = self.verify().await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.documents, report.pending), (report.products, 0), "{report:?}");
    }
}

pub async fn store_at(path: &Path) -> Arc<dyn Store> {
    let options = SqliteOptions { path: path.to_owned(), ..SqliteOptions::default() };
    let store = haat_store::open(&StoreOptions::Sqlite(options)).await.unwrap();
    store.migrate().await.unwrap();
    store
}

impl Running {
    /// Waits for a condition.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain until {what}: {:?}", self.index.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn ready(&self) {
        self.until("the index is ready", || self.index.status().ready).await;
    }

    pub async fn list(&self, pairs: &[(&str, &str)]) -> Page {
        let query = Query::parse(pairs.iter().copied()).unwrap();
        self.index.list(Arc::new(query), Duration::from_secs(10)).await.unwrap()
    }

    /// Ends it as a server ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Ends it in the middle of whatever it does.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        // The lock goes with the last holder; a thread that is still writing may be that for a moment.
        let index = Arc::downgrade(&self.index);
        drop(self.index);
        let deadline = Instant::now() + DEADLINE;
        while index.strong_count() > 0 {
            assert!(Instant::now() < deadline, "the index is still held");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn skus(page: &Page) -> Vec<String> {
    page.hits.iter().map(|hit| Product::from_json(&hit.document).unwrap().sku.as_str().to_owned()).collect()
}
