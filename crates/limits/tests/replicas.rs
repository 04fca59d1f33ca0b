//! Limits across replicas on a real Redis: never more than the policy in all, few calls, and life goes on without it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_cache::redis::{RedisCache, RedisOptions};
use haat_cache::{Cache, MemoryCache};
use haat_limits::{Caller, Group, Limiter, Per, Policy, Quota, TAKE};
use haat_testkit::servers::RedisServer;
use proptest::strategy::{Strategy, ValueTree};
use tokio::task::JoinSet;

fn policy(name: &str, units: u64, window: Duration) -> Policy {
    Policy {
        name: name.into(),
        quota: Quota { units, window_us: window.as_micros().try_into().unwrap() },
        per: Per::Client,
        groups: vec![],
        costs: BTreeMap::new(),
        dry_run: false,
        assigned: false,
    }
}

fn caller(name: &str) -> Caller {
    Caller { client: Some(name.into()), policy: None, address: "192.0.2.1".parse().unwrap() }
}

async fn redis(server: &RedisServer, patience: Duration) -> Arc<dyn Cache> {
    let cache =
        RedisCache::open(RedisOptions { urls: vec![server.url()], patience, ..RedisOptions::default() }).unwrap();
    assert!(cache.reached(Duration::from_secs(20)).await);
    Arc::new(cache)
}

