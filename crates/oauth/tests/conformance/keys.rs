//! Signing keys: when they sign, for how long they are kept, and who hears of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haat_catalog::Clock as _;
use haat_oauth::admin::{Admin, ClientPatch, Rules};
use haat_oauth::directory::{Directory, LOOK};
use haat_oauth::keys::{KeyTimes, SigningKey};
use haat_oauth::ports::AuthStore;
use haat_oauth::resource::Verifier;
use haat_oauth::vault::{MasterKey, Vault};

use crate::between::Between;
use crate::jwt::{self, Jwt};
use crate::request::Request;
use crate::stage::{AUDIENCE, ISSUER, KEY_TIMES, Stage};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Commands of a configuration with that longest lifetime of tokens.
fn admin_of(stage: &Stage, store: Arc<dyn AuthStore>, longest_token: Duration) -> Admin {
    let keys = KeyTimes { longest_token, ..KEY_TIMES };
    Admin::new(store, stage.vault.clone(), stage.clock.clone(), Rules { keys, policies: Vec::new() })
}

fn verifier(stage: &Stage, directory: &Arc<Directory>) -> Verifier {
    Verifier::new(
        ISSUER.into(),
        AUDIENCE.into(),
        directory.clone(),
        stage.clock.clone(),
        Vec::new(),
        stage.sources.clone(),
    )
}

async fn kids(stage: &Stage) -> Vec<String> {
    stage.store.keys().await.unwrap().into_iter().map(|key| key.kid).collect()
}

#[tokio::test]
async fn a_key_that_was_written_as_late_as_may_be_is_known_for_a_max_age_before_it_signs() {
    let stage = Stage::new().await;
    let store = Between::new(&stage.store, &stage.clock);
    store.slow_keys.store(true, Ordering::SeqCst);
    let admin = admin_of(&stage, store, KEY_TIMES.longest_token);
    let (_, signs_from) = admin.rotate_keys("test").await.unwrap().unwrap();
    assert!(signs_from > stage.clock_now().plus(KEY_TIMES.max_age), "from {signs_from}");
}

#[tokio::test]
async fn a_token_of_a_key_that_is_not_known_yet_makes_a_replica_look_once() {
    let stage = Stage::new().await;
    let store = Between::new(&stage.store, &stage.clock);
    let directory = Directory::open(store.clone(), stage.vault.clone(), stage.clock.clone()).await.unwrap();
    let verifier = verifier(&stage, &directory);
    let looks = || store.looks.load(Ordering::SeqCst);
    let (kid, signs_from) = stage.admin.rotate_keys("test").await.unwrap().unwrap();
    stage.clock.set(signs_from);
    stage.replica.directory.refresh().await.unwrap();
    let token = stage.issue(&stage.asked_by("basic")).await;
    assert_eq!(jwt::read(&token).0["kid"], kid);
    tokio::time::sleep(LOOK * 2).await;
    let before = looks();
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(looks(), before + 1);
    // Whoever makes up keys makes nobody look more often, and with those of others nobody looks at all.
    let (header, claims) = jwt::read(&token);
    let made_up = |n: i32| Jwt { header: header.clone(), claims: claims.clone() }.header("kid", format!("made-up-{n}"));
    for n in 0..50 {
        assert!(verifier.verify(&made_up(n).as_it_is(stage.signer("ed"))).await.is_err());
    }
    assert!(looks() <= before + 3, "{} looks", looks() - before);
    tokio::time::sleep(LOOK * 2).await;
    let before = looks();
    let of_others = made_up(99).claim("iss", "https://other.example").as_it_is(stage.signer("ed"));
    assert!(verifier.verify(&of_others).await.is_err());
    assert_eq!(looks(), before);
}

#[tokio::test]
async fn a_key_is_kept_for_the_tokens_it_signed_whatever_is_configured_elsewhere_and_later() {
    let stage = Stage::new().await;
    let store: Arc<dyn AuthStore> = stage.store.clone();
    let servers = admin_of(&stage, store.clone(), DAY * 7);
    servers.ensure_keys().await.unwrap();
    let first = kids(&stage).await.remove(0);
    let (second, signs_from) = servers.rotate_keys("test").await.unwrap().unwrap();
    stage.clock.set(signs_from.plus(DAY * 6));
    // A command with the usual settings, and a server that was started again with shorter tokens.
    let others = admin_of(&stage, store, Duration::from_secs(3_600));
    others.ensure_keys().await.unwrap();
    others.tend_keys().await.unwrap();
    assert!(kids(&stage).await.contains(&first), "a token of 7 days may be good still");
    stage.clock.advance(DAY * 2);
    others.ensure_keys().await.unwrap();
    assert!(kids(&stage).await.contains(&first), "a command removes no key");
    others.tend_keys().await.unwrap();
    assert!(!kids(&stage).await.contains(&first) && kids(&stage).await.contains(&second));
}

#[tokio::test]
async fn no_token_lasts_longer_than_its_key_is_kept() {
    let stage = Stage::new().await;
    let lasts = async || {
        let (_, claims) = jwt::read(&stage.issue(&stage.asked_by("lasting")).await);
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
    };
    // As if the key had been made under a setting that was half as much.
    let longest = KEY_TIMES.longest_token;
    let (_, mut key) = SigningKey::generate(&stage.vault, stage.clock_now(), stage.clock_now(), longest / 2).unwrap();
    key.signs_from = stage.clock.advance(Duration::from_secs(1));
    assert!(stage.store.add_key(&key, Some(&kids(&stage).await[0])).await.unwrap());
    stage.replica.directory.refresh().await.unwrap();
    assert_eq!(lasts().await, 3_600);
    stage.admin.ensure_keys().await.unwrap();
    stage.replica.directory.refresh().await.unwrap();
    assert_eq!(lasts().await, 7_200, "once all replicas can know that it is kept so long");
}

