//! Token requests through the client that Haat calls with: its attempts, its breaker and its times come on top of the
//! manager's. Time passes at once where the network has nothing to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_catalog::time::SystemClock;
use haat_outbound::tokens::{Authorized, TokenError, TokenManager, TokenOptions};
use haat_outbound::{CallError, Caller, Client, ClientOptions, State, Surroundings};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

use crate::provider::{Fault, Provider, TOKEN};
use crate::stage::{self, api, ask, draft, eventually, manager, manager_of, signer, text};

/// By its defaults, but that this machine may be called.
fn client_options() -> ClientOptions {
    let allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    ClientOptions { allow_networks, ..ClientOptions::new("demo") }
}

/// A client of the token endpoint.
fn asking() -> Arc<Client> {
    client(&client_options().for_token_endpoint())
}

fn client(options: &ClientOptions) -> Arc<Client> {
    Arc::new(Client::new(options, Surroundings::default()).unwrap())
}

/// A manager that asks through a client of its own.
fn managed(address: SocketAddr) -> TokenManager {
    let caller: Arc<dyn Caller> = asking();
    manager(&caller, None, Some(address))
}

async fn pass(time: Duration) {
    tokio::time::pause();
    advance(time).await;
    tokio::time::resume();
}

/// The `jti` of the statement in every token request.
fn statements(provider: &Provider) -> Vec<String> {
    let statement = |body: &String| {
        let (_, statement) =
            form_urlencoded::parse(body.as_bytes()).find(|(key, _)| key == "client_assertion").unwrap();
        let claims = URL_SAFE_NO_PAD.decode(statement.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["jti"].as_str().unwrap().to_owned()
    };
    provider.requests().iter().map(statement).collect()
}

#[tokio::test]
async fn a_statement_that_was_answered_429_is_not_sent_again() {
    let provider = Provider::new();
    let address = provider.listen().await;
    let (auth, verifying) = signer();
    provider.expect_statements(verifying);
    let caller: Arc<dyn Caller> = asking();
    let mut draft = draft(Some(address));
    draft.auth = auth;
    let manager = manager_of(draft, stage::options(), &caller, None, Arc::new(SystemClock));
    let throttled = || Fault::Answer(429, vec![], json!({}));
    provider.next([throttled()]);
    assert_eq!(manager.token().await.err(), Some(TokenError::Status(429)));
    assert_eq!(statements(&provider).len(), 1);
    pass(Duration::from_secs(5)).await;
    assert_eq!(text(&manager.token().await.unwrap()), format!("{TOKEN}1"));
    let statements = statements(&provider);
    assert_eq!(statements.len(), 2);
    assert_ne!(statements[0], statements[1]);
}

#[tokio::test]
async fn a_token_request_with_a_secret_that_was_answered_429_is_sent_again() {
    let provider = Provider::new();
    let manager = managed(provider.listen().await);
    provider.next([Fault::Answer(429, vec![], json!({}))]);
    assert!(manager.token().await.is_ok());
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn a_thousand_simultaneous_401s_through_the_client_cost_one_fetch() {
    let provider = Provider::new();
    let address = provider.listen().await;
    let manager = managed(address);
    manager.token().await.unwrap();
    // However busy the machine is.
    let long = Duration::from_secs(300);
    let mut options = ClientOptions { concurrency: 100, max_waiting: 1_000, ..client_options() };
    (options.total_timeout, options.attempt_timeout, options.connect_timeout) = (long, long, long);
    options.breaker.slow_call = long;
    let authorized = Arc::new(Authorized::new(client(&options), manager));
    provider.revoke();
    // They come in ten parts, for a test may not have thousands of files open; all had the token when the first one came.
    provider.gather(100);
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let (authorized, call) = (Arc::clone(&authorized), api(Some(address)));
        calls.spawn(async move { authorized.call(call).await.unwrap().status.as_u16() });
    }
    assert!(calls.join_all().await.iter().all(|status| *status == 200));
    let asked = provider.asked();
    assert_eq!((asked.len(), asked.iter().filter(|asked| asked.status == 401).count()), (2_000, 1_000));
    assert_eq!(provider.fetches(), 2);
}

#[rstest]
#[case::patience_of_an_attempt(3, 3)]
#[case::less_patience(15, 10)]
#[tokio::test]
async fn a_token_endpoint_that_hangs_opens_its_breaker_and_then_nobody_waits(
    #[case] attempt: u64,
    #[case] patience: u64,
) {
    let provider = Provider::new();
    let address = provider.listen().await;
    provider.always(Some(Fault::Hang));
    let (attempt_timeout, patience) = (Duration::from_secs(attempt), Duration::from_secs(patience));
    let options = ClientOptions { attempt_timeout, total_timeout: attempt_timeout * 2, ..client_options() };
    let client = client(&options.for_token_endpoint());
    let caller: Arc<dyn Caller> = client.clone();
    let settings = TokenOptions { patience, ..stage::options() };
    let managers = [manager_of(draft(Some(address)), settings, &caller, None, Arc::new(SystemClock))];
    for fetch in 1..=3 {
        assert_eq!(client.breaker().state, State::Closed, "before fetch {fetch}");
        let asking = managers[0].clone();
        let asking = tokio::spawn(async move { asking.token().await.err() });
        eventually("the endpoint is asked", || provider.fetches() == fetch).await;
        pass(patience).await;
        let error = asking.await.unwrap();
        assert!(matches!(error, Some(TokenError::NoAnswer(CallError::Timeout(_)))), "{error:?}");
    }
    assert_eq!(client.breaker().state, State::Open);
    let began = Instant::now();
    let given = ask(&managers, 1_000).await;
    for given in given {
        assert!(matches!(given, Err(TokenError::NoAnswer(CallError::BreakerOpen { .. }))), "{given:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(provider.fetches(), 3);
    // Nor does it take long until one is there once the endpoint answers.
    provider.always(None);
    pass(Duration::from_secs(10)).await;
    assert!(managers[0].token().await.is_ok());
}

#[tokio::test]
async fn an_endpoint_that_is_back_earlier_than_it_said_is_asked_within_ten_seconds() {
    let provider = Provider::new();
    let address = provider.listen().await;
    let client = asking();
    let caller: Arc<dyn Caller> = client.clone();
    let manager = manager(&caller, None, Some(address));
    let ends = manager.token().await.unwrap().ends();
    provider.always(Some(Fault::Answer(503, vec![("retry-after", "120".into())], json!({}))));
    pass(ends - Instant::now() - Duration::from_secs(3)).await;
    assert!(manager.token().await.is_ok(), "the old one serves yet");
    eventually("another one is asked for", || client.breaker().failure_rate == 1.0).await;
    // The old one has ended, and the endpoint is back.
    pass(Duration::from_secs(3)).await;
    provider.always(None);
    let back = Instant::now();
    let error = manager.token().await.unwrap_err();
    let TokenError::NotYet { retry_in, last } = error else { panic!("{error:?}") };
    assert_eq!(*last, TokenError::Status(503));
    pass(retry_in).await;
    assert_eq!(text(&manager.token().await.unwrap()), format!("{TOKEN}2"));
    assert!(back.elapsed() <= Duration::from_secs(11), "{:?}", back.elapsed());
    assert_eq!(provider.fetches(), 3);
}

#[tokio::test]
async fn an_address_where_there_is_no_token_endpoint_is_looked_at_again_within_five_seconds() {
    const TIMES: usize = 12;
    let provider = Provider::new();
    let manager = managed(provider.listen().await);
    provider.next(vec![Fault::Answer(404, vec![], json!("no such page")); TIMES]);
    let mut waited = 0;
    loop {
        match manager.token().await {
            Ok(_) => break,
            Err(TokenError::NotYet { retry_in, last }) => {
                assert_eq!(*last, TokenError::Status(404));
                assert!(retry_in <= Duration::from_secs(5), "{retry_in:?}");
                waited += 1;
                pass(retry_in).await;
            }
            Err(error) => assert_eq!(error, TokenError::Status(404)),
        }
    }
    assert_eq!(provider.fetches(), TIMES + 1);
    assert!(waited >= TIMES / 2, "it was asked without a pause");
}
