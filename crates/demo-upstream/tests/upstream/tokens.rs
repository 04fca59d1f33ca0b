//! Tokens: how a client comes to have one, and what it is good for.

use std::time::Duration;

use haat_demo_upstream::{Client, DemoUpstream, Options, Settings};
use reqwest::Method;
use serde_json::Value;

use crate::{Session, ask_token};

const GRANT: &str = "grant_type=client_credentials";

struct Provider {
    upstream: DemoUpstream,
    http: reqwest::Client,
}

impl Provider {
    async fn start(client: Client) -> Self {
        let upstream = DemoUpstream::start(Options { clients: vec![client], ..Options::default() }).await.unwrap();
        Self { upstream, http: reqwest::Client::new() }
    }

    /// The status, what the body's `error` says (nothing for a token), and the challenge.
    async fn ask(&self, basic: Option<&str>, form: &str) -> (u16, String, Option<String>) {
        let answer = ask_token(&self.upstream, &self.http, basic, form).await;
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["pragma"], "no-cache");
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body.get("access_token").is_some(), status == 200, "{body}");
        (status, body["error"].as_str().unwrap_or_default().to_owned(), challenge)
    }
}

#[tokio::test]
async fn a_token_comes_with_what_the_standard_wants() {
    let provider = Provider::start(Client::new("me", "secret")).await;
    let form = format!("{GRANT}&scope=catalog%3Aread");
    let answer = ask_token(&provider.upstream, &provider.http, Some("me:secret"), &form).await;
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&Value::from("Bearer"), &Value::from(3_600)));
    assert_eq!(body["scope"], "catalog:read");
    assert_eq!(body["access_token"].as_str().unwrap().len(), 43, "256 bits");
    assert!(body.get("refresh_token").is_none());
}

#[tokio::test]
async fn a_client_authenticates_by_header_or_in_the_form_but_not_both() {
    let provider = Provider::start(Client::new("me", "secret")).await;
    let posted = format!("{GRANT}&client_id=me&client_secret=secret");
    assert_eq!(provider.ask(Some("me:secret"), GRANT).await.0, 200);
    assert_eq!(provider.ask(None, &posted).await.0, 200);
    let (status, error, _) = provider.ask(Some("me:secret"), &posted).await;
    assert_eq!((status, error.as_str()), (400, "invalid_request"));
}

#[tokio::test]
async fn id_and_secret_are_written_as_in_a_form_within_the_header() {
    let provider = Provider::start(Client::new("a b", "p:%+é")).await;
    assert_eq!(provider.ask(Some("a+b:p%3A%25%2B%C3%A9"), GRANT).await.0, 200);
    assert_eq!(provider.ask(Some("a%20b:p%3A%25%2B%C3%A9"), GRANT).await.0, 200);
}

#[tokio::test]
async fn a_client_that_is_not_known_is_challenged() {
    let provider = Provider::start(Client::new("me", "secret")).await;
    for (basic, form) in [
        (Some("me:wrong"), GRANT.to_owned()),
        (Some("you:secret"), GRANT.to_owned()),
        (None, GRANT.to_owned()),
        (None, format!("{GRANT}&client_id=me&client_secret=wrong")),
        (None, format!("{GRANT}&client_secret=secret")),
    ] {
        let (status, error, challenge) = provider.ask(basic, &form).await;
        assert_eq!((status, error.as_str()), (401, "invalid_client"), "{basic:?} {form}");
        assert!(challenge.unwrap().starts_with("Basic "));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_as_the_standard_does() {
    let provider = Provider::start(Client::new("me", "secret")).await;
    for (form, wanted) in [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=client_credentials&scope=catalog:read+launch", "invalid_scope"),
        ("grant_type=client_credentials&scope=+", "invalid_scope"),
    ] {
        let (status, error, challenge) = provider.ask(Some("me:secret"), form).await;
        assert_eq!((status, error.as_str(), challenge), (400, wanted, None), "{form}");
    }
    let unknown = format!("{GRANT}&color=red&resource=a&resource=b&scope=");
    assert_eq!(provider.ask(Some("me:secret"), &unknown).await.0, 200, "what is not known is left alone");
    let json = provider.http.post(provider.upstream.token_url()).json(&serde_json::json!({"grant_type": "x"}));
    let answer: Value = json.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"], "invalid_request");
}

async fn challenge(session: &Session, token: Option<&str>) -> (u16, String) {
    let request = session.http.get(format!("{}/products", session.upstream.url()));
    let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
    let answer = request.send().await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), challenge.unwrap_or_default())
}

#[tokio::test]
async fn without_a_good_token_nothing_is_read() {
    let session = Session::start(Options::default()).await;
    assert_eq!(challenge(&session, None).await, (401, "Bearer".to_owned()));
    let invalid = (401, "Bearer error=\"invalid_token\"".to_owned());
    assert_eq!(challenge(&session, Some("made-up")).await, invalid);
    assert_eq!(challenge(&session, Some(&session.token)).await.0, 200);
    session.upstream.revoke_tokens();
    assert_eq!(challenge(&session, Some(&session.token)).await, invalid);
    assert_eq!(session.upstream.stats().unauthorized, 3);
}

#[tokio::test]
async fn a_token_without_the_scope_is_told_which_one_it_needs() {
    let mut session = Session::start(Options::default()).await;
    let client = session.upstream.client().unwrap();
    let basic = format!("{}:{}", client.id, client.secret);
    let form = format!("{GRANT}&scope=catalog:read");
    let answer = ask_token(&session.upstream, &session.http, Some(&basic), &form).await;
    session.token = answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(session.status("/products").await, 200);
    let answer = session.request(Method::DELETE, "/products/p-000001").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"catalog:write\"";
    assert_eq!(answer.headers()["www-authenticate"], challenge);
    assert!(session.upstream.product("p-000001").is_some());
}

#[tokio::test]
async fn a_token_can_be_made_to_expire_before_its_time() {
    let session = Session::start(Options::default()).await;
    assert_eq!(session.status("/products").await, 200);
    let settings = session.upstream.settings();
    session.upstream.set(Settings { expire_early: Duration::from_secs(3_600), ..settings });
    assert_eq!(session.status("/products").await, 401);
    session.upstream.set(settings);
    assert_eq!(session.status("/products").await, 200);
}

#[tokio::test]
async fn an_open_server_asks_for_no_token() {
    let session = Session::start(Options { open: true, ..Options::default() }).await;
    assert_eq!(challenge(&session, None).await.0, 200);
}
