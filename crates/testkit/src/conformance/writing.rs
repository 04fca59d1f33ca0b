//! Writing products one by one.

use std::collections::BTreeSet;

use haat_catalog::ports::Compaction;
use haat_catalog::product::ProductKey;
use haat_catalog::write::{Command, Effect, Precondition, WriteError, WriteRequest};
use haat_catalog::{Product, Seq};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Subject, after_noon, create, delete, draft, draft_with, patch, put, request};
use crate::clock::test_id;

/// What the receipt tells is what is read afterwards.
pub async fn a_created_product_is_stored_as_answered(s: &Subject) {
    let more = json!({"brand": "Fresho", "category": ["Fruit", "Mango"], "rating": 4.2, "tags": ["ripe", "süß 🥭"],
        "location": {"lat": 18.52, "lon": 73.86}, "attributes": {"organic": true, "weight_g": 1000}});
    let receipt = s.done(create(draft_with("M-1", "Mango \"Alphonso\" \\ ' ; --", more), 7)).await;
    assert_eq!((receipt.effect, receipt.version, receipt.replayed), (Effect::Created, 1, false));
    assert_eq!(receipt.id, test_id(7));
    let stored = s.reader.product(&ProductKey::Id(receipt.id)).await.unwrap().unwrap();
    assert_eq!(Some(stored.document), receipt.document);
    let product = s.product("M-1").await.unwrap();
    assert_eq!((product.created_at, product.updated_at), (after_noon(0), after_noon(0)));
    assert_eq!(Some(product.etag()), receipt.etag());
    assert_eq!(s.log.head().await.unwrap(), receipt.seq);
}

/// A sku is unique.
pub async fn a_second_create_of_a_sku_is_refused(s: &Subject) {
    s.done(create(draft("A", "first"), 1)).await;
    let error = s.refused(create(draft("A", "second"), 2)).await;
    assert!(matches!(error, WriteError::SkuExists(sku) if sku.as_str() == "A"));
    assert_eq!(s.product("A").await.unwrap().name, "first");
}

/// However many create the same sku at once: one succeeds, the others are told that it exists.
pub async fn of_concurrent_creates_exactly_one_wins(s: &Subject) {
    for round in 0..10_u64 {
        let sku = format!("R{round}");
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            let (writer, request) = (s.writer.clone(), create(draft(&sku, "x"), 1000 * (round + 1) + n));
            tasks.spawn(async move { writer.write(request).await });
        }
        let results = tasks.join_all().await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|r| matches!(r, Err(WriteError::SkuExists(_)))), "{lost:?}");
    }
    assert_eq!(s.reader.count().await.unwrap(), 10);
    assert_eq!(s.changes().await.len(), 10);
}

/// An id is unique too, whether brought or drawn.
pub async fn an_id_of_another_product_is_refused(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    let mut taken = draft("B", "b");
    taken.id = Some(test_id(1));
    let error = s.refused(create(taken.clone(), 2)).await;
    assert!(matches!(error, WriteError::IdTaken(id) if id == test_id(1)), "{error}");
    assert!(matches!(s.refused(put(taken, 3)).await, WriteError::IdTaken(_)));
    assert!(matches!(s.refused(create(draft("C", "c"), 1)).await, WriteError::IdTaken(_)));
    assert_eq!(s.reader.count().await.unwrap(), 1);
    // A product cannot change its id either.
    let mut other_id = draft("A", "a");
    other_id.id = Some(test_id(9));
    assert!(matches!(s.refused(put(other_id, 4)).await, WriteError::Invalid(_)));
}

/// Put makes a product what the draft says, whether it was there or not.
pub async fn put_creates_then_replaces(s: &Subject) {
    let first = s.done(put(draft_with("A", "a", json!({"brand": "X", "stock": 3})), 1)).await;
    assert_eq!((first.effect, first.version), (Effect::Created, 1));
    let later = WriteRequest { now: after_noon(60), ..put(draft("A", "b"), 2) };
    let second = s.done(later).await;
    assert_eq!((second.effect, second.version, second.id), (Effect::Updated, 2, first.id));
    let product = s.product("A").await.unwrap();
    assert_eq!((product.name.as_str(), product.brand, product.stock), ("b", None, None));
    assert_eq!((product.created_at, product.updated_at), (after_noon(0), after_noon(60)));
    assert!(second.seq > first.seq);
}

