//! Servers that start at the same time on a database where nothing is yet.

use std::sync::atomic::Ordering;

use haat_oauth::admin::{Admin, Rules};

use crate::between::Between;
use crate::stage::{KEY_TIMES, Stage};

/// Commands of a server for which there is no client yet, whoever has made one since it looked.
fn starting(stage: &Stage) -> Admin {
    let store = Between::new(&stage.store, &stage.clock);
    store.nobody_yet.store(true, Ordering::SeqCst);
    let rules = Rules { keys: KEY_TIMES, policies: Vec::new() };
    Admin::new(store, stage.vault.clone(), stage.clock.clone(), rules)
}

#[tokio::test]
async fn one_of_them_makes_the_administrator_and_tells_its_secret() {
    let stage = Stage::new().await;
    for client in stage.admin.list().await.unwrap() {
        stage.admin.revoke(&client.id, "test").await.unwrap();
    }
    let [one, other] = [starting(&stage), starting(&stage)];
    let (one, other) = tokio::join!(one.ensure_administrator(), other.ensure_administrator());
    let made: Vec<_> = [one.unwrap(), other.unwrap()].into_iter().flatten().collect();
    assert_eq!((made.len(), stage.admin.list().await.unwrap().len()), (1, 1));
    assert_eq!(made[0].client, stage.admin.list().await.unwrap()[0], "the secret that is told is the one that is good");
}

#[tokio::test]
async fn one_of_them_makes_the_first_key() {
    let stage = Stage::new().await;
    let kids: Vec<String> = stage.store.keys().await.unwrap().into_iter().map(|key| key.kid).collect();
    stage.store.remove_keys(&kids).await.unwrap();
    let [one, other] = [starting(&stage), starting(&stage)];
    let (one, other) = tokio::join!(one.ensure_keys(), other.ensure_keys());
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(stage.store.keys().await.unwrap().len(), 1);
}
