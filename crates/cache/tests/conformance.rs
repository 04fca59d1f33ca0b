//! The promises of the port, kept by memory and by real Redis servers: alone, with password and TLS, and as a cluster.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_cache::{Cache, Cell, MemoryCache, Ordered, Script};
use haat_testkit::servers::{RedisCluster, RedisServer};
use rstest::rstest;

const LONG: Duration = Duration::from_secs(30);
const BRIEF: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Memory,
    Redis,
    Secured,
    Cluster,
}

/// A cache of its own, and what it lives in.
struct Stage {
    cache: Arc<dyn Cache>,
    _server: Option<RedisServer>,
    _cluster: Option<RedisCluster>,
}

async fn stage(kind: Kind) -> Stage {
    let patient = RedisOptions { patience: Duration::from_secs(5), ..RedisOptions::default() };
    let (options, server, cluster) = match kind {
        Kind::Memory => {
            let began = Instant::now();
            let now = move || 1_700_000_000_000_000 + i64::try_from(began.elapsed().as_micros()).unwrap();
            let cache = Arc::new(MemoryCache::new(64 << 20, Arc::new(now)));
            return Stage { cache, _server: None, _cluster: None };
        }
        Kind::Redis => {
            let server = RedisServer::start();
            (RedisOptions { urls: vec![server.url()], ..patient }, Some(server), None)
        }
        Kind::Secured => {
            let server = RedisServer::start_secured();
            let ca = Some(server.authority().to_owned());
            (RedisOptions { urls: vec![server.url()], ca, ..patient }, Some(server), None)
        }
        Kind::Cluster => {
            let cluster = RedisCluster::start();
            (RedisOptions { urls: cluster.urls(), ..patient }, None, Some(cluster))
        }
    };
    let cache = RedisCache::open(options).unwrap();
    assert!(cache.reached(LONG).await, "{kind:?} was never reached");
    Stage { cache: Arc::new(cache), _server: server, _cluster: cluster }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[rstest]
#[case::memory(Kind::Memory)]
#[case::redis(Kind::Redis)]
#[case::password_and_tls(Kind::Secured)]
#[case::cluster(Kind::Cluster)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_of_the_port(#[case] kind: Kind) {
    let stage = stage(kind).await;
    let cache = &*stage.cache;
    values_are_kept_for_their_time(cache).await;
    what_is_newer_stays(cache).await;
    counters_count_from_nothing_and_end(cache).await;
    concurrent_counts_are_all_counted(&stage.cache).await;
    a_lock_has_one_holder_and_its_fence_grows(cache).await;
    a_lock_that_ended_is_nobody_s_to_give_back(cache).await;
    scripts_are_atomic(&stage.cache).await;
}

async fn values_are_kept_for_their_time(cache: &dyn Cache) {
    assert_eq!(cache.get("v").await.unwrap(), None);
    let raw = Bytes::from((0..=255).collect::<Vec<u8>>());
    cache.put("v", raw.clone(), LONG).await.unwrap();
    assert_eq!(cache.get("v").await.unwrap(), Some(raw));
    cache.put("v", bytes("2"), LONG).await.unwrap();
    assert_eq!(cache.get("v").await.unwrap(), Some(bytes("2")));
    assert!(cache.remove("v").await.unwrap() && !cache.remove("v").await.unwrap());
    assert_eq!(cache.get("v").await.unwrap(), None);
    cache.put("brief", bytes("1"), BRIEF).await.unwrap();
    until(|| async { cache.get("brief").await.unwrap().is_none() }).await;
}

async fn what_is_newer_stays(cache: &dyn Cache) {
    let put = |order, text| cache.put_newest("o", Ordered { order, value: bytes(text) }, LONG);
    assert_eq!(cache.get_newest("o").await.unwrap(), None);
    assert!(put(9, "nine").await.unwrap() && put(10, "ten").await.unwrap());
    assert!(!put(9, "late").await.unwrap());
    assert!(put(10, "again").await.unwrap(), "the same place may be written again");
    let there = cache.get_newest("o").await.unwrap().unwrap();
    assert_eq!((there.order, there.value), (10, bytes("again")));
    let far = Ordered { order: 9_007_199_254_740_991, value: Bytes::new() };
    assert!(cache.put_newest("o", far.clone(), LONG).await.unwrap());
    assert_eq!(cache.get_newest("o").await.unwrap(), Some(far));
}

