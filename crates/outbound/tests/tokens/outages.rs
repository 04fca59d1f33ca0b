//! The provider is gone for a while.

use std::sync::Arc;
use std::time::Duration;

use haat_outbound::Caller;
use haat_outbound::tokens::Authorized;
use rstest::rstest;
use serde_json::json;
use tokio::time::{Instant, advance, sleep};

use crate::provider::{Fault, Provider};
use crate::stage::{api, manager, memory, shared};

#[rstest]
#[case::refuses_connections(Fault::Cut)]
#[case::never_answers(Fault::Hang)]
#[case::fails(Fault::Answer(500, vec![], json!({})))]
#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_for_less_than_the_margin_is_not_noticed(#[case] fault: Fault) {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    let callers = [(); 4].map(|()| Authorized::new(caller.clone(), manager(&caller, shared(&cache), None)));
    let mut calls = 0;
    let mut during = async |length: Duration, step: Duration| {
        let end = Instant::now() + length;
        while Instant::now() < end {
            for caller in &callers {
                assert_eq!(caller.call(api(None)).await.unwrap().status, 200);
                calls += 1;
            }
            sleep(step.min(end.saturating_duration_since(Instant::now()))).await;
        }
    };
    let margin = Duration::from_secs(60);
    // Wherever in a token's life it begins.
    for begins in [0, 1_800, 3_500, 3_520, 3_525, 3_530, 3_535, 3_540, 3_599] {
        advance(Duration::from_secs(10_000)).await;
        during(Duration::from_secs(begins) + Duration::from_millis(1), Duration::from_secs(30)).await;
        let left = left(&callers).await;
        provider.always(Some(fault.clone()));
        during(margin.min(left) - Duration::from_secs(1), Duration::from_millis(200)).await;
        provider.always(None);
        // Until it is asked again: what hangs hangs for its patience.
        during(Duration::from_secs(30), Duration::from_millis(200)).await;
    }
    assert!(calls > 1_000);
}

/// How long the token that all use lives yet.
async fn left(callers: &[Authorized]) -> Duration {
    let mut left = Duration::MAX;
    for caller in callers {
        left = left.min(caller.tokens().token().await.unwrap().ends() - Instant::now());
    }
    left
}

#[tokio::test(start_paused = true)]
async fn a_cold_process_lives_on_what_is_left_of_the_shared_token() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    manager(&caller, shared(&cache), None).token().await.unwrap();
    advance(Duration::from_secs(3_550)).await;
    provider.always(Some(Fault::Cut));
    let cold = manager(&caller, shared(&cache), None);
    for _ in 0..49 {
        assert!(cold.token().await.is_ok());
        sleep(Duration::from_secs(1)).await;
    }
    assert!(provider.fetches() > 2, "it looks for another one meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_not_asked_by_every_call() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, shared(&cache), None);
    manager.token().await.unwrap();
    advance(Duration::from_secs(3_545)).await;
    provider.always(Some(Fault::Cut));
    for _ in 0..500 {
        assert!(manager.token().await.is_ok());
        sleep(Duration::from_millis(100)).await;
    }
    assert!((5..=30).contains(&provider.fetches()), "{}", provider.fetches());
}
