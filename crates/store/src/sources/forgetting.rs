//! What of a source is forgotten: the orders of its items when they are of another kind than those that come now, and all of it
//! when nobody declares it any more.
//!
//! Whoever forgets a source holds the rows of both, that and its heir, in order of name, as all who hold two would. What the heir's
//! run had seen or was confirmed for did not have the products in it that come to the heir now: so a run that is not at its end
//! ends here, and the next one reads everything.

use std::collections::BTreeMap;

use haat_sources::ports::{ForgetOrders, ForgetSource, Forgotten, RunError};
use haat_sources::run::{Run, RunState};
use uuid::Uuid;

use super::SEEN_STEP;
use super::lease;
use super::sql::{ItemRow, LockedSource, json};
use crate::fault::Fault;
use crate::lane::{Answer, Verdict};
use crate::sql::Sql;

/// Forgets the orders of the next items; gives the last key that it came to, `None` at the end.
pub(super) async fn orders<C: Sql>(
    conn: &mut C,
    forget: &ForgetOrders,
) -> Answer<Verdict<Result<Option<String>, RunError>>> {
    let source = &forget.lease.source;
    if lease::held(conn, &forget.lease, forget.run).await?.is_none() {
        return Ok(lease::lost(&forget.lease));
    }
    let mut after = forget.after.as_deref().unwrap_or_default().as_bytes().to_vec();
    loop {
        let rows = conn.items_after(source, &after, forget.limit).await?;
        let Some(last) = rows.last() else { return Ok(Verdict::Commit(Ok(None))) };
        after.clone_from(&last.item_key);
        let last = rows.iter().rev().find_map(|row| std::str::from_utf8(&row.item_key).ok()).map(str::to_owned);
        let ordered = rows.into_iter().filter(|row| row.item_order.is_some());
        // One whose key is no text has been told to the operators by whoever read it; it is left as it is.
        let unordered = ordered
            .filter_map(|row| Some(ItemRow { sku: row.sku, key: String::from_utf8(row.item_key).ok()?, order: None }));
        let mut unordered: Vec<ItemRow> = unordered.collect();
        unordered.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        conn.replace_items(source, &unordered).await?;
        if last.is_some() {
            return Ok(Verdict::Commit(Ok(last)));
        }
    }
}

/// Forgets a source, and gives its products to its heir if it has one.
pub(super) async fn source<C: Sql>(conn: &mut C, forget: &ForgetSource) -> Answer<Verdict<Forgotten>> {
    let source = forget.source.as_str();
    let mut rows = BTreeMap::from([(source, None)]);
    rows.extend(forget.heir.as_deref().map(|heir| (heir, None)));
    for (name, row) in &mut rows {
        *row = conn.lock_source(name).await?;
    }
    let is_held = |row: &LockedSource| row.lease_until > forget.now.as_millis();
    for (name, row) in &rows {
        let run = row.as_ref().filter(|row| is_held(row)).and_then(|row| row.run(name));
        if let Some(run) = run.filter(|run| run.state.is_unfinished()) {
            return Ok(Verdict::Discard(Forgotten::Running(Box::new(run))));
        }
    }
    if rows.get(source).is_none_or(Option::is_none) {
        return Ok(Verdict::Discard(Forgotten::Unknown));
    }
    let products = match forget.heir.as_deref() {
        None => conn.release_items(source).await?,
        Some(heir) => {
            let row = rows.remove(heir).flatten();
            bequeath(conn, forget, heir, row).await?
        }
    };
    while conn.forget_seen(source, Uuid::nil(), SEEN_STEP).await? >= u64::from(SEEN_STEP) {}
    conn.delete_source(source).await?;
    Ok(Verdict::Commit(Forgotten::Done(products)))
}

/// Gives a source's products to the heir; gives how many they are.
async fn bequeath<C: Sql>(conn: &mut C, forget: &ForgetSource, heir: &str, row: Option<LockedSource>) -> Answer<u64> {
    if row.is_none() {
        conn.insert_source(heir).await?;
    }
    conn.retire_taken_items(&forget.source, heir).await?;
    let products = conn.give_items(&forget.source, heir).await?;
    let run = row.unwrap_or_default().run(heir).map(|run| ended(run, forget)).as_ref().map(json).transpose()?;
    let count = i64::try_from(products).map_err(|_| Fault::internal("a source of more than 2^63 products"))?;
    conn.inherit(heir, count, run.as_deref()).await?;
    Ok(products)
}

/// The heir's run, which goes on no more.
fn ended(run: Run, forget: &ForgetSource) -> Run {
    if !run.state.is_unfinished() && run.state != RunState::AwaitingConfirmation {
        return run;
    }
    let message =
        format!("the products of '{}' came to this source meanwhile; the next run reads everything", forget.source);
    let (moved_at, ended_at) = (forget.now, Some(forget.now));
    Run { state: RunState::Failed, moved_at, ended_at, message: Some(message), vanished: Vec::new(), ..run }
}
