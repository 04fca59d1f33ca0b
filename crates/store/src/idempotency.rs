//! Idempotency keys: the same request twice has one effect and one answer.
//!
//! A key is claimed in a transaction of its own, so that a twin that arrives meanwhile sees it and is told so rather
//! than made to wait. The claim is a lease: a server that dies leaves it to run out. The receipt is written in the
//! effect's transaction, and only if the claim still stands; so there is never an effect without its receipt.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::StoreError;
use haat_catalog::write::{Effect, IdempotencyKey, Receipt, WriteError, WriteRequest};
use haat_catalog::{ProductId, Seq, Sku};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::fault::Fault;
use crate::lane::{Answer, Lane, Verdict, random_u64};
use crate::sql::{Claim, KeyRow, KeySql, Sql};
use crate::write::{Judged, carry_out, outcome_unknown};

/// How long a claim holds when its server does not finish: longer than any transaction may take.
const LEASE: Duration = Duration::from_secs(60);

/// How soon giving a claim up is tried again, at first.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest scope and the longest key, in bytes.
const MAX_BYTES: usize = 255;

/// Carries out a command that has an idempotency key.
pub(crate) async fn carry_out_once<DB>(
    readers: Lane<DB>,
    writers: Lane<DB>,
    limit: Duration,
    request: Arc<WriteRequest>,
    key: IdempotencyKey,
) -> Judged
where
    DB: sqlx::Database<Connection: Sql>,
{
    let claim = claim_of(&key, &request)?;
    // Three transactions, but no more time than one has that waits for its turn first.
    let deadline = Instant::now() + writers.turn_limit() + limit;
    // Asked before each: who has no time left must not wait for a turn that it could do nothing with.
    let left = || match limit.min(deadline.saturating_duration_since(Instant::now())) {
        Duration::ZERO => Err(StoreError::Timeout("no time was left for the rest of a write with a key".into())),
        left => Ok(left),
    };
    // A look without a lock first: a replay or a twin in flight then never waits for a writer.
    let seen = find(&readers, left()?, claim.clone()).await?;
    if let Standing::Settled(judged) = judge(seen.as_ref(), &claim).map_err(StoreError::from)? {
        return judged;
    }
    match take(&writers, left()?, claim.clone()).await {
        Ok(None) => {}
        Ok(Some(judged)) => return judged,
        Err(error) => {
            // The claim may stand although its answer was lost; nobody but this request has its token.
            if matches!(error, StoreError::Unavailable(_) | StoreError::Timeout(_)) {
                tokio::spawn(release_in_time(writers, limit, claim));
            }
            return Err(error.into());
        }
    }
    writers.claimed().await;
    let result = match left() {
        Ok(left) => carry_out(&writers, left, request, Some(claim.clone())).await,
        Err(error) => Err(error.into()),
    };
    match &result {
        Ok(_) => {}
        // The database is in trouble: let the caller know now, and try to give the claim up meanwhile. It cannot
        // undo an effect: a transaction that may yet commit holds the key's row, and once it did, the receipt is there.
        Err(_) if outcome_unknown(&result) => {
            tokio::spawn(release_in_time(writers, limit, claim));
        }
        Err(_) => drop(release(&writers, limit, claim).await),
    }
    result
}

fn claim_of(key: &IdempotencyKey, request: &WriteRequest) -> Result<Claim, StoreError> {
    if key.scope.len() > MAX_BYTES || key.key.len() > MAX_BYTES {
        return Err(StoreError::Internal(format!("an idempotency key or its scope is longer than {MAX_BYTES} bytes")));
    }
    let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
    let now = request.now.as_millis();
    Ok(Claim {
        scope: key.scope.clone(),
        key: key.key.clone(),
        request_hash: key.request_hash,
        token: i64::from_ne_bytes(random_u64().to_ne_bytes()),
        lease_until: now.saturating_add(lease),
        now,
    })
}

/// What a key's row means for a request that brings the key.
enum Standing {
    /// The request needs no work: it is answered already, or must not be carried out.
    Settled(Judged),
    /// Nobody holds the key; there is no row.
    Free,
    /// Nobody holds the key any more.
    RunOut,
}

