//! Writing many products at once.

use haat_catalog::write::{BatchOutcome, BatchRequest, Effect};
use haat_catalog::{Draft, Seq};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Subject, after_noon, batch, create, draft, draft_with, put};
use crate::clock::test_id;

use BatchOutcome::{Created, Refused, Unchanged, Updated};

/// New products are created, changed ones changed, the same ones left alone; outcomes come in order of the drafts.
pub async fn a_batch_creates_updates_and_leaves_alone(s: &Subject) {
    s.done(create(draft("same", "s"), 1)).await;
    s.done(create(draft("other", "before"), 2)).await;
    let drafts = vec![draft("zz", "new"), draft("same", "s"), draft("other", "after"), draft("aa", "new")];
    let outcomes = s.batch(BatchRequest { now: after_noon(60), ..batch(drafts, 10) }).await;
    assert_eq!(outcomes, [Created, Unchanged, Updated, Created]);
    let other = s.product("other").await.unwrap();
    assert_eq!((other.name.as_str(), other.version, other.id), ("after", 2, test_id(2)));
    assert_eq!((other.created_at, other.updated_at), (after_noon(0), after_noon(60)));
    assert_eq!(s.product("zz").await.unwrap().id, test_id(10));
    let ops: Vec<_> = s.changes().await[2..].iter().map(|c| (c.sku.to_string(), c.op.name(), c.version)).collect();
    assert_eq!(ops, [("zz".into(), "created", 1), ("other".into(), "updated", 2), ("aa".into(), "created", 1)]);
}

/// Running an import again is free.
pub async fn the_same_batch_twice_changes_nothing(s: &Subject) {
    let drafts: Vec<Draft> =
        (0..50).map(|n| draft_with(&format!("S{n}"), "x", json!({"rating": f64::from(n) / 10.0}))).collect();
    assert!(s.batch(batch(drafts.clone(), 1)).await.iter().all(|o| *o == Created));
    let (head, before) = (s.log.head().await.unwrap(), s.products().await);
    let again = s.batch(BatchRequest { now: after_noon(60), ..batch(drafts, 100) }).await;
    assert!(again.iter().all(|o| *o == Unchanged));
    assert_eq!((s.log.head().await.unwrap(), s.products().await), (head, before));
}

/// The outcomes of a dry run are those that the batch would have.
pub async fn a_dry_run_tells_and_writes_nothing(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    let mut taken = draft("T", "t");
    taken.id = Some(test_id(1));
    let wet = batch(vec![draft("A", "a"), draft("B", "b"), taken], 10);
    let dry = s.batch(BatchRequest { dry_run: true, ..wet.clone() }).await;
    assert_eq!(dry.len(), 3);
    assert_eq!((s.reader.count().await.unwrap(), s.changes().await.len()), (1, 1));
    assert!(s.product("B").await.is_none());
    assert_eq!(s.batch(wet).await, dry);
    assert_eq!(s.reader.count().await.unwrap(), 2);
}

/// One bad product does not spoil the batch.
pub async fn ids_that_are_taken_are_refused_and_the_rest_is_written(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    let with_id = |sku: &str, id| Draft { id: Some(test_id(id)), ..draft(sku, "x") };
    let drafts = vec![with_id("B", 1), with_id("C", 50), with_id("D", 50), with_id("A", 51), draft("E", "e")];
    let outcomes = s.batch(batch(drafts, 10)).await;
    let [Refused(first), Created, Refused(twin), Refused(own), Created] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!([first, twin, own].iter().all(|v| v.pointer == "/id"), "{outcomes:?}");
    assert_eq!(s.product("C").await.unwrap().id, test_id(50));
    assert_eq!(s.reader.count().await.unwrap(), 3);
}

/// The first of two drafts with one sku is taken.
pub async fn a_sku_twice_in_a_batch_is_refused_once(s: &Subject) {
    let outcomes = s.batch(batch(vec![draft("A", "first"), draft("B", "b"), draft("A", "second")], 1)).await;
    assert!(matches!(&outcomes[..], [Created, Created, Refused(v)] if v.pointer == "/sku"), "{outcomes:?}");
    assert_eq!(s.product("A").await.unwrap().name, "first");
}

