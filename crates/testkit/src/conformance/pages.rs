//! Pages of sources: products, whose they are, and how the run stands, in one transaction.

use std::collections::BTreeMap;

use haat_catalog::Seq;
use haat_sources::ports::{Begin, Item, ItemOutcome, PageItem};
use haat_sources::run::{ItemError, MAX_ERRORS, Mode, RunCounts, RunState, key_hash};
use serde_json::json;
use tokio::task::JoinSet;

use super::upstream::{Holder, at, begin, item, item_with, many};
use super::{Subject, after_noon, batch, create, delete, draft, draft_with, patch, put, sku};

use ItemOutcome::{Created, Refused, Stale, Unchanged, Updated};

fn refusal(outcome: &ItemOutcome) -> &ItemError {
    let Refused(error) = outcome else { panic!("{outcome:?}") };
    error
}

/// As a batch does, in order of the items; members that are not named stay; the run counts it all.
pub async fn a_page_creates_updates_and_leaves_alone(s: &Subject) {
    s.done(create(draft_with("same", "s", json!({"brand": "ours"})), 1)).await;
    s.done(create(draft_with("other", "before", json!({"rating": 4.35, "attributes": {"b": [1, 2.5]}})), 2)).await;
    let mut holder = s.hold(begin("s", 1)).await;
    holder.now = after_noon(60);
    let items =
        vec![item("1", "zz", "new"), item("2", "same", "s"), item("3", "other", "after"), item("4", "aa", "new")];
    let id = items[0].new_id;
    assert_eq!(holder.page(items).await, [Created, Unchanged, Updated, Created]);
    let other = s.there("other").await;
    assert_eq!((other.name.as_str(), other.version, other.rating), ("after", 2, Some(4.35)));
    assert_eq!((other.created_at, other.updated_at), (after_noon(0), after_noon(60)));
    assert_eq!((s.there("zz").await.id, s.there("same").await.brand.as_deref()), (id, Some("ours")));
    let ops: Vec<_> = s.changes().await[2..].iter().map(|c| (c.sku.to_string(), c.op.name(), c.version)).collect();
    assert_eq!(ops, [("zz".into(), "created", 1), ("other".into(), "updated", 2), ("aa".into(), "created", 1)]);
    let counts = RunCounts { read: 4, created: 2, updated: 1, unchanged: 1, pages: 1, ..RunCounts::default() };
    assert_eq!(holder.run.counts, counts);
    assert_eq!((s.source("s").await.run, s.reader.count().await.unwrap()), (Some(holder.run), 4));
}

/// Before the commit nobody sees anything of it, after it everybody sees all of it.
pub async fn a_page_is_seen_as_a_whole(s: &Subject) {
    s.done(create(draft("A", "before"), 1)).await;
    let mut holder = s.hold(begin("s", 1)).await;
    let (before, head) = (s.source("s").await, s.log.head().await.unwrap());
    s.gate.close();
    let writing = tokio::spawn(async move {
        let outcomes = holder.page(vec![item("k1", "A", "after"), item("k2", "B", "new")]).await;
        (holder.run, outcomes)
    });
    s.gate.someone_waits().await;
    assert_eq!((s.source("s").await, s.log.head().await.unwrap()), (before, head));
    assert_eq!((s.there("A").await.name.as_str(), s.product("B").await, s.owner("A").await), ("before", None, None));
    assert!(s.items_of("s").await.is_empty());
    s.gate.open();
    let (run, outcomes) = writing.await.unwrap();
    assert_eq!(outcomes, [Updated, Created]);
    assert_eq!(s.sources.seen("s", run.id).await.unwrap(), ["k1", "k2"].map(key_hash));
    assert_eq!((s.source("s").await.run, s.items_of("s").await.len()), (Some(run), 2));
    assert_eq!((s.there("A").await.name.as_str(), s.log.head().await.unwrap()), ("after", Seq(head.0 + 2)));
}

