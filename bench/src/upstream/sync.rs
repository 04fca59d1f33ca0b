//! Synchronisations of a whole catalogue, and imports of the same products for comparison.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::market::{Market, SOURCE};
use crate::mariadb::{MariaDb, SETTINGS};
use crate::process::{Cost, cpu, mb, measure, written};
use crate::report::{Section, verdict};
use crate::server::haat;
use crate::{Bench, Store};

/// How many products a command dealt with.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
    /// Of a synchronisation.
    #[serde(default)]
    removed: u64,
}

impl Counts {
    /// As the command's answer in JSON says.
    fn of(said: &str) -> anyhow::Result<Self> {
        let answers = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let counts = answers.rev().find_map(|answer| [&answer["run"], &answer].into_iter().find_map(counts));
        counts.context("the command did not say what it did")
    }

    fn all(self) -> u64 {
        self.created + self.updated + self.unchanged
    }
}

fn counts(answer: &Value) -> Option<Counts> {
    Counts::deserialize(&answer["counts"]).ok()
}

/// A command and what it came to.
struct Done {
    what: &'static str,
    cost: Cost,
    counts: Counts,
    written: String,
}

/// Where it is written to.
struct Ground<'a> {
    bench: &'a Bench,
    data_dir: &'a Path,
    database: Option<&'a MariaDb>,
}

impl Ground<'_> {
    fn haat(&self, arguments: &[&str]) -> Command {
        haat(self.bench, self.data_dir, self.database, arguments)
    }

    /// Nothing is there but tables.
    async fn clear(&self) -> anyhow::Result<()> {
        if self.data_dir.exists() {
            std::fs::remove_dir_all(self.data_dir)?;
        }
        if let Some(database) = self.database {
            database.empty().await?;
        }
        measure(self.haat(&["migrate"])).await.context("migrate").map(drop)
    }

    async fn run(&self, what: &'static str, command: Command) -> anyhow::Result<Done> {
        let before = self.written().await?;
        let cost = measure(command).await?;
        let after = self.written().await?;
        let (bytes, rows) = (after[0] - before[0], after[1] - before[1]);
        let written = match self.database {
            None => mb_exactly(bytes),
            Some(_) => format!("{rows} rows, {} of log", mb_exactly(bytes)),
        };
        let counts = Counts::of(&cost.said)?;
        Ok(Done { what, cost, counts, written })
    }

    /// Bytes and rows so far: sent to the disk by commands that have ended, or by MariaDB into its redo log.
    async fn written(&self) -> anyhow::Result<[u64; 2]> {
        let Some(database) = self.database else { return Ok([written()?, 0]) };
        let mut rows = 0;
        for counter in ["Handler_write", "Handler_update", "Handler_delete"] {
            rows += database.counter(counter).await?;
        }
        Ok([database.counter("Innodb_lsn_current").await?, rows])
    }
}

/// Measures on one database and reports.
pub async fn run(bench: &Bench, store: Store, section: &mut Section) -> anyhow::Result<()> {
    let database = match store {
        Store::Sqlite => None,
        Store::Mariadb => Some(MariaDb::start(bench, "mariadb-server").await?),
    };
    let data_dir = bench.work.join(format!("sync-{}", store.name()));
    let ground = Ground { bench, data_dir: &data_dir, database: database.as_ref() };
    let market = Market::start(bench, "sync", bench.products, "0ms").await?;
    ground.clear().await?;
    let sync = |more: &[&str]| market.known_to(ground.haat(&[&["--json", "sync", SOURCE][..], more].concat()));
    let began = cpu(market.pid()?)?;
    let mut all = vec![ground.run("`haat sync --full` into an empty database", sync(&["--full"])).await?];
    let upstream = cpu(market.pid()?)?.saturating_sub(began);
    all.push(ground.run("`haat sync --full` again (nothing has changed)", sync(&["--full"])).await?);
    all.push(ground.run("`haat sync`, of what has changed (nothing)", sync(&[])).await?);
    market.stop().await?;
    let file = export(&ground).await?;
    ground.clear().await?;
    let import = || ground.haat(&["--json", "import", &file.to_string_lossy()]);
    all.push(ground.run("`haat import` of the same products into an empty database", import()).await?);
    all.push(ground.run("the same file again", import()).await?);
    if let Some(database) = database {
        database.stop().await?;
    }
    std::fs::remove_file(file)?;
    table(section, bench, store, &all);
    notes(section, bench, store, &all)?;
    section.note(format!(
        "{}: the upstream, which shares the machine, took {:.1} s of a processor for the first one. It answers at once, 100 \
         products a page",
        store.name(),
        upstream.as_secs_f64()
    ));
    Ok(())
}