async fn counters_count_from_nothing_and_end(cache: &dyn Cache) {
    assert_eq!(cache.count("n", 1, BRIEF).await.unwrap(), 1);
    assert_eq!(cache.count("n", 5, LONG).await.unwrap(), 6);
    // The time of the first count holds: a counter that is counted all the time ends as well.
    until(|| async { cache.count("n", 1, BRIEF).await.unwrap() == 1 }).await;
}

async fn concurrent_counts_are_all_counted(cache: &Arc<dyn Cache>) {
    let counts = (0..200).map(|_| {
        let cache = Arc::clone(cache);
        tokio::spawn(async move { cache.count("many", 1, LONG).await.unwrap() })
    });
    let mut seen = Vec::new();
    for count in counts.collect::<Vec<_>>() {
        seen.push(count.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
}

async fn a_lock_has_one_holder_and_its_fence_grows(cache: &dyn Cache) {
    let first = cache.lock("l", LONG).await.unwrap().unwrap();
    assert_eq!(cache.lock("l", LONG).await.unwrap(), None);
    assert!(cache.renew(&first, LONG).await.unwrap());
    assert!(cache.unlock(&first).await.unwrap() && !cache.unlock(&first).await.unwrap());
    assert!(!cache.renew(&first, LONG).await.unwrap());
    let mut fence = first.fence;
    for _ in 0..5 {
        let next = cache.lock("l", LONG).await.unwrap().unwrap();
        assert!(next.fence > fence, "{} after {fence}", next.fence);
        fence = next.fence;
        assert!(!cache.unlock(&first).await.unwrap(), "another's lock is not given back");
        assert!(cache.unlock(&next).await.unwrap());
    }
}

async fn a_lock_that_ended_is_nobody_s_to_give_back(cache: &dyn Cache) {
    let late = cache.lock("ends", BRIEF).await.unwrap().unwrap();
    until(|| async { cache.lock("ends", LONG).await.unwrap().is_some() }).await;
    assert!(!cache.renew(&late, LONG).await.unwrap() && !cache.unlock(&late).await.unwrap());
    assert_eq!(cache.lock("ends", LONG).await.unwrap(), None, "it is still held");
}

/// Adds its first argument, but not beyond the second.
static UP_TO: Script = Script {
    name: "up_to",
    lua: r"
local sum = tonumber(redis.call('GET', KEYS[1]) or '0') + ARGV[1]
if sum > tonumber(ARGV[2]) then return {0, sum - ARGV[1]} end
redis.call('SET', KEYS[1], sum, 'PX', 30000)
return {1, sum}",
    native: |_, cell, arguments| {
        let [by, most] = *arguments else { return Vec::new() };
        let sum = cell.value.unwrap_or(0) + by;
        if sum > most {
            return vec![0, sum - by];
        }
        *cell = Cell { value: Some(sum), ttl_ms: 30_000 };
        vec![1, sum]
    },
};

async fn scripts_are_atomic(cache: &Arc<dyn Cache>) {
    let runs = (0..100).map(|_| {
        let cache = Arc::clone(cache);
        tokio::spawn(async move { cache.run(&UP_TO, "s", &[3, 100]).await.unwrap() })
    });
    let mut granted = 0;
    for run in runs.collect::<Vec<_>>() {
        granted += run.await.unwrap()[0];
    }
    assert_eq!(granted, 33);
    assert_eq!(cache.run(&UP_TO, "s", &[1, 100]).await.unwrap(), [1, 100]);
}

/// Waits for a condition, with a deadline.
async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("the condition never came");
}
