//! Clocks that are wrong.

use std::sync::Arc;
use std::time::Duration;

use haat_outbound::Caller;
use haat_outbound::tokens::Authorized;
use haat_testkit::clock::TestClock;
use rstest::rstest;
use tokio::time::sleep;

use crate::provider::Provider;
use crate::stage::{api, draft, manager_of, memory, options, shared, signer};

const SECONDS: i64 = 1_000;
const MINUTES: i64 = 60 * SECONDS;

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_provider_whose_clock_is_off_by_five_minutes_fails_no_call(
    #[values(-5 * MINUTES, -10 * SECONDS, 0, 10 * SECONDS, 5 * MINUTES)] ahead_ms: i64,
    #[values(false, true)] signs: bool,
) {
    let clock = Arc::new(TestClock::default());
    let provider = Provider::with_clock(clock.clone());
    let (caller, cache): (Arc<dyn Caller>, _) = (provider.clone(), memory());
    provider.set_ahead(ahead_ms);
    let mut draft = draft(None);
    if signs {
        let (auth, verifying) = signer();
        provider.expect_statements(verifying);
        draft.auth = auth;
    }
    let manager = manager_of(draft, options(), &caller, shared(&cache), clock.clone());
    let authorized = Authorized::new(caller, manager);
    // For two days, a call a minute.
    for _ in 0..2 * 24 * 60 {
        assert_eq!(authorized.call(api(None)).await.unwrap().status, 200);
        sleep(Duration::from_secs(60)).await;
        clock.advance(Duration::from_secs(60));
    }
    let tokens = 2 * 24 * 3_600 / (3_600 - 75);
    // The first statement tells the time.
    let most = tokens + 2 + usize::from(signs && ahead_ms != 0);
    assert!((48..=most).contains(&provider.fetches()), "{}", provider.fetches());
    assert!(provider.asked().iter().all(|asked| asked.status == 200), "no token was used after its end");
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_ours_that_jumps_makes_no_difference_to_tokens() {
    let clock = Arc::new(TestClock::default());
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager_of(draft(None), options(), &caller, None, clock.clone());
    manager.token().await.unwrap();
    clock.advance(Duration::from_secs(1_000_000));
    sleep(Duration::from_secs(3_000)).await;
    manager.token().await.unwrap();
    assert_eq!(provider.fetches(), 1);
    sleep(Duration::from_secs(601)).await;
    manager.token().await.unwrap();
    assert_eq!(provider.fetches(), 2);
}
