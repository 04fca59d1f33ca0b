//! Products of sources that go.

use haat_catalog::Draft;
use haat_sources::ports::Item;
use tokio::task::JoinSet;

use super::upstream::{at, begin, is_lost, item, many};
use super::{Subject, after_noon, batch, delete, draft, patch};

/// The change says the last version. Brought back under its id, the product goes on counting; as a new item of the source it
/// is a new product.
pub async fn a_removed_product_leaves_a_change_and_never_repeats_a_version(s: &Subject) {
    s.synced("s", 1, vec![item("1", "A", "a"), item("2", "B", "b")]).await;
    s.done(patch("A", serde_json::json!({"stock": 1}))).await;
    let (id, items) = (s.there("A").await.id, s.items_of("s").await);
    let mut holder = s.hold(begin("s", 2)).await;
    holder.now = after_noon(60);
    holder.try_remove(items[..1].to_vec()).await.unwrap();
    assert_eq!((holder.run.counts.removed, s.source("s").await.run), (1, Some(holder.run.clone())));
    assert_eq!((s.product("A").await, s.owner("A").await, s.items_of("s").await.len()), (None, None, 1));
    let changes = s.changes().await;
    let last = changes.last().unwrap();
    assert_eq!((last.id, last.op.name(), last.sku.as_str(), last.version), (id, "deleted", "A", 2));
    assert_eq!((last.at, last.document.clone(), s.reader.count().await.unwrap()), (after_noon(60), None, 1));
    s.batch(batch(vec![Draft { id: Some(id), ..draft("A", "from an export") }], 7)).await;
    assert_eq!((s.there("A").await.id, s.there("A").await.version), (id, 3));
    s.done(delete("A")).await;
    holder.page(vec![item("1", "A", "a")]).await;
    let anew = s.there("A").await;
    assert!(anew.id != id && anew.version == 1, "{anew:?}");
    assert_eq!(s.owner("A").await.as_deref(), Some("s"));
}

/// By whoever, since somebody found that it had vanished.
pub async fn what_is_not_as_it_was_when_it_vanished_stays(s: &Subject) {
    let page = vec![at(1, item("1", "A", "a")), at(1, item("2", "B", "b")), item("3", "C", "c"), item("4", "D", "d")];
    s.synced("s", 1, page).await;
    s.synced("other", 2, vec![item("1", "X", "x")]).await;
    let vanished = s.items_of("s").await;
    let mut holder = s.hold(begin("s", 3)).await;
    // It is back: newer, under another key, as a product of another's.
    holder.page(vec![at(2, item("1", "A", "a")), at(1, item("22", "B", "b"))]).await;
    let others = s.items_of("other").await;
    let never_there = Item { key: "9".into(), ..others[0].clone() };
    let with_order = Item { order: Some(1), ..vanished[3].clone() };
    let asked = [&vanished[..2], &others, &[never_there, with_order], &vanished[2..3], &vanished[2..3]].concat();
    holder.try_remove(asked).await.unwrap();
    assert_eq!(holder.run.counts.removed, 1, "C alone");
    for (of, owner) in [("A", Some("s")), ("B", Some("s")), ("C", None), ("D", Some("s")), ("X", Some("other"))] {
        assert_eq!(s.owner(of).await.as_deref(), owner, "{of}");
        assert_eq!(s.product(of).await.is_some(), owner.is_some(), "{of}");
    }
    assert_eq!((s.items_of("s").await.len(), s.items_of("other").await.len()), (3, 1));
}

/// By the run before, and by no other; what is not as it was is left alone. Whoever takes the run over is told the same.
pub async fn what_two_runs_in_a_row_have_missed_is_told(s: &Subject) {
    let page = || vec![item("1", "A", "a"), item("2", "B", "b"), item("3", "C", "c")];
    s.synced("s", 1, page()).await;
    let items = s.items_of("s").await;
    let second = s.hold(begin("s", 2)).await;
    assert!(second.try_miss(items[..2].to_vec(), Some(1)).await.unwrap().is_empty());
    assert!(second.try_miss(items[..1].to_vec(), Some(1)).await.unwrap().is_empty(), "by itself it is one");
    assert!(second.try_miss(Vec::new(), None).await.unwrap().is_empty());
    second.clone().done().await;
    let third = s.hold(begin("s", 3)).await;
    assert!(is_lost(&second.try_miss(items.clone(), Some(1)).await));
    let renamed = Item { key: "22".into(), ..items[1].clone() };
    for _ in 0..2 {
        let asked = vec![items[2].clone(), renamed.clone(), items[0].clone()];
        assert_eq!(third.try_miss(asked, Some(2)).await.unwrap(), ["1"]);
    }
    third.done().await;
    let fourth = s.hold(begin("s", 4)).await;
    assert_eq!(fourth.try_miss(items.clone(), Some(3)).await.unwrap(), ["3"]);
    assert!(fourth.try_miss(items.clone(), None).await.unwrap().is_empty());
    assert_eq!((s.items_of("s").await.len(), s.reader.count().await.unwrap()), (3, 3), "nothing goes by that");
}

/// It stops being the source's, but nothing was removed and no change is made.
pub async fn a_product_that_was_deleted_by_hand_is_not_removed_again(s: &Subject) {
    s.synced("s", 1, many(0..3, "x")).await;
    s.done(delete("S00001")).await;
    let head = s.log.head().await.unwrap();
    let mut holder = s.hold(begin("s", 2)).await;
    holder.try_remove(s.items_of("s").await[1..2].to_vec()).await.unwrap();
    assert_eq!((holder.run.counts.removed, s.log.head().await.unwrap()), (0, head));
    assert_eq!((s.owner("S00001").await, s.items_of("s").await.len()), (None, 2));
}

/// All of it, in one transaction, while others write the same products.
pub async fn a_large_removal_beside_other_writers_is_done_whole(s: &Subject) {
    const SIZE: u32 = 1_367;
    s.synced("s", 1, many(0..SIZE, "x")).await;
    let mut holder = s.hold(begin("s", 2)).await;
    let items = s.items_of("s").await;
    let mut writers = JoinSet::new();
    let subject = s.clone();
    writers.spawn(async move {
        for n in 0..20 {
            // There before or not, it is written, and is nobody's.
            subject.batch(batch(vec![draft(&format!("S{:05}", n * 61), "y")], 1 + n)).await;
        }
    });
    writers.spawn(async move {
        holder.try_remove(items).await.unwrap();
        holder.done().await;
    });
    writers.join_all().await;
    assert!(s.items_of("s").await.is_empty());
    let left = s.products().await;
    assert!(left.iter().all(|product| product.name == "y"), "{left:?}");
    assert_eq!(s.reader.count().await.unwrap(), left.len() as u64);
    assert_eq!(s.source("s").await.run.unwrap().counts.removed, u64::from(SIZE));
}
