//! What servers do by themselves, and what they answer meanwhile.

use std::sync::Arc;
use std::time::Duration;

use haat_sources::ports::BreakerOrder;
use haat_sources::run::{Mode, RunState};
use haat_sources::service::{SourceState, Sources, StartError};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;
use crate::world::{CHANGES, FULL, Lever, World};

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
    let run = a.start("shop", FULL).await.unwrap();
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
    let run = a.start("shop", CHANGES).await.unwrap();
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
    assert_eq!(a.start("shop", FULL).await.unwrap().mode, Mode::Full);
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
