//! The products to measure with: the real grocery catalogue, grown by `scale_catalogue.py`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::Bench;

/// How many products the real catalogue has; larger ones repeat it with other packs and prices.
pub const REAL: u64 = 27_555;

/// What questions are made of.
#[derive(Debug, Deserialize)]
pub struct Sample {
    /// The name.
    pub name: String,
    /// The maker; some have none.
    pub brand: Option<String>,
    /// The category path.
    pub category: Vec<String>,
    /// The price.
    pub price: Price,
}

/// A price in minor units.
#[derive(Debug, Deserialize)]
pub struct Price {
    /// How much.
    pub amount: i64,
}

/// The NDJSON file of `products` products, made when it is not there.
pub async fn make(bench: &Bench, products: u64, seed: u64) -> anyhow::Result<PathBuf> {
    let path = bench.work.join(format!("catalogue-{products}-{seed}.ndjson"));
    if path.exists() {
        return Ok(path);
    }
    let script = bench.data.join("scale_catalogue.py");
    ensure!(script.exists(), "no scale_catalogue.py in {}; say where it is with --data", bench.data.display());
    println!("making {}", path.display());
    let part = path.with_extension("part");
    let status = tokio::process::Command::new("python3")
        .arg(&script)
        .args([products.to_string(), "--seed".to_owned(), seed.to_string()])
        .stdout(Stdio::from(std::fs::File::create(&part)?))
        .status()
        .await?;
    ensure!(status.success(), "scale_catalogue.py failed: {status}");
    std::fs::rename(&part, &path)?;
    Ok(path)
}

/// The first two laps of a catalogue: every real name, and prices as they are in the large one.
pub fn samples(path: &Path) -> anyhow::Result<Vec<Sample>> {
    let lines = usize::try_from(2 * REAL)?;
    BufReader::new(std::fs::File::open(path)?)
        .lines()
        .take(lines)
        .map(|line| serde_json::from_str(&line?).context("a line of the catalogue"))
        .collect()
}
