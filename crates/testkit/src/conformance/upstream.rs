//! What the promises about sources are told with: items of an upstream, and a holder of a run that writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haat_catalog::product::overlay::Overlay;
use haat_catalog::{Product, Timestamp};
use haat_sources::ports::{
    Begin, Begun, Item, ItemOutcome, Lease, MissedItems, PageItem, RemoveItems, RunError, SourceRow, SourceStore,
    WritePage,
};
use haat_sources::run::{Mode, Run, RunState, key_hash};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Subject, after_noon, sku};
use crate::clock::test_id;

/// How long leases last.
pub const HOLD: Duration = Duration::from_secs(60);

/// Ids for new products, each once in a process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1_000_000);

/// An item that says these members of its product.
pub fn item_with(key: &str, of: &str, members: Value) -> PageItem {
    let overlay = Overlay { members: serde_json::from_value(members).unwrap(), ..Overlay::new(sku(of)) };
    let item = Item { key: key.into(), sku: sku(of), order: None };
    PageItem { item, overlay, new_id: test_id(NEXT_ID.fetch_add(1, Ordering::Relaxed)) }
}

/// An item that says name and price.
pub fn item(key: &str, of: &str, name: &str) -> PageItem {
    item_with(key, of, json!({"name": name, "price": {"amount": 12_900, "currency": "INR"}}))
}

/// The same, of that version upstream.
pub fn at(order: i64, of: PageItem) -> PageItem {
    PageItem { item: Item { order: Some(order), ..of.item }, ..of }
}

/// Numbered items: `k00007` of the sku `S00007`.
pub fn many(numbers: std::ops::Range<u32>, name: &str) -> Vec<PageItem> {
    numbers.map(|n| item(&format!("k{n:05}"), &format!("S{n:05}"), name)).collect()
}

/// A wish for a full run at noon.
pub fn begin(source: &str, id: u128) -> Begin {
    Begin {
        source: source.into(),
        mode: Mode::Full,
        id: Uuid::from_u128(id),
        owner: format!("replica-{id}"),
        hold: HOLD,
        confirms: None,
        fingerprint: 1 << 63 | 5,
        now: after_noon(0),
    }
}

/// A confirmation of what the run of another number waits to remove.
pub fn confirm(source: &str, id: u128, waits: u128) -> Begin {
    Begin { confirms: Some(Uuid::from_u128(waits)), ..begin(source, id) }
}

/// Whether somebody else has the run now.
pub fn is_lost<T>(result: &Result<T, RunError>) -> bool {
    matches!(result, Err(RunError::Lost(_)))
}

/// Somebody who holds the lease of a run.
#[derive(Clone)]
pub struct Holder {
    store: Arc<dyn SourceStore>,
    /// The right to write.
    pub lease: Lease,
    /// The run as the holder knows it.
    pub run: Run,
    /// When the holder writes.
    pub now: Timestamp,
}

impl Holder {
    /// A page after what the run has done so far.
    pub fn write(&self, items: Vec<PageItem>) -> WritePage {
        let mut run = self.run.clone();
        run.counts.read += items.len() as u64;
        run.counts.pages += 1;
        run.position = Some(json!({"page": run.counts.pages}));
        run.moved_at = self.now;
        let seen = items.iter().map(|of| key_hash(&of.item.key)).collect();
        WritePage { lease: self.lease.clone(), items, seen, run, hold: HOLD, now: self.now }
    }

    /// Writes a page.
    pub async fn try_page(&mut self, items: Vec<PageItem>) -> Result<Vec<ItemOutcome>, RunError> {
        let (run, outcomes) = self.store.write_page(self.write(items)).await?;
        self.run = run;
        Ok(outcomes)
    }

    /// Writes a page, which must succeed.
    pub async fn page(&mut self, items: Vec<PageItem>) -> Vec<ItemOutcome> {
        self.try_page(items).await.unwrap()
    }

    /// Writes how the run stands.
    pub async fn save(&self) -> Result<(), RunError> {
        self.store.save_run(&self.lease, &self.run, HOLD, self.now).await
    }

    /// Removes items.
    pub async fn try_remove(&mut self, items: Vec<Item>) -> Result<(), RunError> {
        let (lease, run) = (self.lease.clone(), self.run.clone());
        self.run = self.store.remove_items(RemoveItems { lease, items, run, hold: HOLD, now: self.now }).await?;
        Ok(())
    }

    /// Notes that the run has missed items; gives the keys of those that the run `before` has missed too.
    pub async fn try_miss(&self, items: Vec<Item>, before: Option<u128>) -> Result<Vec<String>, RunError> {
        let (lease, run, before) = (self.lease.clone(), self.run.id, before.map(Uuid::from_u128));
        let twice = self.store.miss_items(MissedItems { lease, items, run, before }).await?;
        Ok(twice.into_iter().map(|item| item.key).collect())
    }

    /// Ends the run in that state.
    pub async fn try_end(&mut self, state: RunState, watermark: Option<Timestamp>) -> Result<(), RunError> {
        self.run.state = state;
        if state != RunState::AwaitingConfirmation {
            self.run.ended_at = Some(self.now);
        }
        self.store.end_run(&self.lease, &self.run, watermark).await
    }

    /// Ends the run well.
    pub async fn done(mut self) {
        self.try_end(RunState::Done, None).await.unwrap();
    }
}

impl Subject {
    /// Begins a run, or goes on with one, unless somebody else is at it.
    pub async fn try_hold(&self, begin: Begin) -> Option<Holder> {
        let now = begin.now;
        match self.sources.begin_run(begin).await.unwrap() {
            Begun::Mine(lease, run) => Some(Holder { store: Arc::clone(&self.sources), lease, run: *run, now }),
            Begun::Running(_) | Begun::NothingToConfirm(_) => None,
        }
    }

    /// Begins a run or goes on with one; nobody else may be at it.
    pub async fn hold(&self, begin: Begin) -> Holder {
        self.try_hold(begin).await.expect("nobody else is at it")
    }

    /// A run of one page from its beginning to its end.
    pub async fn synced(&self, source: &str, id: u128, items: Vec<PageItem>) -> Vec<ItemOutcome> {
        let mut holder = self.hold(begin(source, id)).await;
        let outcomes = holder.page(items).await;
        holder.done().await;
        outcomes
    }

    /// A source that must be there.
    pub async fn source(&self, name: &str) -> SourceRow {
        self.sources.source(name).await.unwrap().expect("the source is known")
    }

    /// All items of a source, whose number must be the one that is counted.
    pub async fn items_of(&self, source: &str) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        loop {
            let after = items.last().map(|item| item.key.clone());
            let page = self.sources.items(source, after.as_deref(), 500).await.unwrap();
            if page.is_empty() {
                break;
            }
            items.extend(page);
        }
        let counted = self.sources.source(source).await.unwrap().map_or(0, |row| row.items);
        assert_eq!(counted, items.len() as u64, "the items that are counted are those that are there");
        items
    }

    /// Which source a product belongs to.
    pub async fn owner(&self, of: &str) -> Option<String> {
        self.sources.owner_of(&sku(of)).await.unwrap().map(|(source, _)| source)
    }

    /// The product with that sku, which must be there.
    pub async fn there(&self, by: &str) -> Product {
        self.product(by).await.expect("the product is there")
    }
}
