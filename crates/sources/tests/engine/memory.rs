//! A store in memory. Every method waits before and after its transaction, so that a caller may be gone at either place.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::{Draft, Product, Sku, Timestamp};
use haat_sources::ports::*;
use haat_sources::run::{ItemError, Mode, Run, RunState};
use tokio::task::yield_now;
use uuid::Uuid;

#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
pub struct State {
    rows: BTreeMap<String, SourceRow>,
    leases: HashMap<String, (u64, Option<Timestamp>)>,
    pub products: BTreeMap<Sku, (Product, String, Item)>,
    seen: HashMap<Uuid, HashSet<[u8; 16]>>,
    /// By which run the product of a sku was missed.
    missed: HashMap<Sku, Uuid>,
    reports: BTreeMap<(String, String), BreakerReport>,
    /// How many items each page had that was written.
    pub pages: Vec<usize>,
    /// Keys removed, in order.
    pub removed: Vec<String>,
    /// How often a lease was held on to, and for how long.
    pub saves: Vec<Duration>,
    /// How often it was asked whose a product is, and how a source stands.
    pub looks: usize,
    /// Answers of the next calls that write.
    pub faults: VecDeque<StoreError>,
    /// How long a page takes.
    pub slow: Duration,
    /// Of which sources the store says only so much later how they stood.
    pub late: HashMap<String, Duration>,
    /// Whether it says nothing of breakers.
    pub mute: bool,
    /// How many steps forgot orders.
    pub forgetting: usize,
}

impl State {
    fn holds(&self, lease: &Lease) -> Result<(), RunError> {
        match self.leases.get(&lease.source) {
            Some((fence, Some(_))) if *fence == lease.fence => Ok(()),
            _ => Err(RunError::Lost(lease.source.clone())),
        }
    }

    fn hold(&mut self, lease: &Lease, until: Timestamp) {
        self.leases.insert(lease.source.clone(), (lease.fence, Some(until)));
    }

    fn lease(&mut self, source: &str, until: Timestamp) -> Lease {
        let fence = self.leases.get(source).map_or(1, |(fence, _)| fence + 1);
        let lease = Lease { source: source.to_owned(), fence };
        self.hold(&lease, until);
        lease
    }

    fn row(&mut self, source: &str) -> &mut SourceRow {
        self.rows
            .entry(source.to_owned())
            .or_insert_with(|| SourceRow { name: source.to_owned(), ..SourceRow::default() })
    }

    fn shown(&self, row: &SourceRow) -> SourceRow {
        let items = self.products.values().filter(|(_, source, _)| *source == row.name).count();
        SourceRow { items: items as u64, ..row.clone() }
    }

    fn put(&mut self, source: &str, page: PageItem, now: Timestamp) -> ItemOutcome {
        let PageItem { item, overlay, new_id } = page;
        let there = self.products.get(&item.sku).cloned();
        if let Some((_, owner, known)) = &there {
            if owner != source {
                return refused(&item, "/sku", "belongs to another source");
            }
            if matches!((item.order, known.order), (Some(new), Some(old)) if new < old) {
                return ItemOutcome::Stale;
            }
        }
        let existing = there.map(|(product, ..)| product);
        let draft = match overlay.over(existing.as_ref()) {
            Ok(draft) => draft,
            Err(invalid) => return refused(&item, &invalid.0[0].pointer, &invalid.0[0].detail),
        };
        let (product, outcome) = match existing {
            None => (draft.into_product(new_id, 1, now, now), ItemOutcome::Created),
            Some(old) if Draft::from(old.clone()).content_hash() == draft.content_hash() => {
                (old, ItemOutcome::Unchanged)
            }
            Some(old) => (draft.into_product(old.id, old.version + 1, old.created_at, now), ItemOutcome::Updated),
        };
        self.products.insert(item.sku.clone(), (product, source.to_owned(), item));
        outcome
    }
}

