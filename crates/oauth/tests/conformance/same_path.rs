//! Nobody learns from an answer, nor from how long it takes, which clients there are.

use std::time::{Duration, Instant};

use crate::jwt::{Jwt, Signer, tampered};
use crate::request::Request;
use crate::stage::{ISSUER, Stage};

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

/// Of pairs that are sent one right after the other, whatever else the machine does makes the one slower as often as the
/// other. If one path had less to do, as when it skips the hash of the secret, nearly all pairs would show it.
async fn assert_same_time(stage: &Stage, pairs: usize, known: impl Fn() -> Request, unknown: impl Fn() -> Request) {
    let mut unknown_was_quicker = 0;
    for pair in 0..pairs {
        let (mut took, requests) = ([Duration::ZERO; 2], [known(), unknown()]);
        for which in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            let started = Instant::now();
            let answer = stage.send(&requests[which]).await;
            took[which] = started.elapsed();
            assert_eq!(answer.status, 401);
        }
        unknown_was_quicker += usize::from(took[1] < took[0]);
    }
    let in_quarters = unknown_was_quicker * 4;
    assert!(
        (pairs..=pairs * 3).contains(&in_quarters),
        "an unknown client was quicker in {unknown_was_quicker} of {pairs}"
    );
}

#[tokio::test]
async fn an_unknown_client_takes_as_long_as_a_wrong_secret() {
    let stage = Stage::new().await;
    // So long that its hash is a good part of the work.
    let wrong = "x".repeat(100_000);
    let by = |id| Request::token().basic(id, &wrong);
    assert_same_time(&stage, 1_500, || by("basic"), || by("noone")).await;
}

#[tokio::test]
async fn an_unknown_client_takes_as_long_as_a_wrong_signature() {
    let stage = Stage::new().await;
    for (id, unknown, stranger) in [("rsa", "asr", Signer::rsa("key-1")), ("ed", "de", Signer::ed25519("key-1"))] {
        let statement = |of: &str| {
            let jwt = Jwt::statement(of, ISSUER, stage.now()).by(&stranger);
            // Signed by somebody else's key.
            Request::token().assertion(&tampered(&jwt, 1, "jti", "another"))
        };
        assert_same_time(&stage, 600, || statement(id), || statement(unknown)).await;
    }
}
