//! The truth in SQL: products, the change log, idempotency keys and import jobs; clients, signing keys and revocations;
//! sources, their runs and whose products are whose; on SQLite and on MySQL.
//!
//! [`open`] gives an [`Arc`] of [`Store`], which is all the store ports of `haat-catalog`, `haat-oauth` and `haat-sources`
//! together.
//!
//! ```text
//! store.rs       the ports of the catalogue; picks a lane        auth.rs       those of authorization
//!   write.rs  batch.rs  changes.rs  idempotency.rs  jobs.rs  first_uses.rs
//!                                                                what a transaction does, once for both databases
//! sources/       the port of sources: leases, pages, removals    plan.rs        what batches and pages write
//!     sql.rs     what these ask of a database (sources/sql.rs)   statement.rs   SQL texts as data
//!       sqlite/  mysql/   the same files in both: products, batch, changes, compaction, idempotency, jobs;
//!                         clients, signing, revocations; sources, items;
//!                         statements.rs holds every SQL text, refusal.rs reads error codes, mod.rs connects
//!   lane.rs      tasks, deadlines, retries: why a hung-up client or a deadlock does no harm
//! ```
//!
//! Promises, each with a test of that name in `tests/`:
//! - **The change log has no gap and no repeat.** A change's number is taken from one row, as the last act of its
//!   transaction but for the log row and a key's receipt, so numbers are in order of commit (docs/adr/0002-change-log-sequence.md).
//! - **Nor have revocations**, and by the same means: the counters of clients, signing keys and revocations are held until
//!   the commit of the change that they count.
//! - **One transaction per call.** A batch, its change-log rows and the import job's progress are written together; so are a
//!   page of a source, whose products they are, and how the run stands.
//! - **A product belongs to one source, a source is written for by one holder of its lease**, the newest.
//! - **Acknowledged is durable.** SQLite runs with `synchronous=FULL`: a commit is on disk before it is answered,
//!   imports included (a batch costs one sync). On MySQL it is the server's setting
//!   (`innodb_flush_log_at_trx_commit`, 1 by default).
//! - **A dropped request harms nobody**, and every wait has an end.
//! - **Every statement uses an index.**
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod auth;
mod batch;
mod budget;
mod changes;
mod diagnosis;
mod fault;
mod first_uses;
mod idempotency;
mod jobs;
mod lane;
mod mysql;
mod options;
mod plan;
mod sources;
mod sql;
mod sqlite;
mod statement;
mod store;
#[doc(hidden)]
pub mod testing;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use haat_catalog::ports::{ChangeLog, Health, ImportJobs, ProductReader, ProductWriter, StoreError};
use haat_oauth::ports::AuthStore;
use haat_sources::ports::SourceStore;

pub use diagnosis::{Concern, Diagnosis};
pub use options::{BATCH_FACTOR, MySqlOptions, MySqlTls, SqliteOptions, StoreOptions};

/// All the store ports of the catalogue, of authorization and of sources, over one database.
#[async_trait]
pub trait Store:
    ProductReader + ProductWriter + ChangeLog + ImportJobs + AuthStore + SourceStore + Health + Send + Sync
{
    /// `sqlite` or `mysql`.
    fn backend(&self) -> &'static str;

    /// The names of migrations that [`Self::migrate`] would apply, for example `0001_catalogue`.
    ///
    /// # Errors
    /// When the database fails, or was migrated by a newer Haat.
    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError>;

    /// Applies pending migrations and gives their names. Several replicas may do so at once: one does it, the others
    /// wait. One that ended half way is repeated.
    ///
    /// # Errors
    /// When the database fails, or was migrated by a newer Haat.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// What the database says of itself, for those who look after it.
    ///
    /// # Errors
    /// When the database fails.
    async fn diagnose(&self) -> Result<Diagnosis, StoreError>;

    /// Closes all connections. What is under way is finished first; later calls fail.
    async fn close(&self);
}

/// The names of all migrations that this Haat knows for a database, in order.
pub fn migrations(options: &StoreOptions) -> Vec<String> {
    match options {
        StoreOptions::Sqlite(_) => sqlite::MIGRATOR.iter().map(store::migration_name).collect(),
        StoreOptions::MySql(_) => mysql::migrator().iter().map(store::migration_name).collect(),
    }
}

/// Connects to a database; does not migrate it.
///
/// # Errors
/// When it cannot be reached, refuses the user, or its certificate is not the right one.
pub async fn open(options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    open_hooked(options, lane::Hooks::default()).await
}

async fn open_hooked(options: &StoreOptions, hooks: lane::Hooks) -> Result<Arc<dyn Store>, StoreError> {
    let uses = first_uses::FirstUses::default();
    Ok(match options {
        StoreOptions::Sqlite(options) => Arc::new(store::SqlStore(sqlite::Sqlite::open(options, hooks).await?, uses)),
        StoreOptions::MySql(options) => Arc::new(store::SqlStore(mysql::MySql::open(options, hooks).await?, uses)),
    })
}