/// Nor does a run over unchanged products.
pub async fn the_same_page_again_changes_nothing(s: &Subject) {
    let page = || -> Vec<PageItem> {
        let number = |n: i32| {
            json!({"name": "x", "price": {"amount": 5, "currency": "EUR"}, "rating": f64::from(n) / 7.0,
            "attributes": {"weight": f64::from(n) / 3.0}})
        };
        (1..30).map(|n| at(7, item_with(&format!("k{n}"), &format!("S{n}"), number(n)))).collect()
    };
    assert!(s.synced("s", 1, page()).await.iter().all(|outcome| *outcome == Created));
    let before = (s.log.head().await.unwrap(), s.products().await, s.items_of("s").await);
    let mut holder = s.hold(begin("s", 2)).await;
    holder.now = after_noon(60);
    for _ in 0..2 {
        assert!(holder.page(page()).await.iter().all(|outcome| *outcome == Unchanged));
    }
    assert_eq!((holder.run.counts.unchanged, holder.run.counts.pages), (58, 2));
    assert_eq!((s.log.head().await.unwrap(), s.products().await, s.items_of("s").await), before);
}

/// Not even its sku. What has no order is neither older nor newer, and does not make the order known forgotten.
pub async fn an_older_item_changes_nothing_and_says_so(s: &Subject) {
    let mut holder = s.hold(begin("s", 1)).await;
    assert_eq!(holder.page(vec![at(5, item("k", "A", "five"))]).await, [Created]);
    for older in [at(4, item("k", "A", "four")), at(i64::MIN, item("k", "B", "least"))] {
        assert_eq!(holder.page(vec![older]).await, [Stale]);
    }
    assert_eq!((s.there("A").await.name.as_str(), s.product("B").await), ("five", None));
    assert_eq!(holder.page(vec![at(5, item("k", "A", "five"))]).await, [Unchanged]);
    assert_eq!(holder.page(vec![at(5, item("k", "A", "five again"))]).await, [Updated]);
    assert_eq!(holder.page(vec![item("k", "A", "no order")]).await, [Updated]);
    assert_eq!(holder.page(vec![at(4, item("k", "A", "four"))]).await, [Stale]);
    assert_eq!(holder.page(vec![at(9, item("k", "A", "no order"))]).await, [Unchanged]);
    assert_eq!(
        holder.page(vec![at(8, item("k", "A", "eight"))]).await,
        [Stale],
        "although nothing but the order changed"
    );
    assert_eq!(s.items_of("s").await, [Item { key: "k".into(), sku: sku("A"), order: Some(9) }]);
    assert_eq!((holder.run.counts.stale, s.there("A").await.version), (4, 3));
}

/// Whatever it says; the error names the other. Both may call theirs by the same key.
pub async fn a_product_of_another_source_is_refused(s: &Subject) {
    s.synced("first", 1, vec![item("k", "A", "of first")]).await;
    let mut second = s.hold(begin("second", 2)).await;
    let outcomes = second.page(vec![at(9, item("x", "A", "of second")), item("k", "B", "b")]).await;
    assert_eq!(outcomes[1], Created);
    let error = refusal(&outcomes[0]);
    assert_eq!((error.key.as_str(), error.pointer.as_str()), ("x", "/sku"));
    assert!(error.detail.contains("'first'"), "{}", error.detail);
    assert_eq!((second.run.counts.failed, second.run.errors.first()), (1, Some(error)));
    assert_eq!((s.there("A").await.name.as_str(), s.owner("A").await.as_deref()), ("of first", Some("first")));
    assert_eq!((s.items_of("first").await.len(), s.items_of("second").await.len()), (1, 1));
    // Gone by hand, it is the first's all the same.
    s.done(delete("A")).await;
    refusal(&second.page(vec![item("x", "A", "of second")]).await[0]);
    assert_eq!(s.product("A").await, None);
}

