//! wrk, the load generator that drives Haat and others side by side: a closed loop over kept-alive connections.

use std::path::Path;
use std::time::Duration;

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

/// POSTs the lines of a file, one after another and from the first again. They are made into requests before the run
/// begins; what is left to do per request is a step in a list.
const POSTS: &str = r#"
local requests, last = {}, 0
init = function(args)
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  for form in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, nil, form)
  end
end
request = function()
  last = last % #requests + 1
  return requests[last]
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

/// The turns of one of those who take turns.
#[derive(Default)]
pub struct Score {
    /// Turn by turn.
    pub shots: Vec<Shot>,
    /// Requests that failed before the first turn.
    pub warm_up_failed: u64,
    /// Processor time that the server took for all turns.
    pub cpu: Duration,
}

impl Score {
    /// The median of the turns.
    pub fn median(&self, of: impl Fn(&Shot) -> f64) -> f64 {
        median(self.shots.iter().map(of).collect())
    }

    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.median(|shot| shot.rate)
    }

    /// Microseconds.
    pub fn p99(&self) -> f64 {
        self.median(|shot| shot.p99)
    }

    /// Requests that were refused or not answered, those before the first turn included.
    pub fn failed(&self) -> u64 {
        self.warm_up_failed + self.shots.iter().map(|shot| shot.failed).sum::<u64>()
    }

    /// Processor time per request, microseconds.
    pub fn cpu_us(&self) -> f64 {
        let requests: u64 = self.shots.iter().map(|shot| shot.requests).sum();
        self.cpu.as_secs_f64() * 1e6 / requests.max(1) as f64
    }
}

/// The one in the middle.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// GETs a page, again and again.
pub async fn fire(bench: &Bench, aim: Aim, url: &str, header: Option<&str>) -> anyhow::Result<Shot> {
    shoot(bench, aim, url, header, None).await
}

/// POSTs forms to `url`: the lines of the file `forms`, already encoded, over and over.
pub async fn post(bench: &Bench, aim: Aim, url: &str, header: Option<&str>, forms: &Path) -> anyhow::Result<Shot> {
    shoot(bench, aim, url, header, Some(forms)).await
}

async fn shoot(bench: &Bench, aim: Aim, url: &str, header: Option<&str>, forms: Option<&Path>) -> anyhow::Result<Shot> {
    let script = bench.work.join("wrk.lua");
    std::fs::write(&script, if forms.is_some() { format!("{POSTS}{SCRIPT}") } else { SCRIPT.to_owned() })?;
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency"]).arg(format!("-c{}", aim.connections)).arg(format!("-d{}s", aim.seconds));
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    command.arg("-s").arg(&script).arg(url);
    if let Some(forms) = forms {
        command.arg("--").arg(forms);
    }
    let output = command.kill_on_drop(true).output().await.context("wrk: install it with apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk {url}: {text}{}", String::from_utf8_lossy(&output.stderr));
    read(&text).with_context(|| format!("wrk {url}: {text}"))
}

fn read(text: &str) -> anyhow::Result<Shot> {
    let line = text.lines().find_map(|line| line.strip_prefix("shot ")).context("it did not say what it measured")?;
    let figures = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>().context("its figures")?;
    let [requests, duration, bytes, p50, p99, errors] = figures[..] else {
        anyhow::bail!("its figures");
    };
    ensure!(requests > 0.0, "no request was answered");
    // Counts, printed as whole numbers.
    let (counted, failed) = (requests as u64, errors as u64);
    Ok(Shot { requests: counted, failed, rate: requests / duration * 1e6, p50, p99, bytes: bytes / requests })
}
