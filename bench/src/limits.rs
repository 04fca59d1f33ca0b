//! A rate limit that four servers share through Redis: what it admits against a model of it, and what it costs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Bench;
use crate::drive::{Arrival, Lane, Run, open, steady};
use crate::load::{Latencies, latencies, ms};
use crate::mariadb::MariaDb;
use crate::redis::Redis;
use crate::report::{Section, verdict};
use crate::server::Server;
use crate::small::{self, GENEROUS, policies};

const SERVERS: usize = 4;
/// The policy under test: a hundred a second, ten seconds' worth at once.
const QUOTA: u64 = 1_000;
const WINDOW: Duration = Duration::from_secs(10);
const TARGET: &str = "/v1/products?limit=20&sort=price&count=none";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Seconds of bursts.
    pub seconds: u64,
    /// Rounds with and without policies.
    pub rounds: usize,
    /// Seconds of a round.
    pub round_seconds: u64,
    /// Listings per second in a round.
    pub rate: u32,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    ensure!(plan.seconds > 0 && plan.rounds > 0 && plan.round_seconds > 0 && plan.rate > 0, "nothing may be 0");
    let bench = &small::bench(bench);
    let database = MariaDb::start(bench, "mariadb-server").await?;
    let folders = small::mariadb(bench, &database, SERVERS).await?;
    let mut section = Section::begin(
        "73-limits",
        "Rate limits across servers",
        &format!("--seed {} limits --seconds {} --rounds {}", bench.seed, plan.seconds, plan.rounds),
    );
    let redis = Redis::start(bench).await?;
    let policy =
        format!(r#"[{{ name = "shared", quota = {QUOTA}, window = "{}s", per = "address" }}]"#, WINDOW.as_secs());
    let settings = [redis.setting(), policies(&policy), ("HAAT_LIMITS__REPLICAS", SERVERS.to_string())];
    let servers = small::replicas(bench, &folders, &database, &settings).await?;
    admitted(bench, plan, &servers, &redis, &mut section).await?;
    for server in servers {
        server.stop().await?;
    }
    added(bench, plan, &folders, &database, &redis, &mut section).await?;
    redis.stop().await?;
    database.stop().await?;
    section.write(bench)
}

/// Bursts well above the policy, unevenly spread over the servers.
fn bursts(seed: u64, lasting: Duration) -> Vec<Vec<Arrival>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut lanes = vec![Vec::new(); SERVERS];
    let mut at = 0.0;
    while at < lasting.as_secs_f64() {
        let (length, rate) = (random.random_range(0.3..2.5), random.random_range(300.0..1_500.0));
        let weights: Vec<f64> = (0..SERVERS).map(|_| random.random_range(0.1..1.0)).collect();
        let all: f64 = weights.iter().sum();
        for arrival in steady(rate, Duration::from_secs_f64(length), 1) {
            let arrival = Arrival { at: arrival.at + Duration::from_secs_f64(at), ..arrival };
            let mut choice = random.random_range(0.0..all);
            let chosen = weights.iter().position(|weight| {
                choice -= weight;
                choice < 0.0
            });
            if let Some(lane) = lanes.get_mut(chosen.unwrap_or(0))
                && arrival.at < lasting
            {
                lane.push(arrival);
            }
        }
        at += length + random.random_range(0.2..2.5);
    }
    lanes
}

/// What the generic cell rate algorithm admits of requests at these times, from a full bucket on: the most that any order
/// of admitting and refusing can, because every request costs the same.
fn model(mut times: Vec<Duration>) -> u64 {
    times.sort_unstable();
    let interval = i128::try_from(WINDOW.as_nanos()).unwrap_or(i128::MAX) / i128::from(QUOTA);
    let (tolerance, mut arrival, mut admitted) = (interval * (i128::from(QUOTA) - 1), i128::MIN, 0);
    for time in times {
        let now = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        if now >= arrival.saturating_sub(tolerance) {
            arrival = arrival.max(now) + interval;
            admitted += 1;
        }
    }
    admitted
}

