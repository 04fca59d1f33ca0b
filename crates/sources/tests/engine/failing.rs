//! An upstream that fails, and a store that does.

use std::time::Duration;

use haat_catalog::ports::StoreError;
use haat_outbound::CallError;
use haat_sources::run::RunState;
use haat_sources::service::{SourceState, StartError};
use tokio::time::Instant;

use crate::shop::Fault;
use crate::world::{FULL, World};

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_an_upstream_that_comes_back() {
    let world = World::new(35);
    let open = CallError::BreakerOpen { retry_in: Duration::from_secs(5) };
    let faults = [Fault::Error(CallError::Timeout(Duration::from_secs(2))), Fault::Status(503), Fault::Error(open)];
    world.shop.state().lists_fail.extend(faults);
    let begun = Instant::now();
    let run = world.sync(FULL).await;
    assert_eq!((run.state, run.message, world.catalogue()), (RunState::Done, None, world.upstream()));
    assert!(begun.elapsed() >= Duration::from_millis(500 + 1_000 + 5_000), "it waits longer each time");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_says_when_to_come_back_is_left_alone_until_then() {
    let world = World::new(35);
    // Five minutes, and a moment ten minutes after the clock of the test began.
    let faults = [Fault::Later("300"), Fault::Later("Fri, 02 Jan 2026 03:14:06 GMT")];
    world.shop.state().lists_fail.extend(faults);
    let begun = Instant::now();
    let run = world.sync(FULL).await;
    assert_eq!((run.state, world.catalogue()), (RunState::Done, world.upstream()));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(600) && took < Duration::from_secs(610), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_wants_to_be_left_alone_for_longer_than_it_may_fail_ends_the_run_at_once() {
    let world = World::new(5);
    world.shop.state().list_fails = Some(Fault::Later("18446744073709551615"));
    let begun = Instant::now();
    let run = world.sync(FULL).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(begun.elapsed() < Duration::from_secs(1) && run.message.unwrap().contains("429"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stays_away_ends_the_run_with_what_to_look_at_and_nothing_is_lost() {
    let world = World::new(35);
    world.sync(FULL).await;
    world.shop.state().list_fails = Some(Fault::Error(CallError::Connect("refused".into())));
    let begun = Instant::now();
    let run = world.sync(FULL).await;
    let (message, took) = (run.message.unwrap(), begun.elapsed());
    assert_eq!((run.state, world.catalogue().len()), (RunState::Failed, 35));
    assert!(
        message.contains("page 1") && message.contains("cannot connect") && message.contains("breaker"),
        "{message}"
    );
    assert!(took > Duration::from_secs(860) && took <= Duration::from_secs(900), "{took:?}");
    let status = world.sources("a", |_, _| {}).status("shop").await.unwrap().unwrap();
    assert_eq!((status.state, status.last_error), (SourceState::Failing, Some(message)));
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_is_wrong_is_told_at_once() {
    let world = World::new(5);
    let address = CallError::ForbiddenAddress("10.0.0.1".parse().unwrap());
    world.shop.state().list_fails = Some(Fault::Error(address));
    let begun = Instant::now();
    let run = world.sync(FULL).await;
    assert!(begun.elapsed() < Duration::from_secs(1) && run.message.unwrap().contains("allow_networks"));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_held_while_the_upstream_is_waited_for_and_what_it_waits_for_is_told() {
    let world = World::new(5);
    world.shop.state().list_fails = Some(Fault::Status(502));
    let sync = world.sync(FULL);
    let watch = async {
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert!(matches!(world.try_sync(FULL).await, Err(StartError::Running(_))), "nobody else may begin");
        let status = world.sources("a", |_, _| {}).status("shop").await.unwrap().unwrap();
        assert!(status.state == SourceState::Running && status.last_error.unwrap().contains("502"));
        world.shop.state().list_fails = None;
    };
    let (run, ()) = tokio::join!(sync, watch);
    assert_eq!((run.state, run.message), (RunState::Done, None));
    assert!(world.store.state().saves.len() >= 19, "renewed at a third of its time");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hiccups_is_asked_again_and_one_that_fails_leaves_the_run_unfinished() {
    let world = World::new(35);
    let busy = || StoreError::Contention("deadlock".into());
    world.store.state().faults.extend([busy(), busy()]);
    assert_eq!(world.sync(FULL).await.state, RunState::Done);
    assert_eq!(world.catalogue(), world.upstream());
    world.shop.remove("k001");
    world.store.state().faults.push_back(StoreError::Corrupt("it is".into()));
    assert!(matches!(world.try_sync(FULL).await, Err(StartError::Store(StoreError::Corrupt(_)))));
    assert_eq!(world.row().await.run.unwrap().state, RunState::Reading);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(world.sync(FULL).await.state, RunState::Done);
    assert_eq!(world.catalogue(), world.upstream());
}
