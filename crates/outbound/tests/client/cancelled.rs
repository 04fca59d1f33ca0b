//! Callers that go away leave nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_outbound::{Caller as _, Client, ClientOptions, Load, State};

use crate::server::{Reply, Upstream, answer, client, options};

/// Ten thousand calls, cancelled wherever they are: some before they were polled, some in line, some on the wire, and where the
/// upstream answers some before a retry. No attempt ends for want of time, however busy the machine is.
async fn ten_thousand_cancelled_calls(upstream: &Upstream) -> Arc<Client> {
    let minute = Duration::from_secs(60);
    let mut options = ClientOptions { total_timeout: minute * 10, attempt_timeout: minute * 10, ..options() };
    options.connect_timeout = minute * 10;
    options.breaker.minimum_calls = 100_000;
    let client = client(&options);
    let all = Load { at_work: 16, waiting: 64 };
    for round in 0..125 {
        let calls: Vec<_> = (0..80)
            .map(|_| {
                let (client, call) = (Arc::clone(&client), upstream.get());
                tokio::spawn(async move { client.call(call).await })
            })
            .collect();
        let begun = Instant::now();
        while round % 3 == 0 && client.load() != all && begun.elapsed() < Duration::from_millis(20) {
            tokio::task::yield_now().await;
        }
        let before = upstream.requests().len();
        while round % 6 == 0 && upstream.requests().len() == before && begun.elapsed() < Duration::from_millis(200) {
            tokio::task::yield_now().await;
        }
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        for call in calls {
            let _ = call.await;
        }
        assert_eq!(client.load(), Load { at_work: 0, waiting: 0 }, "round {round}");
    }
    client
}

#[tokio::test]
async fn ten_thousand_cancelled_calls_give_everything_back_and_say_nothing_of_the_upstream() {
    let upstream = Upstream::start(|_| Reply::Hang).await;
    let snapshot = ten_thousand_cancelled_calls(&upstream).await.breaker();
    assert_eq!((snapshot.state, snapshot.calls), (State::Closed, 0));
    assert!(upstream.requests().len() > 10, "hardly one was on the wire");
}

#[tokio::test]
async fn of_ten_thousand_cancelled_calls_only_those_that_were_answered_are_judged() {
    let upstream =
        Upstream::start(|n| if n % 2 == 0 { Reply::Hang } else { answer(503, "retry-after: 5\r\n", "") }).await;
    let snapshot = ten_thousand_cancelled_calls(&upstream).await.breaker();
    assert_eq!(snapshot.state, State::Closed);
    let answers = upstream.answers();
    assert!(snapshot.calls <= answers, "{} of {answers} were judged", snapshot.calls);
}

#[tokio::test]
async fn probes_that_are_cancelled_are_given_to_others() {
    let upstream = Upstream::start(|n| match n {
        0..20 => answer(500, "", ""),
        20..320 => Reply::Hang,
        _ => answer(200, "", ""),
    })
    .await;
    let mut options = options();
    options.retry.max_attempts = 1;
    options.breaker.open = Duration::from_millis(1);
    let client = client(&options);
    for _ in 0..20 {
        let _ = client.call(upstream.get()).await;
    }
    assert_eq!(client.breaker().state, State::Open);
    while client.breaker().retry_in.is_some_and(|left| !left.is_zero()) {
        tokio::task::yield_now().await;
    }
    while upstream.requests().len() < 320 {
        let before = upstream.requests().len();
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let (client, call) = (Arc::clone(&client), upstream.get());
                tokio::spawn(async move { client.call(call).await })
            })
            .collect();
        let begun = Instant::now();
        while upstream.requests().len() < before + 3 {
            assert!(begun.elapsed() < Duration::from_secs(20), "a probe is lost: {client:?}");
            tokio::task::yield_now().await;
        }
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        for call in calls {
            let _ = call.await;
        }
    }
    assert_eq!((client.breaker().state, client.breaker().calls), (State::HalfOpen, 0));
    for _ in 0..3 {
        assert!(client.call(upstream.get()).await.is_ok());
    }
    assert_eq!(client.breaker().state, State::Closed);
}
