//! Rate limits as callers see them: what the headers say is so, a refusal costs nothing, and several servers that share
//! a Redis are one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_testkit::servers::RedisServer;
use rand::RngExt;
use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use sfv::{BareItem, List, ListEntry, Parser};
use tokio::task::JoinSet;

use crate::harness::{Backend, Fleet, Reply, Seed, Server, Stage, least};

/// Redis may take its time on a busy machine where a test is about something else.
const PATIENT: (&str, &str) = ("HAAT_REDIS__PATIENCE", "5s");
const TRUSTING: &str = "[limits]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";

/// A policy as a table of the configuration file.
fn policy(name: &str, quota: u64, window: &str, more: &str) -> String {
    format!("[[limits.policies]]\nname = \"{name}\"\nquota = {quota}\nwindow = \"{window}\"\n{more}\n")
}

/// The members of a header by their names, each with its numbers, as a library reads them (RFC 9651).
#[track_caller]
fn members(reply: &Reply, header: &str) -> BTreeMap<String, BTreeMap<String, i64>> {
    let list: List = Parser::new(reply.header(header)).parse().unwrap_or_else(|e| panic!("{header}: {e} in {reply:?}"));
    let member = |entry: &ListEntry| {
        let ListEntry::Item(item) = entry else { panic!("{header}: {entry:?} is no item") };
        let BareItem::String(name) = &item.bare_item else { panic!("{header}: {item:?} is no string") };
        let numbers = item.params.iter().map(|(key, value)| match value {
            BareItem::Integer(number) if i64::from(*number) >= 0 => (key.to_string(), i64::from(*number)),
            other => panic!("{header}: {other:?} is no number"),
        });
        (name.to_string(), numbers.collect())
    };
    list.iter().map(member).collect()
}

/// How many units a policy says are left, and in how many seconds all are there again.
#[track_caller]
fn standing(reply: &Reply, name: &str) -> (i64, i64) {
    let members = members(reply, "ratelimit");
    let member = members.get(name).unwrap_or_else(|| panic!("{name} in {reply:?}"));
    (member["r"], member["t"])
}

/// The algorithm in its plainest form.
struct Model {
    quota: f64,
    interval: f64,
    /// Theoretical arrival time, in seconds since `began`.
    tat: f64,
    began: Instant,
}

impl Model {
    fn new(quota: u32, window: f64) -> Self {
        Self { quota: quota.into(), interval: window / f64::from(quota), tat: 0.0, began: Instant::now() }
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.duration_since(self.began).as_secs_f64()
    }

    /// Takes so many units, if there are.
    fn take(&mut self, at: Instant, cost: u32) -> bool {
        let now = self.seconds(at);
        let tat = self.tat.max(now) + self.interval * f64::from(cost);
        let allowed = tat <= now + self.quota * self.interval + 1e-9;
        if allowed {
            self.tat = tat;
        }
        allowed
    }

    /// Units left, and seconds until all are there again.
    fn standing(&self, at: Instant) -> (f64, f64) {
        let full_in = (self.tat - self.seconds(at)).max(0.0);
        ((self.quota - full_in / self.interval).floor(), full_in)
    }

    /// What was told between two moments is right within a unit and a second.
    #[track_caller]
    fn expect(&self, told: (i64, i64), sent: Instant, received: Instant) {
        let ((least, longest), (most, shortest)) = (self.standing(sent), self.standing(received));
        let (left, full_in) = (told.0 as f64, told.1 as f64);
        assert!(left >= least - 1.0 && left <= most + 1.0, "{left} left, not {least} to {most}");
        assert!(
            full_in >= shortest - 1.0 && full_in <= longest.ceil() + 1.0,
            "{full_in} s, not {shortest} to {longest}"
        );
    }
}

async fn shared_redis(stage: &mut Stage) -> RedisServer {
    let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
    stage.set("HAAT_REDIS__URL", &redis.url()).set(PATIENT.0, PATIENT.1);
    redis
}

/// Waits until Redis counts: a server uses it as soon as it has answered once.
async fn redis_counts(server: &Server, redis: &RedisServer) {
    crate::harness::eventually("the server uses Redis", crate::harness::SOON, async || {
        let request = server.request(Method::GET, "/v1/products").header("x-forwarded-for", "9.9.9.9");
        server.send(request).await.expect(200);
        redis.command(&["KEYS", "*limit:*9.9.9.9*"]).contains("9.9.9.9").then_some(())
    })
    .await;
}

