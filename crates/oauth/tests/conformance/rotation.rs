//! Two replicas over one store: keys that change under load, and revocations.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use haat_catalog::{Clock as _, Timestamp};
use haat_oauth::keys::HEARSAY;
use haat_oauth::resource::Verifier;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::jwt;
use crate::request::{Endpoint, Request};
use crate::stage::{AUDIENCE, ISSUER, KEY_TIMES, Replica, Stage};

const ROTATIONS: usize = 20;

/// A third party that checks tokens with a key set as old as it may be.
struct Outsider {
    /// Key sets with when they were fetched; the first is the one in use.
    sets: VecDeque<(Timestamp, Value)>,
}

impl Outsider {
    /// Fetches a set; goes on with the oldest that it may still use.
    fn look(&mut self, replica: &Replica, now: Timestamp) {
        let body = replica.server.jwks().into_body();
        self.sets.push_back((now, serde_json::from_slice(&body).unwrap()));
        while self.sets.front().is_some_and(|(fetched, _)| now.since(*fetched) > KEY_TIMES.max_age) {
            self.sets.pop_front();
        }
    }

    fn accepts(&self, token: &str) -> bool {
        let set: JwkSet = serde_json::from_value(self.sets[0].1.clone()).unwrap();
        let kid = jwt::read(token).0["kid"].as_str().unwrap().to_owned();
        let Some(key) = set.find(&kid) else { return false };
        let (message, signature) = token.rsplit_once('.').unwrap();
        let key = DecodingKey::from_jwk(key).unwrap();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::EdDSA).unwrap()
    }
}

/// Time goes in steps. A key is made by one replica or the other; the other one hears of it as late as it may. All tokens
/// that have not ended are checked by both, remembered and not, and by a third party whose key set is as old as may be.
#[tokio::test]
async fn no_valid_token_is_refused_while_keys_rotate_20_times() {
    let stage = Stage::new().await;
    let another = stage.another(Vec::new()).await;
    let replicas = [&stage.replica, &another];
    let mut outsider = Outsider { sets: VecDeque::new() };
    outsider.look(replicas[0], stage.clock_now());
    let mut tokens: VecDeque<(i64, String)> = VecDeque::new();
    let mut kids = std::collections::HashSet::new();
    for rotation in 0..ROTATIONS {
        let (maker, other) = (replicas[rotation % 2], replicas[1 - rotation % 2]);
        stage.admin.tend_keys().await.unwrap();
        assert!(stage.admin.rotate_keys("test").await.unwrap().is_some());
        maker.directory.refresh().await.unwrap();
        // Longer than a key waits until it signs; all in all longer than one is needed.
        for step in 0..30 {
            stage.clock.advance(if step == 0 { HEARSAY - Duration::from_millis(1) } else { Duration::from_secs(20) });
            for replica in replicas {
                let request = stage.asked_by(["basic", "brief", "lasting"][step % 3]);
                let token = replica.issue(&request).await;
                let (header, claims) = jwt::read(&token);
                kids.insert(header["kid"].as_str().unwrap().to_owned());
                assert!(outsider.accepts(&token), "a third party does not know the key of a new token");
                tokens.push_back((claims["exp"].as_i64().unwrap(), token));
            }
            if step == 0 {
                other.directory.refresh().await.unwrap();
            }
            outsider.look(maker, stage.clock_now());
            tokens.retain(|(ends, _)| *ends > stage.now());
            if step % 3 == 2 {
                let valid = tokens.iter().map(|(_, token)| &**token);
                check_all(&stage, replicas, &outsider, valid, step % 15 == 14).await;
            }
        }
    }
    assert!(kids.len() >= ROTATIONS, "{} keys have signed", kids.len());
    assert!(stage.admin.ring().await.unwrap().iter().count() < ROTATIONS, "keys that nobody needs are removed");
}

async fn check_all(
    stage: &Stage,
    replicas: [&Replica; 2],
    outsider: &Outsider,
    tokens: impl Iterator<Item = &str>,
    fresh: bool,
) {
    let verifiers = replicas.map(|replica| verifier_of(stage, replica));
    // Without what was remembered a signature is checked again: not of all at every step, it takes long.
    for (at, token) in tokens.enumerate() {
        for (replica, unremembering) in replicas.iter().zip(&verifiers) {
            assert!(replica.verifier.verify(token).await.is_ok(), "a valid token is refused");
            let sampled = fresh && at % 7 == 0;
            assert!(!sampled || unremembering.verify(token).await.is_ok(), "a valid token is refused when seen anew");
        }
        assert!(at % 23 != 0 || !fresh || outsider.accepts(token), "a third party refuses a valid token");
    }
}

/// A check that remembers nothing yet.
fn verifier_of(stage: &Stage, replica: &Replica) -> Verifier {
    let directory = replica.directory.clone();
    Verifier::new(ISSUER.into(), AUDIENCE.into(), directory, stage.clock.clone(), Vec::new(), stage.sources.clone())
}

