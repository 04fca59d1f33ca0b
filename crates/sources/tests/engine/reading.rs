//! What is read, written and told of a run that nothing disturbs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use haat_catalog::Timestamp;
use haat_sources::run::{Mode, RunState};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::shop::{Shop, item};
use crate::takeover::killed_after;
use crate::world::{CHANGES, FULL, START, World};

fn changed(key: &str, stock: i64, at: i64) -> Value {
    json!({"id": key, "name": "n", "stock": stock, "changed": at})
}

#[tokio::test(start_paused = true)]
async fn after_a_run_the_catalogue_is_the_upstream_and_a_second_run_writes_nothing() {
    let world = World::new(37);
    let run = world.sync(FULL).await;
    assert_eq!((run.state, run.counts.created, run.counts.pages, run.total), (RunState::Done, 37, 4, Some(37)));
    assert_eq!(world.catalogue(), world.upstream());
    let again = world.sync(FULL).await;
    assert_eq!((again.counts.unchanged, again.counts.created + again.counts.updated), (37, 0));
    assert_eq!((again.position, again.message, again.ended_at.is_some()), (None, None, true));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_told_and_skipped_and_still_is_there() {
    let world = World::new(25);
    world.sync(FULL).await;
    let broken = json!({"id": "k003", "bad": true});
    world.shop.put("k003", broken);
    world.shop.put("k004", json!({"id": "k004", "name": "", "stock": 1}));
    let run = world.sync(FULL).await;
    assert_eq!((run.state, run.counts.read, run.counts.failed, run.counts.unchanged), (RunState::Done, 25, 2, 23));
    let told: Vec<(&str, &str)> = run.errors.iter().map(|e| (e.key.as_str(), e.pointer.as_str())).collect();
    assert_eq!(told, [("k003", "/bad"), ("k003", "/worse"), ("k004", "/name")]);
    assert_eq!((world.catalogue().len(), run.counts.vanished), (25, 0));
    assert!(world.shop.state().asks.is_empty(), "it was seen, so nobody need ask for it");
}

#[tokio::test(start_paused = true)]
async fn while_an_item_has_no_key_nothing_vanishes() {
    let world = World::new(25);
    world.sync(FULL).await;
    world.shop.remove("k001");
    world.shop.put("k002", json!({"name": "who am I"}));
    let run = world.sync(FULL).await;
    assert!(run.keyless && run.message.unwrap().contains("key"));
    assert_eq!((run.state, run.counts.removed, world.catalogue().len()), (RunState::Done, 0, 25));
    world.shop.put("k002", item("k002", 5));
    assert_eq!(world.sync(FULL).await.counts.removed, 1);
}

#[tokio::test(start_paused = true)]
async fn of_one_item_twice_on_a_page_the_newer_counts_or_else_the_later() {
    let world = World::new(0);
    let put = |at: &str, order: Option<i64>, key: &str, stock: i64| {
        world.shop.put(at, json!({"id": key, "name": "n", "stock": stock, "order": order}));
    };
    put("1", Some(7), "a", 1);
    put("2", Some(5), "a", 2);
    put("3", None, "b", 3);
    put("4", None, "b", 4);
    let run = world.sync(FULL).await;
    assert_eq!((run.counts.read, run.counts.created, run.counts.failed), (4, 2, 0));
    assert_eq!(world.catalogue(), [("a".into(), Some(1)), ("b".into(), Some(4))].into());
}

#[tokio::test(start_paused = true)]
async fn of_two_items_with_one_sku_on_a_page_the_first_keeps_it_and_the_other_is_told() {
    let world = World::new(0);
    for key in ["a", "b"] {
        world.shop.put(key, json!({"id": key, "sku": "SAME", "name": "n", "stock": 1}));
    }
    let run = world.sync(FULL).await;
    assert_eq!((run.counts.created, run.counts.failed, run.errors[0].key.as_str()), (1, 1, "b"));
    assert!(run.errors[0].detail.contains("'a'"), "{}", run.errors[0].detail);
}

#[tokio::test(start_paused = true)]
async fn a_large_page_is_written_in_parts_and_counted_once() {
    let world = World::of(Shop::new(1_200), 1_300);
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let sources = world.sources("command", |_, _| {});
    let told = Arc::clone(&seen);
    let progress = Arc::new(move |run: &haat_sources::run::Run| told.lock().unwrap().push(run.counts.read));
    let run = sources.run_here("shop", FULL, progress, CancellationToken::new()).await.unwrap();
    assert_eq!(world.store.state().pages, [500, 500, 200, 100]);
    assert_eq!((run.counts.read, run.counts.created, run.counts.pages), (1_300, 1_300, 2));
    assert_eq!(*seen.lock().unwrap(), [0, 1_200, 1_300, 1_300], "progress is shown page by page");
}

#[tokio::test(start_paused = true)]
async fn the_next_page_is_read_while_one_is_written_and_no_further() {
    let world = World::new(50);
    (world.shop.state().slow, world.store.state().slow) = (Duration::from_secs(1), Duration::from_secs(1));
    let begun = tokio::time::Instant::now();
    world.sync(FULL).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(7), "{took:?}: 1 + 5 of both at once");
    // With a store that takes for ever, one page is read ahead.
    world.shop.state().lists.clear();
    world.store.state().slow = Duration::from_secs(1_000);
    let _ = tokio::time::timeout(Duration::from_secs(100), world.try_sync(FULL)).await;
    assert_eq!(world.shop.state().lists.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_incremental_run_reads_from_the_beginning_of_the_last_in_the_time_of_the_upstream() {
    let world = World::of(Shop { incremental: true, ..Shop::new(10) }, 0);
    // The upstream's clock is a day ahead of ours.
    let theirs = START + 86_400_000;
    for n in 0..25 {
        let key = format!("k{n:03}");
        world.shop.put(&key, changed(&key, 1, theirs - 1_000 * n));
    }
    world.shop.state().slow = Duration::from_secs(2);
    // While the second page is read, an item of the first changes, and one of the last after it.
    let change = move |items: &mut crate::shop::Items| {
        items.insert("k000".into(), changed("k000", 9, theirs + 3_000));
        items.insert("k024".into(), changed("k024", 9, theirs + 3_500));
    };
    world.shop.state().changes.insert(2, Box::new(change));
    let full = world.sync(FULL).await;
    let watermark = world.row().await.watermark.unwrap();
    assert_eq!(full.newest, Some(Timestamp::from_millis(theirs + 3_500)));
    assert!(watermark.as_millis() <= theirs, "what changed on a page that was read already would be missed");
    assert!(watermark.as_millis() > theirs - 60_000);
    assert_eq!(world.catalogue()["k000"], Some(1));
    let next = world.sync(CHANGES).await;
    assert_eq!((next.mode, next.since), (Mode::Incremental, Some(watermark)));
    assert_eq!(world.catalogue(), world.upstream());
    assert!(world.row().await.watermark.unwrap() >= watermark);
    world.shop.remove("k001");
    assert_eq!((world.sync(CHANGES).await.counts.removed, world.catalogue().len()), (0, 25), "nobody knows what went");
}

#[tokio::test(start_paused = true)]
async fn one_item_of_a_far_future_does_not_hide_what_changes_from_now_on() {
    let world = World::of(Shop { incremental: true, ..Shop::new(10) }, 0);
    world.shop.put("a", changed("a", 1, START));
    world.shop.put("b", changed("b", 1, START + 365 * 86_400_000));
    world.sync(FULL).await;
    assert_eq!(world.catalogue(), world.upstream(), "it is a product like any other");
    for stock in 2..5 {
        world.shop.put("a", changed("a", stock, START + 60_000 * stock));
        let run = world.sync(CHANGES).await;
        assert_eq!((run.mode, world.catalogue()["a"]), (Mode::Incremental, Some(stock)));
    }
    assert!(world.row().await.watermark.unwrap().as_millis() < START + 86_400_000);
}

#[tokio::test(start_paused = true)]
async fn without_times_of_change_or_a_request_for_them_everything_is_read() {
    let untimed = World::of(Shop { incremental: true, ..Shop::new(10) }, 5);
    assert_eq!(untimed.sync(CHANGES).await.mode, Mode::Full);
    assert_eq!((untimed.row().await.watermark, untimed.sync(CHANGES).await.mode), (None, Mode::Full));
    let unasked = World::new(0);
    unasked.shop.put("a", changed("a", 1, START));
    unasked.sync(CHANGES).await;
    assert!(unasked.row().await.watermark.is_some());
    assert_eq!(unasked.sync(CHANGES).await.mode, Mode::Full);
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_does_not_move_the_watermark() {
    let world = World::of(Shop { incremental: true, ..Shop::new(1) }, 0);
    world.shop.put("a", changed("a", 1, START));
    world.sync(FULL).await;
    let watermark = world.row().await.watermark;
    world.shop.put("a", changed("a", 2, START + 50_000_000));
    world.shop.put("b", changed("b", 2, START + 50_000_000));
    let error = haat_outbound::CallError::ForbiddenUrl("it is none");
    world.shop.state().lists_fail.extend([crate::shop::Fault::Status(500), crate::shop::Fault::Error(error)]);
    assert_eq!(world.sync(CHANGES).await.state, RunState::Failed);
    assert_eq!(world.row().await.watermark, watermark);
}

/// Versions are less than any time of change: after the first run every item would be old news.
#[tokio::test(start_paused = true)]
async fn orders_of_another_kind_are_not_compared_with_those_of_before() {
    let world = World::of(Shop::new(500), 0);
    let put = |stock: i64, order: i64| {
        for n in 0..1_200 {
            let key = format!("k{n:04}");
            world.shop.put(&key, json!({"id": key, "name": "n", "stock": stock, "order": order}));
        }
    };
    put(1, START);
    world.sync(FULL).await;
    put(2, 7);
    assert_eq!(world.sync(FULL).await.counts.stale, 1_200, "the same kind: old news");
    world.shop.state().order_fingerprint = 1;
    // Killed while it forgets: whoever comes next begins with that again.
    assert!(killed_after(9, world.try_sync(FULL)).await.is_none());
    let run = world.row().await.run.unwrap();
    assert_eq!((run.order_fingerprint, run.counts.pages), (0, 0));
    tokio::time::advance(Duration::from_secs(31)).await;
    let run = world.sync(FULL).await;
    assert_eq!((run.counts.stale, run.counts.updated, run.order_fingerprint), (0, 1_200, 1));
    let steps = world.store.state().forgetting;
    assert!(steps >= 4, "{steps}");
    put(3, 6);
    assert_eq!(world.sync(FULL).await.counts.stale, 1_200, "of one kind the older are old news again");
    assert_eq!(world.store.state().forgetting, steps, "once is enough");
}