/// Changed or not, it belongs to the source from now on, and keeps its id.
pub async fn a_product_of_nobody_is_adopted(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    s.batch(batch(vec![draft("B", "b")], 2)).await;
    let ids = (s.there("A").await.id, s.there("B").await.id);
    assert_eq!(s.synced("s", 1, vec![item("1", "A", "a"), item("2", "B", "changed")]).await, [Unchanged, Updated]);
    assert_eq!((s.there("A").await.id, s.there("B").await.id), ids);
    assert_eq!((s.owner("A").await.as_deref(), s.owner("B").await.as_deref()), (Some("s"), Some("s")));
    assert_eq!(s.changes().await.len(), 3);
}

/// One by one, with the place and the reason; the run keeps the first of them and counts all.
pub async fn items_that_make_no_product_are_refused_and_the_rest_is_written(s: &Subject) {
    let mut holder = s.hold(begin("s", 1)).await;
    holder.page(vec![item("k", "A", "a")]).await;
    let nameless = item_with("n", "N", json!({"price": {"amount": 1, "currency": "INR"}}));
    let priceless = item_with("k", "A", json!({"name": "b", "price": {"amount": "x"}}));
    let own_id = item_with("i", "I", json!({"id": "x", "name": "i", "price": {"amount": 1, "currency": "INR"}}));
    let long = item(&"k".repeat(256), "L", "l");
    let fine = item("b", "B", "b");
    let outcomes = holder.page(vec![nameless, priceless, own_id, long, fine]).await;
    let [first, second, third, fourth, Created] = &outcomes[..] else { panic!("{outcomes:?}") };
    let at: Vec<&str> = [first, second, third].map(|outcome| refusal(outcome).pointer.as_str()).to_vec();
    assert_eq!((&at[..2], at[2]), (&["/name", "/price/amount"][..], "/id"));
    assert!(refusal(fourth).detail.contains("255"));
    let expected = (4, 4, 2);
    let run = &holder.run;
    assert_eq!((run.counts.failed, run.errors.len(), s.items_of("s").await.len()), expected);
    assert_eq!((s.there("A").await.name.as_str(), s.reader.count().await.unwrap()), ("a", 2));
    let poisoned = |n| item_with(&format!("p{n}"), &format!("P{n}"), json!({"name": 7}));
    holder.page((0..150).map(poisoned).collect()).await;
    assert_eq!((holder.run.counts.failed, holder.run.errors.len()), (154, MAX_ERRORS));
    assert_eq!(s.source("s").await.run, Some(holder.run));
}

/// The upstream is the master: what was deleted by hand comes back, what was changed by hand is put right, and the number of
/// the source's products stays what it is.
pub async fn what_was_done_by_hand_is_undone(s: &Subject) {
    let page = || vec![at(3, item("1", "A", "a")), at(3, item("2", "B", "b")), at(3, item("3", "C", "c"))];
    s.synced("s", 1, page()).await;
    s.done(delete("A")).await;
    s.done(put(draft_with("B", "mine", json!({"brand": "mine"})), 1)).await;
    s.done(delete("C")).await;
    s.done(create(draft("C", "another"), 77)).await;
    assert_eq!((s.items_of("s").await.len(), s.owner("A").await.as_deref()), (3, Some("s")));
    assert_eq!(s.synced("s", 2, page()).await, [Created, Updated, Updated]);
    assert_eq!((s.items_of("s").await.len(), s.reader.count().await.unwrap()), (3, 3));
    let b = s.there("B").await;
    assert_eq!((b.name.as_str(), b.brand.as_deref()), ("b", Some("mine")), "the members that it names");
    assert_eq!(s.synced("s", 3, page()).await, [Unchanged, Unchanged, Unchanged]);
    s.done(patch("A", json!({"stock": 4}))).await;
    assert_eq!(s.synced("s", 4, page()).await, [Unchanged, Unchanged, Unchanged], "nobody spoke of the stock");
}

