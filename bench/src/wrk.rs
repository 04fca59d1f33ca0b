//! wrk, the load generator that drives Haat and nginx side by side: a closed loop over kept-alive connections.

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::Bench;

/// What it says at its end. Nothing is called per request, so the script costs the run nothing.
const SCRIPT: &str = r#"
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("shot %d %d %d %.0f %.0f %d\n", summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// How it is run.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// Connections of its one thread.
    pub connections: usize,
    /// For how long.
    pub seconds: u64,
}

/// What a run gave.
#[derive(Debug, Clone, Copy)]
pub struct Shot {
    /// Requests answered.
    pub requests: u64,
    /// Of them those with 4xx and 5xx, and those that were never answered.
    pub failed: u64,
    /// Requests per second.
    pub rate: f64,
    /// Median latency, microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
    /// Bytes per answer, head and body.
    pub bytes: f64,
}

/// Runs it once.
pub async fn fire(bench: &Bench, aim: Aim, url: &str, header: Option<&str>) -> anyhow::Result<Shot> {
    let script = bench.work.join("wrk.lua");
    std::fs::write(&script, SCRIPT)?;
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency"]).arg(format!("-c{}", aim.connections)).arg(format!("-d{}s", aim.seconds));
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    command.arg("-s").arg(&script).arg(url).kill_on_drop(true);
    let output = command.output().await.context("wrk: install it with apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk {url}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find_map(|line| line.strip_prefix("shot ")).context("wrk did not say what it measured")?;
    let figures = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>().context("wrk's figures")?;
    let [requests, duration, bytes, p50, p99, errors] = figures[..] else {
        anyhow::bail!("wrk's figures: {line}");
    };
    ensure!(requests > 0.0, "wrk {url}: no request was answered\n{text}");
    // Counts, printed as whole numbers.
    let (counted, failed) = (requests as u64, errors as u64);
    Ok(Shot { requests: counted, failed, rate: requests / duration * 1e6, p50, p99, bytes: bytes / requests })
}
