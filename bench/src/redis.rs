//! A Redis of the benchmark's own: on a free port, nothing written to disk, empty when it starts.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Bench;
use crate::process::{free_port, terminate};

/// A running server, ended when it is dropped.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts one.
    pub async fn start(bench: &Bench) -> anyhow::Result<Self> {
        let port = free_port()?;
        let folder = bench.folder("redis")?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("redis-server: install it with apt-get install redis-server")?;
        let mut server = Self { child, port };
        let started = Instant::now();
        while server.ask("PING").await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("redis-server ended: {status}; see {}", folder.join("log").display());
            }
            ensure!(started.elapsed() < Duration::from_secs(30), "redis-server does not answer after 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// How Haat is told of it.
    pub fn setting(&self) -> (&'static str, String) {
        ("REDIS_URL", format!("redis://127.0.0.1:{}", self.port))
    }

    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("redis-server is gone")
    }

    /// How often each command was called so far; those that scripts call count as well.
    pub async fn calls(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let text = self.ask("INFO commandstats").await?;
        let calls = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
        };
        Ok(text.lines().filter_map(calls).collect())
    }

    /// One command and its answer's text.
    async fn ask(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        ensure!(!text.starts_with('-'), "redis-server: {command}: {text}");
        Ok(text)
    }

    /// Ends it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        terminate(self.pid()?).await?;
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("redis-server ending")??;
        Ok(())
    }
}
