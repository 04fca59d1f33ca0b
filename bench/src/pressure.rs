//! Listings while an import runs: latency against rest, and how long a write takes to be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::account::Account;
use crate::client::Client;
use crate::load::{Latencies, Outcome, latencies, ms, paced, record};
use crate::process::measure;
use crate::report::{Section, verdict};
use crate::server::{Server, haat};
use crate::workload::{Kind, Questions};
use crate::{Bench, Store, catalogue};

/// How long the machine is watched at rest.
const REST: Duration = Duration::from_secs(30);

/// How writes fared: answered, and seen.
struct Writes {
    answered: Latencies,
    visible: Latencies,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, changed: u64, rate: u32) -> anyhow::Result<()> {
    let path = catalogue::make(bench, bench.products, 1).await?;
    // Another seed: the same skus with other prices, packs and places, so every record is a change.
    let changes = catalogue::make(bench, changed, bench.seed + 1_000).await?;
    let samples = catalogue::samples(&path)?;
    let data_dir = bench.data_dir(Store::Sqlite);
    let writer = Account::writer(bench, &data_dir).await?;
    let server = Server::start(bench, &data_dir, None).await?;
    let token = writer.token(server.port).await?;
    let mut section = Section::begin(
        "50-during-import",
        "Listings and writes while an import runs",
        &format!("--seed {} during-import", bench.seed),
    );

    let stop = Arc::new(AtomicBool::new(false));
    let (at_rest, writes_at_rest) =
        tokio::join!(both(server.port, &token, rate, mixed(&samples, bench.seed + 7), stop.clone()), async {
            tokio::time::sleep(REST).await;
            stop.store(true, Ordering::Relaxed);
        })
        .0?;

    let stop = Arc::new(AtomicBool::new(false));
    let file = changes.to_string_lossy().into_owned();
    let import = async {
        let cost = measure(haat(bench, &data_dir, None, &["--json", "import", &file])).await;
        stop.store(true, Ordering::Relaxed);
        cost
    };
    let (busy, cost) =
        tokio::join!(both(server.port, &token, rate, mixed(&samples, bench.seed + 8), stop.clone()), import);
    let ((busy, writes_busy), cost) = (busy?, cost?);
    let updated = updated(&cost.said).context("the import did not say what it changed")?;
    ensure!(
        updated == changed,
        "{updated} of {changed} products changed: this folder had the changes of --seed {}; take another",
        bench.seed
    );

    report(&mut section, rate, [&at_rest, &busy], [&writes_at_rest, &writes_busy]);
    section
        .note(format!("the import changed {changed} products in {:.1} s beside all this", cost.elapsed.as_secs_f64()));
    server.stop().await?;
    section.write(bench)
}

fn report(
    section: &mut Section,
    rate: u32,
    [at_rest, busy]: [&Outcome; 2],
    [writes_at_rest, writes_busy]: [&Writes; 2],
) {
    section.table(&format!(
        "| {rate} mixed listings a second | requests | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|\n{}{}",
        listing_row("at rest (but for the writes below)", at_rest),
        listing_row("while an import runs", busy)
    ));
    section.table(&format!(
        "| one writer, `PUT` then polled every 2 ms | writes | answered p50 ms | p99 ms | visible p50 ms | p99 ms | max ms |\n\
         |---|---|---|---|---|---|---|\n{}{}",
        write_row("at rest", writes_at_rest),
        write_row("while an import runs", writes_busy)
    ));
    let ratio = busy.latency.value_at_quantile(0.99) as f64 / at_rest.latency.value_at_quantile(0.99) as f64;
    section.note(format!("listing p99 {ratio:.1} times its p99 at rest ({})", verdict(ratio <= 3.0, "aim 3 times")));
    let seen = writes_at_rest.visible.value_at_quantile(0.99).max(writes_busy.visible.value_at_quantile(0.99));
    section.note(format!(
        "a write is visible {:.0} ms after its answer at p99 ({})",
        seen as f64 / 1_000.0,
        verdict(seen <= 1_000_000, "aim 1 s")
    ));
}

/// How many products an import changed, by its report.
fn updated(said: &str) -> Option<u64> {
    let reports = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    reports.rev().find_map(|report| report["counts"]["updated"].as_u64())
}

/// Every kind of listing in turn.
fn mixed(samples: &[catalogue::Sample], seed: u64) -> Vec<String> {
    const EACH: usize = 4_000;
    let kinds = [Kind::Newest, Kind::Narrow, Kind::ByName, Kind::TwoWords, Kind::OneTypo, Kind::Facets];
    let mut questions = Questions::new(samples, seed);
    let drawn: Vec<_> = kinds.iter().map(|k| questions.draw(*k, EACH)).collect();
    (0..EACH).flat_map(|i| drawn.iter().filter_map(move |d| d.get(i))).map(|a| a.target("none")).collect()
}

async fn both(
    port: u16,
    token: &str,
    rate: u32,
    targets: Vec<String>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<(Outcome, Writes)> {
    let (listings, writes) = tokio::join!(paced(port, rate, targets, stop.clone()), write_and_look(port, token, stop));
    Ok((listings?, writes?))
}

/// Writes a product, looks for it until a listing shows it, and so on until told to stop.
async fn write_and_look(port: u16, token: &str, stop: Arc<AtomicBool>) -> anyhow::Result<Writes> {
    let mut client = Client::connect(port).await?.with_token(token);
    let mut writes = Writes { answered: latencies()?, visible: latencies()? };
    let mark = port;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let brand = format!("Bench-{mark}-{number}");
        let json = format!(
            r#"{{"sku":"BENCH-1","name":"Seen soon","brand":"{brand}","price":{{"amount":100,"currency":"INR"}}}}"#
        );
        let begun = Instant::now();
        let answer = client.put("/v1/products/BENCH-1", json.as_bytes()).await?;
        ensure!(
            (200..300).contains(&answer.status),
            "PUT: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        record(&mut writes.answered, begun.elapsed());
        let written = Instant::now();
        let target = format!("/v1/products?brand={brand}&count=none&limit=1");
        while client.get(&target).await?.is_empty_listing() {
            ensure!(written.elapsed() < Duration::from_secs(60), "a write is not visible after a minute");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        record(&mut writes.visible, written.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(writes)
}

fn listing_row(what: &str, o: &Outcome) -> String {
    let l = &o.latency;
    format!("| {what} | {} | {} | {} | {} |\n", l.len(), ms(l, 0.5), ms(l, 0.99), ms(l, 1.0))
}

fn write_row(what: &str, w: &Writes) -> String {
    let (a, v) = (&w.answered, &w.visible);
    let cells = [ms(a, 0.5), ms(a, 0.99), ms(v, 0.5), ms(v, 0.99), ms(v, 1.0)].join(" | ");
    format!("| {what} | {} | {cells} |\n", a.len())
}
