//! Reading the change log, and keeping it short.

use std::time::Duration;

use haat_catalog::ports::{ChangeLogError, Compacted, Compaction, StoreError};
use haat_catalog::{Change, ChangeOp, ChangePage, Resume, Timestamp};

use crate::fault::Fault;
use crate::lane::{Answer, Lane, Verdict};
use crate::sql::{ChangeSql, CompactionSql, ReadRow, Sql, StateRow, place, product_id, signed, sku, unsigned};

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
    let rows = lane
        .run(limit, move |conn| Box::pin(async move { conn.changes_after(signed(from.after.0), count).await }))
        .await?;
    page(rows, from)
}

fn page(rows: Vec<ReadRow>, from: Resume) -> Result<ChangePage, ChangeLogError> {
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
        changes.extend(stored(change(row))?);
    }
    changes.sort_unstable_by_key(|change| change.seq);
    Ok(ChangePage { changes, head, floor })
}

fn stored<T>(answer: Answer<T>) -> Result<T, ChangeLogError> {
    answer.map_err(|fault| ChangeLogError::Store(fault.into()))
}

/// The change of a row; `None` when there was nothing to read.
fn change(row: ReadRow) -> Answer<Option<Change>> {
    let Some(seq) = row.seq else { return Ok(None) };
    let incomplete = || Fault::corrupt(format!("the change at {seq} is incomplete"));
    let code = row.op.and_then(|code| i16::try_from(code).ok());
    Ok(Some(Change {
        seq: place(seq)?,
        op: code.and_then(ChangeOp::from_code).ok_or_else(incomplete)?,
        id: product_id(&row.product_id.ok_or_else(incomplete)?)?,
        sku: sku(row.sku.ok_or_else(incomplete)?)?,
        version: unsigned(row.version.ok_or_else(incomplete)?)?,
        at: Timestamp::from_millis(row.changed_at.ok_or_else(incomplete)?),
        document: row.document.map(Into::into),
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