/// A put of what is there already is no write: version, times and log stay.
pub async fn putting_the_same_again_changes_nothing(s: &Subject) {
    let same = || draft_with("A", "a", json!({"rating": 4.1, "location": {"lat": 0.1, "lon": 18.520_43}}));
    let first = s.done(put(same(), 1)).await;
    s.done(create(draft("B", "b"), 2)).await;
    let again = s.done(WriteRequest { now: after_noon(60), ..put(same(), 3) }).await;
    assert_eq!((again.effect, again.version, again.seq), (Effect::Unchanged, 1, first.seq));
    assert_eq!(s.product("A").await.unwrap().updated_at, after_noon(0));
    assert_eq!(s.changes().await.len(), 2);
    assert_eq!(s.log.head().await.unwrap(), Seq(first.seq.0 + 1));
}

/// A merge patch changes the members it names, by id or by sku.
pub async fn patch_changes_what_it_names(s: &Subject) {
    let made = s.done(create(draft_with("A", "a", json!({"brand": "X", "attributes": {"k": 1, "l": 2}})), 1)).await;
    let receipt = s.done(patch("A", json!({"brand": null, "stock": 5, "attributes": {"k": null}}))).await;
    assert_eq!((receipt.effect, receipt.version), (Effect::Updated, 2));
    let product = s.product("A").await.unwrap();
    assert_eq!((product.brand.as_deref(), product.stock, product.attributes.len()), (None, Some(5), 1));
    let by_id = Command::Patch { key: ProductKey::Id(made.id), patch: json!({"stock": 6}) };
    assert_eq!(s.done(request(by_id, 0)).await.version, 3);
    assert_eq!(s.product("A").await.unwrap().stock, Some(6));
    assert_eq!(s.done(patch("A", json!({"stock": 6}))).await.effect, Effect::Unchanged);
    assert!(matches!(s.refused(patch("none", json!({"stock": 6}))).await, WriteError::NotFound));
}

/// Refused as a whole.
pub async fn a_patch_that_makes_no_valid_product_writes_nothing(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    let error = s.refused(patch("A", json!({"stock": 5, "price": {"amount": -1}}))).await;
    assert!(matches!(error, WriteError::Invalid(_)));
    let product = s.product("A").await.unwrap();
    assert_eq!((product.version, product.stock), (1, None));
    assert_eq!(s.changes().await.len(), 1);
}

/// A deleted product is gone, and its receipt names its last version.
pub async fn delete_removes_and_a_second_delete_finds_nothing(s: &Subject) {
    let made = s.done(create(draft("A", "a"), 1)).await;
    s.done(patch("A", json!({"stock": 1}))).await;
    let gone = s.done(delete("A")).await;
    assert_eq!((gone.effect, gone.id, gone.version, gone.document), (Effect::Deleted, made.id, 2, None));
    assert!(s.product("A").await.is_none());
    assert!(matches!(s.refused(delete("A")).await, WriteError::NotFound));
    let again = s.done(create(draft("A", "new"), 2)).await;
    assert_eq!((again.version, again.id), (1, test_id(2)));
}

/// An id that was deleted and is brought back goes on counting: no entity tag ever stands for two contents.
pub async fn an_id_brought_back_never_repeats_an_entity_tag(s: &Subject) {
    let brought = |sku: &str, id| haat_catalog::Draft { id: Some(test_id(id)), ..draft(sku, "x") };
    let mut tags = BTreeSet::new();
    for _ in 0..2 {
        assert!(tags.insert(s.done(create(brought("A", 70), 1)).await.etag().unwrap()));
        assert!(tags.insert(s.done(patch("A", json!({"stock": 1}))).await.etag().unwrap()));
        s.done(delete("A")).await;
        s.batch(super::batch(vec![brought("A", 70), brought("B", 71)], 10)).await;
        assert!(tags.insert(s.product("A").await.unwrap().etag()));
        assert!(tags.insert(s.product("B").await.unwrap().etag()));
        s.done(delete("A")).await;
        s.done(delete("B")).await;
    }
    assert_eq!(s.done(create(draft("A", "fresh"), 99)).await.version, 1);
}

/// Not even when the deletion, and with it the last version, is forgotten.
pub async fn an_id_brought_back_after_it_was_forgotten_has_another_entity_tag(s: &Subject) {
    let brought = |name: &str| haat_catalog::Draft { id: Some(test_id(70)), ..draft("A", name) };
    let first = s.done(create(brought("first"), 1)).await;
    s.done(delete("A")).await;
    let all = Compaction { keep_newest: 0, deletions_before: after_noon(9_000), followers_since: after_noon(9_000) };
    assert_eq!(s.log.compact(all).await.unwrap().deletions, 1);
    let again = s.done(WriteRequest { now: after_noon(9_000), ..create(brought("another"), 2) }).await;
    assert_eq!((first.id, first.version), (again.id, again.version));
    assert_ne!(first.etag(), again.etag());
    let stale = Precondition::IfMatch(vec![first.etag().unwrap()]);
    let error = s.refused(WriteRequest { precondition: stale, ..patch("A", json!({"stock": 1})) }).await;
    assert!(matches!(error, WriteError::PreconditionFailed { current } if current == again.etag()));
}

