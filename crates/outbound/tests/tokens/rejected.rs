//! What the API rejects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haat_outbound::tokens::{Authorized, TokenManager};
use haat_outbound::{CallError, Caller};
use http::Method;
use tokio::task::JoinSet;
use tokio::time::advance;

use crate::provider::{CLOSED, Fault, Provider, TOKEN};
use crate::stage::{api, manager, memory, shared, text};

fn authorized(provider: &Arc<Provider>) -> (Arc<Authorized>, TokenManager) {
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, None, None);
    (Arc::new(Authorized::new(caller, manager.clone())), manager)
}

/// So many calls at once; their statuses, without repeats.
async fn call(authorized: &Arc<Authorized>, times: usize) -> Vec<u16> {
    let mut calls = JoinSet::new();
    for _ in 0..times {
        let authorized = Arc::clone(authorized);
        calls.spawn(async move { authorized.call(api(None)).await.unwrap().status.as_u16() });
    }
    let mut statuses = calls.join_all().await;
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_rejected_is_made_once_more_with_another_token_and_the_same_body() {
    let provider = Provider::new();
    let (authorized, _) = authorized(&provider);
    assert_eq!(call(&authorized, 1).await, [200]);
    provider.revoke();
    let mut post = api(None);
    (post.method, post.body) = (Method::POST, Bytes::from_static(b"{\"sku\":\"G1\"}"));
    let answer = authorized.call(post).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.attempts), (200, 2));
    let asked = provider.asked();
    let seen: Vec<_> = asked[1..].iter().map(|asked| (asked.token.as_deref().unwrap(), &asked.body[..])).collect();
    let (first, second) = (format!("{TOKEN}1"), format!("{TOKEN}2"));
    assert_eq!(seen, [(&*first, &b"{\"sku\":\"G1\"}"[..]), (&*second, b"{\"sku\":\"G1\"}")]);
}

#[tokio::test(start_paused = true)]
async fn a_second_401_is_the_callers() {
    let provider = Provider::new();
    let (authorized, _) = authorized(&provider);
    provider.reject_all(true);
    let answer = authorized.call(api(None)).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.attempts), (401, 2));
    assert_eq!((provider.asked().len(), provider.fetches()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_rejects_every_token_does_not_have_one_fetched_for_every_call() {
    let provider = Provider::new();
    let (authorized, _) = authorized(&provider);
    provider.reject_all(true);
    for _ in 0..600 {
        assert_eq!(call(&authorized, 20).await, [401]);
        advance(Duration::from_millis(100)).await;
    }
    assert!(provider.fetches() <= 10, "{} fetches for 12,000 calls in a minute", provider.fetches());
    provider.reject_all(false);
    assert_eq!(call(&authorized, 20).await, [200]);
    // Once the wait is over a rejection is taken at its word again.
    advance(Duration::from_secs(60)).await;
    provider.revoke();
    assert_eq!(call(&authorized, 20).await, [200]);
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_that_likes_no_token_does_not_have_one_fetched_for_every_call_while_others_take_it() {
    let provider = Provider::new();
    let (authorized, _) = authorized(&provider);
    let mut closed = api(None);
    closed.url.set_path(CLOSED);
    for _ in 0..600 {
        assert_eq!(authorized.call(closed.clone()).await.unwrap().status, 401);
        assert_eq!(call(&authorized, 1).await, [200]);
        advance(Duration::from_millis(100)).await;
    }
    assert!(provider.fetches() <= 12, "{} fetches for 600 calls in a minute", provider.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_no_longer_than_its_total_timeout_however_long_a_token_takes() {
    let provider = Provider::new();
    provider.always(Some(Fault::Hang));
    let caller: Arc<dyn Caller> = provider.clone();
    let authorized = Authorized::new(caller.clone(), manager(&caller, None, None)).within(Duration::from_secs(3));
    let began = tokio::time::Instant::now();
    let ended = authorized.call(api(None)).await;
    assert!(matches!(ended, Err(CallError::Timeout(_))), "{ended:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_simultaneous_401s_cost_one_fetch() {
    let provider = Provider::new();
    let (authorized, _) = authorized(&provider);
    assert_eq!(call(&authorized, 1).await, [200]);
    for round in 2..=20 {
        provider.revoke();
        provider.gather(1_000);
        assert_eq!((call(&authorized, 1_000).await, provider.fetches()), (vec![200], round));
    }
    assert_eq!(provider.asked().iter().filter(|asked| asked.status == 401).count(), 19 * 1_000);
}

#[tokio::test(start_paused = true)]
async fn the_401_of_an_older_token_does_not_drop_a_newer_one() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    let [one, other] = [(); 2].map(|()| manager(&caller, shared(&cache), None));
    let old = one.token().await.unwrap();
    assert_eq!(text(&other.token().await.unwrap()), text(&old));
    assert!(one.rejected(&old));
    let new = one.token().await.unwrap();
    assert_ne!(text(&old), text(&new));
    for _ in 0..50 {
        assert!(one.rejected(&old));
        assert_eq!(text(&one.token().await.unwrap()), text(&new));
    }
    // Another process hears of it late, and finds the new one.
    assert!(other.rejected(&old));
    assert_eq!(text(&other.token().await.unwrap()), text(&new));
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_while_it_is_looked_up_is_not_used() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    let [one, other] = [(); 2].map(|()| manager(&caller, shared(&cache), None));
    let old = one.token().await.unwrap();
    assert!(other.rejected(&old), "its 401 came from elsewhere: it may be in the shared cache only");
    assert_ne!(text(&other.token().await.unwrap()), text(&old));
}

#[tokio::test(start_paused = true)]
async fn the_same_text_given_again_is_another_token() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let manager = manager(&caller, None, None);
    let same = serde_json::json!({"access_token": "same", "token_type": "Bearer", "expires_in": 3_600});
    provider.always(Some(Fault::Answer(200, vec![], same)));
    let first = manager.token().await.unwrap();
    for _ in 0..100 {
        manager.rejected(&first);
        assert_eq!(text(&manager.token().await.unwrap()), "same");
    }
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_nowhere_but_to_its_host() {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let tokens = manager(&caller, None, None);
    let authorized = Authorized::new(caller, tokens).only_to(api(None).url.origin());
    assert_eq!(authorized.call(api(None)).await.unwrap().status, 200);
    for elsewhere in ["http://other.example/api", "https://direct.example/api", "http://direct.example:81/api"] {
        let mut call = api(None);
        call.url = elsewhere.parse().unwrap();
        assert!(matches!(authorized.call(call).await, Err(CallError::ForbiddenUrl(_))), "{elsewhere}");
    }
    assert_eq!(provider.asked().len(), 1);
}
