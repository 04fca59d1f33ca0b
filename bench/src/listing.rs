//! The seven kinds of listing over HTTP, nothing cached: every request differs from every other.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::client::Client;
use crate::load::{Latencies, Outcome, closed_loop, latencies, ms, record};
use crate::process::mb;
use crate::report::{Section, verdict};
use crate::server::Server;
use crate::workload::{Kind, Questions};
use crate::{Bench, Store, catalogue};

/// Requests of each kind that are sent before it is measured.
const WARM_UP: usize = 100;

const HEAD: &str = "| query | count | connections | p50 ms | p99 ms | max ms | requests/s | empty | aim p50 | Meilisearch p50 |\n\
                    |---|---|---|---|---|---|---|---|---|---|\n";

/// Runs the subcommand.
pub async fn run(bench: &Bench, requests: usize, connections: &[usize], kinds: &[Kind]) -> anyhow::Result<()> {
    let path = catalogue::make(bench, bench.products, 1).await?;
    let samples = catalogue::samples(&path)?;
    let server = Server::start(bench, &bench.data_dir(Store::Sqlite), None).await?;
    let mut section = Section::begin("30-listing", "Listings over HTTP", "listing");
    let mut rows = String::from(HEAD);
    for kind in chosen(kinds).filter(|k| *k != Kind::DeepPage) {
        let mut exact_over_none = Vec::new();
        for &connections in connections {
            for count in ["none", "exact"] {
                // Other questions every time, and the same ones in every run of the benchmark.
                let seed = bench.seed * 1_000 + connections as u64 * 10 + u64::from(count == "none");
                let mut asks = Questions::new(&samples, seed).draw(kind, WARM_UP + requests);
                ensure!(asks.len() > WARM_UP, "not enough different questions of kind {kind:?}");
                let targets = asks.split_off(WARM_UP).iter().map(|a| a.target(count)).collect();
                let warm_up = asks.iter().map(|a| a.target(count)).collect();
                closed_loop(server.port, connections, warm_up).await?;
                let outcome = closed_loop(server.port, connections, targets).await?;
                if connections == 1 {
                    exact_over_none.push(outcome.latency.value_at_quantile(0.5));
                }
                row(&mut rows, kind, count, connections, &outcome)?;
            }
        }
        if let [none, exact] = exact_over_none.as_slice() {
            let more = exact.saturating_sub(*none) as f64 / 1_000.0;
            let aim = kind.aim_ms().unwrap_or(f64::INFINITY);
            let (p50, more_ok) = (*none as f64 / 1_000.0, more <= 4.0);
            section.note(format!(
                "{}: p50 {p50:.2} ms with `count=none` ({}), the exact total {more:.2} ms more ({})",
                kind.title(),
                verdict(p50 <= aim, &format!("aim {aim} ms")),
                verdict(more_ok, "aim 4 ms"),
            ));
        }
    }
    section.table(&rows);
    if chosen(kinds).any(|k| k == Kind::DeepPage) {
        deep_page(&server, bench.products, &mut section).await?;
    }
    let memory = server.memory()?;
    section.note(format!(
        "server after all this: {} resident, of which {} are its own and {} mapped index files",
        mb(memory.resident),
        mb(memory.anonymous),
        mb(memory.mapped)
    ));
    server.stop().await?;
    section.write(bench)
}

fn chosen(kinds: &[Kind]) -> impl Iterator<Item = Kind> {
    let all = <Kind as clap::ValueEnum>::value_variants();
    all.iter().copied().filter(move |k| kinds.is_empty() || kinds.contains(k))
}

fn row(rows: &mut String, kind: Kind, count: &str, connections: usize, o: &Outcome) -> anyhow::Result<()> {
    let line = format!(
        "| {} | {count} | {connections} | {} | {} | {} | {:.0} | {:.1} % | {} | {} |",
        kind.title(),
        ms(&o.latency, 0.5),
        ms(&o.latency, 0.99),
        ms(&o.latency, 1.0),
        o.rate(),
        o.empty_percent(),
        kind.aim_ms().map_or_else(String::new, |a| a.to_string()),
        kind.meilisearch_ms(),
    );
    println!("{line}");
    writeln!(rows, "{line}")?;
    Ok(())
}

/// What a page says of the next one.
#[derive(Deserialize)]
struct Listing {
    page: Page,
}

#[derive(Deserialize)]
struct Page {
    next: Option<String>,
}

/// Walks by price to beyond page 10,000 and compares the pages around it with the first ones.
async fn deep_page(server: &Server, products: u64, section: &mut Section) -> anyhow::Result<()> {
    const AROUND: u64 = 200;
    // A smaller catalogue has not so many pages.
    let deepest = (products / 20).saturating_sub(AROUND).min(10_000);
    let mut client = Client::connect(server.port).await?;
    let (mut first, mut deep, mut between) = (latencies()?, latencies()?, latencies()?);
    let mut cursor = String::new();
    let walk = Instant::now();
    for number in 1..=deepest + AROUND / 2 {
        let target = format!("/v1/products?sort=price&count=none{cursor}");
        let begun = Instant::now();
        let body = client.get(&target).await?.ok()?;
        let took = begun.elapsed();
        let into = match number {
            n if n <= AROUND => &mut first,
            n if n > deepest - AROUND / 2 => &mut deep,
            _ => &mut between,
        };
        record(into, took);
        let listing: Listing = serde_json::from_slice(&body)?;
        let next = listing.page.next.with_context(|| format!("the walk ends at page {number}"))?;
        cursor = format!("&cursor={next}");
    }
    let p50 = |of: &Latencies| of.value_at_quantile(0.5) as f64;
    let ratio = p50(&deep) / p50(&first);
    section.table(&format!(
        "| walk by price, pages of 20 | p50 ms | p99 ms |\n|---|---|---|\n| pages 1 to {AROUND} | {} | {} |\n\
         | pages {} to {} | {} | {} |\n| those between | {} | {} |\n",
        ms(&first, 0.5),
        ms(&first, 0.99),
        deepest - AROUND / 2 + 1,
        deepest + AROUND / 2,
        ms(&deep, 0.5),
        ms(&deep, 0.99),
        ms(&between, 0.5),
        ms(&between, 0.99),
    ));
    section.note(format!(
        "page {deepest} takes {ratio:.2} times page 1 ({}); Meilisearch 10,297 ms at 10,000; the whole walk took {:.1} s",
        verdict(ratio <= 1.5, "aim 1.5 times"),
        walk.elapsed().as_secs_f64()
    ));
    Ok(())
}
