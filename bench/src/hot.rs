//! A cached page from Haat beside nginx that serves the same bytes from a file.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::client::Client;
use crate::drive::Cached;
use crate::nginx::{self, Nginx};
use crate::process::cpu;
use crate::redis::Redis;
use crate::report::{Section, verdict};
use crate::server::{Launch, Server};
use crate::small::{self, GENEROUS, cache_memory, policies};
use crate::wrk::{Aim, Score, fire};
use crate::{Bench, Store};

/// Twenty products as they come.
pub const TARGET: &str = "/v1/products?limit=20&count=none";

/// Haat with as many workers as nginx.
pub fn one_worker() -> (&'static str, String) {
    ("TOKIO_WORKER_THREADS", "1".to_owned())
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often everybody has a turn.
    pub rounds: usize,
    /// One turn.
    pub aim: Aim,
}

/// A server that takes its turns.
struct Contestant {
    name: &'static str,
    url: String,
    /// The entity tag that it gives the page.
    tag: String,
    pid: u32,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    ensure!(plan.rounds > 0, "at least one round");
    let bench = &small::bench(bench);
    let data_dir = bench.data_dir(Store::Sqlite);
    small::sqlite(bench, &data_dir).await?;
    // A folder has one server; the second one needs the same products in the same versions.
    let copy = bench.work.join("hot-copy");
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    let copied = Command::new("cp").arg("-r").args([&data_dir, &copy]).status().await?;
    ensure!(copied.success(), "the data folder could not be copied");
    let mut section = Section::begin("70-hot", "A cached page beside nginx", &format!("hot --rounds {}", plan.rounds));
    let server = launch(bench, &data_dir, vec![policies(GENEROUS), one_worker()]).await?;
    let page = page(&server, Cached::Memory).await?;
    let nginx = Nginx::start(bench, &page).await?;
    let by_default = launch(bench, &copy, vec![policies(GENEROUS)]).await?;
    ensure!(self::page(&by_default, Cached::Memory).await? == page, "the page by default is another");
    for known in [false, true] {
        let contestants = contestants(&server, &nginx, Some(&by_default)).await?;
        let scores = duel(bench, plan, &contestants, known, page.len()).await?;
        let what = if known { "`If-None-Match`, answered with 304" } else { "the whole page" };
        section.table(&table(what, &scores)?);
        verdicts(&mut section, what, &scores, 0.9, Some(1.5))?;
        self::page(&server, Cached::Memory).await.context("after the last round")?;
    }
    server.stop().await?;
    by_default.stop().await?;
    std::fs::remove_dir_all(&copy)?;

    let redis = Redis::start(bench).await?;
    let server =
        launch(bench, &data_dir, vec![policies(GENEROUS), cache_memory("0B"), redis.setting(), one_worker()]).await?;
    ensure!(self::page(&server, Cached::Redis).await? == page, "the page from Redis is another");
    let scores = duel(bench, plan, &contestants(&server, &nginx, None).await?, false, page.len()).await?;
    let what = "every answer from Redis";
    section.table(&table(what, &scores)?);
    verdicts(&mut section, what, &scores, 0.3, None)?;
    self::page(&server, Cached::Redis).await.context("after the last round")?;
    server.stop().await?;
    redis.stop().await?;
    nginx.stop().await?;
    std::fs::remove_file(data_dir.join("hot.log"))?;
    notes(&mut section, plan, page.len());
    section.write(bench)
}

fn notes(section: &mut Section, plan: Plan, page: usize) {
    section.note(format!(
        "`{TARGET}`, {page} bytes, not compressed; `wrk -t1 -c{} -d{}s --latency` against each in turn, {} rounds in \
         changing order; medians of the rounds. wrk is a closed loop: its latencies are those of as many requests at a \
         time as it has connections",
        plan.aim.connections, plan.aim.seconds, plan.rounds
    ));
    section.note(
        "Haat: two policies on every request, a log line per request into a file, one worker (`TOKIO_WORKER_THREADS=1`) \
         where nothing else is said, as nginx has one; nginx: `sendfile`, kept-alive connections. By default Haat has as \
         many workers as there are cores, which here compete with the generator for the second one. The memory cache needs no Redis; in the last table `cache.memory = \"0B\"`"
            .to_owned(),
    );
    section
        .note("verdicts are against nginx with a log line per request, the other rows are for comparison".to_owned());
}

