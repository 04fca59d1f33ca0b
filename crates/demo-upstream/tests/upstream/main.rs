//! The server from the outside, as a client sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set up its stage fails")]

mod control;
mod faults;
mod limits;
mod pages;
mod products;
mod stopping;
mod tokens;

use std::time::Duration;

use haat_demo_upstream::{DemoUpstream, Options};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::time::Instant;

/// How long anything may take that does not take its time on purpose.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and a client of it that has a token.
struct Session {
    upstream: DemoUpstream,
    http: reqwest::Client,
    token: String,
}

impl Session {
    async fn start(options: Options) -> Self {
        let upstream = DemoUpstream::start(options).await.unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let token = token(&upstream, &http).await;
        Self { upstream, http, token }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.upstream.url())).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    async fn control(&self, order: Value) -> Response {
        self.request(Method::POST, "/control").json(&order).send().await.unwrap()
    }
}

/// Sends a form to the token endpoint; `basic` is what stands before the base64.
async fn ask_token(upstream: &DemoUpstream, http: &reqwest::Client, basic: Option<&str>, form: &str) -> Response {
    let request = http.post(upstream.token_url()).header("content-type", "application/x-www-form-urlencoded");
    let request = match basic.and_then(|basic| basic.split_once(':')) {
        Some((id, secret)) => request.basic_auth(id, Some(secret)),
        None => request,
    };
    request.body(form.to_owned()).send().await.unwrap()
}

/// A token of the first client, with all of its scopes.
async fn token(upstream: &DemoUpstream, http: &reqwest::Client) -> String {
    let client = upstream.client().unwrap();
    let basic = format!("{}:{}", client.id, client.secret);
    let answer = ask_token(upstream, http, Some(&basic), "grant_type=client_credentials").await;
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

/// Waits until it is so.
async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