/// It is written under the new one. The product of the old one stays under a key that no item has, so that it is among those
/// that vanished when the run has read everything.
pub async fn an_item_that_gets_another_sku_leaves_the_old_product_to_vanish(s: &Subject) {
    s.synced("s", 1, vec![at(1, item("k", "OLD", "x")), at(1, item("l", "L", "x"))]).await;
    let mut holder = s.hold(begin("s", 2)).await;
    let outcomes = holder.page(vec![at(2, item("k", "NEW", "x")), at(1, item("l", "L", "x"))]).await;
    assert_eq!(outcomes, [Created, Unchanged]);
    assert_eq!((s.there("OLD").await.version, s.owner("OLD").await.as_deref()), (1, Some("s")));
    let seen = s.sources.seen("s", holder.run.id).await.unwrap();
    let items = s.items_of("s").await;
    let vanished: Vec<Item> = items.into_iter().filter(|item| !seen.contains(&key_hash(&item.key))).collect();
    assert_eq!(vanished.iter().map(|item| item.sku.as_str()).collect::<Vec<_>>(), ["OLD"]);
    holder.try_remove(vanished).await.unwrap();
    holder.done().await;
    assert_eq!((s.product("OLD").await, s.items_of("s").await.len()), (None, 2));
    assert_eq!(s.owner("NEW").await.as_deref(), Some("s"));
    // There and back within one run: the product that retired is taken up again.
    let mut again = s.hold(begin("s", 3)).await;
    again.page(vec![at(3, item("k", "OTHER", "x"))]).await;
    assert_eq!(again.page(vec![at(4, item("k", "NEW", "x"))]).await, [Unchanged]);
    let skus = |items: Vec<Item>| items.into_iter().map(|item| (item.key, item.sku.to_string())).collect::<Vec<_>>();
    let expected = [("\u{1}OTHER", "OTHER"), ("k", "NEW"), ("l", "L")].map(|(key, of)| (key.into(), of.into()));
    assert_eq!(skus(s.items_of("s").await), expected);
}

/// On one page; an item of another key may take a product over as well.
pub async fn items_may_exchange_their_skus(s: &Subject) {
    s.synced("s", 1, vec![at(5, item("1", "A", "one")), at(5, item("2", "B", "two")), item("3", "C", "three")]).await;
    let exchanged = vec![at(6, item("1", "B", "one")), at(6, item("2", "A", "two")), item("4", "C", "four")];
    assert_eq!(s.synced("s", 2, exchanged).await, [Updated, Updated, Updated]);
    let items: Vec<_> = s.items_of("s").await.into_iter().map(|item| (item.key, item.sku.to_string())).collect();
    assert_eq!(items, [("1", "B"), ("2", "A"), ("4", "C")].map(|(key, of)| (key.to_owned(), of.to_owned())));
    assert_eq!((s.there("A").await.name.as_str(), s.there("B").await.name.as_str()), ("two", "one"));
    assert_eq!(s.reader.count().await.unwrap(), 3);
}

/// However often, and whichever comes first: the other is refused and told whose it is. Once the first is gone, it may have it.
pub async fn of_two_items_with_one_sku_on_different_pages_one_keeps_it(s: &Subject) {
    let pages = || [vec![item("1", "A", "one"), item("2", "B", "two")], vec![item("3", "A", "three")]];
    for (id, mode) in (1..).zip([Mode::Full, Mode::Full, Mode::Incremental, Mode::Full]) {
        let mut holder = s.hold(Begin { mode, ..begin("s", id) }).await;
        let [first, second] = pages();
        let written = if id == 1 { Created } else { Unchanged };
        assert_eq!(holder.page(first).await, [written.clone(), written]);
        let outcomes = holder.page(second).await;
        let error = refusal(&outcomes[0]);
        assert_eq!((error.key.as_str(), error.pointer.as_str()), ("3", "/sku"));
        assert!(error.detail.contains("the item '1' has the same sku"), "{}", error.detail);
        holder.done().await;
    }
    assert_eq!((s.there("A").await.name.as_str(), s.changes().await.len()), ("one", 2), "nothing is written again");
    let mut turned = s.hold(begin("s", 9)).await;
    let [first, second] = pages();
    assert_eq!(turned.page(second).await, [Updated], "so far it looks as if the item was made anew");
    assert!(matches!(turned.page(first).await[..], [Refused(_), Unchanged]));
    turned.done().await;
    assert_eq!(s.synced("s", 10, vec![item("1", "A", "one")]).await, [Updated], "the other is gone");
    assert_eq!(s.items_of("s").await.len(), 2);
}