async fn admitted(
    bench: &Bench,
    plan: Plan,
    servers: &[Server],
    redis: &Redis,
    section: &mut Section,
) -> anyhow::Result<()> {
    const CONNECTIONS: usize = 32;
    let lanes = bursts(bench.seed + 73, Duration::from_secs(plan.seconds));
    let targets = Arc::new(vec![TARGET.to_owned()]);
    // The page is cached everywhere, and then the bucket full again and every lease ended.
    let warm_up = |server: &Server| Lane {
        port: server.port,
        connections: 1,
        arrivals: steady(10.0, Duration::from_millis(500), 1),
    };
    open(servers.iter().map(warm_up).collect(), &targets, false).await?.all_ok()?;
    tokio::time::sleep(WINDOW + Duration::from_secs(2)).await;

    let before = scripts(redis).await?;
    let lanes = servers.iter().zip(lanes);
    let lanes = lanes.map(|(server, arrivals)| Lane { port: server.port, connections: CONNECTIONS, arrivals });
    let run = open(lanes.collect(), &targets, false).await?;
    let calls = scripts(redis).await? - before;

    let (admitted, refused) = (run.count(|seen| seen.status == 200), run.count(|seen| seen.status == 429));
    ensure!(admitted + refused == run.seen.len(), "answers other than 200 and 429; see the servers' logs");
    let sent = model(run.seen.iter().map(|seen| seen.sent.saturating_duration_since(run.started)).collect());
    let received = model(run.seen.iter().map(|seen| seen.received.saturating_duration_since(run.started)).collect());
    let (admitted, most) = (u64::try_from(admitted)?, sent.max(received));
    let (over, under) = (admitted.saturating_sub(most), 100.0 * most.saturating_sub(admitted) as f64 / most as f64);
    let seconds = run.elapsed.as_secs_f64();
    section.table(&format!(
        "| {SERVERS} servers, {QUOTA} per {} s, {seconds:.0} s of bursts | requests | admitted | the model admits | over | under | Redis calls per second | requests per call |\n\
         |---|---|---|---|---|---|---|---|\n| in total | {} | {admitted} | {most} | {over} | {under:.2} % | {:.0} | {:.0} |\n",
        WINDOW.as_secs(),
        run.seen.len(),
        calls as f64 / seconds,
        run.seen.len() as f64 / calls.max(1) as f64
    ));
    latency_table(section, &run)?;
    section.note(format!("over-admission {over} ({})", verdict(over == 0, "aim 0")));
    section.note(format!("under-admission {under:.2} % ({})", verdict(under <= 2.0, "aim 2 %")));
    section.note(format!(
        "the model is GCRA over the times at which requests were sent ({sent}) and answered ({received}), between which \
         they arrived; the larger of the two counts, and one unit comes every {} ms. Bursts of 300 to 1,500 requests a \
         second, 0.3 to 2.5 s long, pauses of 0.2 to 2.5 s, unevenly spread over the servers",
        1_000 * WINDOW.as_secs() / QUOTA
    ));
    Ok(())
}

fn latency_table(section: &mut Section, run: &Run) -> anyhow::Result<()> {
    let mut rows = String::from("| in the bursts | p50 ms | p99 ms | max ms |\n|---|---|---|---|\n");
    for (what, status) in [("admitted", 200), ("refused with 429", 429)] {
        let all = run.latency(|seen| seen.status == status)?;
        rows.push_str(&format!("| {what} | {} | {} | {} |\n", ms(&all, 0.5), ms(&all, 0.99), ms(&all, 1.0)));
    }
    section.table(&rows);
    Ok(())
}

/// Scripts that Redis has run; a lease is one.
async fn scripts(redis: &Redis) -> anyhow::Result<u64> {
    let calls = redis.calls().await?;
    Ok(["eval", "evalsha"].iter().filter_map(|name| calls.get(*name)).sum())
}

