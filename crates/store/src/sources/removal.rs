//! Products that vanished upstream go, in one transaction with the progress of the run that found out.

use std::collections::HashMap;

use haat_catalog::Sku;
use haat_sources::ports::{Item, RemoveItems, RunError};
use haat_sources::run::Run;

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

/// The skus, in order and each once, of those items that are as they were when somebody found that they vanished.
async fn still_the_same<'a, C: Sql>(conn: &mut C, source: &str, items: &'a [Item]) -> Answer<Vec<&'a Sku>> {
    let mut skus: Vec<&Sku> = items.iter().map(|item| &item.sku).collect();
    skus.sort_unstable();
    let rows = conn.items_of_skus(&skus).await?;
    let known: HashMap<&str, &StoredItem> = rows.iter().map(|row| (row.sku.as_str(), row)).collect();
    let is_same = |item: &&Item| {
        known.get(item.sku.as_str()).is_some_and(|row| {
            row.source == source.as_bytes() && row.item_key == item.key.as_bytes() && row.item_order == item.order
        })
    };
    let mut skus: Vec<&Sku> = items.iter().filter(is_same).map(|item| &item.sku).collect();
    skus.sort_unstable();
    skus.dedup();
    Ok(skus)
}
