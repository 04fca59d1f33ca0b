//! Reading the change log, and keeping it short.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use haat_catalog::ports::{ChangeLogError, Compacted, Compaction, StoreError};
use haat_catalog::{Change, ChangeOp, ChangePage, ProductId, Resume, Timestamp};

use crate::budget::Budget;
use crate::fault::Fault;
use crate::lane::{Answer, Lane, Verdict};
use crate::sql::{CompactionSql, ReadRow, Sql, StateRow, place, product_id, signed, sku, unsigned};

/// The most changes that one call reads.
const MAX_PAGE: u32 = 10_000;
/// How many places of the log a transaction of a compaction looks at.
const WINDOW: i64 = 2_000;

/// Reads a page of the log.
pub(crate) async fn read<DB>(
    lane: &Lane<DB>,
    limit: Duration,
    from: Resume,
    count: u32,
) -> Result<ChangePage, ChangeLogError>
where
    DB: sqlx::Database<Connection: Sql>,
{
    let count = count.min(MAX_PAGE);
    let (rows, documents) = lane.run(limit, move |conn| Box::pin(rows(conn, signed(from.after.0), count))).await?;
    page(rows, &documents, from)
}

/// Documents by id; a product that is gone has none.
type Documents = HashMap<ProductId, Bytes>;

/// Rows of the log and the documents of their products, each once. No more rows than have all their documents within
/// the page's budget, but always one.
///
/// The documents are read after the rows and may be of a later moment, as [`Change::document`] says: the change that made
/// them so has a later place.
async fn rows<C: Sql>(conn: &mut C, after: i64, count: u32) -> Answer<(Vec<ReadRow>, Documents)> {
    let mut rows = conn.changes_after(after, count).await?;
    let (mut documents, mut asked) = (Documents::new(), HashSet::new());
    let (mut budget, mut at) = (Budget::new(), 0);
    while at < rows.len() {
        if budget.is_spent() {
            rows.truncate(at);
            break;
        }
        let (most, mut wanted) = (budget.documents(), Vec::new());
        while let Some(row) = rows.get(at) {
            let id = row.product_id.as_deref().map(product_id).transpose()?;
            if let Some(id) = id.filter(|id| !asked.contains(id)) {
                if wanted.len() >= most {
                    break;
                }
                asked.insert(id);
                wanted.push(id);
            }
            at += 1;
        }
        let found = conn.documents(&wanted).await?;
        // Keys are filled up with repeats.
        for row in found {
            documents.insert(product_id(&row.id)?, Bytes::from(row.document));
        }
        let bytes = wanted.iter().filter_map(|id| documents.get(id)).map(Bytes::len).sum();
        budget.spend(wanted.len(), bytes);
    }
    Ok((rows, documents))
}

fn page(rows: Vec<ReadRow>, documents: &Documents, from: Resume) -> Result<ChangePage, ChangeLogError> {
    let Some(first) = rows.first() else {
        return Err(StoreError::Corrupt("the change log has lost its counter".into()).into());
    };
    let (head, floor) = (stored(place(first.head))?, stored(place(first.floor_seq))?);
    if from.after > head {
        return Err(ChangeLogError::Ahead { head });
    }
    if from.after.0 > 0 && from.after < floor && from.floor < floor {
        return Err(ChangeLogError::Compacted { floor });
    }
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        changes.extend(stored(change(row, documents))?);
    }
    changes.sort_unstable_by_key(|change| change.seq);
    Ok(ChangePage { changes, head, floor })
}

fn stored<T>(answer: Answer<T>) -> Result<T, ChangeLogError> {
    answer.map_err(|fault| ChangeLogError::Store(fault.into()))
}

