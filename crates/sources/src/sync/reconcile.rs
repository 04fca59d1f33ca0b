//! What vanished: products of a source that a full run has not seen. They go, but not on the word of one list.
//!
//! A list that is read page by page while it changes may miss an item that moved from one page to another, so each is asked
//! for once more where the source has a request for that. Where it has none, what goes is what two full runs in a row have
//! missed, or what somebody confirmed. And a list may be wrong altogether, so no more than a share goes
//! without somebody's confirmation.

use std::collections::HashSet;

use futures::StreamExt;
use serde_json::Value;

use super::page::{Prepared, prepare};
use super::rules::{Vanished, may_go};
use super::{Driving, Halt, insist};
use crate::connector::ItemPage;
use crate::measure;
use crate::ports::{Item, MissedItems, RemoveItems};
use crate::run::{ItemError, MAX_ERRORS, MAX_VANISHED, Run, VanishedItem, key_hash};
use crate::upstream::{Asked, Upstream};

/// Items read from the store at once.
const PAGE: u32 = 1_000;
/// Products removed in one transaction, and single items asked for between two looks at the rest of the world.
const BATCH: usize = 100;
/// As many are asked for before it is decided whether they are too many; of more, the list alone decides: it is probably the
/// list that is wrong, and the upstream is spared the questions.
const ASK_FIRST: usize = 1_000;

/// The products of a source that a run has not seen.
struct Unseen {
    seen: HashSet<[u8; 16]>,
    count: Vanished,
    /// The first of them.
    first: Vec<Item>,
}

/// What asking for one item came to.
enum Answered {
    Gone(Item),
    /// There is no such request.
    Unasked(Item),
    There(Item, Value),
    Unknown(Item, String),
}

/// Items that the list did not have and that nobody has found elsewhere.
#[derive(Default)]
struct Gone {
    items: Vec<Item>,
    /// Others that may be gone: the next run will tell.
    perhaps: Vec<Item>,
}

