//! What a limiter promises to the unit, and to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_cache::Cache;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_limits::{Caller, Group, Limiter, Per, Policy, Quota};
use haat_testkit::servers::RedisServer;

fn policy(units: u64, window: Duration, per: Per) -> Policy {
    Policy {
        name: "burst".into(),
        quota: Quota { units, window_us: window.as_micros().try_into().unwrap() },
        per,
        groups: vec![],
        costs: BTreeMap::new(),
        dry_run: false,
    }
}

/// Quota that lies about on replicas while the bucket fills up again must not be let in on top of a full bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_in_advance_is_not_let_in_beside_a_bucket_that_is_full_again() {
    let server = RedisServer::start();
    let options =
        RedisOptions { urls: vec![server.url()], patience: Duration::from_secs(5), ..RedisOptions::default() };
    let cache = RedisCache::open(options).unwrap();
    assert!(cache.reached(Duration::from_secs(20)).await);
    let cache: Arc<dyn Cache> = Arc::new(cache);
    // 400 at once, then 100 a second.
    let policy = policy(400, Duration::from_secs(4), Per::All);
    let replica = || Limiter::new(vec![policy.clone()], vec![], Some(Arc::clone(&cache)), 8);
    let replicas: Vec<_> = std::iter::repeat_with(replica).take(8).collect();
    let caller = Caller { client: None, address: "192.0.2.1".parse().unwrap() };
    let mut admitted = Vec::new();
    for round in 0..2 {
        for replica in &replicas {
            for _ in 0..10 {
                let began = Instant::now();
                assert!(replica.charge(&caller, Group::Read).await.is_allowed(), "round {round}");
                admitted.push((began, Instant::now()));
            }
        }
        // Enough for the bucket to be full again.
        tokio::time::sleep(Duration::from_millis(850)).await;
    }
    let burst = Instant::now();
    let (mut refused, mut total) = (0, 0);
    while refused < 200 {
        for replica in &replicas {
            match replica.charge(&caller, Group::Read).await.is_allowed() {
                true => total += 1,
                false => refused += 1,
            }
        }
    }
    let allowed = 400.0 + burst.elapsed().as_secs_f64() * 100.0;
    assert!(f64::from(total) <= allowed, "{total} of {allowed:.1} at once, after {} before", admitted.len());
    assert!(f64::from(total) >= 0.95 * allowed, "{total} of {allowed:.1}");
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_million_addresses_take_no_more_memory_than_those_that_are_remembered() {
    let per = Per::Address { ipv4_prefix: 32, ipv6_prefix: 128 };
    let limiter = Limiter::new(vec![policy(10, Duration::from_secs(3_600), per)], vec![], None, 1);
    let mut memory = Vec::new();
    for n in 0..1_000_000_u128 {
        let address = IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | n));
        let decision = limiter.charge(&Caller { client: None, address }, Group::Read).await;
        assert!(decision.is_allowed() && decision.standings[0].left == 9, "{address} counts for itself");
        if n % 250_000 == 249_999 {
            memory.push(resident());
        }
    }
    // From the first measurement on as many are remembered as ever will be.
    let (first, last) = (memory[0], memory[3]);
    eprintln!("{memory:?}");
    assert!(last < first + first / 4 && last < 400 << 20, "memory grows: {memory:?}");
}
