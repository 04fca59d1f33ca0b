//! The catalogue's ports over any backend: which lane each call takes, and nothing else. Authorization's are in
//! [`crate::auth`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use haat_catalog::ports::{
    ChangeLog, ChangeLogError, Compacted, Compaction, Health, ImportJob, ImportJobs, JobState, ProductReader,
    ProductWriter, StoreError, StoredProduct,
};
use haat_catalog::product::ProductKey;
use haat_catalog::write::{BatchError, BatchOutcome, BatchRequest, Receipt, WriteError, WriteRequest};
use haat_catalog::{ChangePage, Origin, ProductId, Resume, Seq, Timestamp};
use uuid::Uuid;

use crate::budget::Budget;
use crate::diagnosis::Diagnosis;
use crate::fault::Fault;
use crate::first_uses::FirstUses;
use crate::lane::{Answer, Lane, Verdict};
use crate::options::BATCH_FACTOR;
use crate::sql::{ChangeSql, JobRow, JobSql, KeySql, ProductRow, ProductSql, Sql, signed};
use crate::{Store, batch, changes, idempotency, jobs, write};

/// How long a health check may take: a probe that waits longer is as good as a refusal.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);
/// How long migrations may take. Later ones may rewrite a large table.
const MIGRATION_LIMIT: Duration = Duration::from_secs(3600);
/// How many rows one step of forgetting takes.
pub(crate) const PRUNE_ROWS: u32 = 1_000;

/// A database engine: how it is reached and migrated. What it is asked is in [`Sql`].
#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// The engine.
    type Db: sqlx::Database<Connection: Sql>;
    /// Its name.
    const NAME: &'static str;
    /// Connections for what does not write.
    fn readers(&self) -> &Lane<Self::Db>;
    /// Connections for what writes.
    fn writers(&self) -> &Lane<Self::Db>;
    /// How long a transaction may take.
    fn limit(&self) -> Duration;
    /// The names of migrations not yet applied.
    async fn pending(&self, limit: Duration) -> Result<Vec<String>, StoreError>;
    /// What the database says of itself.
    async fn diagnose(&self, limit: Duration) -> Result<Diagnosis, StoreError>;
    /// Applies them and gives their names.
    async fn migrate(&self, limit: Duration) -> Result<Vec<String>, StoreError>;
}

/// What a backend is spoken to over.
pub(crate) type Conn<B> = <<B as Backend>::Db as sqlx::Database>::Connection;

/// The store over a backend.
pub(crate) struct SqlStore<B>(pub(crate) B, pub(crate) FirstUses);

impl<B: Backend> SqlStore<B> {
    pub(crate) fn batch_limit(&self) -> Duration {
        self.0.limit() * BATCH_FACTOR
    }

    /// Repeats a step that forgets up to [`PRUNE_ROWS`] rows, each time on its own, until there is nothing left to forget;
    /// gives how many rows that were.
    pub(crate) async fn prune<F>(&self, step: F) -> Result<u64, StoreError>
    where
        F: for<'c> Fn(&'c mut Conn<B>) -> BoxFuture<'c, Answer<u64>> + Send + Sync + Clone + 'static,
    {
        let mut forgotten = 0;
        loop {
            let rows = self.0.writers().run(self.0.limit(), step.clone()).await?;
            forgotten += rows;
            if rows < u64::from(PRUNE_ROWS) {
                return Ok(forgotten);
            }
        }
    }
}

#[async_trait]
impl<B: Backend> ProductReader for SqlStore<B> {
    async fn product(&self, key: &ProductKey) -> Result<Option<StoredProduct>, StoreError> {
        let key = key.clone();
        self.0
            .readers()
            .run(self.0.limit(), move |conn| {
                let key = key.clone();
                Box::pin(async move { conn.find(&key).await?.map(|row| row.stored()).transpose() })
            })
            .await
    }

