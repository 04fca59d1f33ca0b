//! A catalogue in a temporary folder to import into, and a writer that stands between an import and the store.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use haat_catalog::Timestamp;
use haat_catalog::ports::{ImportCounts, ProductReader, ProductWriter, StoreError};
use haat_catalog::write::{BatchError, BatchOutcome, BatchRequest, Receipt, WriteError, WriteRequest};
use haat_store::{SqliteOptions, Store, StoreOptions};
use haat_testkit::clock::{TestClock, TestIds};
use haat_transfer::{CsvMapping, Format, ImportError, ImportReport, ImportSpec};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub struct Market {
    pub store: Arc<dyn Store>,
    pub clock: Arc<TestClock>,
    pub ids: Arc<TestIds>,
    pub dir: tempfile::TempDir,
}

impl Market {
    pub async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions { path: dir.path().join("haat.db"), ..SqliteOptions::default() };
        let store = haat_store::open(&StoreOptions::Sqlite(options)).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, clock: Arc::default(), ids: Arc::default(), dir }
    }

    pub async fn import(&self, spec: ImportSpec, input: impl Into<Vec<u8>>) -> Result<ImportReport, ImportError> {
        self.import_through(self.store.clone(), spec, input).await
    }

    pub async fn import_through(
        &self,
        writer: Arc<dyn ProductWriter>,
        spec: ImportSpec,
        input: impl Into<Vec<u8>>,
    ) -> Result<ImportReport, ImportError> {
        let input = Box::new(std::io::Cursor::new(input.into()));
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        haat_transfer::import(input, spec, writer, clock, ids, &|_, _| {}, CancellationToken::new()).await
    }

    /// Every product, in order of id.
    pub async fn products(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.scan(after, 1000).await.unwrap();
            let Some(last) = page.last() else { return all };
            after = Some(last.id);
            all.extend(page.iter().map(|p| serde_json::from_slice::<Value>(&p.document).unwrap()));
        }
    }

    pub async fn skus(&self) -> Vec<String> {
        let products = self.products().await;
        products.iter().map(|p| p["sku"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn export(&self, format: Format, gzip: bool) -> Vec<u8> {
        let out = Shared::default();
        let reader: Arc<dyn ProductReader> = self.store.clone();
        haat_transfer::export(reader, format, gzip, Box::new(out.clone()), &|_| {}).await.unwrap();
        out.0.lock().unwrap().clone()
    }
}

/// An output that the test keeps a hand on.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn ndjson() -> ImportSpec {
    ImportSpec::new(Format::Ndjson)
}

pub fn csv() -> ImportSpec {
    ImportSpec::new(Format::Csv)
}

pub fn mapped(rules: &[&str]) -> ImportSpec {
    ImportSpec { mapping: Some(CsvMapping::parse(rules).unwrap()), ..csv() }
}

/// A line of NDJSON.
pub fn line(sku: &str) -> String {
    format!("{{\"sku\":\"{sku}\",\"name\":\"Name of {sku}\",\"price\":{{\"amount\":100,\"currency\":\"INR\"}}}}\n")
}

pub fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|i| line(&format!("P{i:06}"))).collect()
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub fn counts(records: u64, created: u64, updated: u64, unchanged: u64, failed: u64) -> ImportCounts {
    ImportCounts { records, created, updated, unchanged, failed }
}

/// The errors as `line pointer: detail`.
pub fn errors(report: &ImportReport) -> Vec<String> {
    report.errors.iter().map(|e| format!("{} {}: {}", e.line, e.pointer, e.detail)).collect()
}

/// What happens to a batch on its way.
pub enum Fate {
    /// It is written.
    Pass,
    /// It is not written.
    Fail(StoreError),
    /// It is written, and the answer is lost.
    Lose(StoreError),
    /// The same, and another writer comes in between.
    LoseThen(StoreError, Box<WriteRequest>),
}

/// Stands between an import and the store: lets batches through one by one, and decides their fate.
pub struct Gate {
    store: Arc<dyn Store>,
    /// What happens to the next attempts; afterwards everything passes.
    fates: Mutex<VecDeque<Fate>>,
    /// How many attempts may pass.
    pub open: Semaphore,
    /// How many attempts have arrived.
    pub arrived: Semaphore,
}

impl Gate {
    pub fn new(store: Arc<dyn Store>, open: usize, fates: impl IntoIterator<Item = Fate>) -> Arc<Self> {
        let fates = Mutex::new(fates.into_iter().collect());
        Arc::new(Self { store, fates, open: Semaphore::new(open), arrived: Semaphore::new(0) })
    }
}

#[async_trait]
impl ProductWriter for Gate {
    async fn write(&self, request: WriteRequest) -> Result<Receipt, WriteError> {
        self.store.write(request).await
    }

    async fn write_batch(&self, request: BatchRequest) -> Result<Vec<BatchOutcome>, BatchError> {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        let fate = self.fates.lock().unwrap().pop_front();
        match fate {
            None | Some(Fate::Pass) => self.store.write_batch(request).await,
            Some(Fate::Fail(error)) => Err(error.into()),
            Some(Fate::Lose(error)) => {
                self.store.write_batch(request).await?;
                Err(error.into())
            }
            Some(Fate::LoseThen(error, other)) => {
                self.store.write_batch(request).await?;
                self.store.write(*other).await.unwrap();
                Err(error.into())
            }
        }
    }

    async fn prune_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.store.prune_keys(before).await
    }
}