/// The change of a row; `None` when there was nothing to read.
fn change(row: ReadRow, documents: &Documents) -> Answer<Option<Change>> {
    let Some(seq) = row.seq else { return Ok(None) };
    let incomplete = || Fault::corrupt(format!("the change at {seq} is incomplete"));
    let code = row.op.and_then(|code| i16::try_from(code).ok());
    let id = product_id(&row.product_id.ok_or_else(incomplete)?)?;
    Ok(Some(Change {
        seq: place(seq)?,
        op: code.and_then(ChangeOp::from_code).ok_or_else(incomplete)?,
        id,
        sku: sku(row.sku.ok_or_else(incomplete)?)?,
        version: unsigned(row.version.ok_or_else(incomplete)?)?,
        at: Timestamp::from_millis(row.changed_at.ok_or_else(incomplete)?),
        document: documents.get(&id).cloned(),
    }))
}

/// Removes what nobody needs, one window of the log per transaction.
///
/// Every change is looked at once: the change of the same product before it goes. As the windows move forward, no more
/// than the newest change of a product is ever left behind them, and a log of any length is compacted at the cost of
/// what is new in it. Deletions that are old enough go in a second round, and raise the floor.
pub(crate) async fn compact<DB>(lane: &Lane<DB>, limit: Duration, policy: Compaction) -> Result<Compacted, StoreError>
where
    DB: sqlx::Database<Connection: Sql>,
{
    let mut done = Compacted::default();
    let since = policy.followers_since.as_millis();
    lane.run(limit, move |conn| Box::pin(async move { conn.forget_followers(since).await })).await?;
    loop {
        let step = lane.transact(limit, move |conn| Box::pin(remove_superseded(conn, policy))).await?;
        done.superseded += step.removed;
        if !step.more {
            break;
        }
    }
    loop {
        let step = lane.transact(limit, move |conn| Box::pin(forget_deletions(conn, policy))).await?;
        done.deletions += step.removed;
        if !step.more {
            return Ok(done);
        }
    }
}

/// What one transaction of a compaction did.
struct Step {
    removed: u64,
    more: bool,
}

/// How far compaction may go: behind every follower that is heard of, and behind the newest places.
async fn horizon<C: Sql>(conn: &mut C, policy: Compaction) -> Answer<i64> {
    let newest = conn.head().await?.saturating_sub(signed(policy.keep_newest));
    let slowest = conn.slowest_follower(policy.followers_since.as_millis()).await?;
    Ok(slowest.map_or(newest, |slowest| slowest.min(newest)))
}

async fn remove_superseded<C: Sql>(conn: &mut C, policy: Compaction) -> Answer<Verdict<Step>> {
    let state = conn.lock_state().await?;
    let horizon = horizon(conn, policy).await?;
    if horizon <= state.compacted_seq {
        return Ok(Verdict::Discard(Step { removed: 0, more: false }));
    }
    let to = horizon.min(state.compacted_seq.saturating_add(WINDOW));
    let superseded = conn.predecessors(state.compacted_seq, to).await?;
    let removed = conn.forget(&superseded).await?;
    conn.save_state(StateRow { compacted_seq: to, ..state }).await?;
    Ok(Verdict::Commit(Step { removed, more: to < horizon }))
}

async fn forget_deletions<C: Sql>(conn: &mut C, policy: Compaction) -> Answer<Verdict<Step>> {
    let state = conn.lock_state().await?;
    // Behind the horizon as it is now: a follower may have started afresh since the first round.
    let to = horizon(conn, policy).await?.min(state.compacted_seq);
    let window = u32::try_from(WINDOW).unwrap_or(u32::MAX);
    let old = conn.old_deletions(to, policy.deletions_before.as_millis(), window).await?;
    let Some(newest) = old.iter().max().copied() else {
        return Ok(Verdict::Discard(Step { removed: 0, more: false }));
    };
    let removed = conn.forget(&old).await?;
    conn.save_state(StateRow { floor_seq: state.floor_seq.max(newest), ..state }).await?;
    Ok(Verdict::Commit(Step { removed, more: old.len() >= window as usize }))
}