/// Lets every replica ask as fast as it can for so long; gives how many requests each admitted and how many were made.
async fn hammer(replicas: &[Arc<Limiter>], length: Duration) -> (Vec<u64>, u64) {
    let mut askers = JoinSet::new();
    for (i, replica) in replicas.iter().enumerate() {
        for _ in 0..4 {
            let replica = Arc::clone(replica);
            askers.spawn(async move {
                let (mut admitted, mut asked) = (0, 0);
                let began = Instant::now();
                while began.elapsed() < length {
                    asked += 1;
                    if replica.charge(&caller("shop"), Group::Read).await.is_allowed() {
                        admitted += 1;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (i, admitted, asked)
            });
        }
    }
    let (mut admitted, mut asked) = (vec![0; replicas.len()], 0);
    for (i, a, n) in askers.join_all().await {
        admitted[i] += a;
        asked += n;
    }
    (admitted, asked)
}

const PATIENT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_together_admit_what_the_policy_allows_and_no_more() {
    let server = RedisServer::start();
    // 400 at once, then 200 a second.
    let policy = policy("burst", 400, Duration::from_secs(2));
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(Arc::new(Limiter::new(vec![policy.clone()], vec![], Some(redis(&server, PATIENT).await), 4)));
    }
    let began = Instant::now();
    let (admitted, asked) = hammer(&replicas, Duration::from_secs(3)).await;
    let allowed = 400.0 + began.elapsed().as_secs_f64() * 200.0;
    let total: u64 = admitted.iter().sum();
    assert!(asked > 3 * total, "{asked} asked, {total} admitted: the load is no load");
    assert!((total as f64) <= allowed + 1.0, "{total} admitted of {allowed:.0}");
    assert!((total as f64) >= 0.85 * allowed, "{total} admitted of {allowed:.0}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_replica_calls_redis_once_per_lease_and_not_once_per_request() {
    let server = RedisServer::start();
    let limiter = Limiter::new(
        vec![policy("burst", 1_000_000, Duration::from_secs(10))],
        vec![],
        Some(redis(&server, PATIENT).await),
        1,
    );
    let calls = || {
        let stats = server.command(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:calls="));
        line.map_or(0_u64, |line| line["cmdstat_evalsha:calls=".len()..].split(',').next().unwrap().parse().unwrap())
    };
    let (before, began) = (calls(), Instant::now());
    for _ in 0..20_000 {
        assert!(limiter.charge(&caller("shop"), Group::Read).await.is_allowed());
    }
    // While traffic grows leases grow with it; from then on it is ten calls a second.
    let (made, most) = (calls() - before, 60 + began.elapsed().as_millis() as u64 / 40);
    assert!(made <= most, "{made} calls for 20,000 requests in {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_replica_has_its_share_at_once_and_with_it_the_whole_again() {
    let server = RedisServer::start();
    let shared = redis(&server, Duration::from_millis(50)).await;
    // So slow that nothing comes back during the test.
    let limiter =
        Limiter::new(vec![policy("slow", 100, Duration::from_secs(100_000))], vec![], Some(shared.clone()), 4);
    let admitted = async |most: usize| {
        let mut admitted = 0;
        for _ in 0..most {
            admitted += usize::from(limiter.charge(&caller("shop"), Group::Read).await.is_allowed());
        }
        admitted
    };
    assert_eq!(admitted(10).await, 10);
    server.pause();
    let began = Instant::now();
    // A tenth is spent, and of this server's part as well; what was leased before comes on top.
    let share = admitted(60).await;
    assert!((22..=28).contains(&share), "{share}, not a fourth of 90");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    server.resume();
    let back = Instant::now();
    while !shared.is_up() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    // What was admitted before counts, and what the share was spent on meanwhile.
    let all = 10 + share + admitted(200).await;
    assert!((92..=100).contains(&all), "{all} of 100, {share} of them without Redis");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_one_policy_refuses_is_charged_to_none() {
    let server = RedisServer::start();
    let policies = vec![
        policy("wide", 100, Duration::from_secs(100_000)),
        policy("narrow", 2, Duration::from_secs(100_000)),
        Policy { dry_run: true, ..policy("trial", 1, Duration::from_secs(100_000)) },
    ];
    let limiter =
        Limiter::new(policies, vec!["192.0.2.128/25".parse().unwrap()], Some(redis(&server, PATIENT).await), 1);
    let mut last = None;
    for n in 0..10 {
        let decision = limiter.charge(&caller("shop"), Group::Read).await;
        assert_eq!(decision.is_allowed(), n < 2, "request {n}");
        assert_eq!(decision.standings.len(), 2, "a policy on trial shows nowhere");
        last = Some(decision);
    }
    let last = last.unwrap();
    assert_eq!((last.standings[0].left, last.standings[0].violated), (98, false));
    assert_eq!((last.standings[1].left, last.standings[1].violated), (0, true));
    assert!(last.retry_after().unwrap() > Duration::from_secs(40_000));
    assert_eq!(limiter.would_refuse().map(|(_, n)| n).collect::<Vec<_>>(), [9], "all but the first");
    // Another client, and one from an address that is not limited.
    assert!(limiter.charge(&caller("other"), Group::Read).await.is_allowed());
    let free = Caller { client: None, policy: None, address: "192.0.2.200".parse().unwrap() };
    for _ in 0..10 {
        assert!(limiter.charge(&free, Group::Read).await.standings.is_empty());
    }
    let looked = limiter.look(&caller("shop")).await;
    assert_eq!(looked.iter().map(|s| s.left).collect::<Vec<_>>(), [98, 0, 0]);
    for key in server.command(&["KEYS", "*"]).lines() {
        assert!(server.command(&["PTTL", key]).trim().parse::<i64>().unwrap() > 0, "{key} never ends");
    }
}

#[tokio::test]
async fn one_process_without_redis_counts_exactly() {
    let limiter = Limiter::new(vec![policy("slow", 50, Duration::from_secs(100_000))], vec![], None, 4);
    let mut admitted = 0;
    for _ in 0..200 {
        admitted += u32::from(limiter.charge(&caller("shop"), Group::Write).await.is_allowed());
    }
    assert_eq!(admitted, 50, "the whole quota: there are no others to share it with");
}

/// The clock of both: Redis has its own, so that only steps without time in between can be compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lua_and_rust_take_alike() {
    let server = RedisServer::start();
    let shared = redis(&server, PATIENT).await;
    let local = MemoryCache::new(1 << 20, Arc::new(|| 1_700_000_000_000_000));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for case in 0..40 {
        let key = format!("case{case}");
        // Nothing is owed half of the time; less than nothing is given back.
        let owed = proptest::prop_oneof![proptest::strategy::Just(0), -4_i64..8];
        let steps = proptest::collection::vec((0_i64..6, 0_i64..30, 0_i64..5, owed), 1..12);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        for (least, more, ahead, owed) in steps {
            // An interval of a day: what passes while the test runs is nothing.
            let arguments = [86_400_000_000, 40, least, least + more, ahead * 50_000_000_000, owed];
            let ours = local.run(&TAKE, &key, &arguments).await.unwrap();
            let theirs = shared.run(&TAKE, &key, &arguments).await.unwrap();
            assert_eq!(ours[0], theirs[0], "{key}: granted for {arguments:?}");
            // A moment's refill rounds down to the same units.
            assert!((ours[1] - theirs[1]).abs() <= 1, "{key}: {ours:?} {theirs:?}");
            for (a, b) in ours[2..].iter().zip(&theirs[2..]) {
                assert!((a - b).abs() < 60_000_000, "{key}: {ours:?} {theirs:?}");
            }
        }
    }
}
