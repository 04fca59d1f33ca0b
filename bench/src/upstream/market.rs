//! A `haat demo-upstream` in a process of its own, and the settings that make it a source.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Bench;
use crate::client::Client;
use crate::process::terminate;
use crate::server::haat;

/// What the source is called.
pub const SOURCE: &str = "market";

/// A running one, ended when it is dropped.
pub struct Market {
    child: Child,
    port: u16,
    /// The file with the source's settings.
    settings: PathBuf,
}

/// What it says once it listens.
#[derive(Deserialize)]
struct Listening {
    url: String,
    haat_toml: String,
}

/// What it has seen, as far as it is of interest here.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Stats {
    /// Requests that came.
    pub requests: u64,
    /// Requests that it deals with.
    pub in_flight: u64,
    /// The most that there were at once.
    pub max_in_flight: u64,
}

impl Market {
    /// Starts one of so many products, whose answers take so long. `name` is what its files in the work folder are called.
    pub async fn start(bench: &Bench, name: &str, products: u64, latency: &str) -> anyhow::Result<Self> {
        let log = bench.work.join(format!("{name}-market.log"));
        let products = products.to_string();
        let arguments = ["--json", "demo-upstream", "--port", "0", "--products", &products, "--latency", latency];
        let mut child = haat(bench, &bench.work.join(name), None, &arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("starting {}", bench.haat().display()))?;
        let mut said = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        let line = tokio::time::timeout(Duration::from_secs(60), said.next_line()).await.context("demo-upstream")??;
        let line = line.with_context(|| format!("haat demo-upstream does not start; see {}", log.display()))?;
        let said: Listening = serde_json::from_str(&line).context("haat demo-upstream says something else")?;
        let port = said.url.rsplit(':').next().and_then(|port| port.parse().ok()).context("its port")?;
        let settings = bench.work.join(format!("{name}.toml"));
        std::fs::write(&settings, without_schedule(&said.haat_toml))?;
        Ok(Self { child, port, settings })
    }

    /// How a server is told of it.
    pub fn setting(&self) -> (&'static str, String) {
        ("HAAT_CONFIG", self.settings.to_string_lossy().into_owned())
    }

    /// The same for a command.
    pub fn known_to(&self, mut command: Command) -> Command {
        command.envs([self.setting()]);
        command
    }

    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the demonstration upstream is gone")
    }

    /// Has a fault on from now on; `ok` is none.
    pub async fn order(&self, fault: &str) -> anyhow::Result<()> {
        let order = serde_json::json!({ "fault": fault }).to_string();
        self.ask("POST", "/control", order.as_bytes()).await.map(drop)
    }

    /// What it has seen.
    pub async fn stats(&self) -> anyhow::Result<Stats> {
        serde_json::from_slice(&self.ask("GET", "/stats", &[]).await?).context("its statistics")
    }

    /// Begins to count anew.
    pub async fn count_anew(&self) -> anyhow::Result<()> {
        self.ask("DELETE", "/stats", &[]).await.map(drop)
    }

    /// Mends it and waits until nothing hangs in it any more.
    pub async fn mend(&self) -> anyhow::Result<()> {
        self.order("ok").await?;
        let begun = tokio::time::Instant::now();
        while self.stats().await?.in_flight > 0 {
            ensure!(begun.elapsed() < Duration::from_secs(120), "requests hang although nothing makes them");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn ask(&self, method: &str, target: &str, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        let answer = Client::connect(self.port).await?.request(method, target, json).await?;
        let said = String::from_utf8_lossy(&answer.body);
        ensure!((200..300).contains(&answer.status), "{method} {target}: {} {said}", answer.status);
        Ok(answer.body)
    }

    /// Lets it end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        terminate(self.pid()?).await?;
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("demo-upstream ending")??;
        Ok(())
    }
}

/// The section with synchronisations only when somebody asks for one: none shall fall into one turn and not into another.
fn without_schedule(section: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some((name @ ("schedule" | "full_schedule"), _)) => format!("{name} = \"0s\"\n"),
        _ => format!("{line}\n"),
    };
    section.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_schedules_is_changed() {
        let section =
            "[[sources]]\nname = \"market\"\nschedule = \"10s\"\nfull_schedule = \"5m\"\nlive = [\"price\"]\n";
        let without = "[[sources]]\nname = \"market\"\nschedule = \"0s\"\nfull_schedule = \"0s\"\nlive = [\"price\"]\n";
        assert_eq!(without_schedule(section), without);
    }
}