/// A server whose log lies in its folder.
pub async fn launch(bench: &Bench, data_dir: &Path, settings: Vec<(&'static str, String)>) -> anyhow::Result<Server> {
    let log = data_dir.join("hot.log");
    Server::launch(bench, &Launch { data_dir, database: None, settings, log: &log.to_string_lossy() }).await
}

/// The page, once it comes from where it should.
async fn page(server: &Server, from: Cached) -> anyhow::Result<Vec<u8>> {
    page_of(&mut Client::connect(server.port).await?, from).await
}

/// The page, once this client has it from where it should come.
pub async fn page_of(client: &mut Client, from: Cached) -> anyhow::Result<Vec<u8>> {
    for _ in 0..50 {
        let answer = client.get(TARGET).await?;
        if Cached::of(&answer) == from {
            ensure!(answer.field("ratelimit").is_some(), "the policies are not in force");
            return answer.ok();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the page never came from {from:?}")
}

async fn contestants(server: &Server, nginx: &Nginx, by_default: Option<&Server>) -> anyhow::Result<Vec<Contestant>> {
    let (worker, haat) = (nginx.worker()?, server.pid()?);
    let mut ports =
        vec![("Haat", server.port, TARGET, haat), ("nginx, log line per request", nginx.logged, nginx::PAGE, worker)];
    if let Some(server) = by_default {
        ports.push(("Haat, a worker per core", server.port, TARGET, server.pid()?));
        ports.push(("nginx, log written 64 KiB at a time", nginx.buffered, nginx::PAGE, worker));
        ports.push(("nginx, no log", nginx.silent, nginx::PAGE, worker));
    }
    let mut contestants = Vec::new();
    for (name, port, target, pid) in ports {
        let answer = Client::connect(port).await?.get(target).await?;
        let tag = answer.field("etag").with_context(|| format!("{name} gives no ETag"))?.to_owned();
        contestants.push(Contestant { name, url: format!("http://127.0.0.1:{port}{target}"), tag, pid });
    }
    Ok(contestants)
}

/// Everybody's turns, round by round; who begins changes.
async fn duel(
    bench: &Bench,
    plan: Plan,
    all: &[Contestant],
    known: bool,
    page: usize,
) -> anyhow::Result<Vec<(&'static str, Score)>> {
    let mut scores: Vec<_> = all.iter().map(|c| (c.name, Score::default())).collect();
    for (contestant, (_, score)) in all.iter().zip(&mut scores) {
        // Everything warm, as it is after a minute in operation.
        score.warm_up_failed = fire(bench, Aim { seconds: 1, ..plan.aim }, &contestant.url, None).await?.failed;
    }
    for round in 0..plan.rounds {
        for turn in 0..all.len() {
            let place = (round + turn) % all.len();
            let (Some(contestant), Some((_, score))) = (all.get(place), scores.get_mut(place)) else { continue };
            let header = known.then(|| format!("If-None-Match: {}", contestant.tag));
            let before = cpu(contestant.pid)?;
            let shot = fire(bench, plan.aim, &contestant.url, header.as_deref()).await?;
            score.cpu += cpu(contestant.pid)?.saturating_sub(before);
            // Whole pages where they were asked for (but for a few refusals, which are counted), none where they are known.
            let whole = shot.bytes > 0.9 * page as f64;
            ensure!(whole != known && (whole || shot.bytes < 2_000.0), "{}: {} bytes", contestant.name, shot.bytes);
            score.shots.push(shot);
        }
    }
    Ok(scores)
}

fn table(what: &str, scores: &[(&'static str, Score)]) -> anyhow::Result<String> {
    let mut text = format!(
        "| {what} | requests/s | of nginx's | p50 ms | p99 ms | times nginx's | CPU µs per request | failed |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    let nginx = &scores.get(1).context("nginx had no turn")?.1;
    for (name, score) in scores {
        writeln!(
            text,
            "| {name} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} |",
            score.rate(),
            score.rate() / nginx.rate(),
            score.median(|shot| shot.p50) / 1e3,
            score.p99() / 1e3,
            score.p99() / nginx.p99(),
            score.cpu_us(),
            score.failed()
        )?;
    }
    Ok(text)
}

fn verdicts(
    section: &mut Section,
    what: &str,
    scores: &[(&'static str, Score)],
    rate: f64,
    p99: Option<f64>,
) -> anyhow::Result<()> {
    let [(_, haat), (_, nginx), ..] = scores else { anyhow::bail!("two contestants") };
    let ratio = haat.rate() / nginx.rate();
    let aim = verdict(ratio >= rate, &format!("at least {rate} of nginx's requests per second"));
    let mut line = format!("{what}: {ratio:.2} ({aim})");
    if let Some(most) = p99 {
        let ratio = haat.p99() / nginx.p99();
        write!(line, "; p99 {ratio:.2} times nginx's ({})", verdict(ratio <= most, &format!("at most {most} times")))?;
    }
    if haat.failed() + nginx.failed() > 0 {
        write!(line, "; **{} requests failed** that nothing should refuse", haat.failed() + nginx.failed())?;
    }
    section.note(line);
    Ok(())
}