#[rstest]
#[case::with_redis(true)]
#[case::alone(false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_structured_fields_and_right_within_a_unit_and_a_second(#[case] shared: bool) {
    let mut stage = Stage::new(Backend::Sqlite).await;
    let redis = if shared { Some(shared_redis(&mut stage).await) } else { None };
    let policies = [policy("burst", 100, "60s", ""), policy("day", 5_000, "1d", "cost = { search = 3 }")];
    stage.configure(&format!("{TRUSTING}{}", policies.concat()));
    let server = stage.start().await;
    if let Some(redis) = &redis {
        redis_counts(&server, redis).await;
    }
    let (mut burst, mut day) = (Model::new(100, 60.0), Model::new(5_000, 86_400.0));
    for (requests, pause_ms) in [(1, 0), (30, 300), (1, 1_200), (20, 700), (5, 0), (25, 1_500), (3, 0)] {
        for n in 0..requests {
            let (path, cost) = if n % 4 == 3 { ("/v1/products?q=rice", 3) } else { ("/v1/products", 1) };
            let sent = Instant::now();
            let reply = server.get(path).await.expect(200);
            let received = Instant::now();
            assert!(burst.take(sent, 1) && day.take(sent, cost));
            let policies = members(&reply, "ratelimit-policy");
            assert_eq!(policies["burst"], BTreeMap::from([("q".into(), 100), ("w".into(), 60)]));
            assert_eq!(policies["day"], BTreeMap::from([("q".into(), 5_000), ("w".into(), 86_400)]));
            burst.expect(standing(&reply, "burst"), sent, received);
            day.expect(standing(&reply, "day"), sent, received);
            let older = ["limit", "remaining", "reset"].map(|n| reply.header(&format!("x-ratelimit-{n}")).parse().ok());
            let (left, full_in) = standing(&reply, "burst");
            assert_eq!(older, [Some(100), Some(left), Some(full_in)], "the tightest to older clients");
        }
        // Time passes between bursts; that is what the model is asked about.
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// A refusal with all that belongs to it; gives how many seconds it says to wait.
#[track_caller]
fn refused(reply: &Reply, violated: &[&str]) -> u64 {
    assert_eq!((reply.status, reply.header("content-type")), (429, "application/problem+json"), "{reply:?}");
    let problem = reply.json();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((&problem["status"], &problem["violated-policies"]), (&json!(429), &json!(violated)));
    assert!(["title", "detail", "code", "request_id"].iter().all(|m| problem[*m].is_string()), "{problem}");
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    for name in violated {
        assert!(wait as i64 >= standing(reply, name).1 && wait >= 1, "{reply:?}");
    }
    wait
}

#[rstest]
#[case::with_redis(true)]
#[case::alone(false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_as_long_as_a_refusal_says_is_let_in(#[case] shared: bool) {
    let mut stage = Stage::new(Backend::Sqlite).await;
    let redis = if shared { Some(shared_redis(&mut stage).await) } else { None };
    stage.configure(&format!("{TRUSTING}{}", policy("burst", 3, "4s", "cost = { search = 2 }")));
    let server = stage.start().await;
    if let Some(redis) = &redis {
        redis_counts(&server, redis).await;
    }
    for path in ["/v1/products", "/v1/products?q=rice"] {
        let mut refusals = 0;
        while refusals < 2 {
            let reply = server.get(path).await;
            if reply.status == 200 {
                continue;
            }
            let wait = refused(&reply, &["burst"]);
            assert!(wait <= 4, "never longer than the window");
            tokio::time::sleep(Duration::from_secs(wait)).await;
            server.get(path).await.expect(200);
            refusals += 1;
        }
    }
}

