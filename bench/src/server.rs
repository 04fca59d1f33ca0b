//! A running `haat serve`.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use crate::Bench;
use crate::client::Client;
use crate::mariadb::MariaDb;
use crate::process::{Memory, free_port, memory, terminate};

/// The command `haat ARGS` on a data folder and, if given, on MariaDB. Nothing of the caller's environment reaches it.
pub fn haat(bench: &Bench, data_dir: &Path, database: Option<&MariaDb>, args: &[&str]) -> Command {
    let mut command = Command::new(bench.haat());
    command
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME" | "RUST_LOG")));
    // In a folder of its own, so that no haat.toml or .env of the caller is read.
    command.current_dir(&bench.work).env("HAAT_DATA_DIR", data_dir).args(args).kill_on_drop(true);
    if let Some(database) = database {
        command.envs(database.environment());
    }
    command
}

/// How a server is started.
pub struct Launch<'a> {
    /// Where its files are.
    pub data_dir: &'a Path,
    /// The database, if it is not the bundled one.
    pub database: Option<&'a MariaDb>,
    /// Settings, as environment variables.
    pub settings: Vec<(&'static str, String)>,
    /// The file in the work folder that it logs to.
    pub log: &'a str,
}

/// A server, ended when it is dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
    /// From its start until `/readyz` said 200.
    pub ready_after: Duration,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub async fn start(bench: &Bench, data_dir: &Path, database: Option<&MariaDb>) -> anyhow::Result<Self> {
        Self::launch(bench, &Launch { data_dir, database, settings: Vec::new(), log: "server.log" }).await
    }

    /// Starts one with settings and waits until it is ready.
    pub async fn launch(bench: &Bench, launch: &Launch<'_>) -> anyhow::Result<Self> {
        let port = free_port()?;
        let log_path = bench.work.join(launch.log);
        let log = std::fs::File::create(&log_path)?;
        let started = Instant::now();
        let child = haat(bench, launch.data_dir, launch.database, &["serve"])
            .env("PORT", port.to_string())
            .envs(launch.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", bench.haat().display()))?;
        let mut server = Self { child, port, ready_after: Duration::ZERO };
        while !server.is_ready().await {
            if let Some(status) = server.child.try_wait()? {
                bail!("haat serve ended: {status}; see {}", log_path.display());
            }
            if started.elapsed() > Duration::from_secs(600) {
                bail!("haat serve is not ready after ten minutes");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        match Client::connect(self.port).await {
            Ok(mut client) => client.get("/readyz").await.is_ok_and(|a| a.status == 200),
            Err(_) => false,
        }
    }

    /// Waits until listings come from a complete index.
    pub async fn wait_complete(&self) -> anyhow::Result<()> {
        let (mut client, started) = (Client::connect(self.port).await?, Instant::now());
        while client.get("/v1/products?limit=1&count=none").await?.field("haat-index").is_some() {
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(600),
                "the index is not complete after ten minutes"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server is gone")
    }

    /// What it holds now.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        memory(self.pid()?)
    }

    /// Lets it drain.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            terminate(pid).await?;
        }
        tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await.context("draining")??;
        Ok(())
    }
}
