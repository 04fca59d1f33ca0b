//! How well and how fast text search finds products, in process and on text fields alone.
//!
//! ```text
//! relevance_probe quality [groceries.csv]          share of mutated names whose product is in the first 10
//! relevance_probe speed products.ndjson INDEX_DIR  times of searches; the index is built when the folder is empty
//! relevance_probe explain INDEX_DIR QUERY          the first ten, with their scores, and where the time goes
//! ```
//!
//! The benchmark over HTTP, beside other engines, is `bench/`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

mod corpus;
mod mutate;
mod quality;
mod speed;

use std::path::PathBuf;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["quality"] => quality::run(&default_csv()),
        ["quality", csv] => quality::run(&PathBuf::from(csv)),
        ["speed", ndjson, dir] => speed::run(&PathBuf::from(ndjson), &PathBuf::from(dir)),
        ["explain", dir, query] => speed::explain(&PathBuf::from(dir), query),
        _ => println!("usage: relevance_probe quality [CSV] | speed NDJSON INDEX_DIR | explain INDEX_DIR QUERY"),
    }
}

/// Beside the repository, where its makers keep it.
fn default_csv() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/groceries.csv"))
}