#[rstest]
#[case::with_redis(true)]
#[case::alone(false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_policies_the_one_that_refuses_keeps_the_others_from_being_charged(#[case] shared: bool) {
    let mut stage = Stage::new(Backend::Sqlite).await;
    let redis = if shared { Some(shared_redis(&mut stage).await) } else { None };
    let policies = [
        policy("wide", 100, "10d", "cost = { write = 20 }"),
        policy("reads", 5, "10d", "routes = [\"read\"]"),
        policy("searches", 2, "10d", "routes = [\"search\"]"),
        policy("trial", 1, "10d", "dry_run = true"),
    ];
    stage.configure(&format!("{TRUSTING}allow = [\"8.8.8.0/24\"]\n{}", policies.concat()));
    let server = stage.start().await;
    if let Some(redis) = &redis {
        redis_counts(&server, redis).await;
    }
    for n in 1..10_i64 {
        let reply = server.get("/v1/products").await;
        assert_eq!(reply.status, if n <= 5 { 200 } else { 429 }, "request {n}");
        assert_eq!(standing(&reply, "wide").0, 100 - n.min(5), "request {n}");
        assert_eq!(standing(&reply, "reads").0, 5 - n.min(5), "request {n}");
        assert_eq!(members(&reply, "ratelimit").len(), 2, "neither another group's nor one on trial: {reply:?}");
        assert_eq!(members(&reply, "ratelimit-policy").len(), 2);
        if n > 5 {
            refused(&reply, &["reads"]);
        }
    }
    // What is left of the others is left.
    assert_eq!(standing(&server.get("/v1/products?q=a").await.expect(200), "wide").0, 94);
    assert_eq!(standing(&server.get("/v1/suggest?q=a").await.expect(200), "searches").0, 0);
    refused(&server.get("/v1/suggest?q=a").await, &["searches"]);
    // Who shows a token is another caller than its address.
    for left in [80, 60, 40, 20] {
        assert_eq!(standing(&server.put(&least("A", "Apple", left)).await, "wide").0, left);
    }
    for left in (13..20).rev() {
        assert_eq!(standing(&server.get("/v1/changes").await.expect(200), "wide").0, left);
    }
    refused(&server.put(&least("A", "Apple", 1)).await, &["wide"]);
    // Of less than was refused there is enough.
    assert_eq!(standing(&server.get("/v1/changes").await.expect(200), "wide").0, 12);
    let limits = server.get("/v1/limits").await.expect(200);
    assert_eq!((limits.header("ratelimit"), limits.header("cache-control")), ("", "no-store"));
    let told = limits.json();
    let left: Vec<_> = told["limits"].as_array().unwrap().iter().map(|l| (&l["name"], &l["remaining"])).collect();
    let expected = [json!("wide"), json!("reads"), json!("searches"), json!("trial"), json!("token-requests")];
    assert_eq!(left.iter().map(|(name, _)| (*name).clone()).collect::<Vec<_>>(), expected);
    let left: Vec<_> = left.iter().map(|(_, left)| left.as_i64().unwrap()).collect();
    assert_eq!(left.split_last().unwrap(), (&600, &[93, 0, 0, 0][..]), "one for the test's token is long back");
    assert_eq!(told["limits"][3]["dry_run"], json!(true));
    for _ in 0..20 {
        assert_eq!(server.get("/v1/limits").await.expect(200).json()["limits"][0]["remaining"], 93, "asking is free");
        let allowed = server.request(Method::GET, "/v1/products").header("x-forwarded-for", "8.8.8.8");
        let allowed = server.send(allowed).await.expect(200);
        assert_eq!((allowed.header("ratelimit"), allowed.header("ratelimit-policy")), ("", ""));
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_says_for_whom_it_asks() {
    let left = async |server: &Server, forwarded: &str| {
        let request = server.request(Method::GET, "/v1/products").header("x-forwarded-for", forwarded);
        standing(&server.send(request).await.expect(200), "slow").0
    };
    let slow = policy("slow", 100, "10d", "per = \"address\"\nipv4_prefix = 24");
    let stage = Stage::new(Backend::Sqlite).await;
    stage.configure(&slow);
    let server = stage.start().await;
    assert_eq!(left(&server, "1.1.1.1").await, 99);
    assert_eq!(left(&server, "2.2.2.2").await, 98, "nobody is trusted, so it is the same caller");

    let stage = Stage::new(Backend::Sqlite).await;
    stage.configure(&format!("{TRUSTING}{slow}"));
    let server = stage.start().await;
    assert_eq!(left(&server, "1.1.1.1").await, 99);
    assert_eq!(left(&server, "2.2.2.2").await, 99);
    assert_eq!(left(&server, "1.1.1.77").await, 98, "of one network");
    assert_eq!(left(&server, "6.6.6.6, 1.1.1.1").await, 97, "what a client wrote in front of it itself");
    assert_eq!(left(&server, "2001:db8::1").await, 99);
    assert_eq!(left(&server, "nonsense").await, 99, "the proxy itself");
}

/// A request that was let in: sometime between these moments.
type LetIn = (Instant, Instant);

/// What a server was asked.
#[derive(Default)]
struct Asked {
    sent: Vec<Instant>,
    admitted: Vec<LetIn>,
}

impl Asked {
    async fn ask(&mut self, server: &Server) {
        let sent = Instant::now();
        let reply = server.get("/v1/products?limit=1").await;
        match reply.status {
            200 => self.admitted.push((sent, Instant::now())),
            429 => {}
            _ => panic!("{reply:?}"),
        }
        self.sent.push(sent);
    }
}

/// Asks a server until the end: now a little, so that it takes quota in advance, now nothing, so that the quota comes
/// back meanwhile, now as much as it can.
async fn bursts(server: Arc<Server>, until: Instant) -> Asked {
    let mut asked = Asked::default();
    while Instant::now() < until {
        let [some, pause, many] = [(5, 40), (0, 900), (0, 250)].map(|(a, b)| rand::rng().random_range(a..b));
        for _ in 0..some {
            asked.ask(&server).await;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        for _ in 0..many {
            asked.ask(&server).await;
        }
    }
    asked
}

/// By how many units more was let in than the quota allows, in the worst of all stretches of time: a request counts for
/// a stretch when all of it lies within.
fn beyond(admitted: &[LetIn], quota: f64, interval: f64) -> f64 {
    let mut ends: Vec<LetIn> = admitted.to_vec();
    ends.sort_by_key(|(_, received)| *received);
    let mut worst = f64::NEG_INFINITY;
    for (from, _) in admitted {
        let mut count = 0.0;
        for (_, received) in ends.iter().filter(|(sent, _)| sent >= from) {
            count += 1.0;
            let allowed = quota + received.duration_since(*from).as_secs_f64() / interval;
            worst = f64::max(worst, count - allowed.floor());
        }
    }
    worst
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_together_let_in_what_the_policy_allows_and_not_one_more() {
    const QUOTA: u32 = 200;
    const WINDOW: u32 = 5;
    let policies = policy("burst", QUOTA.into(), &format!("{WINDOW}s"), "");
    let settings = [PATIENT, ("HAAT_LIMITS__REPLICAS", "4"), ("RUST_LOG", "warn")];
    let allowed = "[limits]\nallow = [\"9.9.9.9/32\"]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    let (fleet, redis) = Fleet::start(4, Seed::Nothing, &settings, &format!("{allowed}{policies}")).await;
    // Starting has used some of it.
    tokio::time::sleep(Duration::from_secs(WINDOW.into())).await;
    let until = Instant::now() + Duration::from_secs(8);
    let mut model = Model::new(QUOTA, WINDOW.into());
    let mut servers = JoinSet::new();
    for server in &fleet.servers {
        servers.spawn(bursts(Arc::clone(server), until));
    }
    let mut all = Asked::default();
    for asked in servers.join_all().await {
        all.sent.extend(asked.sent);
        all.admitted.extend(asked.admitted);
    }
    all.sent.sort();
    let right = all.sent.iter().filter(|sent| model.take(**sent, 1)).count();
    let (asked, admitted) = (all.sent.len(), all.admitted.len());
    let beyond = beyond(&all.admitted, QUOTA.into(), model.interval);
    eprintln!("{asked} asked, {admitted} let in, {right} by the model, {beyond} beyond it in the worst stretch");
    assert!(asked > admitted + 100, "{asked} asked and {admitted} let in: the load is no load");
    assert!(beyond <= 0.0, "{beyond} more than allowed");
    assert!(admitted as f64 >= 0.98 * right as f64, "{admitted} let in of {right}");

    let keys = redis.command(&["--scan"]);
    assert!(
        keys.lines().any(|key| key.contains("limit:")) && keys.lines().any(|key| key.contains("answer:")),
        "{keys}"
    );
    for key in keys.lines() {
        // -2: it ended just now; -1: it never does.
        assert_ne!(redis.command(&["PTTL", key]).trim(), "-1", "{key} never ends");
    }
}
