//! A Redis that is killed, frozen, emptied or short of a node, under load: no listing fails or waits for it, limits go on
//! by each server's part, and when it is back it is shared again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haat_testkit::servers::{RedisCluster, RedisServer};
use reqwest::Method;
use tokio::task::JoinSet;

use crate::harness::{Fleet, SOON, Seed, Server, eventually};

/// What is promised to be shared again this long after the return, and what a busy machine adds.
const BACK: Duration = Duration::from_secs(2);
const MARGIN: Duration = Duration::from_secs(3);
/// A fault costs a request 10 ms at most, once. A busy machine adds to that, but to few requests as much as a wait for an
/// answer that does not come would.
const AT_ONCE: Duration = Duration::from_millis(500);
const FEW: usize = 2;

/// 80 at once for a client and hardly any more; a fourth of that at each server while Redis is gone.
const LIMITS: &str = "[limits]\nreplicas = 4\ntrusted_proxies = [\"127.0.0.1/32\"]\nallow = [\"127.0.0.1/32\"]\n\
    [[limits.policies]]\nname = \"slow\"\nquota = 80\nwindow = \"10d\"\n";
const CLIENT: &str = "1.1.1.1";

/// Listings asked for all the time, kept ones and new ones in turn.
struct Load {
    stop: Arc<AtomicBool>,
    askers: JoinSet<Vec<(u16, Duration)>>,
}

impl Load {
    fn on(servers: &[Arc<Server>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut askers = JoinSet::new();
        for server in servers {
            let (server, stop) = (Arc::clone(server), Arc::clone(&stop));
            askers.spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    for path in ["/v1/products?sort=name".to_owned(), new_question()] {
                        let asked = Instant::now();
                        let status = server.get(&path).await.status;
                        answers.push((status, asked.elapsed()));
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answers
            });
        }
        Self { stop, askers }
    }

    /// Every listing was answered, and none waited.
    async fn went_on(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let answers: Vec<_> = self.askers.join_all().await.into_iter().flatten().collect();
        let failed: Vec<_> = answers.iter().filter(|(status, _)| *status != 200).collect();
        assert!(failed.is_empty(), "{what}: {failed:?} of {}", answers.len());
        let mut took: Vec<_> = answers.iter().map(|(_, took)| *took).collect();
        took.sort();
        let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
        let waited = took.iter().filter(|took| **took > AT_ONCE).count();
        eprintln!("{what}: {} listings, median {median:?}, slowest {slowest:?}, {waited} waited", took.len());
        assert!(took.len() > 50, "{what}: {} listings are no load", took.len());
        assert!(waited <= FEW, "{what}: {waited} of {} listings waited, up to {slowest:?}", took.len());
    }
}

/// A listing that nobody has asked for before.
fn new_question() -> String {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    format!("/v1/products?limit=5&price_max={}", 1_000_000 + ASKED.fetch_add(1, Ordering::Relaxed))
}

/// Asks on behalf of the client; says whether it was let in.
async fn client_is_let_in(server: &Server) -> bool {
    let request = server.request(Method::GET, "/v1/products?sort=name").header("x-forwarded-for", CLIENT);
    let reply = server.send(request).await;
    assert!([200, 429].contains(&reply.status), "{reply:?}");
    reply.status == 200
}

/// What the client has left, asked for free.
async fn left(server: &Server) -> u64 {
    let request = server.request(Method::GET, "/v1/limits").header("x-forwarded-for", CLIENT);
    server.send(request).await.expect(200).json()["limits"][0]["remaining"].as_u64().unwrap()
}

/// What one server computes another takes from Redis.
async fn answers_are_shared(servers: &[Arc<Server>], within: Duration) {
    eventually("an answer is taken from Redis", within, async || {
        let question = new_question();
        servers[0].get(&question).await.expect(200);
        let other = servers[1].get(&question).await.expect(200);
        (other.header("cache-status") == "haat; hit; detail=redis").then_some(())
    })
    .await;
}

