//! Runs whose holder goes away, in whatever way and wherever.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use haat_sources::ports::{Begin, Begun, SourceStore};
use haat_sources::run::{Mode, RunState};
use haat_sources::service::StartError;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::shop::{Shop, item};
use crate::world::{CHANGES, CONFIRMED, FULL, World, confirmed};

/// Runs a future until it was polled so often, then drops it.
pub async fn killed_after<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Changes a synchronised shop: items go, change, and come.
fn change(world: &World) {
    (0..6).for_each(|n| world.shop.remove(&format!("k{:03}", n * 7)));
    (0..8).for_each(|n| world.shop.put(&format!("k{:03}", n * 7 + 1), item(&format!("k{:03}", n * 7 + 1), 99)));
    (0..5).for_each(|n| world.shop.put(&format!("new{n}"), item(&format!("new{n}"), 1)));
    world.shop.put("k002", serde_json::json!({"id": "k002", "bad": true}));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_killed_anywhere_ends_as_if_it_had_not_been() {
    let mut kills = 0;
    for seed in 0..500_u64 {
        let page = [3, 10, 1_000][seed as usize % 3];
        let world = World::of(Shop::new(page), 60);
        world.sync(FULL).await;
        change(&world);
        let longest = 14 + seed % 24;
        let mut draws = 0;
        let run = loop {
            let polls = 1 + xxh3_64(format!("{seed} {draws}").as_bytes()) % longest;
            draws += 1;
            assert!(draws < 2_000, "it never ends");
            match killed_after(polls, world.try_sync(FULL)).await {
                Some(ended) => break ended.unwrap(),
                None => kills += 1,
            }
            tokio::time::advance(Duration::from_secs(31)).await;
        };
        let mut removed = world.store.state().removed.clone();
        removed.sort();
        assert_eq!(removed, ["k000", "k007", "k014", "k021", "k028", "k035"], "seed {seed}");
        let (mut have, upstream) = (world.catalogue(), world.upstream());
        assert!(have.remove("k002").is_some(), "seed {seed}");
        assert_eq!((run.state, have), (RunState::Done, upstream), "seed {seed}");
    }
    assert!(kills > 1_000, "{kills}");
}

#[tokio::test(start_paused = true)]
async fn a_large_page_that_is_written_half_is_written_whole_by_whoever_comes_next() {
    for polls in 1..40 {
        let world = World::of(Shop::new(1_300), 1_300);
        if killed_after(polls, world.try_sync(FULL)).await.is_none() {
            tokio::time::advance(Duration::from_secs(31)).await;
            world.sync(FULL).await;
        }
        assert_eq!(world.catalogue(), world.upstream(), "{polls}");
        let run = world.row().await.last_full.unwrap();
        assert_eq!((run.counts.read, run.counts.pages), (1_300, 1), "{polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_from_the_page_where_it_stopped() {
    let world = World::new(100);
    let stop = CancellationToken::new();
    let sources = world.sources("a", |_, _| {});
    let told = stop.clone();
    let progress = Arc::new(move |run: &haat_sources::run::Run| {
        if run.counts.pages == 4 {
            told.cancel();
        }
    });
    let run = sources.run_here("shop", FULL, progress, stop).await.unwrap();
    assert_eq!((run.state, run.counts.pages, world.catalogue().len()), (RunState::Reading, 4, 40), "it ends the page");
    assert_eq!(world.store.state().saves.last(), Some(&Duration::ZERO), "and gives back the lease");
    world.shop.state().lists.clear();
    let done = world.sync(FULL).await;
    assert_eq!(
        (done.id, done.state, done.counts.created, done.owner.as_str()),
        (run.id, RunState::Done, 100, "command")
    );
    let offsets: Vec<usize> = world.shop.state().lists.iter().map(|(at, _)| *at).collect();
    assert_eq!(offsets, [40, 50, 60, 70, 80, 90], "at once, and from there");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_began_under_other_settings_does_not_go_on_and_cannot_be_confirmed() {
    let world = World::new(60);
    world.sync(FULL).await;
    world.shop.state().slow = Duration::from_secs(1);
    assert!(tokio::time::timeout(Duration::from_millis(3_500), world.try_sync(FULL)).await.is_err());
    world.shop.state().slow = Duration::ZERO;
    let killed = world.row().await.run.unwrap();
    assert!(killed.state == RunState::Reading && killed.counts.pages > 0, "{killed:?}");
    world.shop.state().fingerprint = 1;
    // They leave out a good part of it.
    (0..20).for_each(|n| world.shop.remove(&format!("k{n:03}")));
    tokio::time::advance(Duration::from_secs(31)).await;
    let waits = world.sync(FULL).await;
    assert_ne!(waits.id, killed.id);
    assert_eq!((waits.state, waits.counts.read, waits.counts.vanished), (RunState::AwaitingConfirmation, 40, 20));
    world.shop.state().fingerprint = 2;
    (20..40).for_each(|n| world.shop.remove(&format!("k{n:03}")));
    for confirmation in [CONFIRMED, confirmed(&waits)] {
        match world.try_sync(confirmation).await {
            Err(StartError::NothingToConfirm { why, waits: Some(id) }) => {
                assert!(id == waits.id && why.contains("other settings"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    let again = world.sync(FULL).await;
    assert_ne!(again.id, waits.id);
    let stands = (again.state, again.removals_confirmed, world.catalogue().len());
    assert_eq!(stands, (RunState::AwaitingConfirmation, false, 60), "twenty were to be confirmed, not forty");
    assert_eq!((world.sync(CONFIRMED).await.id, world.catalogue()), (again.id, world.upstream()));
}

/// What goes is found by full runs alone; whoever asks for one must not be given the rest of another.
#[tokio::test(start_paused = true)]
async fn a_full_run_is_not_the_rest_of_one_of_changes_that_was_killed() {
    let world = World::of(Shop { incremental: true, ..Shop::new(10) }, 0);
    let put = |n: i64, at: i64| {
        let key = format!("k{n:03}");
        world.shop.put(&key, serde_json::json!({"id": key, "name": "n", "stock": n, "changed": at}));
    };
    (0..40).for_each(|n| put(n, 1_000_000 + n));
    world.sync(FULL).await;
    let watermark = world.row().await.watermark;
    (0..40).for_each(|n| put(n, 90_000_000 + n));
    world.shop.state().slow = Duration::from_secs(1);
    assert!(tokio::time::timeout(Duration::from_millis(2_500), world.try_sync(CHANGES)).await.is_err());
    world.shop.state().slow = Duration::ZERO;
    let killed = world.row().await.run.unwrap();
    assert!(
        killed.mode == Mode::Incremental && killed.state == RunState::Reading && killed.counts.pages > 0,
        "{killed:?}"
    );
    world.shop.remove("k001");
    tokio::time::advance(Duration::from_secs(31)).await;
    let full = world.sync(FULL).await;
    assert_eq!((full.mode, full.state, full.counts.read, full.counts.removed), (Mode::Full, RunState::Done, 39, 1));
    assert_eq!(world.catalogue(), world.upstream());
    assert!(
        full.id != killed.id && world.row().await.watermark > watermark,
        "what the other had read is known as well"
    );
}

#[tokio::test(start_paused = true)]
async fn who_was_silent_for_longer_than_the_lease_writes_nothing_any_more() {
    let world = World::new(50);
    let mut stolen = None;
    let sources = world.sources("a", |_, _| {});
    // Its store takes longer than the lease lasts, once.
    world.store.state().slow = Duration::from_secs(40);
    let slow = sources.run_here("shop", FULL, Arc::new(|_| {}), CancellationToken::new());
    let thief = async {
        tokio::time::sleep(Duration::from_secs(35)).await;
        let begin = Begin {
            source: "shop".into(),
            mode: Mode::Full,
            id: uuid::Uuid::nil(),
            owner: "b".into(),
            hold: Duration::from_secs(3_600),
            confirms: None,
            fingerprint: 0,
            now: haat_catalog::Clock::now(&*world.clock),
        };
        stolen = Some(world.store.begin_run(begin).await.unwrap());
    };
    let (ended, ()) = tokio::join!(slow, thief);
    assert!(matches!(ended, Err(StartError::Lost)), "{ended:?}");
    assert!(matches!(stolen, Some(Begun::Mine(..))));
    assert_eq!((world.catalogue().len(), world.store.state().pages.len()), (0, 0));
    let run = world.row().await.run.unwrap();
    assert_eq!((run.owner.as_str(), run.state), ("b", RunState::Reading), "the other's run is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_while_it_waits_for_the_upstream_stops_at_once() {
    let world = World::new(50);
    world.shop.state().list_fails = Some(crate::shop::Fault::Hang);
    let (stop, sources) = (CancellationToken::new(), world.sources("a", |_, _| {}));
    let (waits, told) = (sources.run_here("shop", FULL, Arc::new(|_| {}), stop.clone()), stop.clone());
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        told.cancel();
        tokio::time::Instant::now()
    };
    let (run, stopped_at) = tokio::join!(waits, stopping);
    assert!(run.unwrap().state.is_unfinished() && stopped_at.elapsed() < Duration::from_secs(1));
}
