//! Which products are whose, by sku and by key.
//!
//! A product belongs to one source (the primary key), and a source calls one product by a key (a unique index). An upstream
//! may give an item another sku. The product of the new sku then takes the key over, and the one of the old sku *retires*: it
//! stays, and stays the source's, under a key that no item has, so that the next full run finds it vanished and removes it.
//! Removing it at once would be no different from a full run but for the share of products that may go without a
//! confirmation, and a mistake upstream in the field of skus is just what that share is for.
//!
//! An item may take over the product of another key, for that is how an upstream looks that has made an item anew. But not if
//! the run has seen that key before: then there are two items with one sku, and they would take it from each other in every
//! run, for ever.

use std::collections::{BTreeMap, HashMap, HashSet};

use haat_catalog::Sku;
use haat_sources::ports::{Item, ItemOutcome, PageItem, RETIRED, WritePage};
use haat_sources::run::{ItemError, key_hash};

use super::page::hashes;
use super::sql::{ItemRow, StoredItem};
use crate::lane::Answer;
use crate::sql::Sql;

/// The longest key of an item, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// What is known of the products and the keys of a page.
pub(super) struct Ownership {
    source: String,
    by_sku: HashMap<String, StoredItem>,
    /// Those of the page's source.
    by_key: HashMap<Vec<u8>, StoredItem>,
    /// Of the keys that have a product which the page gives to another, those that the run has seen on a page before.
    seen_before: HashSet<Vec<u8>>,
}

impl Ownership {
    pub(super) async fn read<C: Sql>(conn: &mut C, page: &WritePage) -> Answer<Self> {
        let source = page.lease.source.clone();
        let mut skus: Vec<&Sku> = page.items.iter().map(|of| &of.item.sku).collect();
        let mut keys: Vec<&str> = page.items.iter().map(|of| of.item.key.as_str()).collect();
        skus.sort_unstable();
        keys.sort_unstable();
        let by_sku = conn.items_of_skus(&skus).await?.into_iter().map(|row| (row.sku.clone(), row)).collect();
        let by_key = conn.items_of_keys(&source, &keys).await?;
        let by_key = by_key.into_iter().map(|row| (row.item_key.clone(), row)).collect();
        let mut known = Self { source, by_sku, by_key, seen_before: HashSet::new() };
        let holders = known.holders(page);
        if !holders.is_empty() {
            let seen: HashSet<[u8; 16]> =
                hashes(&conn.seen_hashes(&known.source, page.run.id).await?)?.into_iter().collect();
            known.seen_before =
                holders.into_iter().filter(|(hash, _)| seen.contains(hash)).map(|(_, key)| key).collect();
        }
        Ok(known)
    }

    /// Keys with their hashes that have a product which the page gives to another, and that are not on the page themselves,
    /// where they may well give it away.
    fn holders(&self, page: &WritePage) -> HashMap<[u8; 16], Vec<u8>> {
        let here: HashSet<&[u8]> = page.items.iter().map(|of| of.item.key.as_bytes()).collect();
        let rows = page.items.iter().filter_map(|of| self.by_sku.get(of.item.sku.as_str()));
        let others = rows.filter(|row| self.is_own(row) && !here.contains(row.item_key.as_slice()));
        let keys = others.filter_map(|row| std::str::from_utf8(&row.item_key).ok());
        keys.filter(|key| !key.starts_with(RETIRED)).map(|key| (key_hash(key), key.into())).collect()
    }

