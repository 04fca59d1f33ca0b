//! Those who fail too often have to wait.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::RETRY_AFTER;
use tokio::task::JoinSet;

use crate::jwt::{Jwt, Signer};
use crate::request::Request;
use crate::stage::{ADDRESS, ISSUER, Stage};

const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

#[tokio::test]
async fn a_client_that_fails_too_often_from_an_address_waits_there_and_nobody_else_does() {
    let stage = Stage::with_failures(5, 1_000).await;
    let wrong = Request::token().basic("basic", "wrong");
    for _ in 0..5 {
        assert_eq!(stage.send(&wrong).await.status, 401);
    }
    let answer = stage.send(&stage.asked_by("basic")).await;
    assert_eq!((answer.status, answer.field(&RETRY_AFTER)), (429, Some("60")), "the right secret has to wait too");
    answer.check_form(crate::request::Endpoint::Token).unwrap();
    assert_eq!(stage.send(&stage.asked_by("other")).await.status, 200);
    assert_eq!(stage.replica.send_from(&stage.asked_by("basic"), ELSEWHERE).await.status, 200);
    let introspection = Request::introspect("x").basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&introspection).await.status, 429, "at every endpoint");
}

#[tokio::test]
async fn an_address_that_fails_too_often_waits_whoever_it_says_to_be() {
    let stage = Stage::with_failures(1_000, 5).await;
    for n in 0..5 {
        assert_eq!(stage.send(&Request::token().basic(&format!("guess-{n}"), "wrong")).await.status, 401);
    }
    assert_eq!(stage.send(&stage.asked_by("basic")).await.status, 429);
    assert_eq!(stage.replica.send_from(&stage.asked_by("basic"), ELSEWHERE).await.status, 200);
}

#[tokio::test]
async fn failures_count_for_a_minute() {
    let stage = Stage::with_failures(3, 1_000).await;
    let wrong = Request::token().basic("basic", "wrong");
    for _ in 0..3 {
        assert_eq!(stage.send(&wrong).await.status, 401);
    }
    stage.clock.advance(Duration::from_secs(50));
    let answer = stage.send(&stage.asked_by("basic")).await;
    assert_eq!((answer.status, answer.field(&RETRY_AFTER)), (429, Some("10")));
    stage.clock.advance(Duration::from_secs(10));
    assert_eq!(stage.send(&stage.asked_by("basic")).await.status, 200);
    // Now and then a failure is nothing to wait for.
    for _ in 0..20 {
        stage.clock.advance(Duration::from_secs(40));
        assert_eq!(stage.send(&wrong).await.status, 401);
    }
    assert_eq!(stage.send(&stage.asked_by("basic")).await.status, 200);
}

#[tokio::test]
async fn a_client_whose_statements_are_refused_harms_no_other_client_at_its_address() {
    let stage = Stage::with_failures(5, 1_000).await;
    let stranger = Signer::ed25519("key-1");
    let statement =
        |client: &str, signer| Request::token().assertion(&Jwt::statement(client, ISSUER, stage.now()).by(signer));
    for _ in 0..5 {
        assert_eq!(stage.send(&statement("ed-other", &stranger)).await.status, 401);
    }
    assert_eq!(stage.send(&statement("ed-other", &stranger)).await.status, 429);
    assert_eq!(stage.send(&statement("ed", stage.signer("ed"))).await.status, 200);
}

/// Statements sent together all wait for the keys of their client at once.
#[tokio::test]
async fn a_burst_of_statements_has_no_more_tries_than_one_after_the_other() {
    let stage = Arc::new(Stage::with_failures(5, 1_000).await);
    stage.sources.slow.store(true, Ordering::SeqCst);
    let stranger = Signer::ed25519("key-1");
    let mut burst = JoinSet::new();
    for _ in 0..30 {
        let statement = Jwt::statement("remote", ISSUER, stage.now()).by(&stranger);
        let stage = Arc::clone(&stage);
        burst.spawn(async move { stage.send(&Request::token().assertion(&statement)).await.status });
    }
    let answers = burst.join_all().await;
    let of = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((of(401), of(429)), (5, 25));
}

#[tokio::test]
async fn what_is_no_failure_to_authenticate_does_not_count() {
    let stage = Stage::with_failures(2, 2).await;
    for _ in 0..5 {
        let bad_scope = stage.asked_by("basic").with("scope", "unknown");
        assert_eq!(stage.send(&bad_scope).await.status, 400);
        assert_eq!(stage.send(&stage.asked_by("basic").of_type(None)).await.status, 400);
    }
    assert_eq!(stage.replica.send_from(&stage.asked_by("basic"), ADDRESS).await.status, 200);
}
