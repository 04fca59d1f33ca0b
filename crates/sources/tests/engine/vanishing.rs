//! What goes, and what does not.

use haat_outbound::CallError;
use haat_sources::run::{MAX_VANISHED, RunState};
use haat_sources::service::{SourceState, StartError};
use serde_json::json;

use crate::shop::{Fault, Shop, item};
use crate::world::{CONFIRMED, FULL, World, confirmed};

fn key(n: usize) -> String {
    format!("k{n:03}")
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_no_longer_has_goes_once_it_says_so_itself() {
    let world = World::new(40);
    world.sync(FULL).await;
    (0..5).for_each(|n| world.shop.remove(&key(n)));
    let run = world.sync(FULL).await;
    assert_eq!((run.state, run.counts.vanished, run.counts.removed), (RunState::Done, 5, 5));
    assert_eq!(world.catalogue(), world.upstream());
    assert_eq!(world.shop.state().asks.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_asked_what_two_full_runs_in_a_row_have_missed_goes() {
    let world = World::of(Shop { single: false, ..Shop::new(10) }, 40);
    world.sync(FULL).await;
    let counts = async || {
        let run = world.sync(FULL).await;
        (run.state, run.counts.vanished, run.counts.removed)
    };
    // After the first page was read, its first item goes: the first of the second page is on none that is read.
    world.shop.state().lists.clear();
    world.shop.state().changes.insert(2, Box::new(|items| drop(items.remove("k000"))));
    assert_eq!(counts().await, (RunState::Done, 1, 0));
    assert_eq!(counts().await, (RunState::Done, 1, 0), "what went was missed for the first time");
    assert_eq!(counts().await, (RunState::Done, 1, 1), "and now again");
    assert_eq!(world.catalogue(), world.upstream(), "the neighbour is still there");
    // Missed, listed, missed: that is not twice in a row.
    for shown in [false, true, false] {
        if shown {
            world.shop.put("k005", item("k005", 5))
        } else {
            world.shop.remove("k005")
        }
        assert_eq!(counts().await, (RunState::Done, u64::from(!shown), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_asked_a_confirmation_stands_for_the_second_run() {
    let world = World::of(Shop { single: false, ..Shop::new(10) }, 60);
    world.sync(FULL).await;
    (0..20).for_each(|n| world.shop.remove(&key(n)));
    assert_eq!(world.sync(FULL).await.state, RunState::AwaitingConfirmation);
    assert_eq!(world.sync(FULL).await.state, RunState::AwaitingConfirmation);
    let run = world.sync(CONFIRMED).await;
    assert_eq!((run.state, run.counts.removed), (RunState::Done, 20));
    assert_eq!(world.catalogue(), world.upstream());
}

#[tokio::test(start_paused = true)]
async fn an_item_that_moves_to_a_page_that_was_read_stays_and_is_as_the_upstream_says() {
    let world = World::new(40);
    world.sync(FULL).await;
    world.shop.put("k010", item("k010", 77));
    world.shop.state().lists.clear();
    // After the first page was read, its first item goes: the first of the second page is on none that is read.
    world.shop.state().changes.insert(2, Box::new(|items| drop(items.remove("k000"))));
    let run = world.sync(FULL).await;
    assert_eq!((run.counts.vanished, run.counts.removed, run.counts.updated), (0, 0, 1));
    assert_eq!((world.catalogue()["k010"], world.shop.state().asks.clone()), (Some(77), vec!["k010".to_owned()]));
    assert_eq!(world.sync(FULL).await.counts.removed, 1, "what went is missed by the next run");
    assert_eq!(world.catalogue(), world.upstream());
}

#[tokio::test(start_paused = true)]
async fn the_product_of_a_sku_that_its_item_has_no_longer_goes_without_a_question() {
    let world = World::new(40);
    world.sync(FULL).await;
    world.store.retire("S-k007");
    world.shop.put("k007", json!({"id": "k007", "sku": "ANOTHER", "name": "n", "stock": 1}));
    let run = world.sync(FULL).await;
    assert_eq!((run.state, run.counts.removed, &run.errors[..]), (RunState::Done, 1, &[][..]));
    assert!(world.shop.state().asks.is_empty(), "nobody upstream knows the key under which it is kept");
    assert_eq!(world.catalogue(), world.upstream());
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_asked_for_stays_until_it_can() {
    let world = World::new(40);
    world.sync(FULL).await;
    world.shop.remove("k007");
    for fault in [Fault::Status(500), Fault::Error(CallError::Saturated)] {
        world.shop.state().asks_fail = Some(fault);
        let run = world.sync(FULL).await;
        assert_eq!((run.state, run.counts.vanished, run.counts.removed, run.counts.failed), (RunState::Done, 1, 0, 0));
        assert_eq!(run.errors[0].key, "k007");
    }
    world.shop.state().asks_fail = None;
    assert_eq!(world.sync(FULL).await.counts.removed, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_still_there_but_cannot_be_understood_or_is_another_stays() {
    let world = World::new(40);
    world.sync(FULL).await;
    world.shop.state().lists.clear();
    let odd = |items: &mut crate::shop::Items| {
        for n in 0..2 {
            items.remove(&key(n));
        }
        items.insert("k010".into(), json!({"id": "k010", "bad": true}));
        items.insert("k011".into(), item("other", 1));
    };
    world.shop.state().changes.insert(2, Box::new(odd));
    let run = world.sync(FULL).await;
    assert_eq!((run.counts.removed, run.counts.failed), (0, 1));
    assert!(world.catalogue().contains_key("k010") && world.catalogue().contains_key("k011"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_suddenly_lists_nothing_takes_nothing_away() {
    for count in [1, 8, 300] {
        let world = World::new(count);
        world.sync(FULL).await;
        let items = std::mem::take(&mut world.shop.state().items);
        let run = world.sync(FULL).await;
        assert_eq!((run.state, world.catalogue().len()), (RunState::AwaitingConfirmation, count));
        assert!(run.message.unwrap().contains("--confirm-removals"));
        world.shop.state().items = items;
        assert_eq!((world.sync(FULL).await.state, world.catalogue().len()), (RunState::Done, count), "it mends itself");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_the_share_waits_for_a_confirmation_and_goes_with_it() {
    let world = World::new(60);
    world.sync(FULL).await;
    (0..13).for_each(|n| world.shop.remove(&key(n)));
    let waits = world.sync(FULL).await;
    assert_eq!((waits.state, waits.counts.vanished, waits.counts.removed), (RunState::AwaitingConfirmation, 13, 0));
    assert!(waits.message.as_ref().unwrap().contains("13 of 60"), "{waits:?}");
    let status = world.sources("a", |_, _| {}).status("shop").await.unwrap().unwrap();
    assert_eq!((status.state, status.items), (SourceState::AwaitingConfirmation, 60));
    world.shop.state().lists.clear();
    world.shop.put("k000", item("k000", 3));
    let done = world.sync(CONFIRMED).await;
    assert_eq!((done.id, done.state, done.counts.removed), (waits.id, RunState::Done, 12));
    assert_eq!(world.catalogue(), world.upstream(), "what came back meanwhile stays");
    assert!(world.shop.state().lists.is_empty(), "the run went on where it stood");
}

#[tokio::test(start_paused = true)]
async fn few_go_without_a_confirmation_whatever_share_they_are() {
    let world = World::new(12);
    world.sync(FULL).await;
    (0..10).for_each(|n| world.shop.remove(&key(n)));
    assert_eq!((world.sync(FULL).await.state, world.catalogue().len()), (RunState::Done, 2));
}

/// Else a request that is sent again, or once a night, lets everything go.
#[tokio::test(start_paused = true)]
async fn a_confirmation_that_comes_again_confirms_nothing_more() {
    let world = World::new(60);
    world.sync(FULL).await;
    let nothing = async |request| match world.try_sync(request).await {
        Err(StartError::NothingToConfirm { waits, .. }) => waits,
        other => panic!("{other:?}"),
    };
    assert_eq!(nothing(CONFIRMED).await, None, "nobody waits");
    (0..30).for_each(|n| world.shop.remove(&key(n)));
    assert_eq!(nothing(CONFIRMED).await, None, "nor does it begin a run that would");
    let waits = world.sync(FULL).await;
    assert_eq!(waits.state, RunState::AwaitingConfirmation);
    assert_eq!((world.sync(confirmed(&waits)).await.id, world.catalogue().len()), (waits.id, 30));
    world.shop.state().items.clear();
    for again in [CONFIRMED, confirmed(&waits)] {
        assert_eq!((nothing(again).await, world.catalogue().len()), (None, 30));
    }
    let everything = world.sync(FULL).await;
    assert_eq!((everything.state, world.catalogue().len()), (RunState::AwaitingConfirmation, 30));
    assert_eq!(nothing(confirmed(&waits)).await, Some(everything.id), "another waits by now");
    assert_eq!((world.sync(confirmed(&everything)).await.state, world.catalogue().len()), (RunState::Done, 0));
}

/// Nobody can say whether a number of products may go; of which they are, somebody can.
#[tokio::test(start_paused = true)]
async fn what_would_go_is_told_by_name_until_it_is_gone() {
    let world = World::new(300);
    world.sync(FULL).await;
    world.store.retire("S-k000");
    (0..150).for_each(|n| world.shop.remove(&key(n)));
    let waits = world.sync(FULL).await;
    let named: Vec<(Option<&str>, &str)> = waits.vanished.iter().map(|v| (v.key.as_deref(), v.sku.as_str())).collect();
    assert_eq!((named.len(), named[0]), (MAX_VANISHED, (None, "S-k000")), "nobody upstream knows that key");
    assert!(named[1..].iter().all(|(key, sku)| key.is_some_and(|key| *sku == format!("S-{key}") && key < "k150")));
    let shown = world.sources("a", |_, _| {}).status("shop").await.unwrap().unwrap().run.unwrap();
    assert_eq!(shown.vanished, waits.vanished);
    let done = world.sync(CONFIRMED).await;
    assert_eq!((done.counts.removed, &done.vanished[..]), (150, &[][..]));
    // Of those that nobody can be asked about, and of very many, as well.
    for (single, items, gone, named) in [(false, 40, 30, 30), (true, 4_000, 2_000, MAX_VANISHED)] {
        let world = World::of(Shop { single, ..Shop::new(1_000) }, items);
        world.sync(FULL).await;
        (0..gone).for_each(|n| world.shop.remove(&key(n)));
        assert_eq!(world.sync(FULL).await.vanished.len(), named);
    }
}

#[tokio::test(start_paused = true)]
async fn very_many_go_batch_by_batch_and_the_upstream_is_asked_only_if_they_may_go() {
    let world = World::of(Shop::new(1_000), 4_000);
    world.sync(FULL).await;
    let keep = |key: &str| key >= "k3";
    world.shop.state().items.retain(|key, _| keep(key));
    let kept = world.shop.state().items.len();
    let run = world.sync(FULL).await;
    assert_eq!((run.state, world.shop.state().asks.len()), (RunState::AwaitingConfirmation, 0));
    world.shop.put("k000", item("k000", 1));
    let run = world.sync(CONFIRMED).await;
    assert_eq!((run.state, run.counts.removed as usize), (RunState::Done, 4_000 - kept - 1));
    assert_eq!(world.catalogue(), world.upstream());
}
