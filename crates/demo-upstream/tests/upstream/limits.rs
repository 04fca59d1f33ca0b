//! Limits and latency.

use std::num::NonZeroU32;
use std::time::Duration;

use haat_demo_upstream::{Client, Options, Settings};
use reqwest::Method;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::{Session, ask_token, eventually};

#[tokio::test]
async fn beyond_its_rate_a_client_is_told_to_come_back() {
    let settings = Settings { rate_limit: NonZeroU32::new(5), ..Settings::default() };
    let clients = vec![Client::default(), Client::new("other", "secret")];
    let session = Session::start(Options { settings, clients, ..Options::default() }).await;
    let (begun, mut passed) = (Instant::now(), 0_u32);
    for _ in 0..30 {
        let answer = session.get("/products?limit=1").await;
        match answer.status().as_u16() {
            200 => passed += 1,
            status => {
                assert_eq!(status, 429);
                assert_eq!(answer.headers()["retry-after"], "1");
            }
        }
    }
    let most = 5.0 + 5.0 * begun.elapsed().as_secs_f64();
    assert!(passed >= 5 && f64::from(passed) <= most, "{passed} passed in {:?}", begun.elapsed());

    let form = "grant_type=client_credentials";
    let answer = ask_token(&session.upstream, &session.http, Some("other:secret"), form).await;
    let token = answer.json::<serde_json::Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let url = format!("{}/products?limit=1", session.upstream.url());
    let other = session.http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(other.status(), 200, "each client has its own");
    eventually("it may come back", async || session.status("/products?limit=1").await == 200).await;
}

#[tokio::test]
async fn every_answer_takes_the_latency_and_at_most_the_jitter_more() {
    let settings = Settings { latency: Duration::from_millis(50), ..Settings::default() };
    let session = Session::start(Options { settings, ..Options::default() }).await;
    for _ in 0..5 {
        let begun = Instant::now();
        assert_eq!(session.status("/products?limit=1").await, 200);
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }
    session.upstream.set(Settings { latency: Duration::ZERO, jitter: Duration::from_millis(100), ..settings });
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(session.status("/products?limit=1").await, 200);
    }
    // Ten draws from 0 to 100 ms, from a seed: far from none.
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed() {
    let session = Session::start(Options { max_connections: 1, ..Options::default() }).await;
    let pooled = session.http.clone();
    let alone = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let url = format!("{}/stats", session.upstream.url());
    let waits = alone.get(&url).timeout(Duration::from_millis(300)).send().await;
    assert!(waits.unwrap_err().is_timeout(), "the session's own connection is the one");
    drop(pooled);
    drop(session.http);
    let got = alone.get(&url).timeout(crate::PATIENCE).send().await.unwrap();
    assert_eq!(got.status(), 200);
}

#[tokio::test]
async fn how_many_are_under_way_is_counted() {
    let session = Session::start(Options::default()).await;
    session.upstream.reset_stats();
    session.upstream.fault(haat_demo_upstream::Kind::Slow(Duration::from_millis(500)), None);
    let ask = || session.request(Method::GET, "/products?limit=1").send();
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    for answer in [a, b, c, d] {
        assert_eq!(answer.unwrap().status(), 200);
    }
    let stats = session.upstream.stats();
    assert_eq!((stats.requests, stats.in_flight, stats.max_in_flight), (4, 0, 4));
    assert_eq!(stats.routes["GET /products"].statuses[&200], 4);
    assert_eq!(session.upstream.arrivals().len(), 4);
    assert!(TcpStream::connect(session.upstream.address()).await.is_ok());
}