/// The same with everything at once: two replicas that issue, each checking the other's tokens, while keys are made and
/// removed, directories follow and the clock runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_valid_token_is_refused_while_keys_rotate_under_load() {
    let stage = Arc::new(Stage::new().await);
    let another = Arc::new(stage.another(Vec::new()).await);
    let (stop, checked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let kept: Arc<Mutex<VecDeque<(i64, String)>>> = Arc::default();
    let mut load = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (stage, another, stop) = (stage.clone(), another.clone(), stop.clone());
        let (checked, kept) = (checked.clone(), kept.clone());
        load.spawn(async move {
            let replicas = if worker % 2 == 0 { [&stage.replica, &another] } else { [&another, &stage.replica] };
            while !stop.load(Ordering::Relaxed) {
                let token = replicas[0].issue(&stage.asked_by("brief")).await;
                let ends = jwt::read(&token).1["exp"].as_i64().unwrap();
                let earlier = {
                    let mut kept = kept.lock().await;
                    kept.push_back((ends, token.clone()));
                    if kept.len() > 64 { kept.pop_front() } else { None }
                };
                for (ends, token) in [Some((ends, token)), earlier].into_iter().flatten() {
                    let good = replicas[1].verifier.verify(&token).await.is_ok();
                    // Read after the answer: what has not ended now had not ended then.
                    assert!(good || ends <= stage.clock.now().as_seconds(), "a valid token is refused");
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for rotation in 0..ROTATIONS {
        stage.admin.tend_keys().await.unwrap();
        stage.admin.rotate_keys("test").await.unwrap();
        let replicas = if rotation % 2 == 0 { [&*another, &stage.replica] } else { [&stage.replica, &*another] };
        for (replica, passes) in replicas.iter().zip([HEARSAY / 2, KEY_TIMES.max_age * 2]) {
            replica.directory.refresh().await.unwrap();
            for _ in 0..10 {
                let seen = checked.load(Ordering::Relaxed);
                stage.clock.advance(passes / 10);
                while checked.load(Ordering::Relaxed) < seen + 8 && !load.is_empty() {
                    tokio::task::yield_now().await;
                    assert!(load.try_join_next().is_none(), "the load has ended before its time");
                }
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
    assert!(checked.load(Ordering::Relaxed) > ROTATIONS * 100);
}

#[tokio::test]
async fn a_revocation_is_known_to_the_other_replica_after_its_next_look() {
    let stage = Stage::new().await;
    let another = stage.another(Vec::new()).await;
    let token = stage.issue(&stage.asked_by("basic")).await;
    another.verifier.verify(&token).await.unwrap();
    let revoke = Request::revoke(&token).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&revoke).await.status, 200);
    assert!(stage.replica.verifier.verify(&token).await.is_err(), "known at once where it was revoked");
    another.directory.refresh().await.unwrap();
    assert!(another.verifier.verify(&token).await.is_err());
    let asked = Request::introspect(&token).basic("basic", stage.secret("basic"));
    assert_eq!(another.send(&asked).await.json["active"], false);
}

#[tokio::test]
async fn a_replica_looks_by_itself() {
    let stage = Stage::new().await;
    let another = stage.another(Vec::new()).await;
    let stop = CancellationToken::new();
    let following = tokio::spawn(another.directory.clone().run(stop.clone()));
    let token = stage.issue(&stage.asked_by("basic")).await;
    another.verifier.verify(&token).await.unwrap();
    let revoke = Request::revoke(&token).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&revoke).await.status, 200);
    // The promise is a second; a machine with other things to do gets more.
    let known = tokio::time::timeout(Duration::from_secs(10), async {
        while another.verifier.verify(&token).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    known.await.expect("the revocation is not known");
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_statement_that_was_used_at_one_replica_is_used_at_the_other() {
    let stage = Stage::new().await;
    let another = stage.another(Vec::new()).await;
    let statement = jwt::Jwt::statement("ed", ISSUER, stage.now()).by(stage.signer("ed"));
    let request = Request::token().assertion(&statement);
    assert_eq!(stage.send(&request).await.status, 200);
    assert_eq!(another.send(&request).await.status, 401);
}

#[tokio::test]
async fn both_replicas_publish_the_same_keys_with_the_coming_one_among_them() {
    let stage = Stage::new().await;
    let another = stage.another(Vec::new()).await;
    let (kid, signs_from) = stage.admin.rotate_keys("test").await.unwrap().unwrap();
    assert!(signs_from >= stage.clock_now().plus(KEY_TIMES.max_age));
    let mut sets = Vec::new();
    for replica in [&stage.replica, &another] {
        replica.directory.refresh().await.unwrap();
        sets.push(replica.send(&Request::to(Endpoint::Jwks)).await.json);
    }
    assert_eq!(sets[0], sets[1]);
    assert!(sets[0]["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid));
}
