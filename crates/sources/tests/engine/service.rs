//! What servers do by themselves, and what they answer meanwhile.

use std::sync::Arc;
use std::time::Duration;

use haat_sources::ports::{BreakerOrder, SourceStore};
use haat_sources::run::{Mode, RunState};
use haat_sources::service::{ForgetError, SourceState, Sources, SourcesOptions, StartError};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;
use crate::takeover::killed_after;
use crate::world::{CHANGES, CONFIRMED, FULL, Lever, World};

const MINUTE: Duration = Duration::from_secs(60);

/// A server's worker, until it is told to stop.
fn serve(sources: &Arc<Sources>) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(Arc::clone(sources).run(stop.clone())), stop)
}

#[tokio::test(start_paused = true)]
async fn two_replicas_keep_one_schedule() {
    let world = World::new(5);
    let replicas = ["a", "b"].map(|name| world.sources(name, |parts, _| parts.schedule = Some(MINUTE)));
    let workers = replicas.each_ref().map(serve);
    sleep(MINUTE * 20).await;
    let runs = world.shop.state().lists.len();
    assert!((17..=21).contains(&runs), "{runs} runs in 20 minutes");
    let next = replicas[0].status("shop").await.unwrap().unwrap().next_due.unwrap();
    assert!(next.since(haat_catalog::Clock::now(&*world.clock)) <= MINUTE);
    for (worker, stop) in workers {
        stop.cancel();
        worker.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_read_often_and_everything_now_and_then() {
    let world = World::of(Shop { incremental: true, ..Shop::new(10) }, 0);
    world.shop.put("a", json!({"id": "a", "name": "n", "stock": 1, "changed": 5_000_000}));
    let sources = world.sources("a", |parts, _| (parts.schedule, parts.full_every) = (Some(MINUTE), Some(MINUTE * 10)));
    let _worker = serve(&sources);
    sleep(MINUTE * 31).await;
    let lists = world.shop.state().lists.clone();
    let full = lists.iter().filter(|(_, since)| since.is_none()).count();
    assert!((3..=4).contains(&full), "{full} full runs of {} in 31 minutes", lists.len());
    assert!(lists.len() - full >= 22, "{}", lists.len());
}

#[tokio::test(start_paused = true)]
async fn without_a_schedule_nothing_begins_by_itself() {
    let world = World::new(5);
    let sources = world.sources("a", |_, _| {});
    let _worker = serve(&sources);
    sleep(MINUTE * 60).await;
    assert!(world.shop.state().lists.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_process_is_gone_goes_on_with_the_next_server() {
    let world = World::new(100);
    world.shop.state().slow = Duration::from_secs(1);
    let killed = tokio::time::timeout(Duration::from_millis(5_500), world.try_sync(FULL)).await;
    assert!(killed.is_err());
    let id = world.row().await.run.unwrap().id;
    let sources = world.sources("b", |_, _| {});
    let _worker = serve(&sources);
    let begun = Instant::now();
    world.until(async || world.row().await.last_done.is_some()).await;
    let done = world.row().await.last_done.unwrap();
    assert_eq!((done.id, done.owner.as_str(), world.catalogue()), (id, "b", world.upstream()));
    assert!(begun.elapsed() < Duration::from_secs(30 + 2 + 8), "{:?}", begun.elapsed());
    assert_eq!(world.shop.state().lists.iter().filter(|(at, _)| *at == 0).count(), 1, "from where it stood");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_hands_its_run_to_another_at_once() {
    let world = World::new(100);
    world.shop.state().slow = Duration::from_secs(1);
    let (a, b) = (world.sources("a", |_, _| {}), world.sources("b", |_, _| {}));
    let ((first, stop), _second) = (serve(&a), serve(&b));
    let run = a.start("shop", FULL).await.unwrap().run.unwrap();
    assert_eq!((run.owner.as_str(), run.state), ("a", RunState::Reading), "the lease is there before it answers");
    sleep(Duration::from_millis(3_500)).await;
    stop.cancel();
    first.await.unwrap();
    let stopped = Instant::now();
    world.until(async || world.row().await.run.unwrap().owner == "b").await;
    assert!(stopped.elapsed() < Duration::from_secs(3), "{:?}", stopped.elapsed());
    world.until(async || world.row().await.last_done.is_some()).await;
    assert_eq!((world.row().await.last_done.unwrap().id, world.catalogue()), (run.id, world.upstream()));
}

#[tokio::test(start_paused = true)]
async fn one_run_of_a_source_at_a_time_whoever_asks() {
    let world = World::new(30);
    world.shop.state().slow = Duration::from_secs(5);
    let (a, b) = (world.sources("a", |_, _| {}), world.sources("b", |_, _| {}));
    let run = a.start("shop", CHANGES).await.unwrap().run.unwrap();
    for sources in [&a, &b] {
        match sources.start("shop", FULL).await {
            Err(StartError::Running(other)) => assert_eq!(other.id, run.id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(b.status("shop").await.unwrap().unwrap().state, SourceState::Running);
    assert!(matches!(a.start("ship", FULL).await, Err(StartError::Unknown(_))));
    assert!(a.status("ship").await.unwrap().is_none());
    world.until(async || world.row().await.last_done.is_some()).await;
    assert_eq!(a.start("shop", FULL).await.unwrap().run.unwrap().mode, Mode::Full);
}

/// Whoever asks may hang up at any moment: what has begun is carried on, at once and not when its lease has run out.
#[tokio::test(start_paused = true)]
async fn a_run_that_has_begun_is_carried_on_whoever_asked_for_it_has_gone_away() {
    for polls in 1..12 {
        let world = World::new(30);
        let sources = world.sources("a", |_, _| {});
        let begun = Instant::now();
        let answered = killed_after(polls, sources.start("shop", FULL)).await.is_some();
        world
            .until(async || world.store.source("shop").await.unwrap().is_some_and(|row| row.last_done.is_some()))
            .await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{polls}, {answered}: {:?}", begun.elapsed());
        assert_eq!(world.catalogue(), world.upstream());
    }
}

/// How the source stands is asked of the store before anything begins; whatever it says afterwards, the run has begun.
#[tokio::test(start_paused = true)]
async fn who_asks_for_a_run_is_told_of_it_although_the_store_says_nothing_more() {
    let world = World::new(30);
    world.sync(FULL).await;
    let sources = world.sources("a", |_, _| {});
    world.store.state().mute = true;
    let status = sources.start("shop", FULL).await.unwrap();
    let run = status.run.unwrap();
    assert_eq!((status.state, status.items, run.state), (SourceState::Running, 30, RunState::Reading));
    assert_eq!(world.row().await.run.unwrap().id, run.id);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_writes_nothing_more_whoever_carries_it_on() {
    let world = World::new(100);
    world.shop.state().slow = Duration::from_secs(1);
    let (a, b) = (world.sources("a", |parts, _| parts.schedule = Some(MINUTE * 5)), world.sources("b", |_, _| {}));
    let _worker = serve(&a);
    world.until(async || !world.store.state().pages.is_empty()).await;
    let cancelled = {
        let run = world.row().await.run.unwrap();
        assert_eq!((run.state, run.owner.as_str()), (RunState::Reading, "a"));
        b.cancel("shop").await.unwrap().unwrap()
    };
    assert_eq!(cancelled.state, RunState::Cancelled);
    let pages = world.store.state().pages.len();
    sleep(MINUTE).await;
    let status = a.status("shop").await.unwrap().unwrap();
    assert_eq!((status.state, world.store.state().pages.len()), (SourceState::Idle, pages));
    assert!(b.cancel("shop").await.unwrap().is_none(), "there is nothing to cancel");
    assert!(matches!(b.cancel("ship").await, Err(StartError::Unknown(_))));
    world.until(async || world.row().await.last_done.is_some()).await;
    let next = world.row().await.last_done.unwrap();
    let pause = next.started_at.since(cancelled.ended_at.unwrap());
    assert!(next.id != cancelled.id && pause >= MINUTE * 5, "as the schedule says, counted from its end: {pause:?}");
    // Of a command that carries it on, the end is told as what it is.
    let carried = tokio::join!(world.sync(FULL), async {
        sleep(Duration::from_secs(3)).await;
        b.cancel("shop").await.unwrap().unwrap()
    });
    assert_eq!((carried.0.id, carried.0.state), (carried.1.id, RunState::Cancelled));
    // So is one that waits: nobody can confirm it any more.
    world.shop.state().slow = Duration::ZERO;
    world.shop.state().items.clear();
    assert_eq!(world.sync(FULL).await.state, RunState::AwaitingConfirmation);
    assert_eq!(b.cancel("shop").await.unwrap().unwrap().state, RunState::Cancelled);
    assert!(matches!(world.try_sync(CONFIRMED).await, Err(StartError::NothingToConfirm { .. })));
    assert_eq!(world.catalogue().len(), 100);
}

/// The worker reads how a source stands and then tells its breaker: what it read may be older than an order that was given
/// in between.
#[tokio::test(start_paused = true)]
async fn an_order_is_not_undone_by_what_was_read_before_it_was_given() {
    let world = World::new(5);
    world.store.order_breaker("shop", BreakerOrder::ForceClosed).await.unwrap();
    let lever = World::lever();
    let sources = world.sources("a", |parts, _| parts.breaker = lever.clone());
    world.store.state().late.insert("shop".into(), Duration::from_millis(700));
    let _worker = serve(&sources);
    for n in 0..20 {
        // At any moment of the worker's second.
        sleep(Duration::from_millis(370)).await;
        let order = if n % 2 == 0 { BreakerOrder::ForceOpen } else { BreakerOrder::ForceClosed };
        sources.order_breaker("shop", order).await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    let orders = lever.orders.lock().unwrap().clone();
    assert_eq!(orders.len(), 21, "each once, and none comes back: {orders:?}");
}

/// An hour of a run of one, or of a database that is slow to tell of it, is no hour of another.
#[tokio::test(start_paused = true)]
async fn a_source_that_takes_long_to_look_at_keeps_no_other_waiting() {
    let world = World::new(5);
    let part = |name: &str| {
        let mut parts = world.parts();
        (parts.name, parts.schedule) = (name.to_owned(), Some(MINUTE));
        parts
    };
    let (store, clock, ids) = (world.store.clone(), world.clock.clone(), world.ids.clone());
    let options = SourcesOptions::new("a");
    let sources = Arc::new(Sources::new(vec![part("slow"), part("shop")], store, clock, ids, options));
    world.store.state().late.insert("slow".into(), MINUTE * 60);
    let _worker = serve(&sources);
    sleep(MINUTE * 10).await;
    let lists = world.shop.state().lists.len();
    assert!((9..=11).contains(&lists), "{lists} runs in 10 minutes");
}

/// It may read for an hour, and has no worker that listens.
#[tokio::test(start_paused = true)]
async fn a_command_hears_orders_while_it_reads() {
    let world = World::new(200);
    world.shop.state().slow = Duration::from_secs(3);
    let lever = World::lever();
    let sources = world.sources("command", |parts, _| parts.breaker = lever.clone());
    let operator = async {
        for order in [BreakerOrder::ForceOpen, BreakerOrder::Auto] {
            sleep(Duration::from_secs(10)).await;
            world.store.order_breaker("shop", order).await.unwrap();
            sleep(Duration::from_millis(1_100)).await;
            assert_eq!(lever.orders.lock().unwrap().last(), Some(&order));
        }
    };
    let run = sources.run_here("shop", FULL, Arc::new(|_| {}), CancellationToken::new());
    let (run, ()) = tokio::join!(run, operator);
    assert_eq!(run.unwrap().state, RunState::Done);
}

/// A source that is called something else is another; what the first has would be nobody's to mend.
#[tokio::test(start_paused = true)]
async fn a_source_that_nobody_declares_is_shown_until_its_products_are_given_away() {
    let world = World::new(20);
    world.sync(FULL).await;
    let mut parts = world.parts();
    parts.name = "market".to_owned();
    let (store, clock, ids) = (world.store.clone(), world.clock.clone(), world.ids.clone());
    let sources = Sources::new(vec![parts], store, clock, ids, SourcesOptions::new("a"));
    let shown: Vec<_> = sources.statuses().await.unwrap().into_iter().map(|s| (s.name, s.state, s.items)).collect();
    let expected = [("market", SourceState::Idle, 0), ("shop", SourceState::Undeclared, 20)];
    assert_eq!(shown, expected.map(|(name, state, items)| (name.to_owned(), state, items)));
    let status = sources.status("shop").await.unwrap().unwrap();
    assert_eq!((status.kind, status.next_due, status.run.unwrap().counts.created), (None, None, 20));
    assert!(
        matches!(sources.forget("market", None).await, Err(ForgetError::Declared(_))),
        "it would take them up again"
    );
    assert!(matches!(sources.forget("shop", Some("shpo")).await, Err(ForgetError::NoHeir(_))));
    assert!(matches!(sources.forget("ship", None).await, Err(ForgetError::Unknown(_))));
    assert_eq!(sources.forget("shop", Some("market")).await.unwrap(), 20);
    assert!(sources.status("shop").await.unwrap().is_none());
    assert_eq!((sources.statuses().await.unwrap().len(), world.catalogue().len()), (1, 20));
}

#[tokio::test(start_paused = true)]
async fn an_order_reaches_the_breakers_of_all_replicas_and_all_are_shown() {
    let world = World::new(5);
    let levers = [World::lever(), World::lever()];
    let with = |name: &str, lever: &Arc<Lever>| world.sources(name, |parts, _| parts.breaker = lever.clone());
    let replicas = [with("a", &levers[0]), with("b", &levers[1])];
    let _workers = replicas.each_ref().map(serve);
    sleep(Duration::from_secs(2)).await;
    replicas[0].order_breaker("shop", BreakerOrder::ForceOpen).await.unwrap();
    assert_eq!(levers[0].orders.lock().unwrap().last(), Some(&BreakerOrder::ForceOpen), "here at once");
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(levers[1].orders.lock().unwrap().last(), Some(&BreakerOrder::ForceOpen));
    *levers[1].state.lock().unwrap() = "forced_open";
    sleep(Duration::from_millis(1_100)).await;
    let status = replicas[0].statuses().await.unwrap().remove(0);
    let shown: Vec<(&str, &str)> = status.breakers.iter().map(|b| (b.replica.as_str(), b.state.as_str())).collect();
    assert_eq!(shown, [("a", "closed"), ("b", "forced_open")]);
    assert_eq!(status.breaker_order, BreakerOrder::ForceOpen);
    assert!(matches!(replicas[0].order_breaker("ship", BreakerOrder::Auto).await, Err(StartError::Unknown(_))));
}

#[tokio::test(start_paused = true)]
async fn a_status_says_everything_that_is_to_be_seen() {
    let world = World::new(12);
    let sources = world.sources("a", |parts, _| {
        parts.schedule = Some(MINUTE);
        parts.live = [haat_sources::live::LiveField::Stock].into();
    });
    let never = sources.status("shop").await.unwrap().unwrap();
    assert_eq!((never.state, never.lag_seconds, never.items), (SourceState::Idle, None, 0));
    world.sync(FULL).await;
    sleep(Duration::from_secs(30)).await;
    let status = serde_json::to_value(sources.statuses().await.unwrap()).unwrap();
    let status = &status[0];
    assert_eq!((&status["name"], &status["kind"], &status["state"]), (&json!("shop"), &json!("rest"), &json!("idle")));
    assert_eq!(
        (&status["items"], &status["lag_seconds"], &status["schedule_seconds"]),
        (&json!(12), &json!(30), &json!(60))
    );
    assert_eq!((&status["live"], &status["run"]["counts"]["created"]), (&json!(["stock"]), &json!(12)));
}
