//! Import, rebuild, start and memory.

use std::path::Path;

use anyhow::Context;

use crate::load::closed_loop;
use crate::mariadb::{MariaDb, SETTINGS};
use crate::process::{Cost, mb, measure};
use crate::report::{Section, verdict};
use crate::server::{Server, haat};
use crate::workload::{Kind, Questions};
use crate::{Bench, Store, catalogue};

/// The memory that an import may take, bytes.
const IMPORT_MEMORY: u64 = 600_000_000;

async fn database(bench: &Bench, store: Store) -> anyhow::Result<Option<MariaDb>> {
    Ok(match store {
        Store::Sqlite => None,
        Store::Mariadb => Some(MariaDb::start(bench, "mariadb-server").await?),
    })
}

/// Times an import into an empty database.
pub async fn import(bench: &Bench, store: Store) -> anyhow::Result<()> {
    let path = catalogue::make(bench, bench.products, 1).await?;
    let data_dir = bench.data_dir(store);
    if data_dir.exists() {
        std::fs::remove_dir_all(&data_dir)?;
    }
    let database = database(bench, store).await?;
    if let Some(database) = &database {
        database.empty().await?;
    }
    // Read once before, so that the disk's speed is not what is measured.
    tokio::io::copy(&mut tokio::fs::File::open(&path).await?, &mut tokio::io::sink()).await?;
    let mut section = Section::begin(
        &format!("10-import-{}", store.name()),
        &format!("Import on {}", store.name()),
        &format!("import --store {}", store.name()),
    );
    let file = path.to_string_lossy().into_owned();
    measure(haat(bench, &data_dir, database.as_ref(), &["migrate"])).await.context("migrate")?;
    let first = measure(haat(bench, &data_dir, database.as_ref(), &["import", &file])).await?;
    let again = measure(haat(bench, &data_dir, database.as_ref(), &["import", &file])).await?;
    let limit = if store == Store::Sqlite { 90.0 } else { 180.0 } * bench.products as f64 / 1e6;
    section.table(&format!(
        "| | seconds | products/s | peak memory |\n|---|---|---|---|\n{}{}",
        cost_row("import into an empty database", bench.products, &first),
        cost_row("the same file again (nothing changes)", bench.products, &again),
    ));
    section.note(format!(
        "time {}; memory {}",
        verdict(first.elapsed.as_secs_f64() <= limit, &format!("aim {limit:.0} s")),
        verdict(first.peak.max(again.peak) <= IMPORT_MEMORY, "aim 600 MB")
    ));
    if let Some(database) = database {
        section.note(format!("MariaDB runs with `{}`", SETTINGS.join(" ")));
        database.stop().await?;
    } else {
        section.note(format!("{} of database on disk", mb(size_of(&data_dir)?)));
    }
    section.write(bench)
}

fn cost_row(what: &str, products: u64, cost: &Cost) -> String {
    let seconds = cost.elapsed.as_secs_f64();
    format!("| {what} | {seconds:.1} | {:.0} | {} |\n", products as f64 / seconds, mb(cost.peak))
}

/// Times an index rebuild, on the command line and as a server with an empty index does it.
pub async fn rebuild(bench: &Bench, store: Store) -> anyhow::Result<()> {
    let data_dir = bench.data_dir(store);
    let database = database(bench, store).await?;
    let mut section = Section::begin(
        &format!("20-rebuild-{}", store.name()),
        &format!("Index rebuild from {}", store.name()),
        &format!("rebuild --store {}", store.name()),
    );
    let cost = measure(haat(bench, &data_dir, database.as_ref(), &["index", "rebuild"])).await?;
    section.table(&format!(
        "| | seconds | products/s | peak memory |\n|---|---|---|---|\n{}",
        cost_row("`haat index rebuild`", bench.products, &cost)
    ));
    let limit = 60.0 * bench.products as f64 / 1e6;
    section.note(verdict(cost.elapsed.as_secs_f64() <= limit, &format!("aim {limit:.0} s")));
    if let Some(database) = database {
        database.stop().await?;
    }
    section.write(bench)
}

/// Times starts with an existing index.
pub async fn start(bench: &Bench, times: u32) -> anyhow::Result<()> {
    let mut section = Section::begin("25-start", "Start to ready with an existing index", "start");
    let mut rows = String::from("| start | seconds |\n|---|---|\n");
    let mut worst = 0.0_f64;
    for number in 1..=times {
        let server = Server::start(bench, &bench.data_dir(Store::Sqlite), None).await?;
        let seconds = server.ready_after.as_secs_f64();
        worst = worst.max(seconds);
        rows.push_str(&format!("| {number} | {seconds:.2} |\n"));
        server.stop().await?;
    }
    section.table(&rows);
    section.note(verdict(worst <= 2.0, "aim 2 s"));
    section.write(bench)
}

/// Memory of a server that has answered every kind of listing, and the size of its index.
pub async fn memory(bench: &Bench) -> anyhow::Result<()> {
    const EACH: usize = 300;
    let path = catalogue::make(bench, bench.products, 1).await?;
    let samples = catalogue::samples(&path)?;
    let data_dir = bench.data_dir(Store::Sqlite);
    let server = Server::start(bench, &data_dir, None).await?;
    let mut section = Section::begin("60-memory", "Memory and disk", "memory");
    let at_start = server.memory()?;
    for kind in <Kind as clap::ValueEnum>::value_variants() {
        for count in ["none", "exact"] {
            let asks = Questions::new(&samples, bench.seed).draw(*kind, EACH);
            closed_loop(server.port, 8, asks.iter().map(|a| a.target(count)).collect()).await?;
        }
    }
    let after = server.memory()?;
    let index = size_of(&data_dir.join("index"))?;
    let mut rows = String::from("| | resident | its own | mapped index | peak |\n|---|---|---|---|---|\n");
    for (what, m) in [("ready", at_start), ("after every kind of listing, 8 connections", after)] {
        let cells = [m.resident, m.anonymous, m.mapped, m.peak].map(mb).join(" | ");
        rows.push_str(&format!("| {what} | {cells} |\n"));
    }
    section.table(&rows);
    section.note(format!("server {}", verdict(after.resident <= 500_000_000, "aim 500 MB resident")));
    section.note(format!("index on disk {} ({})", mb(index), verdict(index <= 600_000_000, "aim 600 MB")));
    server.stop().await?;
    section.write(bench)
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let data = entry.metadata()?;
        sum += if data.is_dir() { size_of(&entry.path())? } else { data.len() };
    }
    Ok(sum)
}