/// The products as a file that can be imported.
async fn export(ground: &Ground<'_>) -> anyhow::Result<PathBuf> {
    let file = ground.bench.work.join("sync.ndjson");
    measure(ground.haat(&["export", "--output", &file.to_string_lossy()])).await.context("export")?;
    Ok(file)
}

fn table(section: &mut Section, bench: &Bench, store: Store, all: &[Done]) {
    let row = |done: &Done| {
        let (seconds, counts) = (done.cost.elapsed.as_secs_f64(), done.counts);
        format!(
            "| {} | {seconds:.2} | {:.0} | {} | {} | {} | {} |\n",
            done.what,
            counts.all() as f64 / seconds,
            mb(done.cost.peak),
            counts.created,
            counts.updated,
            done.written
        )
    };
    section.table(&format!(
        "| {} products, {} | seconds | items/s | peak memory | created | updated | written |\n|---|---|---|---|---|---|---|\n{}",
        bench.products,
        store.name(),
        all.iter().map(row).collect::<String>()
    ));
}

fn notes(section: &mut Section, bench: &Bench, store: Store, all: &[Done]) -> anyhow::Result<()> {
    let [first, again, changed, import, ..] = all else { anyhow::bail!("five commands") };
    for done in [first, import] {
        let created = done.counts.created;
        ensure!(created == bench.products, "{}: {created} of {} products", done.what, bench.products);
    }
    ensure!(again.counts.all() == bench.products, "the second synchronisation read {}", again.counts.all());
    let touched = |done: &Done| done.counts.created + done.counts.updated + done.counts.removed;
    let times = first.cost.elapsed.as_secs_f64() / import.cost.elapsed.as_secs_f64();
    section.note(format!(
        "{}: the second one and that of what has changed write {} products ({}); the first one takes {times:.1} times the import",
        store.name(),
        touched(again) + touched(changed),
        verdict(touched(again) + touched(changed) == 0, "aim 0")
    ));
    section.note(match store {
        Store::Sqlite => {
            "sqlite: bytes that the command sent to the disk, by the system's count; without a product that differs these are \
             the run itself and what it has seen, page by page"
                .to_owned()
        }
        Store::Mariadb => format!(
            "mariadb: rows inserted, updated and deleted by all statements, and bytes of redo log; it runs with `{}`. Peak memory \
             is that of the command",
            SETTINGS.join(" ")
        ),
    });
    Ok(())
}

/// Bytes as megabytes, to a hundredth.
fn mb_exactly(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_did_is_read_from_its_last_answer() {
        let import =
            "{\"event\":\"progress\"}\n{\"counts\":{\"created\":1,\"updated\":2,\"unchanged\":3,\"failed\":0}}\n";
        assert_eq!(Counts::of(import).unwrap().all(), 6);
        let sync = "{\"source\":\"m\",\"run\":{\"counts\":{\"created\":4,\"updated\":0,\"unchanged\":0,\"removed\":5}}}\nINFO done";
        let counts = Counts::of(sync).unwrap();
        assert_eq!((counts.created, counts.removed), (4, 5));
        assert!(Counts::of("nothing").is_err());
    }
}