impl Driving<'_> {
    /// Removes what vanished.
    pub(super) async fn reconcile(&mut self) -> Result<(), Halt> {
        if self.run.keyless {
            let message = "an item has no key that can be read, so nobody knows what vanished: nothing was removed";
            self.run.message = Some(message.to_owned());
            return Ok(());
        }
        // Of one that waited: what goes now is told by what is counted.
        self.run.vanished.clear();
        let mut unseen = self.unseen().await?;
        self.run.counts.vanished = self.run.counts.removed + unseen.count.count;
        if unseen.count.count > ASK_FIRST as u64 {
            self.limit(unseen.count, &unseen.first)?;
            return self.remove_all(unseen.seen).await;
        }
        let mut gone = Gone::default();
        for batch in unseen.first.chunks(BATCH) {
            let of_batch = self.gone(batch).await?;
            gone.items.extend(of_batch.items);
            gone.perhaps.extend(of_batch.perhaps);
        }
        unseen.count.count = (gone.items.len() + gone.perhaps.len()) as u64;
        self.limit(unseen.count, gone.items.iter().chain(&gone.perhaps))?;
        for batch in gone.items.chunks(BATCH) {
            self.remove(batch.to_vec()).await?;
        }
        Ok(())
    }

    /// Lets so many go, or keeps the first of them to be looked at by whoever is to confirm it.
    fn limit<'i>(&mut self, vanished: Vanished, which: impl IntoIterator<Item = &'i Item>) -> Result<(), Halt> {
        let max = self.engine.options.max_vanished;
        if may_go(vanished, &self.run, max) {
            return Ok(());
        }
        self.run.vanished = which.into_iter().take(MAX_VANISHED).map(VanishedItem::from).collect();
        let (Vanished { count, of }, source, run) = (vanished, &self.engine.source, self.run.id);
        let why = match self.run.counts.read {
            0 => "it lists nothing at all".to_owned(),
            _ => format!(
                "without a confirmation no more than {} % may go at once (`max_vanished`)",
                (max * 100.0).round()
            ),
        };
        Err(Halt::Waits(format!(
            "{count} of {of} products are not in the upstream's list any more, and {why}: none was removed. `haat sources show \
             {source}` names the first of them. If they are to go, confirm it with `haat sync {source} \
             --confirm-removals={run}`, or with `\"confirm_removals\": \"{run}\"` in a request to /v1/sources/{source}/sync"
        )))
    }

    /// Looks through all products of the source.
    async fn unseen(&mut self) -> Result<Unseen, Halt> {
        let engine = self.engine;
        let seen = insist(|| engine.store.seen(&engine.source, self.run.id)).await?;
        let mut unseen =
            Unseen { seen: seen.into_iter().collect(), count: Vanished { count: 0, of: 0 }, first: Vec::new() };
        let mut after: Option<String> = None;
        loop {
            self.keep().await?;
            let items = insist(|| engine.store.items(&engine.source, after.as_deref(), PAGE)).await?;
            let Some(last) = items.last() else { return Ok(unseen) };
            after = Some(last.key.clone());
            unseen.count.of += items.len() as u64;
            for item in items.into_iter().filter(|item| !unseen.seen.contains(&key_hash(&item.key))) {
                unseen.count.count += 1;
                if unseen.first.len() < ASK_FIRST {
                    unseen.first.push(item);
                }
            }
        }
    }

    /// Removes many: page by page, so that they need not all be in memory.
    async fn remove_all(&mut self, seen: HashSet<[u8; 16]>) -> Result<(), Halt> {
        let engine = self.engine;
        let mut after: Option<String> = None;
        loop {
            self.keep().await?;
            let items = insist(|| engine.store.items(&engine.source, after.as_deref(), PAGE)).await?;
            let Some(last) = items.last() else { return Ok(()) };
            after = Some(last.key.clone());
            let unseen: Vec<Item> = items.into_iter().filter(|item| !seen.contains(&key_hash(&item.key))).collect();
            for batch in unseen.chunks(BATCH) {
                let gone = self.gone(batch).await?;
                self.remove(gone.items).await?;
            }
        }
    }

    async fn remove(&mut self, items: Vec<Item>) -> Result<(), Halt> {
        self.keep().await?;
        if items.is_empty() {
            return Ok(());
        }
        let before = self.run.counts.removed;
        let run = Run { moved_at: self.engine.clock.now(), ..self.run.clone() };
        let (lease, now, hold) = (self.lease.clone(), run.moved_at, self.engine.options.hold);
        let removal = RemoveItems { lease, items, run, hold, now };
        let begun = tokio::time::Instant::now();
        let run = insist(|| self.engine.store.remove_items(removal.clone())).await?;
        (self.run, self.renewed) = (run, begun);
        measure::items(&self.engine.source, "removed", self.run.counts.removed.saturating_sub(before));
        (self.progress)(&self.run);
        Ok(())
    }

    /// Those of the items that are gone, as far as can be known. Those that are still there are written as a page's would be;
    /// those that cannot be asked for now stay as they are.
    async fn gone(&mut self, items: &[Item]) -> Result<Gone, Halt> {
        let (mut gone, mut there, mut unasked) = (Vec::new(), Vec::new(), Vec::new());
        let upstream = self.engine.upstream.clone();
        let asks = items.iter().cloned().map(|item| ask(&upstream, item));
        let mut asking = futures::stream::iter(asks).buffer_unordered(self.engine.options.asks.max(1));
        loop {
            let answered = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halt::Stopped),
                () = tokio::time::sleep_until(self.renewal()) => {
                    self.save(self.engine.options.hold).await?;
                    continue;
                }
                answered = asking.next() => answered,
            };
            match answered {
                None => break,
                Some(Answered::Gone(item)) => gone.push(item),
                Some(Answered::Unasked(item)) => unasked.push(item),
                Some(Answered::There(item, value)) => {
                    self.run.counts.vanished = self.run.counts.vanished.saturating_sub(1);
                    there.push((item, value));
                }
                Some(Answered::Unknown(item, why)) => self.leave(item, why),
            }
        }
        drop(asking);
        if !there.is_empty() {
            let page = self.found(there);
            self.write(page, |_| {}).await?;
        }
        let twice = self.missed(unasked.clone()).await?;
        unasked.retain(|item| !twice.contains(item));
        gone.extend(twice);
        Ok(Gone { items: gone, perhaps: unasked })
    }

    /// Those that the full run before this one has missed as well, or all of them if somebody has confirmed that they go.
    async fn missed(&mut self, items: Vec<Item>) -> Result<Vec<Item>, Halt> {
        if items.is_empty() || self.run.removals_confirmed {
            return Ok(items);
        }
        self.keep().await?;
        let engine = self.engine;
        let row = insist(|| engine.store.source(&engine.source)).await?;
        let before = row.and_then(|row| row.last_full).map(|full| full.id);
        let missed = MissedItems { lease: self.lease.clone(), items, run: self.run.id, before };
        Ok(insist(|| engine.store.miss_items(missed.clone())).await?)
    }

    /// The items that are still there, as a page. They count as seen whatever they say.
    fn found(&self, there: Vec<(Item, Value)>) -> Prepared {
        let (items, values): (Vec<Item>, Vec<Value>) = there.into_iter().unzip();
        let page = ItemPage { items: values, next: None, total: None };
        let (engine, now) = (self.engine, self.engine.clock.now());
        let mut page = prepare(&*engine.upstream.connector, &*engine.ids, page, now);
        page.seen.extend(items.iter().map(|item| key_hash(&item.key)));
        page
    }

    fn leave(&mut self, item: Item, why: String) {
        tracing::debug!(
            source = self.engine.source,
            why,
            "an item that the list did not have cannot be asked for; it stays"
        );
        if self.run.errors.len() < MAX_ERRORS {
            let detail =
                format!("the list did not have it, and whether it is gone could not be asked, so it stays: {why}");
            self.run.errors.push(ItemError { key: item.key, pointer: String::new(), detail });
        }
    }
}

/// Asks for an item. Of a retired one, its item has said that it is gone.
async fn ask(upstream: &Upstream, item: Item) -> Answered {
    if item.is_retired() {
        return Answered::Gone(item);
    }
    match upstream.item(&item.key, &item.sku, None).await {
        Ok(Asked::Gone) => Answered::Gone(item),
        Ok(Asked::Unasked) => Answered::Unasked(item),
        Ok(Asked::There(value)) if upstream.connector.key(&value).as_deref() == Some(item.key.as_str()) => {
            Answered::There(item, value)
        }
        Ok(Asked::There(_)) => Answered::Unknown(item, "another item was answered".to_owned()),
        Err(error) => Answered::Unknown(item, error.to_string()),
    }
}
