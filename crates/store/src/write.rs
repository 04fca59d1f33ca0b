//! One command, one transaction: the product's row, its change-log row and, with an idempotency key, the receipt.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::invalid::Invalid;
use haat_catalog::ports::StoreError;
use haat_catalog::product::limits;
use haat_catalog::write::{Decision, Effect, Receipt, WriteError, WriteRequest, decide};
use haat_catalog::{ChangeOp, Draft, Product, ProductId, Seq, Timestamp};

use crate::fault::Fault;
use crate::idempotency;
use crate::lane::{Answer, Lane, Verdict};
use crate::sql::{Claim, LockedRow, LogRow, NewRow, Sql, place, product_id, unsigned};

/// How an attempt ends when the database did its part: with a receipt, or refused by the rules.
pub(crate) type Judged = Result<Receipt, WriteError>;

/// Carries out a command that has no idempotency key, or whose key is claimed.
pub(crate) async fn carry_out<DB>(
    lane: &Lane<DB>,
    limit: Duration,
    request: Arc<WriteRequest>,
    claim: Option<Claim>,
) -> Judged
where
    DB: sqlx::Database<Connection: Sql>,
{
    lane.transact(limit, move |conn| {
        let (request, claim) = (Arc::clone(&request), claim.clone());
        Box::pin(async move { in_transaction(conn, &request, claim.as_ref()).await })
    })
    .await?
}

async fn in_transaction<C: Sql>(
    conn: &mut C,
    request: &WriteRequest,
    claim: Option<&Claim>,
) -> Answer<Verdict<Judged>> {
    let row = conn.find_locked(&request.command.key()).await?;
    let existing = row.as_ref().map(LockedRow::product).transpose()?;
    let decision = match decide(existing.as_ref(), request) {
        Ok(decision) => unless_the_same(decision, row.as_ref(), existing.as_ref()),
        Err(refused) => return Ok(Verdict::Discard(Err(refused))),
    };
    let effect = match apply(conn, decision, existing, request).await? {
        Ok(effect) => effect,
        Err(refused) => return Ok(Verdict::Discard(Err(refused))),
    };
    if let Some(claim) = claim
        && !conn.hold_key(claim, effect.document.as_deref()).await?
    {
        // The claim ran out and another request took the key over: that one answers for it.
        return Ok(Verdict::Discard(Err(WriteError::KeyInFlight)));
    }
    let receipt = logged(conn, effect, request.now).await?;
    match claim {
        Some(claim) => {
            idempotency::finish(conn, claim, &receipt).await?;
            Ok(Verdict::Commit(Ok(receipt)))
        }
        None if receipt.effect == Effect::Unchanged => Ok(Verdict::Discard(Ok(receipt))),
        None => Ok(Verdict::Commit(Ok(receipt))),
    }
}

/// What was written of a command, all but its place in the log.
struct Applied {
    effect: Effect,
    product: Product,
    /// The product's JSON now.
    document: Option<String>,
}

/// An update to the very content that is there is none. [`decide`] compares products; this compares what was
/// written, so that a number whose text does not survive being read and written again is not a change each time.
fn unless_the_same(decision: Decision, row: Option<&LockedRow>, existing: Option<&Product>) -> Decision {
    match (decision, row, existing) {
        (Decision::Update(next), Some(row), Some(existing)) => {
            let hash = Draft::from((*next).clone()).content_hash();
            if row.content_hash == hash && next.created_at == existing.created_at {
                Decision::Unchanged
            } else {
                Decision::Update(next)
            }
        }
        (other, _, _) => other,
    }
}

async fn apply<C: Sql>(
    conn: &mut C,
    decision: Decision,
    existing: Option<Product>,
    request: &WriteRequest,
) -> Answer<Result<Applied, WriteError>> {
    let applied = |effect, product, document| Ok(Ok(Applied { effect, product, document }));
    match (decision, existing) {
        (Decision::Insert(product), _) => insert(conn, *product, request).await,
        (Decision::Update(product), _) => {
            let row = match new_row(&product, None) {
                Ok(row) => row,
                Err(invalid) => return Ok(Err(invalid.into())),
            };
            conn.replace(std::slice::from_ref(&row)).await?;
            applied(Effect::Updated, *product, Some(row.document))
        }
        (Decision::Unchanged, Some(product)) => {
            let document = String::from_utf8(product.to_json()).ok();
            applied(Effect::Unchanged, product, document)
        }
        (Decision::Delete, Some(product)) => {
            conn.delete(product.id).await?;
            applied(Effect::Deleted, product, None)
        }
        (Decision::Unchanged | Decision::Delete, None) => Err(Fault::internal("nothing is there to leave or delete")),
    }
}