    /// What ownership alone says of each item; `None` where its product decides.
    pub(super) fn judge(&self, page: &WritePage) -> Vec<Option<ItemOutcome>> {
        let (mut skus, mut keys) = (HashSet::new(), HashSet::new());
        page.items
            .iter()
            .map(|of| {
                let Item { key, sku, order } = &of.item;
                let (sku_is_new, key_is_new) = (skus.insert(sku), keys.insert(key));
                if key.is_empty() || key.len() > MAX_KEY_BYTES || key.starts_with(RETIRED) {
                    let rule = "what the source calls it must be 1 to 255 bytes and not begin with U+0001";
                    return Some(refused(key, "", rule.to_owned()));
                }
                if !sku_is_new || !key_is_new {
                    return Some(refused(key, "/sku", format!("the sku '{sku}' or its item is on this page already")));
                }
                if of.overlay.sku != *sku {
                    return Some(refused(key, "/sku", format!("the item says that its sku is '{sku}' and another")));
                }
                if let Some(row) = self.by_sku.get(sku.as_str()).filter(|row| !self.is_own(row)) {
                    let other = String::from_utf8_lossy(&row.source);
                    return Some(refused(key, "/sku", format!("the sku '{sku}' belongs to the source '{other}'")));
                }
                let holder =
                    self.by_sku.get(sku.as_str()).map(|row| &row.item_key).filter(|holder| *holder != key.as_bytes());
                if let Some(holder) = holder.filter(|holder| self.seen_before.contains(*holder)) {
                    let holder = String::from_utf8_lossy(holder);
                    return Some(refused(key, "/sku", format!("the item '{holder}' has the same sku, '{sku}'")));
                }
                let known = self.by_key.get(key.as_bytes()).and_then(|row| row.item_order);
                let is_older = matches!((order, known), (Some(order), Some(known)) if *order < known);
                is_older.then_some(ItemOutcome::Stale)
            })
            .collect()
    }

    fn is_own(&self, row: &StoredItem) -> bool {
        row.source == self.source.as_bytes()
    }

    /// What is to be written of whose products are whose, for those items that were dealt with.
    pub(super) fn claims(&self, page: &WritePage, outcomes: &[ItemOutcome]) -> Claims {
        let (mut retired, mut new, mut changed) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (PageItem { item, .. }, outcome) in page.items.iter().zip(outcomes) {
            if matches!(outcome, ItemOutcome::Stale | ItemOutcome::Refused(_)) {
                continue;
            }
            let of_key = self.by_key.get(item.key.as_bytes());
            // An item that says no order does not make what is known of it forgotten: something older could come after it.
            let order = item.order.or(of_key.and_then(|row| row.item_order));
            let row = ItemRow { sku: item.sku.as_str().to_owned(), key: item.key.clone(), order };
            match self.by_sku.get(item.sku.as_str()) {
                None => new.push(row),
                Some(own) if own.item_key == item.key.as_bytes() && own.item_order == order => {}
                Some(own) => {
                    if own.item_key != item.key.as_bytes() {
                        retire(&mut retired, own);
                    }
                    changed.push(row);
                }
            }
            if let Some(former) = of_key.filter(|row| row.sku != item.sku.as_str()) {
                retire(&mut retired, former);
            }
        }
        new.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        changed.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        Claims { retired: retired.into_values().collect(), new, changed }
    }
}

fn retire(retired: &mut BTreeMap<String, ItemRow>, row: &StoredItem) {
    let key = format!("{RETIRED}{}", row.sku);
    retired.insert(row.sku.clone(), ItemRow { sku: row.sku.clone(), key, order: row.item_order });
}

fn refused(key: &str, pointer: &str, detail: String) -> ItemOutcome {
    ItemOutcome::Refused(ItemError { key: key.to_owned(), pointer: pointer.to_owned(), detail })
}

/// What is to be written of whose products are whose, in order of sku.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// Their keys go to others.
    retired: Vec<ItemRow>,
    /// They belonged to nobody.
    pub(super) new: Vec<ItemRow>,
    /// They are the source's and have another key or another order.
    changed: Vec<ItemRow>,
}