fn judge(row: Option<&KeyRow>, claim: &Claim) -> Answer<Standing> {
    let Some(row) = row else { return Ok(Standing::Free) };
    let same = row.request_hash == claim.request_hash;
    Ok(match &row.receipt {
        Some(_) if !same => Standing::Settled(Err(WriteError::KeyReused)),
        Some(receipt) => Standing::Settled(Ok(replay(receipt, row.document.clone())?)),
        None if row.lease_until <= claim.now => Standing::RunOut,
        None if !same => Standing::Settled(Err(WriteError::KeyReused)),
        None => Standing::Settled(Err(WriteError::KeyInFlight)),
    })
}

async fn find<DB>(lane: &Lane<DB>, limit: Duration, claim: Claim) -> Result<Option<KeyRow>, StoreError>
where
    DB: sqlx::Database<Connection: Sql>,
{
    lane.run(limit, move |conn| {
        let claim = claim.clone();
        Box::pin(async move { conn.find_key(&claim.scope, &claim.key, false).await })
    })
    .await
}

/// Claims the key; gives an answer when it turns out that there is one.
async fn take<DB>(lane: &Lane<DB>, limit: Duration, claim: Claim) -> Result<Option<Judged>, StoreError>
where
    DB: sqlx::Database<Connection: Sql>,
{
    lane.transact(limit, move |conn| {
        let claim = claim.clone();
        Box::pin(async move {
            let row = conn.find_key(&claim.scope, &claim.key, true).await?;
            match judge(row.as_ref(), &claim)? {
                Standing::Settled(judged) => return Ok(Verdict::Discard(Some(judged))),
                Standing::Free => conn.insert_key(&claim).await?,
                Standing::RunOut => conn.take_over_key(&claim).await?,
            }
            Ok(Verdict::Commit(None))
        })
    })
    .await
}

/// Gives a claim up as soon as the database answers again: whatever broke one connection may have broken the next one too.
async fn release_in_time<DB>(lane: Lane<DB>, limit: Duration, claim: Claim)
where
    DB: sqlx::Database<Connection: Sql>,
{
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    // After that it has run out.
    while begun.elapsed() < LEASE && !release(&lane, limit, claim.clone()).await {
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Gives a claim up; tells whether the database took it.
async fn release<DB>(lane: &Lane<DB>, limit: Duration, claim: Claim) -> bool
where
    DB: sqlx::Database<Connection: Sql>,
{
    let released = lane
        .run(limit, move |conn| {
            let claim = claim.clone();
            Box::pin(async move { conn.release_key(&claim).await })
        })
        .await;
    if let Err(error) = &released {
        tracing::warn!(%error, "an idempotency key could not be given up; its claim runs out by itself");
    }
    released.is_ok()
}

/// A receipt as it is kept; the document beside it.
#[derive(Serialize, Deserialize)]
struct KeptReceipt {
    effect: Effect,
    id: ProductId,
    sku: Sku,
    version: u64,
    seq: Seq,
}

/// Writes the receipt of a held key in the effect's transaction. The document is there already: this is all that is written
/// while the change log's counter is held.
pub(crate) async fn finish<C: Sql>(conn: &mut C, claim: &Claim, receipt: &Receipt) -> Answer<()> {
    let kept = KeptReceipt {
        effect: receipt.effect,
        id: receipt.id,
        sku: receipt.sku.clone(),
        version: receipt.version,
        seq: receipt.seq,
    };
    let json = serde_json::to_string(&kept).map_err(|e| Fault::internal(format!("a receipt: {e}")))?;
    conn.finish_key(claim, &json).await
}

fn replay(receipt: &str, document: Option<Vec<u8>>) -> Answer<Receipt> {
    let kept: KeptReceipt = serde_json::from_str(receipt).map_err(|e| Fault::corrupt(format!("a receipt: {e}")))?;
    Ok(Receipt {
        effect: kept.effect,
        id: kept.id,
        sku: kept.sku,
        version: kept.version,
        seq: kept.seq,
        document: document.map(Into::into),
        replayed: true,
    })
}