#[tokio::test]
async fn the_first_key_is_made_once_and_another_encryption_key_is_noticed() {
    let stage = Stage::new().await;
    let before = kids(&stage).await;
    stage.admin.ensure_keys().await.unwrap();
    assert_eq!(kids(&stage).await, before);
    let vault = Arc::new(Vault::new(&MasterKey::generate().unwrap()).unwrap());
    let rules = Rules { keys: KEY_TIMES, policies: Vec::new() };
    let stranger = Admin::new(stage.store.clone(), vault, stage.clock.clone(), rules);
    assert!(stranger.ensure_keys().await.is_err());
    stage.store.remove_keys(&before).await.unwrap();
    stage.admin.ensure_keys().await.unwrap();
    assert_eq!(kids(&stage).await.len(), 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_keeps_nobody_from_hearing_of_the_rest() {
    let stage = Stage::new().await;
    let revoked = stage.issue(&stage.asked_by("basic")).await;
    let of_disabled = stage.issue(&stage.asked_by("two")).await;
    let good = stage.issue(&stage.asked_by("other")).await;
    let another = stage.another(Vec::new()).await;
    let vault = Vault::new(&MasterKey::generate().unwrap()).unwrap();
    let at = stage.clock.now();
    let (_, strange) = SigningKey::generate(&vault, at, at.plus(DAY), DAY).unwrap();
    assert!(stage.store.add_key(&strange, Some(&kids(&stage).await[0])).await.unwrap());
    let (next, stored) = SigningKey::generate(&stage.vault, at, at.plus(DAY * 2), DAY).unwrap();
    assert!(stage.store.add_key(&stored, Some(&strange.kid)).await.unwrap());
    let disabled = ClientPatch { enabled: Some(false), ..ClientPatch::default() };
    stage.admin.change("two", disabled, "test").await.unwrap();
    let revoke = Request::revoke(&revoked).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&revoke).await.status, 200);
    for replica in [&stage.replica, &another] {
        replica.directory.refresh().await.unwrap();
        assert!(replica.verifier.verify(&revoked).await.is_err());
        assert!(replica.verifier.verify(&of_disabled).await.is_err());
        assert!(replica.verifier.verify(&good).await.is_ok());
        replica.issue(&stage.asked_by("other")).await;
        let keys = &replica.directory.known_now().keys;
        assert!(keys.find(&next.kid).is_some() && keys.find(&strange.kid).is_none());
    }
    let opened = Directory::open(stage.store.clone(), stage.vault.clone(), stage.clock.clone()).await;
    assert!(opened.is_err(), "but no server starts with it");
}

#[tokio::test]
async fn keys_that_cannot_be_read_at_all_keep_nobody_from_hearing_of_the_rest() {
    let stage = Stage::new().await;
    let store = Between::new(&stage.store, &stage.clock);
    let directory = Directory::open(store.clone(), stage.vault.clone(), stage.clock.clone()).await.unwrap();
    let verifier = verifier(&stage, &directory);
    let (revoked, good) = (stage.issue(&stage.asked_by("basic")).await, stage.issue(&stage.asked_by("other")).await);
    let of_disabled = stage.issue(&stage.asked_by("two")).await;
    store.broken_keys.store(true, Ordering::SeqCst);
    let (kid, _) = stage.admin.rotate_keys("test").await.unwrap().unwrap();
    let revoke = Request::revoke(&revoked).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&revoke).await.status, 200);
    let disabled = ClientPatch { enabled: Some(false), ..ClientPatch::default() };
    stage.admin.change("two", disabled, "test").await.unwrap();
    assert!(directory.refresh().await.is_err());
    assert!(verifier.verify(&revoked).await.is_err());
    assert!(verifier.verify(&of_disabled).await.is_err());
    assert!(verifier.verify(&good).await.is_ok());
    store.broken_keys.store(false, Ordering::SeqCst);
    directory.refresh().await.unwrap();
    assert!(directory.known().keys.find(&kid).is_some(), "read once it can be");
}

/// What does not change is shared, not copied: else each revocation would cost as much as there are clients and
/// revocations.
#[tokio::test]
async fn a_revocation_copies_neither_clients_nor_other_revocations() {
    let stage = Stage::new().await;
    let directory = &stage.replica.directory;
    let before = directory.known_now();
    for _ in 0..3 {
        let token = stage.issue(&stage.asked_by("basic")).await;
        let revoke = Request::revoke(&token).basic("basic", stage.secret("basic"));
        assert_eq!(stage.send(&revoke).await.status, 200);
    }
    let after = directory.known_now();
    assert_eq!((after.revoked.len(), after.revisions.revocations), (3, 3));
    assert!(Arc::ptr_eq(&before.clients, &after.clients) && Arc::ptr_eq(&before.revoked, &after.revoked));
    assert!(Arc::ptr_eq(&before.keys, &after.keys));
    // They are forgotten all the same.
    stage.clock.advance(DAY);
    let token = stage.issue(&stage.asked_by("basic")).await;
    let revoke = Request::revoke(&token).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&revoke).await.status, 200);
    assert_eq!(directory.known_now().revoked.len(), 1);
}