impl Claims {
    /// Writes them, before any product: of sources that want the same new products all but one wait here, in one order, and
    /// hold nothing that the one could want.
    pub(super) async fn write<C: Sql>(&self, conn: &mut C, source: &str) -> Answer<()> {
        // First, for the index on keys is checked row by row: what two products exchange is free in between.
        conn.replace_items(source, &self.retired).await?;
        conn.insert_items(source, &self.new).await?;
        conn.replace_items(source, &self.changed).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haat_catalog::product::overlay::Overlay;
    use haat_catalog::{ProductId, Timestamp};
    use haat_sources::ports::Lease;
    use haat_sources::run::{Mode, Run};
    use uuid::Uuid;

    use super::*;

    fn page(items: &[(&str, &str, Option<i64>)]) -> WritePage {
        let now = Timestamp::from_millis(0);
        let items = items.iter().map(|(key, sku, order)| {
            let sku = Sku::new(*sku).unwrap();
            PageItem {
                item: Item { key: (*key).to_owned(), sku: sku.clone(), order: *order },
                overlay: Overlay::new(sku),
                new_id: ProductId::from_bytes([1; 16]),
            }
        });
        WritePage {
            lease: Lease { source: "s".into(), fence: 1 },
            items: items.collect(),
            seen: Vec::new(),
            run: Run::new(Uuid::nil(), Mode::Full, "r", None, now),
            hold: Duration::ZERO,
            now,
        }
    }

    fn known(rows: &[(&str, &str, &str, Option<i64>)]) -> Ownership {
        let stored: Vec<StoredItem> = rows
            .iter()
            .map(|(source, key, sku, order)| StoredItem {
                sku: (*sku).to_owned(),
                source: (*source).into(),
                item_key: (*key).into(),
                item_order: *order,
                missed_by: None,
            })
            .collect();
        let own = stored.iter().filter(|row| row.source == b"s");
        Ownership {
            source: "s".into(),
            by_key: own.map(|row| (row.item_key.clone(), row.clone())).collect(),
            by_sku: stored.into_iter().map(|row| (row.sku.clone(), row)).collect(),
            seen_before: HashSet::new(),
        }
    }

    fn row(key: &str, sku: &str, order: Option<i64>) -> ItemRow {
        ItemRow { sku: sku.into(), key: key.into(), order }
    }

    fn claims(known: &Ownership, page: &WritePage) -> Claims {
        known.claims(page, &vec![ItemOutcome::Unchanged; page.items.len()])
    }

    #[test]
    fn only_what_is_new_or_differs_is_written() {
        let known = known(&[("s", "k1", "A", Some(5)), ("s", "k2", "B", Some(5)), ("s", "k3", "C", None)]);
        let page = page(&[("k4", "D", None), ("k1", "A", Some(5)), ("k2", "B", None), ("k3", "C", Some(1))]);
        let expected =
            Claims { retired: vec![], new: vec![row("k4", "D", None)], changed: vec![row("k3", "C", Some(1))] };
        assert_eq!(claims(&known, &page), expected);
    }

    #[test]
    fn two_items_may_exchange_their_skus_on_one_page() {
        let known = known(&[("s", "k1", "A", Some(5)), ("s", "k2", "B", Some(7))]);
        let page = page(&[("k1", "B", Some(6)), ("k2", "A", Some(8))]);
        let claims = claims(&known, &page);
        assert_eq!(claims.retired, [row("\u{1}A", "A", Some(5)), row("\u{1}B", "B", Some(7))]);
        assert_eq!(claims.changed, [row("k2", "A", Some(8)), row("k1", "B", Some(6))]);
    }

    #[test]
    fn an_order_is_compared_with_that_of_the_same_item() {
        let known = known(&[("s", "k1", "A", Some(5)), ("s", "k2", "B", Some(7)), ("other", "k9", "X", None)]);
        let at = |key: &str, sku: &str, order| known.judge(&page(&[(key, sku, order)])).remove(0);
        assert_eq!(at("k1", "A", Some(4)), Some(ItemOutcome::Stale));
        assert_eq!(at("k1", "N", Some(4)), Some(ItemOutcome::Stale), "under another sku too");
        for (key, sku, order) in [("k1", "A", Some(5)), ("k1", "A", None), ("k3", "A", Some(1)), ("k1", "B", Some(6))] {
            assert_eq!(at(key, sku, order), None, "{key} {sku} {order:?}");
        }
        let Some(ItemOutcome::Refused(error)) = at("k1", "X", Some(4)) else { panic!("not refused") };
        assert!(error.pointer == "/sku" && error.detail.contains("'other'"), "{error:?}");
        for key in ["", "\u{1}A", &"k".repeat(256)] {
            assert!(matches!(at(key, "N", None), Some(ItemOutcome::Refused(_))), "{key:?}");
        }
    }

    #[test]
    fn an_item_or_a_sku_twice_on_a_page_counts_once() {
        let known = known(&[]);
        let judged = known.judge(&page(&[("k1", "A", None), ("k1", "B", None), ("k2", "A", None), ("k3", "C", None)]));
        let refused: Vec<bool> = judged.iter().map(Option::is_some).collect();
        assert_eq!(refused, [false, true, true, false]);
    }
}
