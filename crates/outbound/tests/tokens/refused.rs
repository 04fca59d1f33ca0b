//! What the token endpoint refuses, and when it is asked again.

use std::sync::Arc;
use std::time::Duration;

use haat_outbound::tokens::{Authorized, Refusal, TokenError};
use haat_outbound::{CallError, Caller};
use serde_json::json;
use tokio::time::{Instant, advance};

use crate::provider::{Fault, Provider, TOKEN};
use crate::stage::{api, ask, manager, memory, shared, text};

fn invalid_client() -> Fault {
    Fault::Answer(401, vec![], json!({"error": "invalid_client", "error_description": "wonderland"}))
}

#[tokio::test(start_paused = true)]
async fn after_invalid_client_the_endpoint_is_left_alone_for_longer_each_time() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let managers = [manager(&caller, None, None)];
    provider.always(Some(invalid_client()));
    let refused = TokenError::Refused(Refusal::InvalidClient);
    assert_eq!(ask(&managers, 100).await, [Err(refused.clone())], "one answer for all who waited");
    assert_eq!(provider.fetches(), 1);
    // At once, without a request.
    let began = Instant::now();
    let given = ask(&managers, 100).await;
    assert!(matches!(&given[..], [Err(TokenError::NotYet { last, .. })] if **last == refused), "{given:?}");
    assert_eq!((began.elapsed(), provider.fetches()), (Duration::ZERO, 1));
    let mut at = vec![];
    for second in 0..3_600 {
        advance(Duration::from_secs(1)).await;
        let before = provider.fetches();
        ask(&managers, 1).await;
        if provider.fetches() > before {
            at.push(second);
        }
    }
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Half of each wait is drawn: 5 to 10 s the second time, and so on up to 150 to 300 s.
    assert!(at[0] <= 5 && waits[0] >= 5 && waits[..4].is_sorted(), "{at:?}");
    assert!(waits[6..].iter().all(|wait| (150..=300).contains(wait)), "{waits:?}");
    provider.always(None);
    advance(Duration::from_secs(300)).await;
    assert_eq!(ask(&managers, 10).await, [Ok(format!("{TOKEN}1"))]);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_process_is_taken_though_this_one_is_to_wait() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    let [refused, other] = [(); 2].map(|()| manager(&caller, shared(&cache), None));
    provider.next([invalid_client()]);
    assert!(refused.token().await.is_err());
    assert!(other.token().await.is_ok());
    assert_eq!(text(&refused.token().await.unwrap()), format!("{TOKEN}1"));
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_retry_after_is_honoured() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, None, None);
    provider.next([Fault::Answer(429, vec![("retry-after", "30".into())], json!({}))]);
    assert_eq!(manager.token().await.err(), Some(TokenError::Status(429)));
    advance(Duration::from_secs(29)).await;
    let error = manager.token().await.err();
    assert!(
        matches!(&error, Some(TokenError::NotYet { retry_in, .. }) if *retry_in == Duration::from_secs(1)),
        "{error:?}"
    );
    assert_eq!(provider.fetches(), 1);
    advance(Duration::from_secs(1)).await;
    assert!(manager.token().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn failures_are_not_remembered() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, None, None);
    let broken = json!({"access_token": "a b", "token_type": "Bearer"});
    let mac = json!({"access_token": "a", "token_type": "mac"});
    provider.next([
        Fault::Cut,
        Fault::Answer(500, vec![], json!({})),
        Fault::Answer(200, vec![], broken),
        Fault::Answer(200, vec![], mac),
        Fault::Hang,
    ]);
    for _ in 0..4 {
        let began = Instant::now();
        assert!(!matches!(manager.token().await, Ok(_) | Err(TokenError::NotYet { .. })));
        assert_eq!(began.elapsed(), Duration::ZERO);
        // As long as an answer that is none keeps it waiting at most.
        advance(Duration::from_secs(5)).await;
    }
    let began = Instant::now();
    let error = manager.token().await.err();
    assert_eq!(error, Some(TokenError::NoAnswer(CallError::Timeout(Duration::from_secs(10)))));
    assert_eq!(began.elapsed(), Duration::from_secs(10), "a request has an end");
    assert!(manager.token().await.is_ok());
    assert_eq!(provider.fetches(), 6);
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent_and_nobody_learns_what_the_provider_wrote() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let authorized = Authorized::new(caller.clone(), manager(&caller, None, None));
    for fault in [invalid_client(), invalid_client(), Fault::Cut, Fault::Hang] {
        provider.next([fault]);
        let error = authorized.call(api(None)).await.unwrap_err();
        assert!(matches!(&error, CallError::NoToken(why) if !why.contains("wonderland")), "{error:?}");
        advance(Duration::from_secs(10)).await;
    }
    // Nor after the caller has stopped waiting.
    provider.next([Fault::Hang]);
    let mut call = api(None);
    call.deadline = Some(Instant::now() + Duration::from_secs(1));
    assert_eq!(authorized.call(call).await.unwrap_err(), CallError::Timeout(Duration::from_secs(1)));
    assert_eq!(provider.asked(), []);
}
