//! What a Redis that is killed, frozen or restarted costs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_cache::{Cache, CacheError};
use haat_testkit::servers::RedisServer;

const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

async fn reached(server: &RedisServer) -> RedisCache {
    let cache = RedisCache::open(RedisOptions { urls: vec![server.url()], ..RedisOptions::default() }).unwrap();
    assert!(cache.reached(SOON).await);
    // The first call of a connection may find the machine busy with something else.
    for _ in 0..100 {
        if cache.put("k", Bytes::from_static(b"v"), LONG).await.is_ok() {
            return cache;
        }
        cache.reached(SOON).await;
    }
    panic!("Redis does not keep up");
}

/// Asks a hundred times; gives what the first call and all others took.
async fn hundred(cache: &RedisCache) -> (Duration, Duration) {
    let began = Instant::now();
    assert!(matches!(cache.get("k").await, Err(CacheError::Unavailable(_))));
    let first = began.elapsed();
    for _ in 0..100 {
        assert!(matches!(cache.get("k").await, Err(CacheError::Unavailable(_))));
    }
    (first, began.elapsed() - first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_costs_one_patience_and_then_nothing_until_it_is_back() {
    let server = RedisServer::start();
    let cache = reached(&server).await;
    server.pause();
    let (first, others) = hundred(&cache).await;
    // The patience is 10 ms; the rest is what a busy machine adds.
    assert!(first >= Duration::from_millis(9) && first < Duration::from_millis(500), "{first:?}");
    assert!(others < Duration::from_millis(50), "a hundred calls in {others:?}");
    assert!(!cache.is_up());
    server.resume();
    assert!(cache.reached(Duration::from_secs(2)).await, "not taken up again within 2 s");
    assert_eq!(cache.get("k").await.unwrap(), Some(Bytes::from_static(b"v")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_costs_nothing_and_is_taken_up_again() {
    let mut server = RedisServer::start();
    let cache = reached(&server).await;
    server.kill();
    let (first, others) = hundred(&cache).await;
    assert!(first < Duration::from_millis(500) && others < Duration::from_millis(50), "{first:?} {others:?}");
    server.restart();
    assert!(cache.reached(Duration::from_secs(2)).await, "not taken up again within 2 s");
    assert_eq!(cache.get("k").await.unwrap(), None, "what may be lost was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_later_is_used_once_it_is_there() {
    let mut server = RedisServer::start();
    server.kill();
    let cache = RedisCache::open(RedisOptions { urls: vec![server.url()], ..RedisOptions::default() }).unwrap();
    assert!(!cache.reached(Duration::from_millis(300)).await);
    server.restart();
    assert!(cache.reached(SOON).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_the_connection_usable() {
    let server = RedisServer::start();
    let options =
        RedisOptions { urls: vec![server.url()], patience: Duration::from_secs(5), ..RedisOptions::default() };
    let cache = std::sync::Arc::new(RedisCache::open(options).unwrap());
    assert!(cache.reached(SOON).await);
    cache.put("k", Bytes::from_static(b"v"), LONG).await.unwrap();
    for n in 0..2_000_u64 {
        let asking = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get("k").await }
        });
        if n % 3 > 0 {
            tokio::task::yield_now().await;
        }
        asking.abort();
    }
    assert_eq!(cache.get("k").await.unwrap(), Some(Bytes::from_static(b"v")));
}

#[test]
fn an_address_that_is_none_is_refused_without_telling_it() {
    let options = RedisOptions { urls: vec!["redis://:pssst@".into()], ..RedisOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async { RedisCache::open(options).err() }).unwrap();
    assert!(!error.to_string().contains("pssst") && error.to_string().contains("redis.url"), "{error}");
}
