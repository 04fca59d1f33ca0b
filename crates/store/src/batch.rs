//! Many products in one transaction: look up what is there, write what differs.
//!
//! What is there is found by sku and compared by content hash, so that no document is read. Rows are looked up in
//! order of sku and written in order of id: batches that meet then queue instead of deadlocking, and neighbours in the
//! index are written together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{ImportCounts, StoreError};
use haat_catalog::product::ContentHash;
use haat_catalog::write::{BatchError, BatchOutcome, BatchRequest};
use haat_catalog::{Draft, ProductId, Sku};

use crate::lane::{Answer, Lane, Verdict};
use crate::plan::{Plan, refused};
use crate::sql::{JobRow, KnownRow, Sql, product_id};
use crate::write::last_versions;

/// Carries out a batch.
pub(crate) async fn carry_out<DB>(
    lane: &Lane<DB>,
    limit: Duration,
    request: BatchRequest,
) -> Result<Vec<BatchOutcome>, BatchError>
where
    DB: sqlx::Database<Connection: Sql>,
{
    if request.drafts.len() != request.new_ids.len() {
        return Err(StoreError::Internal("a batch brings a new id for each draft".into()).into());
    }
    if request.drafts.is_empty() && request.checkpoint.is_none() {
        return Ok(Vec::new());
    }
    let prepared = tokio::task::spawn_blocking(move || Arc::new(Prepared::new(request)))
        .await
        .map_err(|e| StoreError::Internal(format!("preparing a batch: {e}")))?;
    lane.transact(limit, move |conn| {
        let prepared = Arc::clone(&prepared);
        Box::pin(async move { in_transaction(conn, &prepared).await })
    })
    .await?
}

/// How an attempt ends when the database did its part.
type Judged = Result<Vec<BatchOutcome>, BatchError>;

/// What can be known of a batch before asking the database.
struct Prepared {
    request: BatchRequest,
    /// Of each draft.
    hashes: Vec<ContentHash>,
    /// The drafts' places in order of sku, each sku once.
    by_sku: Vec<usize>,
}

impl Prepared {
    fn new(request: BatchRequest) -> Self {
        let hashes = request.drafts.iter().map(Draft::content_hash).collect();
        let sku = |i: &usize| request.drafts.get(*i).map(|draft| &draft.sku);
        let mut by_sku: Vec<usize> = (0..request.drafts.len()).collect();
        by_sku.sort_by(|a, b| sku(a).cmp(&sku(b)));
        by_sku.dedup_by(|later, first| sku(later) == sku(first));
        Self { request, hashes, by_sku }
    }

    fn skus(&self) -> Vec<&Sku> {
        self.by_sku.iter().filter_map(|i| self.request.drafts.get(*i)).map(|draft| &draft.sku).collect()
    }
}

async fn in_transaction<C: Sql>(conn: &mut C, prepared: &Prepared) -> Answer<Verdict<Judged>> {
    let request = &prepared.request;
    let rows = conn.known(&prepared.skus(), !request.dry_run).await?;
    let known: HashMap<&str, &KnownRow> = rows.iter().map(|row| (row.sku.as_str(), row)).collect();
    let taken = taken_ids(conn, request, &known).await?;
    let mut plan = Plan::new(taken, last_versions(conn, &brought_ids(request, &known)).await?);
    let (mut planned, mut outcomes) = (HashSet::new(), Vec::with_capacity(request.drafts.len()));
    for ((draft, new_id), hash) in request.drafts.iter().zip(&request.new_ids).zip(&prepared.hashes) {
        let outcome = if planned.insert(&draft.sku) {
            plan.decide(draft, *new_id, *hash, known.get(draft.sku.as_str()).copied(), request.now)?
        } else {
            refused("/sku", format!("the sku '{}' is in this batch already", draft.sku))
        };
        outcomes.push(outcome);
    }
    if !request.dry_run {
        plan.write_products(conn).await?;
    }
    if let Some(checkpoint) = &request.checkpoint {
        let counts = counts(&outcomes, checkpoint.records, checkpoint.failed);
        if !conn.advance_job(checkpoint.job, checkpoint.from, counts, request.now.as_millis()).await? {
            let job = conn.find_job(checkpoint.job).await?.map(JobRow::job).transpose()?;
            return Ok(Verdict::Discard(Err(BatchError::Moved(job.map(Box::new)))));
        }
    }
    let changed = !request.dry_run && plan.write_log(conn).await?;
    if changed || request.checkpoint.is_some() {
        Ok(Verdict::Commit(Ok(outcomes)))
    } else {
        Ok(Verdict::Discard(Ok(outcomes)))
    }
}

/// The ids of new products that belong to others: those that drafts bring, and should it ever be, those drawn.
async fn taken_ids<C: Sql>(
    conn: &mut C,
    request: &BatchRequest,
    known: &HashMap<&str, &KnownRow>,
) -> Answer<HashSet<ProductId>> {
    let new = request.drafts.iter().zip(&request.new_ids).filter(|(draft, _)| !known.contains_key(draft.sku.as_str()));
    let mut ids: Vec<ProductId> = new.map(|(draft, new_id)| draft.id.unwrap_or(*new_id)).collect();
    ids.sort_unstable();
    conn.taken_ids(&ids).await?.iter().map(|id| product_id(id)).collect()
}

/// The ids that drafts of new products bring.
fn brought_ids(request: &BatchRequest, known: &HashMap<&str, &KnownRow>) -> Vec<ProductId> {
    let new = request.drafts.iter().filter(|draft| !known.contains_key(draft.sku.as_str()));
    let mut ids: Vec<ProductId> = new.filter_map(|draft| draft.id).collect();
    ids.sort_unstable();
    ids
}

/// What an import job counts of the outcomes.
fn counts(outcomes: &[BatchOutcome], records: u64, failed: u64) -> ImportCounts {
    let mut counts = ImportCounts { records, failed, ..ImportCounts::default() };
    for outcome in outcomes {
        match outcome {
            BatchOutcome::Created => counts.created += 1,
            BatchOutcome::Updated => counts.updated += 1,
            BatchOutcome::Unchanged => counts.unchanged += 1,
            BatchOutcome::Refused(_) => counts.failed += 1,
        }
    }
    counts
}
