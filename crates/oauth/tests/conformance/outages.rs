//! A database that is gone or cannot be read: what needs it is refused for now, everything else goes on.

use std::sync::Arc;

use haat_oauth::directory::Directory;
use haat_oauth::vault::{MasterKey, Vault};

use crate::jwt::Jwt;
use crate::request::Request;
use crate::stage::{ISSUER, Stage};

#[tokio::test]
async fn tokens_are_issued_and_checked_without_the_database_but_nothing_is_taken_for_used_or_revoked() {
    let stage = Stage::new().await;
    let token = stage.issue(&stage.asked_by("basic")).await;
    stage.store.close().await;
    let later = stage.issue(&stage.asked_by("basic")).await;
    assert!(stage.replica.verifier.verify(&later).await.is_ok());
    assert!(stage.replica.directory.refresh().await.is_err());
    let asked = Request::introspect(&token).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&asked).await.json["active"], true);
    let statement = Jwt::statement("ed", ISSUER, stage.now()).by(stage.signer("ed"));
    for request in
        [Request::token().assertion(&statement), Request::revoke(&token).basic("basic", stage.secret("basic"))]
    {
        let answer = stage.send(&request).await;
        assert_eq!((answer.status, &answer.json["error"]), (503, &"temporarily_unavailable".into()));
        answer.check_form(request.endpoint).unwrap();
    }
    assert!(
        stage.replica.verifier.verify(&token).await.is_ok(),
        "a token whose revocation was not acknowledged is good"
    );
    assert!(stage.replica.server.write_uses().await.is_err());
}

#[tokio::test]
async fn a_server_with_another_encryption_key_does_not_start_and_says_why() {
    let stage = Stage::new().await;
    let vault = Arc::new(Vault::new(&MasterKey::generate().unwrap()).unwrap());
    let opened = Directory::open(stage.store.clone(), vault, stage.clock.clone()).await;
    let Err(error) = opened else { panic!("it starts") };
    assert!(error.to_string().contains("HAAT_AUTH__ENCRYPTION_KEY"), "{error}");
}

#[tokio::test]
async fn the_last_use_of_a_secret_is_kept() {
    let stage = Stage::new().await;
    stage.issue(&stage.asked_by("two")).await;
    stage.replica.server.write_uses().await.unwrap();
    let client = stage.admin.show("two").await.unwrap();
    let uses = stage.admin.last_uses().await.unwrap();
    let uses: Vec<_> = client.secrets.iter().map(|secret| uses.of(secret)).collect();
    assert_eq!(uses, [None, Some(stage.clock_now())], "the older one was not used");
}
