//! Compaction of the change log.

use haat_catalog::ports::{ChangeLogError, Compacted, Compaction};
use haat_catalog::{ChangeOp, Resume, Seq};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Subject, after_noon, batch, create, delete, draft, ids, patch};
use crate::clock::test_id;

/// Keeps nothing back: neither newest places nor deletions nor followers.
fn all() -> Compaction {
    Compaction { keep_newest: 0, deletions_before: after_noon(1_000), followers_since: after_noon(0) }
}

/// Like [`all`], but deletions stay.
fn but_deletions() -> Compaction {
    Compaction { deletions_before: after_noon(-1_000), ..all() }
}

/// Three products changed thrice in turn, and one deleted: places 1 to 10.
async fn some_history(s: &Subject) {
    s.batch(batch(["A", "B", "C"].map(|sku| draft(sku, "0")).to_vec(), 1)).await;
    for round in 1..3 {
        for sku in ["A", "B", "C"] {
            s.done(patch(sku, json!({"stock": round}))).await;
        }
    }
    s.done(delete("B")).await;
}

async fn places(s: &Subject) -> Vec<u64> {
    s.changes().await.iter().map(|change| change.seq.0).collect()
}

/// A follower from 0 still learns of every product there is, and of every deletion.
pub async fn the_newest_change_of_every_product_stays(s: &Subject) {
    some_history(s).await;
    let done = s.log.compact(but_deletions()).await.unwrap();
    assert_eq!(done, Compacted { superseded: 7, deletions: 0 });
    let changes = s.changes().await;
    assert_eq!(changes.iter().map(|c| c.seq.0).collect::<Vec<_>>(), [7, 9, 10]);
    assert_eq!(ids(&changes), [1, 3, 2].map(test_id));
    assert_eq!(changes[2].op, ChangeOp::Deleted);
    assert!(changes[..2].iter().all(|c| c.document.is_some()));
    // Reading on from a place whose row is gone gives what came after it.
    assert_eq!(s.page(4, 10).await.changes.len(), 3);
    assert_eq!(s.page(7, 10).await.changes.len(), 2);
}

