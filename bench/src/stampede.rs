//! A thousand connections on one cold page, in four servers that share a Redis and a database.

use std::time::Duration;

use anyhow::ensure;

use crate::drive::{Cached, Run, at_once};
use crate::load::{latencies, ms, record};
use crate::mariadb::MariaDb;
use crate::redis::Redis;
use crate::report::{Section, verdict};
use crate::server::Server;
use crate::small::{self, cache_memory};
use crate::workload::{Kind, Questions};
use crate::{Bench, catalogue};

const SERVERS: usize = 4;

/// What was seen of one setting.
struct Row {
    what: &'static str,
    runs: Vec<Run>,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, keys: usize, connections: usize) -> anyhow::Result<()> {
    ensure!(keys > 0 && connections > 0, "at least one key and one connection");
    let bench = &small::bench(bench);
    let samples = catalogue::samples(&catalogue::make(bench, bench.products, 1).await?)?;
    let database = MariaDb::start(bench, "mariadb-server").await?;
    let folders = small::mariadb(bench, &database, SERVERS).await?;
    let mut section = Section::begin(
        "72-stampede",
        "One cold page, asked by everybody at once",
        &format!("stampede --keys {keys} --connections {connections}"),
    );
    // Facets over a wide range of prices: what takes longest of all listings.
    let asks = Questions::new(&samples, bench.seed + 72).draw(Kind::Facets, 2 * keys + 2);
    let targets: Vec<_> = asks.iter().map(|ask| ask.target("none")).collect();
    let (with, without) = targets.split_at(targets.len() / 2);

    let redis = Redis::start(bench).await?;
    let servers = small::replicas(bench, &folders, &database, &[redis.setting()]).await?;
    let shared = Row { what: "memory and Redis", runs: stampedes(&servers, connections, with).await? };
    stop(servers).await?;
    redis.stop().await?;
    let servers = small::replicas(bench, &folders, &database, &[cache_memory("0B")]).await?;
    let off = Row { what: "no memory, no Redis", runs: stampedes(&servers, connections, without).await? };
    stop(servers).await?;
    database.stop().await?;

    section.table(&table(connections, &[&shared, &off])?);
    let most = shared.runs.iter().map(computations).max().unwrap_or(0);
    section.note(format!(
        "at most {most} computations of a page in all {SERVERS} servers ({})",
        verdict(most == 1, "aim 1")
    ));
    section.note(
        "a computation is an answer with `fwd=miss` and without `collapsed` in its `Cache-Status`; those who waited for \
         it say `collapsed`"
            .to_owned(),
    );
    section.note(
        "without memory and Redis nothing is kept, but requests that meet still share a computation: that cannot be \
         switched off"
            .to_owned(),
    );
    section.note(format!(
        "{keys} cold pages one after another, each asked over {connections} connections that were open before; the \
         generator writes the requests one after another, the last of them {} ms after the first at most",
        ms(&spread(&shared)?, 1.0)
    ));
    section.write(bench)
}

async fn stampedes(servers: &[Server], connections: usize, targets: &[String]) -> anyhow::Result<Vec<Run>> {
    let ports: Vec<_> = servers.iter().map(|server| server.port).collect();
    let mut runs = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        let run = at_once(&ports, connections.div_ceil(ports.len()), target).await?.all_ok()?;
        // The first page finds servers that have just been started.
        if number > 0 {
            runs.push(run);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(runs)
}

async fn stop(servers: Vec<Server>) -> anyhow::Result<()> {
    for server in servers {
        server.stop().await?;
    }
    Ok(())
}

fn computations(run: &Run) -> usize {
    run.count(|seen| seen.cached == Cached::Miss)
}

/// How long writing the requests took.
fn spread(row: &Row) -> anyhow::Result<crate::load::Latencies> {
    let mut all = latencies()?;
    for run in &row.runs {
        let last = run.seen.iter().map(|seen| seen.sent).max().unwrap_or(run.started);
        record(&mut all, last - run.started);
    }
    Ok(all)
}

fn table(connections: usize, rows: &[&Row]) -> anyhow::Result<String> {
    let mut text = format!(
        "| {connections} requests at once, {SERVERS} servers | pages | computations per page | waited | memory | Redis | all answered ms, median | worst |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let (mut until_all, mut all) = (latencies()?, Vec::new());
        row.runs.iter().for_each(|run| record(&mut until_all, run.elapsed));
        all.extend(row.runs.iter().map(computations));
        let (least, most) = (all.iter().min().unwrap_or(&0), all.iter().max().unwrap_or(&0));
        let per_page = |cached| {
            let sum: usize = row.runs.iter().map(|run| run.count(|seen| seen.cached == cached)).sum();
            sum / row.runs.len().max(1)
        };
        text.push_str(&format!(
            "| {} | {} | {least} to {most} | {} | {} | {} | {} | {} |\n",
            row.what,
            row.runs.len(),
            per_page(Cached::Collapsed),
            per_page(Cached::Memory),
            per_page(Cached::Redis),
            ms(&until_all, 0.5),
            ms(&until_all, 1.0)
        ));
    }
    Ok(text)
}