async fn insert<C: Sql>(
    conn: &mut C,
    mut product: Product,
    request: &WriteRequest,
) -> Answer<Result<Applied, WriteError>> {
    if !conn.taken_ids(&[product.id]).await?.is_empty() {
        return Ok(Err(WriteError::IdTaken(product.id)));
    }
    if product.id != request.new_id {
        product.version += last_versions(conn, &[product.id]).await?.get(&product.id).copied().unwrap_or(0);
    }
    let row = match new_row(&product, None) {
        Ok(row) => row,
        Err(invalid) => return Ok(Err(invalid.into())),
    };
    conn.insert(std::slice::from_ref(&row)).await?;
    Ok(Ok(Applied { effect: Effect::Created, product, document: Some(row.document) }))
}

/// Takes the change's place in the log, the last thing before the log row, a key's receipt and the commit. What changed
/// nothing has the place of the product's last change.
async fn logged<C: Sql>(conn: &mut C, applied: Applied, now: Timestamp) -> Answer<Receipt> {
    let Applied { effect, product, document } = applied;
    let (op, products) = match effect {
        Effect::Created => (ChangeOp::Created, 1),
        Effect::Updated => (ChangeOp::Updated, 0),
        Effect::Deleted => (ChangeOp::Deleted, -1),
        Effect::Unchanged => {
            let seq = match conn.newest_of(product.id).await? {
                Some(seq) => seq,
                None => conn.head().await?,
            };
            return Ok(receipt(effect, &product, place(seq)?, document));
        }
    };
    let seq = conn.advance(1, products).await?;
    let row =
        LogRow { seq, product_id: product.id, op, sku: product.sku.clone(), version: product.version, changed_at: now };
    conn.append(&[row]).await?;
    Ok(receipt(effect, &product, place(seq)?, document))
}

fn receipt(effect: Effect, product: &Product, seq: Seq, document: Option<String>) -> Receipt {
    Receipt {
        effect,
        id: product.id,
        sku: product.sku.clone(),
        version: product.version,
        seq,
        document: document.map(Into::into),
        replayed: false,
    }
}

/// The versions to go on from of ids that writers brought. An id that a product had before it was deleted (an import
/// of an export brings it back) must not begin at version 1 again: entity tags are made of id and version, and a cache
/// would take the new product for the old one.
pub(crate) async fn last_versions<C: Sql>(conn: &mut C, ids: &[ProductId]) -> Answer<HashMap<ProductId, u64>> {
    let rows = conn.last_versions(ids).await?;
    rows.into_iter().map(|row| Ok((product_id(&row.product_id)?, unsigned(row.version)?))).collect()
}

/// The row of a product; `hash` where it is known already.
///
/// # Errors
/// When its JSON is longer than [`limits::DOCUMENT_BYTES`].
pub(crate) fn new_row(product: &Product, hash: Option<[u8; 16]>) -> Result<NewRow, Invalid> {
    let json = product.to_json();
    if json.len() > limits::DOCUMENT_BYTES {
        let detail = format!("the product's JSON is {} bytes long, more than {}", json.len(), limits::DOCUMENT_BYTES);
        return Err(Invalid::one("", detail));
    }
    let document = String::from_utf8(json).map_err(|_| Invalid::one("", "is no UTF-8"))?;
    Ok(NewRow {
        id: product.id,
        sku: product.sku.clone(),
        version: product.version,
        content_hash: hash.unwrap_or_else(|| Draft::from(product.clone()).content_hash()),
        created_at: product.created_at,
        updated_at: product.updated_at,
        document,
    })
}

/// Whether a write failed because of the store, so that nobody knows its outcome.
pub(crate) fn outcome_unknown(result: &Judged) -> bool {
    matches!(result, Err(WriteError::Store(StoreError::Unavailable(_) | StoreError::Timeout(_))))
}