/// Who follows closely sees every single change.
pub async fn the_newest_places_are_left_alone(s: &Subject) {
    some_history(s).await;
    s.log.compact(Compaction { keep_newest: 6, ..all() }).await.unwrap();
    assert_eq!(places(s).await, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    s.log.compact(Compaction { keep_newest: 100, ..all() }).await.unwrap();
    assert_eq!(places(s).await, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

/// The slowest follower decides; once it has moved on, compaction moves on.
pub async fn compaction_stays_behind_followers(s: &Subject) {
    some_history(s).await;
    s.log.follow("fast", Seq(10), after_noon(1)).await.unwrap();
    s.log.follow("slow", Seq(5), after_noon(1)).await.unwrap();
    s.log.compact(all()).await.unwrap();
    assert_eq!(places(s).await, [3, 4, 5, 6, 7, 8, 9, 10]);
    s.log.follow("slow", Seq(0), after_noon(2)).await.unwrap();
    assert_eq!(s.log.compact(all()).await.unwrap(), Compacted::default(), "one that starts afresh holds it back");
    s.log.follow("slow", Seq(9), after_noon(3)).await.unwrap();
    s.log.compact(all()).await.unwrap();
    assert_eq!(places(s).await, [7, 8, 9, 10]);
}

/// A replica that is gone for good does not make the log grow for ever.
pub async fn followers_not_heard_of_are_not_waited_for(s: &Subject) {
    some_history(s).await;
    s.log.follow("gone", Seq(1), after_noon(-1)).await.unwrap();
    let done = s.log.compact(but_deletions()).await.unwrap();
    assert_eq!(done.superseded, 7);
    // Heard of again it is a follower like any other; until then it is forgotten, not only passed over.
    let earlier = Compaction { followers_since: after_noon(-100), ..but_deletions() };
    s.done(patch("A", json!({"stock": 77}))).await;
    assert_eq!(s.log.compact(earlier).await.unwrap().superseded, 1);
}

/// Deletions are kept for a while; who was away for longer is told to start afresh, not left with ghosts.
pub async fn old_deletions_go_and_raise_the_floor(s: &Subject) {
    some_history(s).await;
    s.done(create(draft("D", "d"), 4)).await;
    let late = haat_catalog::write::WriteRequest { now: after_noon(2_000), ..delete("D") };
    s.done(late).await;
    let done = s.log.compact(all()).await.unwrap();
    assert_eq!(done.deletions, 1);
    assert_eq!(places(s).await, [7, 9, 12], "A and C, and the deletion that is not old");
    for after in [1, 5, 9] {
        let error = s.log.read(Seq(after).into(), 10).await.unwrap_err();
        assert!(matches!(error, ChangeLogError::Compacted { floor: Seq(10) }), "{after}: {error}");
    }
    assert_eq!(s.page(10, 10).await.changes.len(), 1);
    assert_eq!(s.page(0, 10).await.changes.len(), 3, "from 0 always");
    assert_eq!(s.page(0, 10).await.head, Seq(12));
    // Who begins afresh in small pages comes through the places below the floor, until deletions that it may have
    // missed are forgotten too.
    let first = s.page(0, 1).await;
    assert_eq!((first.changes[0].seq, first.floor), (Seq(7), Seq(10)));
    let resume = Resume { after: Seq(7), floor: first.floor };
    assert_eq!(s.log.read(resume, 1).await.unwrap().changes[0].seq, Seq(9));
    let forgetful = Compaction { deletions_before: after_noon(3_000), ..all() };
    assert_eq!(s.log.compact(forgetful).await.unwrap().deletions, 1);
    let error = s.log.read(resume, 1).await.unwrap_err();
    assert!(matches!(error, ChangeLogError::Compacted { floor: Seq(12) }), "{error}");
}

/// A place that the log has not come to was read in another database: waiting there would skip what comes up to it.
pub async fn a_place_ahead_of_the_log_is_refused(s: &Subject) {
    let error = s.log.read(Seq(1).into(), 10).await.unwrap_err();
    assert!(matches!(error, ChangeLogError::Ahead { head: Seq(0) }), "{error}");
    some_history(s).await;
    assert!(s.page(10, 10).await.changes.is_empty());
    let error = s.log.read(Seq(11).into(), 10).await.unwrap_err();
    assert!(matches!(error, ChangeLogError::Ahead { head: Seq(10) }), "{error}");
}

/// There is nothing left to do.
pub async fn compacting_twice_does_nothing_more(s: &Subject) {
    assert_eq!(s.log.compact(all()).await.unwrap(), Compacted::default(), "of an empty log");
    some_history(s).await;
    s.log.compact(all()).await.unwrap();
    let before = s.changes().await;
    assert_eq!(s.log.compact(all()).await.unwrap(), Compacted::default());
    assert_eq!(s.changes().await, before);
    // And changes made since are compacted with those left from before.
    s.done(patch("A", json!({"stock": 50}))).await;
    assert_eq!(s.log.compact(all()).await.unwrap().superseded, 1);
    assert_eq!(places(s).await, [9, 11]);
}

/// However often.
pub async fn a_product_changed_often_costs_one_row(s: &Subject) {
    s.done(create(draft("A", "a"), 1)).await;
    for round in 1..=40 {
        let drafts = (0..60).map(|n| draft(&format!("S{n}"), &round.to_string())).collect();
        s.batch(batch(drafts, 100 * round)).await;
        s.done(patch("A", json!({"stock": round}))).await;
    }
    // More places than one transaction of a compaction looks at.
    let done = s.log.compact(all()).await.unwrap();
    assert_eq!(done, Compacted { superseded: 40 * 61 - 60, deletions: 0 });
    assert_eq!(places(s).await, (2_381..=2_441).collect::<Vec<_>>());
}

/// Writers go on while the log is compacted, twice at the same time; every product is there afterwards, once.
pub async fn compaction_and_writers_do_not_disturb_each_other(s: &Subject) {
    s.batch(batch((0..20).map(|n| draft(&format!("S{n}"), "x")).collect(), 1)).await;
    let mut tasks = JoinSet::new();
    for w in 0..4 {
        let s = s.clone();
        tasks.spawn(async move {
            for n in 0..25 {
                s.done(patch(&format!("S{}", (w * 5 + n) % 20), json!({"stock": w * 1_000 + n}))).await;
            }
        });
    }
    for _ in 0..2 {
        let s = s.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                s.log.compact(all()).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    s.log.compact(all()).await.unwrap();
    let changes = s.changes().await;
    assert_eq!(changes.len(), 20);
    assert_eq!(changes.last().unwrap().seq, Seq(120));
    for change in changes {
        let product = haat_catalog::Product::from_json(&change.document.unwrap()).unwrap();
        assert_eq!(product.version, change.version, "the row that stays is the newest");
    }
}