/// What the rounds of a server showed.
struct Rounds {
    all: Latencies,
    p99: Vec<u64>,
}

impl Rounds {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { all: latencies()?, p99: Vec::new() })
    }

    fn add(&mut self, run: &Run) -> anyhow::Result<()> {
        let all = run.latency(|_| true)?;
        self.p99.push(all.value_at_quantile(0.99));
        Ok(self.all.add(&all)?)
    }

    fn row(&self, what: &str) -> String {
        let cells = [0.5, 0.99, 0.999].map(|quantile| ms(&self.all, quantile)).join(" | ");
        format!("| {what} | {} | {cells} | {:.2} |\n", self.all.len(), median(&self.p99) / 1e3)
    }
}

fn median(of: &[u64]) -> f64 {
    let mut all = of.to_vec();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0) as f64
}

/// Hot listings with and without policies, in turn.
async fn added(
    bench: &Bench,
    plan: Plan,
    folders: &[std::path::PathBuf],
    database: &MariaDb,
    redis: &Redis,
    section: &mut Section,
) -> anyhow::Result<()> {
    let (one, other) = folders.split_at(1);
    let other = other.get(..1).unwrap_or_default();
    let limited = small::replicas(bench, one, database, &[redis.setting(), policies(GENEROUS)]).await?;
    let free = small::replicas(bench, other, database, &[redis.setting()]).await?;
    let (Some(limited), Some(free)) = (limited.first(), free.first()) else { anyhow::bail!("no servers") };
    let targets = Arc::new(vec![TARGET.to_owned()]);
    let round = async |server: &Server, seconds: u64| {
        let arrivals = steady(f64::from(plan.rate), Duration::from_secs(seconds), 1);
        open(vec![Lane { port: server.port, connections: 16, arrivals }], &targets, false).await?.all_ok()
    };
    let (mut with, mut without, mut calls) = (Rounds::new()?, Rounds::new()?, 0);
    for number in 0..plan.rounds {
        let limited_first = number % 2 == 0;
        for turn in [limited_first, !limited_first] {
            // Leases are as large as traffic has been for half a second: what is measured is traffic under way.
            round(if turn { limited } else { free }, 1).await?;
            let before = scripts(redis).await?;
            let run = round(if turn { limited } else { free }, plan.round_seconds).await?;
            if turn { &mut with } else { &mut without }.add(&run)?;
            calls += if turn { scripts(redis).await? - before } else { 0 };
        }
    }
    section.table(&format!(
        "| {} listings a second of a cached page | requests | p50 ms | p99 ms | p99.9 ms | p99 ms, median of {} rounds |\n\
         |---|---|---|---|---|---|\n{}{}",
        plan.rate,
        plan.rounds,
        with.row("two policies, leased from Redis"),
        without.row("no policies")
    ));
    let more = (median(&with.p99) - median(&without.p99)) / 1e3;
    section.note(format!("limits add {more:.3} ms to the p99 ({})", verdict(more <= 0.2, "aim 0.2 ms")));
    let seconds = plan.round_seconds * u64::try_from(plan.rounds)?;
    section.note(format!(
        "{:.1} Redis calls per second for two policies at {} requests per second, traffic under way",
        calls as f64 / seconds.max(1) as f64,
        plan.rate
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_admits_the_quota_at_once_and_then_one_per_interval() {
        let at_once = vec![Duration::ZERO; 5_000];
        assert_eq!(model(at_once), QUOTA);
        let for_a_minute = (0..60_000).map(Duration::from_millis).collect();
        assert_eq!(model(for_a_minute), QUOTA + 5_999);
        let slower_than_the_quota = (0..600).map(|i| Duration::from_millis(i * 100)).collect();
        assert_eq!(model(slower_than_the_quota), 600);
    }
}
