//! Three times what the server can carry: what it admits, and how fast it refuses the rest.

use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use crate::drive::{Lane, Run, Seen, closed, open, steady};
use crate::load::{Latencies, latencies, ms, record};
use crate::process::cpu;
use crate::report::{Section, verdict};
use crate::server::{Launch, Server};
use crate::small::{self, cache_memory};
use crate::workload::{Kind, Questions};
use crate::{Bench, Store, catalogue};

const LOG: &str = "overload.log";
/// A limit that is never reached.
const UNLIMITED: usize = 100_000;
/// How long a refusal may take, microseconds.
const REFUSAL: u64 = 5_000;
/// The beginning of a load, in which a burst is still waited out; told apart.
const FIRST: Duration = Duration::from_secs(1);

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seconds of every step.
    pub seconds: u64,
    /// Numbers of connections to find out what the server can carry.
    pub steps: Vec<usize>,
    /// Connections of the overload.
    pub connections: usize,
    /// The fixed limit.
    pub fixed: usize,
}

/// A load and what came of it.
struct Load {
    what: String,
    offered: f64,
    run: Run,
    /// Of a processor, the generator's part.
    generator: f64,
    /// Refusals, by the server's own log.
    logged: Latencies,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    ensure!(plan.seconds > 0 && plan.connections > 0 && !plan.steps.is_empty(), "nothing may be 0");
    let data_dir = bench.data_dir(Store::Sqlite);
    small::sqlite(bench, &data_dir).await?;
    let targets = Arc::new(targets(bench).await?);
    let mut section =
        Section::begin("74-overload", "Three times what it can carry", &format!("overload --seconds {}", plan.seconds));
    // Without a limit: who is refused in a closed loop asks again at once, which is work as well.
    let server = launch(bench, &data_dir, UNLIMITED).await?;
    let capacity = capacity(&server, &plan, &targets, &mut section).await?;
    server.stop().await?;
    let server = launch(bench, &data_dir, 0).await?;
    let mut loads = both(bench, &server, &plan, capacity, &targets, "adaptive").await?;
    server.stop().await?;
    let server = launch(bench, &data_dir, plan.fixed).await?;
    loads.extend(both(bench, &server, &plan, capacity, &targets, &format!("fixed at {}", plan.fixed)).await?);
    server.stop().await?;
    std::fs::remove_file(bench.work.join(LOG))?;

    section.table(&table(&loads)?);
    for pair in loads.chunks_exact(2) {
        if let [normal, much] = pair {
            judge(&mut section, normal, much)?;
        }
    }
    section.note(
        "the load generator takes its processor time from the same cores as the server, the more the more is offered: \
         what is admitted under overload is less by that, and latencies as clients see them include the generator's own \
         waits. Refusals are therefore given a second time by the server's own log, from when it had read the request"
            .to_owned(),
    );
    section.write(bench)
}

async fn launch(bench: &Bench, data_dir: &Path, concurrency: usize) -> anyhow::Result<Server> {
    let settings = vec![cache_memory("0B"), ("HAAT_LIMITS__CONCURRENCY", concurrency.to_string())];
    let server = Server::launch(bench, &Launch { data_dir, database: None, settings, log: LOG }).await?;
    server.wait_complete().await?;
    Ok(server)
}

/// Listings and searches in turn, no two alike; more than are at work at any time, and nothing is kept.
async fn targets(bench: &Bench) -> anyhow::Result<Vec<String>> {
    const EACH: usize = 8_000;
    let samples = catalogue::samples(&catalogue::make(bench, bench.products, 1).await?)?;
    let mut questions = Questions::new(&samples, bench.seed + 74);
    let kinds = [Kind::Newest, Kind::Narrow, Kind::ByName, Kind::TwoWords, Kind::OneTypo];
    let drawn: Vec<_> = kinds.iter().map(|kind| questions.draw(*kind, EACH)).collect();
    let in_turn = (0..EACH).flat_map(|i| drawn.iter().filter_map(move |some| some.get(i)));
    Ok(in_turn.map(|ask| ask.target("none")).collect())
}

/// Requests per second that are answered when everybody waits for their answer: the most over all steps.
async fn capacity(
    server: &Server,
    plan: &Plan,
    targets: &Arc<Vec<String>>,
    section: &mut Section,
) -> anyhow::Result<f64> {
    let lasting = Duration::from_secs(plan.seconds);
    closed(server.port, 8, lasting.min(Duration::from_secs(3)), targets).await?;
    let mut rows = String::from(
        "| connections, each waiting for its answer | answered/s | p50 ms | p99 ms | refused |\n|---|---|---|---|---|\n",
    );
    let mut most = 0.0_f64;
    for connections in &plan.steps {
        let run = closed(server.port, *connections, lasting, targets).await?;
        let (ok, refused) = split(&run, |_| true)?;
        let rate = ok.len() as f64 / run.elapsed.as_secs_f64();
        most = most.max(rate);
        writeln!(rows, "| {connections} | {rate:.0} | {} | {} | {} |", ms(&ok, 0.5), ms(&ok, 0.99), refused.len())?;
    }
    section.table(&rows);
    section.note(format!("without a limit the server can carry {most:.0} listings and searches a second that differ"));
    ensure!(most > 0.0, "nothing was answered; see {LOG}");
    Ok(most)
}

/// Latencies of what was answered and of what was refused, of those that count.
fn split(run: &Run, counts: impl Fn(&Seen) -> bool) -> anyhow::Result<(Latencies, Latencies)> {
    let other = run.seen.iter().find(|seen| seen.status != 200 && seen.status != 503);
    ensure!(other.is_none(), "an answer other than 200 and 503: {other:?}");
    let of = |status: u16| run.latency(|seen| seen.status == status && counts(seen));
    Ok((of(200)?, of(503)?))
}

