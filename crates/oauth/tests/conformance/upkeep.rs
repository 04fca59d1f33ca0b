//! What is made at the first start, and what is forgotten.

use std::sync::atomic::Ordering;
use std::time::Duration;

use haat_catalog::Clock as _;
use haat_oauth::admin::{Admin, Rules};
use haat_oauth::keys::CLOCK_SKEW;

use crate::between::Between;
use crate::jwt::Jwt;
use crate::request::Request;
use crate::stage::{ISSUER, KEY_TIMES, Stage};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test]
async fn clients_that_cannot_be_read_are_clients() {
    let stage = Stage::new().await;
    let store = Between::new(&stage.store, &stage.clock);
    let rules = Rules { keys: KEY_TIMES, policies: Vec::new() };
    let admin = Admin::new(store.clone(), stage.vault.clone(), stage.clock.clone(), rules);
    store.unreadable.store(true, Ordering::SeqCst);
    assert!(admin.list().await.unwrap().is_empty());
    assert_eq!(admin.ensure_administrator().await.unwrap(), None);
    for client in stage.admin.list().await.unwrap() {
        stage.admin.revoke(&client.id, "test").await.unwrap();
    }
    assert!(admin.ensure_administrator().await.unwrap().is_some());
}

/// A statement that is over on one clock is good for as long on the one that is furthest behind.
#[tokio::test]
async fn what_has_ended_is_forgotten_when_it_has_on_every_clock() {
    let stage = Stage::new().await;
    let jwt = Jwt::statement("ed", ISSUER, stage.now()).by(stage.signer("ed"));
    let statement = Request::token().assertion(&jwt);
    assert_eq!(stage.send(&statement).await.status, 200);
    // It says to end after a minute; clocks may differ by 15 s and are trusted to differ by more.
    let end = stage.clock_now().plus(Duration::from_secs(60 + 15));
    assert_eq!(stage.admin.prune(end.plus(CLOCK_SKEW)).await.unwrap(), 0);
    assert_eq!(stage.send(&statement).await.status, 401);
    assert_eq!(stage.admin.prune(end.plus(CLOCK_SKEW + Duration::from_millis(1))).await.unwrap(), 1);
}

#[tokio::test]
async fn the_last_use_of_a_secret_is_known_for_as_long_as_there_is_the_secret() {
    let stage = Stage::new().await;
    for id in ["basic", "other"] {
        stage.issue(&stage.asked_by(id)).await;
    }
    stage.replica.server.write_uses().await.unwrap();
    let used_at = stage.clock.now();
    let client = stage.admin.show("basic").await.unwrap();
    stage.admin.revoke("other", "test").await.unwrap();
    stage.clock.advance(DAY * 399);
    assert_eq!(stage.admin.prune(stage.clock_now()).await.unwrap(), 0);
    stage.clock.advance(DAY * 2);
    assert_eq!(stage.admin.prune(stage.clock_now()).await.unwrap(), 1, "that of the client that is gone");
    assert_eq!(stage.admin.last_uses().await.unwrap().of(&client.secrets[0]), Some(used_at));
}
