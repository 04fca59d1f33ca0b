//! Nobody learns from an answer, nor from how long it takes, which clients there are.

use std::time::{Duration, Instant};

use crate::request::Request;
use crate::stage::Stage;

#[tokio::test]
async fn an_unknown_client_and_a_wrong_secret_get_the_same_answer() {
    let stage = Stage::new().await;
    let secret = stage.secret("basic");
    let pairs = [
        ("an unknown client", "nobody", secret),
        ("a wrong secret", "basic", "haat_wrong"),
        ("an ended secret", "ended", stage.secret("ended, older")),
        ("a disabled client", "off", stage.secret("off")),
        ("a client that signs", "ed", secret),
        ("a client that sends its secret elsewhere", "post", stage.secret("post")),
    ];
    let expected = stage.send(&Request::token().basic("basic", "wrong")).await;
    assert_eq!(expected.status, 401);
    for (name, id, secret) in pairs {
        let answer = stage.send(&Request::token().basic(id, secret)).await;
        assert_eq!(
            (answer.status, &answer.headers, &answer.body),
            (expected.status, &expected.headers, &expected.body),
            "{name}"
        );
        if name != "a client that sends its secret elsewhere" {
            let in_body = stage.send(&Request::token().post(id, secret)).await;
            assert_eq!((in_body.status, &in_body.body), (expected.status, &expected.body), "{name}, in the body");
        }
    }
}

/// Medians of many runs that take turns, so that whatever else the machine does befalls both alike. A path that skips the
/// hash of the secret takes about half as long; one that asks the database takes many times as long.
#[tokio::test]
async fn an_unknown_client_takes_as_long_as_a_wrong_secret() {
    const RUNS: usize = 1_500;
    let stage = Stage::new().await;
    // Long enough that its hash is most of the work.
    let wrong = "x".repeat(100_000);
    let requests = [Request::token().basic("basic", &wrong), Request::token().basic("noone", &wrong)];
    let mut times: [Vec<Duration>; 2] = Default::default();
    for run in 0..RUNS {
        for which in if run % 2 == 0 { [0, 1] } else { [1, 0] } {
            let started = Instant::now();
            let answer = stage.send(&requests[which]).await;
            times[which].push(started.elapsed());
            assert_eq!(answer.status, 401);
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    let ratio = unknown / known;
    assert!((0.67..1.5).contains(&ratio), "a wrong secret takes {known} s, an unknown client {unknown} s");
}
