//! One token after the other, on paused time.

use std::sync::Arc;
use std::time::Duration;

use haat_outbound::Caller;
use haat_outbound::tokens::TokenManager;
use serde_json::json;
use tokio::time::{Instant, advance, sleep};

use crate::provider::{Fault, Provider, TOKEN};
use crate::stage::{ask, draft, eventually, manager, manager_of, memory, options, shared, text};

fn four(provider: &Arc<Provider>) -> (Arc<dyn Caller>, Vec<TokenManager>) {
    let (caller, cache): (Arc<dyn Caller>, _) = (provider.clone(), memory());
    let managers = (0..4).map(|_| manager(&caller, shared(&cache), None)).collect();
    (caller, managers)
}

fn nth(n: usize) -> String {
    format!("{TOKEN}{n}")
}

#[tokio::test(start_paused = true)]
async fn a_hundred_expiries_cost_a_hundred_fetches_for_four_managers_with_a_thousand_callers_each() {
    let provider = Provider::new();
    let (_caller, managers) = four(&provider);
    provider.always(Some(Fault::Late(Duration::from_millis(50))));
    for round in 1..=101 {
        assert_eq!(ask(&managers, 1_000).await, [Ok(nth(round))], "round {round}");
        assert_eq!(provider.fetches(), round);
        // From the moment of sending: the answer came 50 ms later.
        advance(Duration::from_secs(3_600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn near_its_end_a_token_serves_on_while_one_of_all_processes_fetches_another() {
    let provider = Provider::new();
    let (_caller, managers) = four(&provider);
    assert_eq!(ask(&managers, 10).await, [Ok(nth(1))]);
    provider.next([Fault::Late(Duration::from_secs(5))]);
    // Not before the margin and what it is spread by.
    advance(Duration::from_secs(3_600 - 60 - 16)).await;
    assert_eq!((ask(&managers, 100).await, provider.fetches()), (vec![Ok(nth(1))], 1));
    advance(Duration::from_secs(16)).await;
    let began = Instant::now();
    assert_eq!(ask(&managers, 100).await, [Ok(nth(1))]);
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for the new one");
    eventually("it is asked for", || provider.fetches() == 2).await;
    assert_eq!(ask(&managers, 100).await, [Ok(nth(1))]);
    // In the steps of the timers, so that the lock is renewed.
    sleep(Duration::from_secs(6)).await;
    assert_eq!((ask(&managers, 100).await, provider.fetches()), (vec![Ok(nth(2))], 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_nobody_asks_for_is_not_fetched() {
    let provider = Provider::new();
    let (_caller, managers) = four(&provider);
    ask(&managers, 1).await;
    advance(Duration::from_secs(100_000)).await;
    sleep(Duration::from_secs(100_000)).await;
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_word_on_its_life_a_token_is_used_for_five_minutes() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, None, None);
    provider.life(json!(null));
    manager.token().await.unwrap();
    advance(Duration::from_secs(299)).await;
    provider.always(Some(Fault::Cut));
    assert_eq!(text(&manager.token().await.unwrap()), nth(1));
    advance(Duration::from_secs(1)).await;
    assert!(manager.token().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_life_counts_from_when_the_request_was_sent() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, None, None);
    provider.life(json!(100));
    provider.next([Fault::Late(Duration::from_secs(7))]);
    let sent = Instant::now();
    let token = manager.token().await.unwrap();
    assert_eq!(token.ends(), sent + Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn no_token_is_used_for_longer_than_is_set() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    provider.life(json!(1e18));
    let token = manager(&caller, None, None).token().await.unwrap();
    assert_eq!(token.ends(), Instant::now() + Duration::from_secs(24 * 3_600));
    let mut options = options();
    options.longest_life = Duration::from_secs(60);
    let clock = Arc::new(haat_catalog::time::SystemClock);
    let token = manager_of(draft(None), options, &caller, None, clock).token().await.unwrap();
    assert_eq!(token.ends(), Instant::now() + Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn one_process_alone_fetches_once_for_a_thousand_callers() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    provider.next([Fault::Late(Duration::from_millis(100))]);
    let manager = manager(&caller, None, None);
    assert_eq!(ask(&[manager], 1_000).await, [Ok(nth(1))]);
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_away_do_not_end_the_fetch_for_the_others() {
    let provider = Provider::new();
    let (_caller, managers) = four(&provider);
    provider.always(Some(Fault::Late(Duration::from_secs(1))));
    // The very one that began it, too.
    for manager in managers.iter().cycle().take(40) {
        let gone = tokio::time::timeout(Duration::from_millis(10), manager.token()).await;
        assert!(gone.is_err());
    }
    assert_eq!(ask(&managers, 100).await, [Ok(nth(1))]);
    assert_eq!(provider.fetches(), 1);
}