/// The client has so many left, wherever it asks.
async fn counts_together(servers: &[Arc<Server>], expected: RangeInclusive<u64>, within: Duration) {
    for server in servers {
        let what = format!("{expected:?} are left");
        eventually(&what, within, async || expected.contains(&left(server).await).then_some(())).await;
    }
}

/// While Redis is gone: each server lets the client in as often as its part of the quota allows. Gives how often in all.
async fn each_has_its_part(servers: &[Arc<Server>]) -> u64 {
    let mut in_all = 0;
    for server in servers {
        let mut let_in = 0;
        for _ in 0..40 {
            let_in += u64::from(client_is_let_in(server).await);
        }
        // As far as the shared quota was spent the part is spent too; and a little was taken in advance.
        assert!((16..24).contains(&let_in), "{let_in}, not a fourth of 80");
        in_all += let_in;
    }
    in_all
}

async fn fleet() -> (Fleet, RedisServer) {
    let (fleet, redis) = Fleet::start(2, Seed::Products(100), &[("RUST_LOG", "warn")], LIMITS).await;
    answers_are_shared(&fleet.servers, SOON).await;
    counts_together(&fleet.servers, 80..=80, SOON).await;
    (fleet, redis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_empty_fails_no_listing() {
    let (fleet, mut redis) = fleet().await;
    let load = Load::on(&fleet.servers);
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis.kill();
    let let_in = each_has_its_part(&fleet.servers).await;
    let mut redis = tokio::task::spawn_blocking(move || {
        redis.restart();
        redis
    })
    .await
    .unwrap();
    // It has forgotten what it counted, and is told what was let in without it.
    counts_together(&fleet.servers, 80 - let_in..=80 - let_in, BACK + MARGIN).await;
    answers_are_shared(&fleet.servers, BACK + MARGIN).await;
    // And again at once: a Redis that comes and goes does not give each of them its part over and over.
    for server in &fleet.servers {
        assert!(client_is_let_in(server).await);
    }
    redis.kill();
    for server in &fleet.servers {
        let mut let_in = 0;
        for _ in 0..40 {
            let_in += u32::from(client_is_let_in(server).await);
        }
        assert!(let_in < 6, "{let_in}, although its part was spent before");
    }
    load.went_on("killed twice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_fails_no_listing_and_what_it_counted_counts_again() {
    let (fleet, redis) = fleet().await;
    eventually("some are spent in Redis", SOON, async || {
        assert!(client_is_let_in(&fleet.servers[0]).await);
        (left(&fleet.servers[1]).await <= 70).then_some(())
    })
    .await;
    let load = Load::on(&fleet.servers);
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis.pause();
    let frozen = Instant::now();
    let let_in = each_has_its_part(&fleet.servers).await;
    // Long enough for connections to be given up and tried anew.
    tokio::time::sleep(Duration::from_secs(4).saturating_sub(frozen.elapsed())).await;
    redis.resume();
    // It is told what was let in without it; what was sent to it before it was given up may be counted as well.
    counts_together(&fleet.servers, 60 - let_in..=70 - let_in, BACK + MARGIN).await;
    answers_are_shared(&fleet.servers, BACK + MARGIN).await;
    load.went_on("frozen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_node_fails_no_listing() {
    let mut cluster = tokio::task::spawn_blocking(RedisCluster::start).await.unwrap();
    let url = cluster.urls().join(",");
    let fleet = Fleet::at(&url, 2, Seed::Products(100), &[("RUST_LOG", "warn")], LIMITS).await;
    answers_are_shared(&fleet.servers, SOON).await;
    let load = Load::on(&fleet.servers);
    for lost in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.nodes()[lost].kill();
        // Longer than the others take to notice (2 s), after which they refuse what they could answer.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        cluster = tokio::task::spawn_blocking(move || {
            cluster.nodes()[lost].restart();
            cluster
        })
        .await
        .unwrap();
        eventually("the cluster is whole again", SOON, async || {
            let whole = |node: &mut RedisServer| node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            cluster.nodes().iter_mut().all(whole).then_some(())
        })
        .await;
        answers_are_shared(&fleet.servers, BACK + MARGIN).await;
    }
    load.went_on("a node lost").await;
}