fn refused(item: &Item, pointer: &str, detail: &str) -> ItemOutcome {
    ItemOutcome::Refused(ItemError { key: item.key.clone(), pointer: pointer.into(), detail: detail.into() })
}

impl MemoryStore {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A product as readers get it.
    pub fn stored(&self, sku: &str) -> StoredProduct {
        let state = self.state();
        let (product, ..) = &state.products[&Sku::new(sku).unwrap()];
        let document = product.to_json().into();
        StoredProduct { id: product.id, sku: product.sku.clone(), version: product.version, document }
    }

    /// Takes the key from a product, as when its item has another sku.
    pub fn retire(&self, sku: &str) {
        if let Some((.., item)) = self.state().products.get_mut(&Sku::new(sku).unwrap()) {
            item.key = format!("{RETIRED}{sku}");
        }
    }

    fn fault(&self) -> Result<(), StoreError> {
        self.state().faults.pop_front().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl SourceStore for MemoryStore {
    async fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        yield_now().await;
        let state = self.state();
        Ok(state.rows.values().map(|row| state.shown(row)).collect())
    }

    async fn source(&self, name: &str) -> Result<Option<SourceRow>, StoreError> {
        yield_now().await;
        let (row, late) = {
            let mut state = self.state();
            state.looks += 1;
            (state.rows.get(name).map(|row| state.shown(row)), state.late.get(name).copied())
        };
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
        Ok(row)
    }

    async fn begin_run(&self, begin: Begin) -> Result<Begun, StoreError> {
        yield_now().await;
        let begun = {
            let mut state = self.state();
            let until = state.leases.get(&begin.source).and_then(|(_, until)| *until);
            let row = state.row(&begin.source);
            let is_same = |run: &Run| run.fingerprint == begin.fingerprint;
            let mut run = match &row.run {
                Some(run) if run.state.is_unfinished() && until.is_some_and(|until| until > begin.now) => {
                    return Ok(Begun::Running(Box::new(run.clone())));
                }
                newest if begin.confirms.is_some() => {
                    let waits = |run: &Run| {
                        run.state == RunState::AwaitingConfirmation
                            || run.state.is_unfinished() && run.removals_confirmed
                    };
                    let meant =
                        newest.as_ref().filter(|run| Some(run.id) == begin.confirms && is_same(run) && waits(run));
                    match meant {
                        Some(run) => run.clone(),
                        None => return Ok(Begun::NothingToConfirm(newest.clone().map(Box::new))),
                    }
                }
                Some(run)
                    if run.state.is_unfinished()
                        && is_same(run)
                        && (run.mode == Mode::Full || begin.mode == Mode::Incremental) =>
                {
                    run.clone()
                }
                other => {
                    let old = other.as_ref().map(|run| run.id);
                    let since = row.watermark.filter(|_| begin.mode == Mode::Incremental);
                    let run = Run::new(begin.id, begin.mode, &begin.owner, since, begin.now);
                    let run = Run { fingerprint: begin.fingerprint, ..run }.after(other.as_ref());
                    old.map(|old| state.seen.remove(&old));
                    run
                }
            };
            run.owner = begin.owner;
            state.row(&begin.source).run = Some(run.clone());
            Begun::Mine(state.lease(&begin.source, begin.now.plus(begin.hold)), Box::new(run))
        };
        yield_now().await;
        Ok(begun)
    }

    async fn save_run(&self, lease: &Lease, run: &Run, hold: Duration, now: Timestamp) -> Result<(), RunError> {
        yield_now().await;
        self.fault()?;
        {
            let mut state = self.state();
            state.holds(lease)?;
            state.hold(lease, now.plus(hold));
            state.saves.push(hold);
            state.row(&lease.source).run = Some(run.clone());
        }
        yield_now().await;
        Ok(())
    }

    async fn write_page(&self, page: WritePage) -> Result<(Run, Vec<ItemOutcome>), RunError> {
        yield_now().await;
        let slow = self.state().slow;
        if slow > Duration::ZERO {
            tokio::time::sleep(slow).await;
        }
        self.fault()?;
        let done = {
            let mut state = self.state();
            state.holds(&page.lease)?;
            state.hold(&page.lease, page.now.plus(page.hold));
            assert!(page.items.len() <= 500 && page.seen.len() <= 500, "a page is too large");
            let keys: HashSet<&str> = page.items.iter().map(|page| page.item.key.as_str()).collect();
            let skus: HashSet<&Sku> = page.items.iter().map(|page| &page.item.sku).collect();
            assert_eq!((keys.len(), skus.len()), (page.items.len(), page.items.len()), "a key or a sku comes twice");
            state.pages.push(page.items.len());
            let mut run = page.run;
            state.seen.entry(run.id).or_default().extend(page.seen);
            let mut outcomes = Vec::new();
            for item in page.items {
                let outcome = state.put(&page.lease.source, item, page.now);
                match &outcome {
                    ItemOutcome::Created => run.counts.created += 1,
                    ItemOutcome::Updated => run.counts.updated += 1,
                    ItemOutcome::Unchanged => run.counts.unchanged += 1,
                    ItemOutcome::Stale => run.counts.stale += 1,
                    ItemOutcome::Refused(error) => run.refuse(error.clone()),
                }
                outcomes.push(outcome);
            }
            state.row(&page.lease.source).run = Some(run.clone());
            (run, outcomes)
        };
        yield_now().await;
        Ok(done)
    }

    async fn items(&self, source: &str, after: Option<&str>, limit: u32) -> Result<Vec<Item>, StoreError> {
        yield_now().await;
        let state = self.state();
        let mut items: Vec<Item> =
            state.products.values().filter(|(_, owner, _)| owner == source).map(|(.., item)| item.clone()).collect();
        items.retain(|item| after.is_none_or(|after| item.key.as_str() > after));
        items.sort_by(|a, b| a.key.cmp(&b.key));
        items.truncate(limit as usize);
        Ok(items)
    }

    async fn seen(&self, _: &str, run: Uuid) -> Result<Vec<[u8; 16]>, StoreError> {
        yield_now().await;
        Ok(self.state().seen.get(&run).map(|seen| seen.iter().copied().collect()).unwrap_or_default())
    }

    async fn miss_items(&self, missed: MissedItems) -> Result<Vec<Item>, RunError> {
        yield_now().await;
        self.fault()?;
        let twice = {
            let mut state = self.state();
            state.holds(&missed.lease)?;
            let MissedItems { items, run, before, .. } = missed;
            let is_twice = |item: &Item| before.is_some() && state.missed.get(&item.sku).copied() == before;
            let (twice, once): (Vec<Item>, Vec<Item>) = items.into_iter().partition(is_twice);
            state.missed.extend(once.into_iter().map(|item| (item.sku, run)));
            twice
        };
        yield_now().await;
        Ok(twice)
    }

    async fn remove_items(&self, removal: RemoveItems) -> Result<Run, RunError> {
        yield_now().await;
        self.fault()?;
        let run = {
            let mut state = self.state();
            state.holds(&removal.lease)?;
            state.hold(&removal.lease, removal.now.plus(removal.hold));
            assert!(removal.items.len() <= 100);
            let mut run = removal.run;
            for item in removal.items {
                if state.products.get(&item.sku).is_some_and(|(.., there)| *there == item) {
                    state.products.remove(&item.sku);
                    state.removed.push(item.key);
                    run.counts.removed += 1;
                }
            }
            state.row(&removal.lease.source).run = Some(run.clone());
            run
        };
        yield_now().await;
        Ok(run)
    }

    async fn end_run(&self, lease: &Lease, run: &Run, watermark: Option<Timestamp>) -> Result<(), RunError> {
        yield_now().await;
        self.fault()?;
        {
            let mut state = self.state();
            state.holds(lease)?;
            state.leases.insert(lease.source.clone(), (lease.fence, None));
            if run.state != RunState::AwaitingConfirmation {
                state.seen.remove(&run.id);
            }
            let row = state.row(&lease.source);
            row.run = Some(run.clone());
            row.watermark = watermark.or(row.watermark);
            if run.state == RunState::Done {
                row.last_done = Some(run.clone());
                if run.mode == Mode::Full {
                    row.last_full = Some(run.clone());
                }
            }
        }
        yield_now().await;
        Ok(())
    }

    async fn cancel_run(&self, source: &str, now: Timestamp) -> Result<Option<Run>, StoreError> {
        yield_now().await;
        let mut state = self.state();
        let run = state.rows.get(source).and_then(|row| row.run.clone());
        let is_open = |run: &Run| run.state.is_unfinished() || run.state == RunState::AwaitingConfirmation;
        let Some(run) = run.filter(is_open).map(|run| run.cancelled(now)) else { return Ok(None) };
        state.row(source).run = Some(run.clone());
        if let Some((_, until)) = state.leases.get_mut(source) {
            *until = None;
        }
        Ok(Some(run))
    }

    async fn forget_orders(&self, forget: ForgetOrders) -> Result<Option<String>, RunError> {
        yield_now().await;
        self.fault()?;
        let last = {
            let mut state = self.state();
            state.holds(&forget.lease)?;
            state.forgetting += 1;
            let source = &forget.lease.source;
            let mut items: Vec<&mut Item> =
                state.products.values_mut().filter(|(_, owner, _)| owner == source).map(|(.., item)| item).collect();
            items.retain(|item| forget.after.as_ref().is_none_or(|after| item.key > *after));
            items.sort_by(|a, b| a.key.cmp(&b.key));
            items.truncate(forget.limit as usize);
            items.iter_mut().for_each(|item| item.order = None);
            items.last().map(|item| item.key.clone())
        };
        yield_now().await;
        Ok(last)
    }

    async fn forget_source(&self, forget: ForgetSource) -> Result<Forgotten, StoreError> {
        yield_now().await;
        let mut state = self.state();
        if state.rows.remove(&forget.source).is_none() {
            return Ok(Forgotten::Unknown);
        }
        let heir = forget.heir.unwrap_or_default();
        let own = state.products.values_mut().filter(|(_, owner, _)| *owner == forget.source);
        let given = own.map(|(_, owner, _)| owner.clone_from(&heir)).count();
        Ok(Forgotten::Done(given as u64))
    }

    async fn owner_of(&self, sku: &Sku) -> Result<Option<(String, Item)>, StoreError> {
        yield_now().await;
        self.fault()?;
        let mut state = self.state();
        state.looks += 1;
        Ok(state
            .products
            .get(sku)
            .filter(|(_, owner, _)| !owner.is_empty())
            .map(|(_, owner, item)| (owner.clone(), item.clone())))
    }

    async fn order_breaker(&self, source: &str, order: BreakerOrder) -> Result<(), StoreError> {
        yield_now().await;
        self.state().row(source).breaker_order = order;
        Ok(())
    }

    async fn report_breaker(&self, source: &str, report: &BreakerReport) -> Result<(), StoreError> {
        yield_now().await;
        self.state().reports.insert((source.to_owned(), report.replica.clone()), report.clone());
        Ok(())
    }

    async fn breaker_reports(&self, since: Timestamp) -> Result<Vec<(String, BreakerReport)>, StoreError> {
        yield_now().await;
        let mut state = self.state();
        if state.mute {
            return Err(StoreError::Unavailable("mute".into()));
        }
        state.reports.retain(|_, report| report.seen_at >= since);
        Ok(state.reports.iter().map(|((source, _), report)| (source.clone(), report.clone())).collect())
    }
}
