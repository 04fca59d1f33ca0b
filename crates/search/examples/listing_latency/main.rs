//! Times each kind of listing in process, without HTTP and without a database: what the index alone takes.
//!
//! ```text
//! cargo run -p haat-search --profile bench-fast --example listing_latency -- catalogue.ndjson [FOLDER] [ROUNDS]
//! ```
//!
//! The file has one product a line as `haat import` reads it. The index is built in FOLDER (default: a temporary one)
//! and used again by the next run over the same file. `RUST_LOG=haat_search=debug` shows how the build goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a tool for developers")]

mod ask;
mod memory;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_catalog::ports::ListingIndex;
use haat_catalog::{Query, time::SystemClock};
use haat_search::{Index, IndexOptions};
use tokio_util::sync::CancellationToken;

use ask::Asker;
use memory::Memory;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let file = PathBuf::from(args.next().expect("usage: listing_latency FILE [FOLDER] [ROUNDS]"));
    let temporary = tempfile::tempdir().unwrap();
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let rounds: usize = args.next().map_or(300, |n| n.parse().unwrap());
    let began = Instant::now();
    let memory = Arc::new(Memory::read(&file));
    println!("{} products read in {:.1} s", memory.len(), began.elapsed().as_secs_f64());

    let began = Instant::now();
    let options = IndexOptions { dir: dir.clone(), ..IndexOptions::default() };
    let index = Index::open(options, memory.clone(), memory.clone(), Arc::new(SystemClock)).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&index).run(stop.clone()));
    while !index.status().ready {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("ready after {:.2} s, {} MB on disk", began.elapsed().as_secs_f64(), size(&dir) / 1_000_000);

    let mut asker = Asker::new(memory.samples());
    for (kind, aim) in ask::KINDS {
        for count in ["none", "exact"] {
            let mut times = Vec::with_capacity(rounds);
            let mut found = 0;
            for _ in 0..rounds {
                let pairs = asker.draw(kind, count);
                let query = Query::parse(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
                let began = Instant::now();
                let page = index.list(Arc::new(query), Duration::ZERO).await.unwrap();
                times.push(began.elapsed());
                found += page.hits.len();
            }
            report(&format!("{kind}, count={count}"), aim, times, found);
        }
    }
    deep_page(&index).await;
    println!("memory: {}", resident());
    stop.cancel();
    running.await.unwrap();
}

/// A walk by price: its first pages beside its ten thousandth.
async fn deep_page(index: &Index) {
    let mut cursor: Option<String> = None;
    let mut times = Vec::new();
    for _ in 0..10_100 {
        let mut pairs = vec![("sort", "price"), ("count", "none")];
        if let Some(cursor) = &cursor {
            pairs.push(("cursor", cursor));
        }
        let query = Query::parse(pairs).unwrap();
        let began = Instant::now();
        let page = index.list(Arc::new(query), Duration::ZERO).await.unwrap();
        times.push(began.elapsed());
        let Some(next) = page.next else { break };
        cursor = Some(next);
    }
    let deep = times.split_off(times.len().saturating_sub(100));
    times.truncate(100);
    report("a walk by price, pages 1 to 100", "", times, 0);
    report("a walk by price, the last 100 of 10,100 pages", "1.5 x page 1", deep, 0);
}

fn report(what: &str, aim: &str, mut times: Vec<Duration>, found: usize) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    println!("{what:64} p50 {:8.3} ms  p99 {:8.3} ms  aim {aim:14} hits {found}", at(0.5), at(0.99));
}

fn size(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.map(|e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

/// The process's memory as the kernel counts it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|l| l.starts_with("Rss") || l.starts_with("VmRSS")).collect::<Vec<_>>().join(", ")
}
