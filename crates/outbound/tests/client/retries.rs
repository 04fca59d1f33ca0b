//! What an upstream gets to see of retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haat_outbound::{Call, CallError, Caller as _, Order, Repeat};
use http::{Method, StatusCode};
use tokio::net::TcpListener;

use crate::server::{Reply, Upstream, answer, client, options};

const MS: Duration = Duration::from_millis(1);

fn post(upstream: &Upstream) -> Call {
    Call { method: Method::POST, body: Bytes::from_static(b"one fish"), ..upstream.get() }
}

#[tokio::test]
async fn an_outage_sees_at_most_a_fifth_more_than_is_offered() {
    const OFFERED: usize = 2_000;
    let upstream = Upstream::start(|_| answer(503, "", "")).await;
    let mut options = options();
    options.retry.base = MS;
    options.retry.cap = MS * 5;
    options.retry.max_attempts = 10;
    options.max_waiting = OFFERED;
    // None of them is to end for want of time on a busy machine.
    options.total_timeout = MS * 120_000;
    options.attempt_timeout = MS * 60_000;
    options.connect_timeout = MS * 60_000;
    let client = client(&options);
    client.force(Order::Closed);
    let calls: Vec<_> = (0..OFFERED)
        .map(|_| {
            let (client, call) = (Arc::clone(&client), upstream.get());
            tokio::spawn(async move { client.call(call).await })
        })
        .collect();
    for call in calls {
        let answer = call.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let seen = upstream.requests().len();
    assert!((OFFERED + OFFERED / 10..=OFFERED * 12 / 10).contains(&seen), "{seen} requests");
}

#[tokio::test]
async fn what_may_do_something_twice_is_never_sent_twice() {
    let cut = Upstream::start(|_| Reply::Cut(Vec::new())).await;
    let half = Upstream::start(|_| Reply::Cut(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal".to_vec())).await;
    let hang = Upstream::start(|_| Reply::Hang).await;
    let down = Upstream::start(|_| answer(503, "retry-after: 0\r\n", "")).await;
    let mut options = options();
    options.attempt_timeout = MS * 100;
    options.connect_timeout = MS * 100;
    options.retry.base = MS;
    for upstream in [&cut, &half, &hang, &down] {
        let client = client(&options);
        for method in [Method::POST, Method::PATCH] {
            let _ = client.call(Call { method, ..post(upstream) }).await;
        }
        assert_eq!(upstream.requests().len(), 2, "{:?}", upstream.requests());
        // The same on a connection that was in use before: it may be stale, and the request on it was read.
        let harmless = Call { repeat: Repeat::Harmless, ..post(upstream) };
        let _ = client.call(harmless).await;
        assert_eq!(upstream.requests().len(), 5, "what is harmless is sent again");
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_after_the_request_was_read_sends_nothing_twice() {
    let upstream = Upstream::start(|n| if n == 0 { answer(200, "", "") } else { Reply::Cut(Vec::new()) }).await;
    let client = client(&options());
    assert!(client.call(post(&upstream)).await.is_ok());
    assert!(matches!(client.call(post(&upstream)).await, Err(CallError::Broken(_))));
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn throttling_and_connections_that_never_opened_are_tried_again_whatever_the_method() {
    let upstream = Upstream::start(|n| answer(if n == 0 { 429 } else { 201 }, "", "")).await;
    let mut options = options();
    options.retry.base = MS;
    let answer = client(&options).call(post(&upstream)).await.expect("an answer");
    assert_eq!((answer.status, answer.attempts), (StatusCode::CREATED, 2));
    assert!(upstream.requests().iter().all(|request| request.ends_with("\r\n\r\none fish")));

    // Nobody listens here any more; connecting takes no time and fails every time.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("it is bound");
    let url = format!("http://{gone}/").parse().expect("a URL");
    let client = client(&options);
    let ended = client.call(Call { url, ..post(&upstream) }).await;
    assert!(matches!(ended, Err(CallError::Connect(_))), "{ended:?}");
    assert_eq!(client.breaker().calls, 3);
}

#[tokio::test]
async fn the_upstreams_wish_to_wait_is_kept_to() {
    let upstream = Upstream::start(|n| answer(if n == 0 { 503 } else { 200 }, "retry-after: 1\r\n", "")).await;
    let mut options = options();
    options.retry.base = MS;
    let began = std::time::Instant::now();
    let answer = client(&options).call(upstream.get()).await.expect("an answer");
    assert_eq!((answer.status, answer.attempts), (StatusCode::OK, 2));
    assert!(began.elapsed() >= MS * 1_000);
}