/// What an export says of a product's origin survives the import.
pub async fn a_batch_keeps_ids_and_creation_times_of_an_export(s: &Subject) {
    let exported = Draft { id: Some(test_id(77)), created_at: Some(after_noon(-9_999)), ..draft("A", "a") };
    assert_eq!(s.batch(batch(vec![exported.clone()], 1)).await, [Created]);
    let product = s.product("A").await.unwrap();
    assert_eq!((product.id, product.created_at), (test_id(77), after_noon(-9_999)));
    assert_eq!(s.batch(batch(vec![exported.clone()], 2)).await, [Unchanged]);
    assert_eq!(s.batch(batch(vec![draft("A", "a")], 3)).await, [Unchanged], "without them nothing differs");
    let moved = Draft { created_at: Some(after_noon(-5)), ..exported };
    assert_eq!(s.batch(batch(vec![moved], 4)).await, [Updated]);
    assert_eq!(s.product("A").await.unwrap().created_at, after_noon(-5));
}

/// No product is lost between the statements that a batch is cut into.
pub async fn a_large_batch_of_awkward_size_is_written_whole(s: &Subject) {
    let drafts = |name: &str| -> Vec<Draft> { (0..1_367).map(|n| draft(&format!("S{n:05}"), name)).collect() };
    assert!(s.batch(batch(drafts("one"), 1)).await.iter().all(|o| *o == Created));
    assert_eq!(s.reader.count().await.unwrap(), 1_367);
    assert!(s.batch(batch(drafts("two"), 5_000)).await.iter().all(|o| *o == Updated));
    let products = s.products().await;
    assert_eq!(products.len(), 1_367);
    assert!(products.iter().all(|p| p.name == "two" && p.version == 2));
    let changes = s.changes().await;
    assert_eq!(changes.len(), 2 * 1_367);
    assert!(changes.iter().zip(1..).all(|(change, seq)| change.seq == Seq(seq)));
}

/// What one way of writing wrote, the other finds unchanged.
pub async fn batches_and_single_writes_agree_on_what_is_the_same(s: &Subject) {
    let product = || draft_with("A", "a", json!({"rating": 4.35, "attributes": {"b": [1, 2.5], "a": "x"}}));
    s.done(put(product(), 1)).await;
    assert_eq!(s.batch(batch(vec![product()], 2)).await, [Unchanged]);
    s.batch(batch(vec![draft("B", "b")], 3)).await;
    assert_eq!(s.done(put(draft("B", "b"), 4)).await.effect, Effect::Unchanged);
}

/// Batches that meet wait for each other or are run again; none fails, none is lost.
pub async fn concurrent_batches_over_the_same_skus_all_succeed(s: &Subject) {
    let mut tasks = JoinSet::new();
    for writer in 0..6_u64 {
        let mut drafts: Vec<Draft> = (0..60).map(|n| draft(&format!("S{n}"), &format!("by {writer}"))).collect();
        // In different orders, so that locks taken in order of the drafts would cross.
        drafts.rotate_left(writer as usize * 10);
        if writer % 2 == 0 {
            drafts.reverse();
        }
        let (store, request) = (s.writer.clone(), batch(drafts, 1_000 * (writer + 1)));
        tasks.spawn(async move { store.write_batch(request).await.unwrap() });
    }
    let outcomes: Vec<BatchOutcome> = tasks.join_all().await.concat();
    assert_eq!(outcomes.iter().filter(|o| **o == Created).count(), 60);
    assert_eq!(outcomes.iter().filter(|o| **o == Updated).count(), 300);
    assert_eq!(s.reader.count().await.unwrap(), 60);
    assert_eq!(s.changes().await.len(), 360);
    assert!(s.products().await.iter().all(|p| p.version == 6));
}

/// Nothing in, nothing out.
pub async fn an_empty_batch_is_nothing(s: &Subject) {
    assert!(s.batch(batch(Vec::new(), 1)).await.is_empty());
    assert_eq!(s.log.head().await.unwrap(), Seq(0));
}