    async fn scan(&self, after: Option<ProductId>, limit: u32) -> Result<Vec<StoredProduct>, StoreError> {
        // Nothing sorts before an empty key.
        let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        self.0
            .readers()
            .run(self.batch_limit(), move |conn| {
                let after = after.clone();
                Box::pin(async move { scan(conn, after, limit).await })
            })
            .await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count = self.0.readers().run(self.0.limit(), |conn| Box::pin(async move { conn.count().await })).await?;
        u64::try_from(count).map_err(|_| StoreError::Corrupt(format!("{count} products")))
    }
}

#[async_trait]
impl<B: Backend> ProductWriter for SqlStore<B> {
    async fn write(&self, request: WriteRequest) -> Result<Receipt, WriteError> {
        let (readers, writers, limit) = (self.0.readers().clone(), self.0.writers().clone(), self.0.limit());
        let request = Arc::new(request);
        let Some(key) = request.idempotency.clone() else {
            return write::carry_out(&writers, limit, request, None).await;
        };
        // Several transactions: on a task of its own, so that a caller that hangs up leaves no claim behind.
        let task = tokio::spawn(idempotency::carry_out_once(readers, writers, limit, request, key));
        task.await.map_err(|e| StoreError::Internal(format!("the task of a write: {e}")))?
    }

    async fn write_batch(&self, request: BatchRequest) -> Result<Vec<BatchOutcome>, BatchError> {
        let reads_only = request.dry_run && request.checkpoint.is_none();
        let lane = if reads_only { self.0.readers() } else { self.0.writers() };
        batch::carry_out(lane, self.batch_limit(), request).await
    }

    async fn prune_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = before.as_millis();
        self.prune(move |conn| Box::pin(async move { conn.prune_keys(before, PRUNE_ROWS).await })).await
    }
}

#[async_trait]
impl<B: Backend> ChangeLog for SqlStore<B> {
    async fn head(&self) -> Result<Seq, StoreError> {
        let head = self.0.readers().run(self.0.limit(), |conn| Box::pin(async move { conn.head().await })).await?;
        u64::try_from(head).map(Seq).map_err(|_| StoreError::Corrupt(format!("the change log ends at {head}")))
    }

    async fn origin(&self) -> Result<Origin, StoreError> {
        let origin = self.0.readers().run(self.0.limit(), |conn| Box::pin(async move { conn.origin().await })).await?;
        let bytes = <[u8; 16]>::try_from(origin.as_slice());
        bytes.map(Origin::from_bytes).map_err(|_| StoreError::Corrupt(format!("an origin of {} bytes", origin.len())))
    }

    async fn read(&self, from: Resume, limit: u32) -> Result<ChangePage, ChangeLogError> {
        changes::read(self.0.readers(), self.batch_limit(), from, limit).await
    }

    async fn follow(&self, follower: &str, at: Seq, now: Timestamp) -> Result<(), StoreError> {
        let follower = follower.to_owned();
        self.0
            .writers()
            .run(self.0.limit(), move |conn| {
                let follower = follower.clone();
                Box::pin(async move { conn.note_follower(&follower, signed(at.0), now.as_millis()).await })
            })
            .await
    }

    async fn compact(&self, policy: Compaction) -> Result<Compacted, StoreError> {
        changes::compact(self.0.writers(), self.batch_limit(), policy).await
    }
}

