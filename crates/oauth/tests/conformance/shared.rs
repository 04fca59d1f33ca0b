//! What replicas know together by a real Redis: proofs that were used, and who has failed.

use std::sync::Arc;
use std::time::Duration;

use haat_cache::Cache;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_oauth::dpop::{DPOP, ProofError, Proofs};
use haat_testkit::servers::RedisServer;
use http::{HeaderMap, HeaderValue};

use crate::jwt::{Jwt, Signer};
use crate::request::Request;
use crate::stage::Stage;

const URL: &str = "https://haat.example/api/products";
/// How long a proof can be used: a minute ahead, a minute after, and by a clock that is a minute behind.
const USABLE: Duration = Duration::from_secs(180);

/// A connection of its own, as each replica has.
async fn connected(server: &RedisServer) -> Arc<dyn Cache> {
    let patience = Duration::from_secs(5);
    let options = RedisOptions { urls: vec![server.url()], patience, ..RedisOptions::default() };
    let cache = RedisCache::open(options).unwrap();
    assert!(cache.reached(Duration::from_secs(20)).await);
    Arc::new(cache)
}

/// For how long the only key of that kind lives.
fn lives(server: &RedisServer, kind: &str) -> Duration {
    let keys = server.command(&["KEYS", &format!("*{kind}*")]);
    let mut keys = keys.lines();
    let (Some(key), None) = (keys.next(), keys.next()) else { panic!("not one key of {kind}") };
    // Negative if it lives for ever, or is not there.
    Duration::from_millis(server.command(&["PTTL", key]).trim().parse().unwrap())
}

#[tokio::test]
async fn a_proof_is_good_at_one_replica_and_remembered_for_as_long_as_it_could_be_used() {
    let stage = Stage::new().await;
    let mut server = RedisServer::start();
    let [one, other] = [Proofs::new(Some(connected(&server).await)), Proofs::new(Some(connected(&server).await))];
    let key = Signer::ed25519("");
    let fresh = || Jwt::proof("GET", URL, stage.now()).proved_by(&key);
    let prove = async |proofs: &Proofs, jwt: &str| {
        let headers = HeaderMap::from_iter([(DPOP, HeaderValue::from_str(jwt).unwrap())]);
        proofs.prove(&headers, "GET", &[URL], None, stage.clock_now()).await.map(|_| ())
    };
    let jwt = fresh();
    assert_eq!(prove(&one, &jwt).await, Ok(()));
    assert_eq!(prove(&other, &jwt).await, Err(ProofError::Replayed));
    let left = lives(&server, "dpop:");
    assert!(left <= USABLE && left > USABLE - Duration::from_secs(30), "{left:?}");
    server.kill();
    let jwt = fresh();
    assert_eq!(prove(&one, &jwt).await, Ok(()), "without it each replica goes by what it knows");
    assert_eq!(prove(&one, &jwt).await, Err(ProofError::Replayed));
}

#[tokio::test]
async fn failures_count_at_all_replicas_together_and_for_a_minute() {
    let stage = Stage::new().await;
    let server = RedisServer::start();
    let one = stage.sharing(connected(&server).await, 4).await;
    let other = stage.sharing(connected(&server).await, 4).await;
    let wrong = Request::token().basic("basic", "wrong");
    for replica in [&one, &one, &one, &other] {
        assert_eq!(replica.send(&wrong).await.status, 401);
    }
    for replica in [&one, &other] {
        assert_eq!(replica.send(&stage.asked_by("basic")).await.status, 429);
        assert_eq!(replica.send(&stage.asked_by("other")).await.status, 200);
    }
    // One for the client and one for its address.
    let keys = server.command(&["KEYS", "*auth-failures:*"]);
    assert_eq!(keys.lines().count(), 2, "{keys}");
    for key in keys.lines() {
        let left: i64 = server.command(&["PTTL", key]).trim().parse().unwrap();
        assert!((30_000..=60_000).contains(&left), "{left}");
    }
}
