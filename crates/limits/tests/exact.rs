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
        assigned: false,
    }
}

async fn shared(server: &RedisServer) -> Arc<dyn Cache> {
    let options =
        RedisOptions { urls: vec![server.url()], patience: Duration::from_secs(5), ..RedisOptions::default() };
    let cache = RedisCache::open(options).unwrap();
    assert!(cache.reached(Duration::from_secs(20)).await);
    Arc::new(cache)
}

fn caller() -> Caller {
    Caller { client: None, policy: None, address: "192.0.2.1".parse().unwrap() }
}

/// Quota that lies about on replicas while the bucket fills up again must not be let in on top of a full bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_in_advance_is_not_let_in_beside_a_bucket_that_is_full_again() {
    let server = RedisServer::start();
    let cache = shared(&server).await;
    // 400 at once, then 100 a second.
    let policy = policy(400, Duration::from_secs(4), Per::All);
    let replica = || Limiter::new(vec![policy.clone()], vec![], Some(Arc::clone(&cache)), 8);
    let replicas: Vec<_> = std::iter::repeat_with(replica).take(8).collect();
    let caller = caller();
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
        let decision = limiter.charge(&Caller { client: None, policy: None, address }, Group::Read).await;
        assert!(decision.is_allowed() && decision.standings[0].left == 9, "{address} counts for itself");
        if n % 250_000 == 249_999 {
            memory.push(resident());
        }
    }
    // From the first measurement on as many are remembered as ever will be.
    let (first, last) = (memory[0], memory[3]);
    assert!(last < first + first / 4 && last < 400 << 20, "memory grows: {memory:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_on_a_key_that_nobody_knew_are_refused_only_by_the_policy() {
    let server = RedisServer::start();
    let policies = vec![
        Policy { name: "minute".into(), ..policy(50_000, Duration::from_secs(60), Per::All) },
        Policy { name: "day".into(), ..policy(1_000_000, Duration::from_secs(86_400), Per::All) },
    ];
    let cache = shared(&server).await;
    for round in 0..10 {
        let limiter = Arc::new(Limiter::new(policies.clone(), vec![], Some(Arc::clone(&cache)), 1));
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let limiter = Arc::clone(&limiter);
            asking.spawn(async move {
                for _ in 0..50 {
                    assert!(limiter.charge(&caller(), Group::Read).await.is_allowed());
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(done) = asking.join_next().await {
            assert!(done.is_ok(), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_when_redis_is_lost_get_this_server_s_part_once() {
    let mut server = RedisServer::start();
    let cache = shared(&server).await;
    let policies = vec![policy(80, Duration::from_secs(100_000), Per::All)];
    let limiter = Arc::new(Limiter::new(policies, vec![], Some(cache), 4));
    server.kill();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let limiter = Arc::clone(&limiter);
        asking.spawn(async move { limiter.charge(&caller(), Group::Read).await.is_allowed() });
    }
    let admitted = asking.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 20, "a fourth of 80");
}

/// A policy may be renamed, or not be there on a server that was started before it: its clients are limited all the same.
#[tokio::test]
async fn who_was_given_a_policy_that_is_not_there_is_under_those_that_are() {
    let per_client = policy(2, Duration::from_secs(3_600), Per::Client);
    let gold = Policy { name: "gold".into(), assigned: true, ..policy(5, Duration::from_secs(3_600), Per::Client) };
    let limiter = Limiter::new(vec![per_client, gold], vec![], None, 1);
    for (given, quota) in [(None, 2), (Some("gold"), 5), (Some("silver"), 2)] {
        let name = given.unwrap_or("none");
        let caller = Caller { client: Some(name.into()), policy: given.map(Into::into), ..caller() };
        for n in 0..=quota {
            assert_eq!(limiter.charge(&caller, Group::Read).await.is_allowed(), n < quota, "{name}, request {n}");
        }
    }
}
