//! A page of an upstream as it is to be written: items understood, each product once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use haat_catalog::{Ids, Sku, Timestamp};
use serde_json::Value;

use crate::connector::{Connector, ItemPage, Mapped};
use crate::ports::PageItem;
use crate::run::{ItemError, MAX_ERRORS, Run, key_hash};

/// A page that was read and understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    /// What is to be written; each key and each sku once.
    pub(super) items: Vec<PageItem>,
    /// Hashes of all keys, those of items that could not be understood as well.
    pub(super) seen: Vec<[u8; 16]>,
    /// What else the run remembers.
    pub(super) told: Told,
    /// The place of the next page.
    pub(super) next: Option<Value>,
    /// How many items there are in all.
    pub(super) total: Option<u64>,
}

/// What a page says of its run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Told {
    /// Items read.
    pub(super) read: u64,
    /// Items that could not be understood, with everything that is wrong with each.
    pub(super) refused: Vec<Vec<ItemError>>,
    /// Whether one of them has no key that can be read.
    pub(super) keyless: bool,
    /// The latest time of change upstream that can be believed.
    pub(super) newest: Option<Timestamp>,
}

impl Told {
    /// Writes it into the run.
    pub(super) fn account(self, run: &mut Run) {
        run.counts.read += self.read;
        run.keyless |= self.keyless;
        run.newest = run.newest.max(self.newest);
        for errors in self.refused {
            // One item, however much is wrong with it.
            run.counts.failed += 1;
            let room = MAX_ERRORS.saturating_sub(run.errors.len());
            run.errors.extend(errors.into_iter().take(room));
        }
    }
}

/// How far ahead of ours an upstream's clock may be. A time of change that is later is a mistake, and believing it would hide
/// every change until that time has come.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Understands a page that was answered `now`.
pub(super) fn prepare(connector: &dyn Connector, ids: &dyn Ids, page: ItemPage, now: Timestamp) -> Prepared {
    let latest = now.plus(AHEAD);
    let mut told = Told { read: page.items.len() as u64, ..Told::default() };
    let mut seen = Vec::with_capacity(page.items.len());
    let mut once = Once::default();
    for item in &page.items {
        let key = connector.key(item);
        told.keyless |= key.is_none();
        match connector.map(item) {
            Ok(mapped) if key.is_some() => {
                seen.push(key_hash(&mapped.item.key));
                told.newest = told.newest.max(mapped.changed_at.filter(|at| *at <= latest));
                once.take(mapped, &mut told.refused);
            }
            Ok(_) => told.refused.push(vec![unnamed()]),
            Err(errors) => {
                seen.extend(key.as_deref().map(key_hash));
                told.refused.push(errors);
            }
        }
    }
    let items = once.taken.into_iter();
    let items = items.map(|Mapped { item, overlay, .. }| PageItem { item, overlay, new_id: ids.next_id() }).collect();
    Prepared { items, seen, told, next: page.next, total: page.total }
}

fn unnamed() -> ItemError {
    let detail = "the item has no key that can be read".to_owned();
    ItemError { key: String::new(), pointer: String::new(), detail }
}

/// Items of a page, each key and each sku once.
#[derive(Default)]
struct Once {
    taken: Vec<Mapped>,
    by_key: HashMap<String, usize>,
    by_sku: HashMap<Sku, usize>,
}

impl Once {
    /// Takes an item. Of two with one key the newer counts, or else the later in the page; of two keys with one sku the one
    /// that came first keeps it.
    fn take(&mut self, mapped: Mapped, refused: &mut Vec<Vec<ItemError>>) {
        let earlier = self.by_key.get(&mapped.item.key).copied();
        if let Some(&holder) = self.by_sku.get(&mapped.item.sku)
            && Some(holder) != earlier
        {
            let other = self.taken.get(holder).map_or("", |other| other.item.key.as_str());
            let detail = format!("the item '{other}' has the same sku, '{}'", mapped.item.sku);
            refused.push(vec![ItemError { key: mapped.item.key, pointer: "/sku".into(), detail }]);
            return;
        }
        match self.by_key.entry(mapped.item.key.clone()) {
            Entry::Vacant(place) => {
                place.insert(self.taken.len());
                self.by_sku.insert(mapped.item.sku.clone(), self.taken.len());
                self.taken.push(mapped);
            }
            Entry::Occupied(place) => {
                let place = *place.get();
                if let Some(there) = self.taken.get_mut(place)
                    && !is_older(mapped.item.order, there.item.order)
                {
                    self.by_sku.remove(&there.item.sku);
                    self.by_sku.insert(mapped.item.sku.clone(), place);
                    *there = mapped;
                }
            }
        }
    }
}

fn is_older(order: Option<i64>, than: Option<i64>) -> bool {
    matches!((order, than), (Some(order), Some(than)) if order < than)
}