/// Whatever their keys are made of; keys and skus are compared byte by byte.
pub async fn items_are_given_once_in_order_of_key(s: &Subject) {
    let keys = ["till", "TILL", "till ", " till", "t\u{ed}ll", "ti\u{301}ll", "2", "10", "/a/b?c=d", "\u{1F96D}", "%"];
    let mut holder = s.hold(begin("s", 1)).await;
    let items = keys.iter().zip(0..).map(|(key, n)| at(n, item(key, &format!("S{n}"), "x"))).collect();
    assert!(holder.page(items).await.iter().all(|outcome| *outcome == Created));
    s.synced("other", 2, many(0..5, "x")).await;
    let mut expected = keys.to_vec();
    expected.sort_unstable();
    let mut given = Vec::new();
    loop {
        let page = s.sources.items("s", given.last().map(String::as_str), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        given.extend(page.into_iter().map(|item| item.key));
    }
    assert_eq!(given, expected);
    let (source, found) = s.sources.owner_of(&sku("S2")).await.unwrap().unwrap();
    assert_eq!((source.as_str(), found), ("s", Item { key: "till ".into(), sku: sku("S2"), order: Some(2) }));
    assert_eq!(s.sources.owner_of(&sku("s2")).await.unwrap(), None);
}

/// No item is lost between the statements that a page is cut into.
pub async fn a_large_page_of_awkward_size_is_written_whole(s: &Subject) {
    const SIZE: u32 = 1_367;
    let orders = |order| -> Vec<PageItem> { many(0..SIZE, "one").into_iter().map(|of| at(order, of)).collect() };
    assert!(s.synced("s", 1, orders(1)).await.iter().all(|outcome| *outcome == Created));
    assert_eq!((s.items_of("s").await.len(), s.reader.count().await.unwrap()), (SIZE as usize, u64::from(SIZE)));
    let head = s.log.head().await.unwrap();
    assert!(s.synced("s", 2, orders(2)).await.iter().all(|outcome| *outcome == Unchanged));
    assert!(s.items_of("s").await.iter().all(|item| item.order == Some(2)));
    assert_eq!(s.log.head().await.unwrap(), head);
    assert!(s.synced("s", 3, many(0..SIZE, "two")).await.iter().all(|outcome| *outcome == Updated));
    assert!(s.products().await.iter().all(|product| product.name == "two" && product.version == 2));
    // Every item under the sku of the next, so that each row has another key.
    let shift = |n: u32| item(&format!("k{n:05}"), &format!("S{:05}", (n + 1) % SIZE), "two");
    assert!(s.synced("s", 4, (0..SIZE).map(shift).collect()).await.iter().all(|outcome| *outcome == Unchanged));
    let items = s.items_of("s").await;
    assert!(items.iter().zip(0..).all(|(item, n)| item.sku.as_str() == format!("S{:05}", (n + 1) % SIZE)));
}

const SOURCES: u32 = 8;
const PAGE: u32 = 40;
const SKUS: u32 = 120;

/// Pages over all the products, in an order of its own; gives what became of the items by sku.
async fn want_all(mut holder: Holder, source: u32) -> (Holder, BTreeMap<String, ItemOutcome>) {
    let mut outcomes = BTreeMap::new();
    let mut numbers: Vec<u32> = (0..SKUS).collect();
    numbers.rotate_left((source * 15) as usize);
    if source.is_multiple_of(2) {
        numbers.reverse();
    }
    for page in numbers.chunks(PAGE as usize) {
        let of = |n: &u32| item(&format!("{source}-{n}"), &format!("S{n:05}"), &format!("by {source}"));
        let items: Vec<PageItem> = page.iter().map(of).collect();
        let skus: Vec<String> = items.iter().map(|of| of.item.sku.to_string()).collect();
        outcomes.extend(skus.into_iter().zip(holder.page(items).await));
    }
    (holder, outcomes)
}

/// They wait for each other or are run again; none fails, each product has one owner, and everything is counted once.
pub async fn sources_that_want_the_same_products_share_them_out(s: &Subject) {
    let existing = (0..SKUS / 3).map(|n| draft(&format!("S{:05}", n * 3), "of nobody")).collect();
    s.batch(batch(existing, 1)).await;
    let mut writers = JoinSet::new();
    for source in 0..SOURCES {
        let holder = s.hold(begin(&format!("source {source}"), u128::from(source))).await;
        writers.spawn(want_all(holder, source));
    }
    let (mut owners, mut counts) = (BTreeMap::new(), RunCounts::default());
    for (mut holder, outcomes) in writers.join_all().await {
        let source = holder.lease.source.clone();
        for (of, outcome) in outcomes {
            match outcome {
                Refused(error) => assert!(error.detail.contains("belongs to the source"), "{error:?}"),
                Created | Updated => assert_eq!(owners.insert(of, source.clone()), None, "owned twice"),
                other => panic!("{other:?}"),
            }
        }
        let run = &holder.run.counts;
        assert_eq!(run.created + run.updated + run.failed, u64::from(SKUS), "{source}");
        counts.created += run.created;
        counts.updated += run.updated;
        assert_eq!(s.items_of(&source).await.len() as u64, run.created + run.updated);
        holder.try_end(RunState::Done, None).await.unwrap();
    }
    assert_eq!((counts.updated, counts.created), (u64::from(SKUS / 3), u64::from(SKUS - SKUS / 3)));
    assert_eq!(owners.len(), SKUS as usize);
    for (of, owner) in owners {
        let by = format!("by {}", owner.trim_start_matches("source "));
        assert_eq!((s.owner(&of).await, s.there(&of).await.name), (Some(owner), by));
    }
    assert_eq!(s.reader.count().await.unwrap(), u64::from(SKUS));
    assert_eq!(s.changes().await.len() as u32, SKUS / 3 + SKUS);
}

/// Whoever is first; the product is one, and the source's.
pub async fn pages_imports_and_single_writes_of_the_same_products_all_succeed(s: &Subject) {
    let mut writers = JoinSet::new();
    for source in 0..2_u32 {
        let mut holder = s.hold(begin(&format!("source {source}"), u128::from(source))).await;
        writers.spawn(async move {
            for round in 0..6 {
                let of = |n: u32| item(&format!("{n}"), &format!("S{n:05}"), &format!("{source} {round}"));
                holder.page((0..PAGE).map(|n| of((n + round * 7) % PAGE + PAGE * source)).collect()).await;
            }
        });
    }
    for writer in 0..2_u64 {
        let subject = s.clone();
        writers.spawn(async move {
            for round in 0..6 {
                let of = |n: u32| draft(&format!("S{n:05}"), &format!("import {writer} {round}"));
                let drafts = (0..PAGE * 2).rev().map(of).collect();
                subject.batch(batch(drafts, 10_000 * (writer + 1) + round * 1_000)).await;
                let single = format!("S{:05}", round * 13);
                subject.done(put(draft(&single, "single"), 90_000 + writer * 100 + round)).await;
            }
        });
    }
    writers.join_all().await;
    assert_eq!(s.reader.count().await.unwrap(), u64::from(PAGE * 2));
    for n in 0..PAGE * 2 {
        let owner = s.owner(&format!("S{n:05}")).await;
        assert_eq!(owner.as_deref(), Some(if n < PAGE { "source 0" } else { "source 1" }));
    }
    let changes = s.changes().await;
    assert!(changes.iter().zip(1..).all(|(change, seq)| change.seq == Seq(seq)));
    let versions: u64 = s.products().await.iter().map(|product| product.version).sum();
    assert_eq!(versions, changes.len() as u64, "every version has its change");
}