#[async_trait]
impl<B: Backend> ImportJobs for SqlStore<B> {
    async fn create_job(&self, job: &ImportJob) -> Result<(), StoreError> {
        let row = JobRow::of(job)?;
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let row = row.clone();
                Box::pin(async move { conn.insert_job(&row).await.map(Verdict::Commit) })
            })
            .await
    }

    async fn job(&self, id: Uuid) -> Result<Option<ImportJob>, StoreError> {
        self.0
            .readers()
            .run(self.0.limit(), move |conn| {
                Box::pin(async move { conn.find_job(id).await?.map(JobRow::job).transpose() })
            })
            .await
    }

    async fn save_job(&self, job: &ImportJob) -> Result<bool, StoreError> {
        let row = JobRow::of(job)?;
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let row = row.clone();
                Box::pin(async move { conn.save_job(&row).await.map(Verdict::Commit) })
            })
            .await
    }

    async fn unfinished_jobs(&self, owner: &str) -> Result<Vec<ImportJob>, StoreError> {
        let owner = owner.to_owned();
        self.0
            .readers()
            .run(self.0.limit(), move |conn| {
                let owner = owner.clone();
                Box::pin(async move { Ok(jobs::readable(conn.unfinished_jobs(&owner).await?)) })
            })
            .await
    }

    async fn cancel_job(&self, id: Uuid, now: Timestamp) -> Result<Option<JobState>, StoreError> {
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                Box::pin(async move {
                    conn.cancel_job(id, now.as_millis()).await?;
                    let state = conn.job_state(id).await?.map(jobs::state).transpose()?;
                    Ok(Verdict::Commit(state))
                })
            })
            .await
    }

    async fn fail_abandoned_jobs(&self, since: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        let (since, now) = (since.as_millis(), now.as_millis());
        self.0
            .writers()
            .run(self.0.limit(), move |conn| {
                Box::pin(async move { conn.fail_abandoned_jobs(jobs::ABANDONED, since, now).await })
            })
            .await
    }

    async fn prune_jobs(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = before.as_millis();
        self.0.writers().run(self.0.limit(), move |conn| Box::pin(async move { conn.prune_jobs(before).await })).await
    }
}

#[async_trait]
impl<B: Backend> Health for SqlStore<B> {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), String> {
        let answer = self.0.readers().run(HEALTH_LIMIT, |conn| Box::pin(async move { conn.head().await }));
        match tokio::time::timeout(HEALTH_LIMIT, answer).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the database did not answer within {HEALTH_LIMIT:?}")),
        }
    }
}

#[async_trait]
impl<B: Backend> Store for SqlStore<B> {
    fn backend(&self) -> &'static str {
        B::NAME
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.0.pending(self.0.limit()).await
    }

    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.0.migrate(MIGRATION_LIMIT).await
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        self.0.diagnose(self.0.limit()).await
    }

    async fn close(&self) {
        self.0.readers().close().await;
        self.0.writers().close().await;
    }
}

/// Products in order of id, up to `limit` or as many as a page's budget allows, but always one if there is one.
async fn scan<C: Sql>(conn: &mut C, mut after: Vec<u8>, limit: u32) -> Answer<Vec<StoredProduct>> {
    let (mut budget, mut products) = (Budget::new(), Vec::new());
    let limit = limit as usize;
    while products.len() < limit && !budget.is_spent() {
        let wanted = budget.documents().min(limit - products.len());
        let rows = conn.scan(&after, u32::try_from(wanted).unwrap_or(u32::MAX)).await?;
        let Some(last) = rows.last() else { break };
        after = last.key().to_vec();
        budget.spend(rows.len(), rows.iter().map(ProductRow::bytes).sum());
        let is_last = rows.len() < wanted;
        for row in rows {
            products.push(row.stored()?);
        }
        if is_last {
            break;
        }
    }
    Ok(products)
}

/// A migration's name, as its file is called.
pub(crate) fn migration_name(migration: &sqlx::migrate::Migration) -> String {
    format!("{:04}_{}", migration.version, migration.description.replace(' ', "_"))
}

/// The names of the migrations that are not among `applied`.
///
/// # Errors
/// When the database was migrated by a newer Haat.
pub(crate) fn not_among(migrator: &sqlx::migrate::Migrator, applied: &[i64]) -> Result<Vec<String>, Fault> {
    if let Some(unknown) = applied.iter().find(|version| !migrator.version_exists(**version)) {
        return Err(sqlx::migrate::MigrateError::VersionMissing(*unknown).into());
    }
    Ok(migrator.iter().filter(|m| !applied.contains(&m.version)).map(migration_name).collect())
}
