//! The store in a SQLite file.
//!
//! One connection writes, several read; write-ahead logging lets them work at the same time. Other processes (the
//! command line beside a running server) take turns with the writer through SQLite's own lock.

mod batch;
mod changes;
mod clients;
mod compaction;
mod diagnosis;
mod idempotency;
mod items;
mod jobs;
mod products;
pub(crate) mod refusal;
mod revocations;
mod signing;
mod sources;
pub(crate) mod statements;

use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::ports::StoreError;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqliteConnection, query_scalar};

use crate::diagnosis::Diagnosis;
use crate::fault::Fault;
use crate::lane::{Answer, Hooks, Lane, Verdict};
use crate::options::SqliteOptions;
use crate::store::{Backend, not_among};

pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Writing transactions take the lock at once: one that began by reading could not be continued after another wrote.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Page cache of the writer, in KiB: holds the hot part of the sku index while a million products are imported.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Page cache of each reader, in KiB. What a reader needs is in the operating system's cache anyway.
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Pages in the write-ahead log (32 MiB) before a commit copies them into the database: an import then writes a page
/// of the index once per many batches instead of once per batch.
const CHECKPOINT_PAGES: i64 = 8 * 1024;
/// The size to which the write-ahead log is cut after a checkpoint.
const JOURNAL_BYTES: i64 = 64 << 20;

/// SQLite.
pub(crate) struct Sqlite {
    readers: Lane<sqlx::Sqlite>,
    writers: Lane<sqlx::Sqlite>,
    limit: Duration,
}

impl Sqlite {
    pub(crate) async fn open(options: &SqliteOptions, hooks: Hooks) -> Result<Self, StoreError> {
        if let Some(folder) = options.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|e| StoreError::Unavailable(format!("the folder {}: {e}", folder.display())))?;
        }
        // The writer first: it makes the file and puts it into write-ahead mode.
        let writer = connection(options)
            .create_if_missing(true)
            .pragma("cache_size", (-WRITER_CACHE_KIB).to_string())
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("journal_size_limit", JOURNAL_BYTES.to_string());
        let writers = pool(options, 1).connect_with(writer).await.map_err(Fault::from)?;
        let reader =
            connection(options).pragma("cache_size", (-READER_CACHE_KIB).to_string()).pragma("query_only", "ON");
        let readers = pool(options, options.max_readers.max(1)).connect_with(reader).await.map_err(Fault::from)?;
        Ok(Self {
            readers: Lane::new(readers, options.acquire_timeout, "BEGIN", Hooks::default()),
            writers: Lane::new(writers, options.acquire_timeout, BEGIN, hooks),
            limit: options.query_timeout,
        })
    }
}

fn connection(options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&options.path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on disk before it is answered: it survives a power cut, not only the end of the process.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Shorter than a transaction may take, so that a busy file is told from a slow one.
        .busy_timeout(options.query_timeout / 2)
        // Not mapped: pages of a mapped file would count as the server's own memory.
        .pragma("mmap_size", "0")
        .pragma("temp_store", "MEMORY")
}

fn pool(options: &SqliteOptions, connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.acquire_timeout)
        // A connection to a file does not break by lying idle; closing the last one would cost a checkpoint.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

#[async_trait]
impl Backend for Sqlite {
    type Db = sqlx::Sqlite;
    const NAME: &'static str = "sqlite";

    fn readers(&self) -> &Lane<sqlx::Sqlite> {
        &self.readers
    }

    fn writers(&self) -> &Lane<sqlx::Sqlite> {
        &self.writers
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    async fn pending(&self, limit: Duration) -> Result<Vec<String>, StoreError> {
        self.readers.run(limit, |conn| Box::pin(async move { not_among(&MIGRATOR, &applied(conn).await?) })).await
    }

    async fn diagnose(&self, limit: Duration) -> Result<Diagnosis, StoreError> {
        self.readers.run(limit, |conn| Box::pin(diagnosis::examine(conn))).await
    }

    /// One `BEGIN IMMEDIATE` around all of it: whoever comes second waits, then finds nothing left to do; whoever dies
    /// half way leaves nothing behind.
    async fn migrate(&self, limit: Duration) -> Result<Vec<String>, StoreError> {
        self.writers.transact(limit, |conn| Box::pin(apply(conn))).await
    }
}

async fn apply(conn: &mut SqliteConnection) -> Answer<Verdict<Vec<String>>> {
    let pending = not_among(&MIGRATOR, &applied(conn).await?)?;
    MIGRATOR.run_direct(None, conn, false).await?;
    Ok(Verdict::Commit(pending))
}

async fn applied(conn: &mut SqliteConnection) -> Answer<Vec<i64>> {
    let table = MIGRATOR.table_name.as_ref();
    let exists: i64 = query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?")
        .bind(table)
        .fetch_one(&mut *conn)
        .await?;
    if exists == 0 {
        return Ok(Vec::new());
    }
    Ok(conn.list_applied_migrations(table).await?.into_iter().map(|migration| migration.version).collect())
}
