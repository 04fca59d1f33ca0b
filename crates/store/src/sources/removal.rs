//! Products that vanished upstream go, in one transaction with the progress of the run that found out; or it is noted that they
//! may have.

use std::collections::HashMap;

use haat_catalog::Sku;
use haat_sources::ports::{Item, MissedItems, RemoveItems, RunError};
use haat_sources::run::Run;
use uuid::Uuid;

use super::lease;
use super::sql::{StoredItem, json};
use crate::fault::Fault;
use crate::lane::{Answer, Verdict};
use crate::plan::Plan;
use crate::sql::Sql;

pub(super) async fn in_transaction<C: Sql>(
    conn: &mut C,
    removal: &RemoveItems,
) -> Answer<Verdict<Result<Run, RunError>>> {
    let source = &removal.lease.source;
    if lease::held(conn, &removal.lease, removal.run.id).await?.is_none() {
        return Ok(lease::lost(&removal.lease));
    }
    let skus = still_the_same(conn, source, &removal.items).await?;
    let mut plan = Plan::default();
    for row in conn.known(&skus, true).await? {
        plan.remove(row, removal.now)?;
    }
    plan.write_products(conn).await?;
    conn.delete_items(&skus).await?;
    let mut run = removal.run.clone();
    // Only those that were there: one that somebody deleted by hand merely stops being the source's.
    run.counts.removed += plan.removals() as u64;
    let gone = i64::try_from(skus.len()).map_err(|_| Fault::internal("a removal of more than 2^63 items"))?;
    conn.move_run(source, removal.now.plus(removal.hold).as_millis(), -gone, &json(&run)?).await?;
    plan.write_log(conn).await?;
    Ok(Verdict::Commit(Ok(run)))
}

/// Notes that a run did not list items; gives those that the one before did not list either.
pub(super) async fn miss_in_transaction<C: Sql>(
    conn: &mut C,
    missed: &MissedItems,
) -> Answer<Verdict<Result<Vec<Item>, RunError>>> {
    let source = &missed.lease.source;
    if lease::held(conn, &missed.lease, missed.run).await?.is_none() {
        return Ok(lease::lost(&missed.lease));
    }
    let rows = rows_of(conn, &missed.items).await?;
    let is_by = |item: &Item, run: Option<Uuid>| {
        let by = rows.get(item.sku.as_str()).and_then(|row| row.missed_by.as_deref());
        by.is_some() && by == run.as_ref().map(|run| run.as_bytes().as_slice())
    };
    let same = missed.items.iter().filter(|item| is_same(&rows, source, item));
    let (twice, once): (Vec<&Item>, Vec<&Item>) = same.partition(|item| is_by(item, missed.before));
    let mut skus: Vec<&Sku> = once.into_iter().map(|item| &item.sku).collect();
    skus.sort_unstable();
    skus.dedup();
    conn.miss_items(&skus, missed.run).await?;
    Ok(Verdict::Commit(Ok(twice.into_iter().cloned().collect())))
}

/// What is known of the items' products, by sku.
async fn rows_of<C: Sql>(conn: &mut C, items: &[Item]) -> Answer<HashMap<String, StoredItem>> {
    let mut skus: Vec<&Sku> = items.iter().map(|item| &item.sku).collect();
    skus.sort_unstable();
    Ok(conn.items_of_skus(&skus).await?.into_iter().map(|row| (row.sku.clone(), row)).collect())
}

/// Whether an item is as it was when somebody found that it vanished.
fn is_same(rows: &HashMap<String, StoredItem>, source: &str, item: &Item) -> bool {
    rows.get(item.sku.as_str()).is_some_and(|row| {
        row.source == source.as_bytes() && row.item_key == item.key.as_bytes() && row.item_order == item.order
    })
}

/// The skus, in order and each once, of those items that are as they were when somebody found that they vanished.
async fn still_the_same<'a, C: Sql>(conn: &mut C, source: &str, items: &'a [Item]) -> Answer<Vec<&'a Sku>> {
    let rows = rows_of(conn, items).await?;
    let mut skus: Vec<&Sku> = items.iter().filter(|item| is_same(&rows, source, item)).map(|item| &item.sku).collect();
    skus.sort_unstable();
    skus.dedup();
    Ok(skus)
}