/// `If-Match` with the current entity tag (or `*`) lets a write through, with any other refuses it.
pub async fn if_match_admits_the_current_version_alone(s: &Subject) {
    let conditional = |request: WriteRequest, precondition| WriteRequest { precondition, ..request };
    let absent = s.refused(conditional(put(draft("A", "a"), 1), Precondition::Exists)).await;
    assert!(matches!(absent, WriteError::PreconditionFailed { current: None }));
    let first = s.done(create(draft("A", "a"), 1)).await;
    let etag = first.etag().unwrap();
    let matching = Precondition::IfMatch(vec!["\"other\"".into(), etag.clone()]);
    let second = s.done(conditional(patch("A", json!({"stock": 1})), matching.clone())).await;
    for late in [patch("A", json!({"stock": 2})), put(draft("A", "late"), 5), delete("A")] {
        let error = s.refused(conditional(late, matching.clone())).await;
        assert!(matches!(error, WriteError::PreconditionFailed { current } if current == second.etag()));
    }
    assert_eq!(s.product("A").await.unwrap().version, 2);
    s.done(conditional(delete("A"), Precondition::Exists)).await;
}

/// `If-None-Match: *` lets only a new product through.
pub async fn if_none_match_admits_only_new_products(s: &Subject) {
    let new_only = |request| WriteRequest { precondition: Precondition::Absent, ..request };
    let made = s.done(new_only(put(draft("A", "a"), 1))).await;
    let error = s.refused(new_only(put(draft("A", "b"), 2))).await;
    assert!(matches!(error, WriteError::PreconditionFailed { current } if current == made.etag()));
    assert_eq!(s.product("A").await.unwrap().name, "a");
}

/// Of many who changed the same version only one gets through, however close they come.
pub async fn of_concurrent_updates_from_one_version_exactly_one_wins(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    for round in 0..5 {
        let etag = s.product("A").await.unwrap().etag();
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            let request = WriteRequest {
                precondition: Precondition::IfMatch(vec![etag.clone()]),
                ..patch("A", json!({"stock": round * 100 + n + 1}))
            };
            let writer = s.writer.clone();
            tasks.spawn(async move { writer.write(request).await });
        }
        let results = tasks.join_all().await;
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
        let refused = |r: &Result<_, _>| matches!(r, Err(WriteError::PreconditionFailed { .. }));
        assert_eq!(results.iter().filter(|r| refused(r)).count(), 7, "{results:?}");
    }
    assert_eq!(s.product("A").await.unwrap().version, 6);
}

/// Patches of different members at the same time all stay.
pub async fn no_concurrent_update_is_lost(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    let mut tasks = JoinSet::new();
    for n in 0..24 {
        let writer = s.writer.clone();
        let request = patch("A", json!({"attributes": {format!("k{n}"): n}}));
        tasks.spawn(async move { writer.write(request).await.unwrap().version });
    }
    let versions: BTreeSet<u64> = tasks.join_all().await.into_iter().collect();
    assert_eq!(versions, (2..=25).collect());
    let product: Product = s.product("A").await.unwrap();
    assert_eq!((product.attributes.len(), product.version), (24, 25));
}

/// A product whose JSON no database would take is refused as invalid, not as a failure of the store.
pub async fn a_document_too_long_for_the_database_is_refused(s: &Subject) {
    let attributes: serde_json::Map<_, _> =
        (0..200).map(|n| (format!("a{n}"), json!(vec!["x".repeat(1000); 30]))).collect();
    let long = || draft_with("L", "long", json!({"attributes": attributes.clone()}));
    assert!(matches!(s.refused(create(long(), 1)).await, WriteError::Invalid(_)));
    let outcomes = s.batch(super::batch(vec![long(), draft("B", "b")], 5)).await;
    assert!(matches!(
        outcomes[..],
        [haat_catalog::write::BatchOutcome::Refused(_), haat_catalog::write::BatchOutcome::Created]
    ));
    assert_eq!(s.reader.count().await.unwrap(), 1);
}
