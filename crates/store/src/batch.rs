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
use haat_catalog::write::{BatchError, BatchOutcome, BatchRequest, new_product};
use haat_catalog::{ChangeOp, Draft, Product, ProductId, Sku, Timestamp};
use haat_catalog::{Invalid, Violation};

use crate::fault::Fault;
use crate::lane::{Answer, Lane, Verdict};
use crate::sql::{JobRow, KnownRow, LogRow, NewRow, Sql, product_id, unsigned};
use crate::write::{last_versions, new_row};

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
    let mut plan = Plan {
        taken: taken_ids(conn, request, &known).await?,
        last_versions: last_versions(conn, &brought_ids(request, &known)).await?,
        ..Plan::default()
    };
    let mut planned = HashSet::new();
    for ((draft, new_id), hash) in request.drafts.iter().zip(&request.new_ids).zip(&prepared.hashes) {
        let outcome = if planned.insert(&draft.sku) {
            plan.decide(draft, *new_id, *hash, known.get(draft.sku.as_str()).copied(), request.now)?
        } else {
            refused("/sku", format!("the sku '{}' is in this batch already", draft.sku))
        };
        plan.outcomes.push(outcome);
    }
    if !request.dry_run {
        plan.write_products(conn).await?;
    }
    if let Some(checkpoint) = &request.checkpoint {
        let counts = plan.counts(checkpoint.records, checkpoint.failed);
        if !conn.advance_job(checkpoint.job, checkpoint.from, counts, request.now.as_millis()).await? {
            let job = conn.find_job(checkpoint.job).await?.map(JobRow::job).transpose()?;
            return Ok(Verdict::Discard(Err(BatchError::Moved(job.map(Box::new)))));
        }
    }
    let changed = !request.dry_run && plan.write_log(conn).await?;
    if changed || request.checkpoint.is_some() {
        Ok(Verdict::Commit(Ok(plan.outcomes)))
    } else {
        Ok(Verdict::Discard(Ok(plan.outcomes)))
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

fn refused(pointer: &str, detail: impl Into<String>) -> BatchOutcome {
    BatchOutcome::Refused(Violation::new(pointer, detail))
}

/// What a batch will write.
#[derive(Default)]
struct Plan {
    taken: HashSet<ProductId>,
    last_versions: HashMap<ProductId, u64>,
    outcomes: Vec<BatchOutcome>,
    inserts: Vec<NewRow>,
    updates: Vec<NewRow>,
    /// In the order of the drafts, not yet numbered.
    log: Vec<LogRow>,
}

impl Plan {
    /// Decides about one draft as [`haat_catalog::write::decide`] would about a put.
    fn decide(
        &mut self,
        draft: &Draft,
        new_id: ProductId,
        hash: ContentHash,
        known: Option<&KnownRow>,
        now: Timestamp,
    ) -> Answer<BatchOutcome> {
        match known {
            None => Ok(self.create(draft, new_id, hash, now)),
            Some(row) => self.update(draft, hash, row, now),
        }
    }

    fn create(&mut self, draft: &Draft, new_id: ProductId, hash: ContentHash, now: Timestamp) -> BatchOutcome {
        let mut product = new_product(draft.clone(), new_id, now);
        product.version += self.last_versions.get(&product.id).copied().unwrap_or(0);
        if !self.taken.insert(product.id) {
            return refused("/id", format!("the id {} belongs to another product", product.id));
        }
        match new_row(&product, Some(hash)) {
            Ok(row) => {
                self.inserts.push(row);
                self.note(ChangeOp::Created, &product, now);
                BatchOutcome::Created
            }
            Err(invalid) => first_violation(invalid),
        }
    }

    fn update(&mut self, draft: &Draft, hash: ContentHash, row: &KnownRow, now: Timestamp) -> Answer<BatchOutcome> {
        let id = product_id(&row.id)?;
        if draft.id.is_some_and(|brought| brought != id) {
            let detail = format!("the product with this sku has the id {id}; leave 'id' out or send that one");
            return Ok(refused("/id", detail));
        }
        let was_created = Timestamp::from_millis(row.created_at);
        let created_at = draft.created_at.unwrap_or(was_created);
        if row.content_hash == hash && created_at == was_created {
            return Ok(BatchOutcome::Unchanged);
        }
        let product = draft.clone().into_product(id, unsigned(row.version)? + 1, created_at, now);
        Ok(match new_row(&product, Some(hash)) {
            Ok(row) => {
                self.updates.push(row);
                self.note(ChangeOp::Updated, &product, now);
                BatchOutcome::Updated
            }
            Err(invalid) => first_violation(invalid),
        })
    }

    fn note(&mut self, op: ChangeOp, product: &Product, now: Timestamp) {
        self.log.push(LogRow {
            seq: 0,
            product_id: product.id,
            op,
            sku: product.sku.clone(),
            version: product.version,
            changed_at: now,
        });
    }

    fn counts(&self, records: u64, failed: u64) -> ImportCounts {
        let mut counts = ImportCounts { records, failed, ..ImportCounts::default() };
        for outcome in &self.outcomes {
            match outcome {
                BatchOutcome::Created => counts.created += 1,
                BatchOutcome::Updated => counts.updated += 1,
                BatchOutcome::Unchanged => counts.unchanged += 1,
                BatchOutcome::Refused(_) => counts.failed += 1,
            }
        }
        counts
    }

    async fn write_products<C: Sql>(&mut self, conn: &mut C) -> Answer<()> {
        self.inserts.sort_unstable_by_key(|row| row.id);
        self.updates.sort_unstable_by_key(|row| row.id);
        conn.insert(&self.inserts).await?;
        conn.replace(&self.updates).await
    }

    /// Takes the changes' places in the log, the last thing before the log rows and the commit; tells whether there
    /// were any.
    async fn write_log<C: Sql>(&mut self, conn: &mut C) -> Answer<bool> {
        if self.log.is_empty() {
            return Ok(false);
        }
        let too_many = |_| Fault::internal("a batch of more than 2^63 products");
        let places = i64::try_from(self.log.len()).map_err(too_many)?;
        let last = conn.advance(places, i64::try_from(self.inserts.len()).map_err(too_many)?).await?;
        for (row, seq) in self.log.iter_mut().zip(last - places + 1..) {
            row.seq = seq;
        }
        conn.append(&self.log).await?;
        Ok(true)
    }
}

fn first_violation(Invalid(violations): Invalid) -> BatchOutcome {
    let unnamed = || Violation::new("", "is no valid product");
    BatchOutcome::Refused(violations.into_iter().next().unwrap_or_else(unnamed))
}