impl Load {
    fn is_first(&self, seen: &Seen) -> bool {
        seen.begun.saturating_duration_since(self.run.started) < FIRST
    }

    /// Of those that came after the beginning.
    fn settled(&self) -> anyhow::Result<(Latencies, Latencies)> {
        split(&self.run, |seen| !self.is_first(seen))
    }
}

/// Six tenths of what it can carry, then three times as much.
async fn both(
    bench: &Bench,
    server: &Server,
    plan: &Plan,
    capacity: f64,
    targets: &Arc<Vec<String>>,
    limit: &str,
) -> anyhow::Result<Vec<Load>> {
    let mut loads = Vec::new();
    let log = bench.work.join(LOG);
    // Measured from the second on; the first lets the limit find its place.
    for (what, times, measured) in [("0.6 times", 0.6, false), ("0.6 times", 0.6, true), ("3 times", 3.0, true)] {
        let lasting = Duration::from_secs(if measured { plan.seconds } else { plan.seconds.min(5) }) + FIRST;
        let offered = times * capacity;
        let arrivals = steady(offered, lasting, targets.len());
        let (written, before) = (log.metadata()?.len(), cpu(std::process::id())?);
        let lane = Lane { port: server.port, connections: plan.connections, arrivals };
        let run = open(vec![lane], targets, false).await?;
        let took = cpu(std::process::id())?.saturating_sub(before);
        // Lines about requests are written together.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if measured {
            let generator = took.as_secs_f64() / run.elapsed.as_secs_f64();
            let logged = refusals(&log, written)?;
            loads.push(Load { what: format!("{what}, limit {limit}"), offered, run, generator, logged });
        }
    }
    Ok(loads)
}

/// How long refusals took by the log's lines from `from` on.
fn refusals(log: &Path, from: u64) -> anyhow::Result<Latencies> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut bytes, mut all) = (Vec::new(), latencies()?);
    file.read_to_end(&mut bytes)?;
    for line in String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains("status=503")) {
        let digits = line.split("latency_us=").nth(1).and_then(|rest| rest.split(' ').next());
        if let Some(us) = digits.and_then(|digits| digits.parse().ok()) {
            record(&mut all, Duration::from_micros(us));
        }
    }
    Ok(all)
}

fn table(loads: &[Load]) -> anyhow::Result<String> {
    let mut rows = String::from(
        "| offered | a second | admitted/s | p50 ms | p99 ms | refused | p50 ms | p99 ms | max ms | by the server's log: p99 ms | max ms | generator's CPU |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for load in loads {
        let (ok, refused) = load.settled()?;
        let share = 100.0 * refused.len() as f64 / (ok.len() + refused.len()).max(1) as f64;
        let times = [ms(&refused, 0.5), ms(&refused, 0.99), ms(&refused, 1.0)].join(" | ");
        writeln!(
            rows,
            "| {} | {:.0} | {:.0} | {} | {} | {share:.0} % | {times} | {} | {} | {:.0} % of a core |",
            load.what,
            load.offered,
            ok.len() as f64 / load.run.elapsed.saturating_sub(FIRST).as_secs_f64(),
            ms(&ok, 0.5),
            ms(&ok, 0.99),
            ms(&load.logged, 0.99),
            ms(&load.logged, 1.0),
            100.0 * load.generator
        )?;
    }
    Ok(rows)
}

fn judge(section: &mut Section, normal: &Load, much: &Load) -> anyhow::Result<()> {
    let ((usual, _), (ok, refused)) = (normal.settled()?, much.settled()?);
    let ratio = ok.value_at_quantile(0.99) as f64 / usual.value_at_quantile(0.99) as f64;
    let p99 = refused.value_at_quantile(0.99);
    let in_time = 100.0 * refused.count_between(0, REFUSAL) as f64 / refused.len().max(1) as f64;
    let logged = much.logged.value_at_quantile(0.99);
    section.note(format!(
        "{}: p99 of what is admitted {ratio:.2} times normal ({}); refusals p99 {:.2} ms as clients see it ({}; {in_time:.1} % \
         in time) and {:.2} ms by the server's log ({})",
        much.what,
        verdict(ratio <= 1.0, "aim the normal p99"),
        p99 as f64 / 1e3,
        verdict(p99 <= REFUSAL, "aim 5 ms"),
        logged as f64 / 1e3,
        verdict(logged <= REFUSAL, "aim 5 ms")
    ));
    let (first, first_refused) = split(&much.run, |seen| much.is_first(seen))?;
    section.note(format!(
        "{}: not among these is the first second, in which a burst is waited out before it is known to last: {} admitted, p99 {} ms; \
         {} refused, p99 {} ms (the server's log has it too)",
        much.what,
        first.len(),
        ms(&first, 0.99),
        first_refused.len(),
        ms(&first_refused, 0.99)
    ));
    let run = &much.run;
    let mut waited = latencies()?;
    run.seen.iter().for_each(|seen| record(&mut waited, seen.sent - seen.begun));
    let sent = run.seen.len() as f64 / run.elapsed.as_secs_f64();
    section.note(format!(
        "{}: {sent:.0} of {:.0} requests a second were sent; they waited {} ms for a free connection at p99, and the \
         generator's timers were late by {} ms{}",
        much.what,
        much.offered,
        ms(&waited, 0.99),
        ms(&run.late, 0.99),
        if sent < 0.95 * much.offered || much.generator > 0.9 { ". **The generator is the limit**" } else { "" }
    ));
    Ok(())
}
