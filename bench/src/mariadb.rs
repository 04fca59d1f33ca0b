//! A MariaDB of the benchmark's own: on a free port, in the work folder, with buffers as a production server has them.
//! It is kept between subcommands, so that what one has imported the next can read.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::process::{Child, Command};

use crate::Bench;
use crate::process::{free_port, terminate};

/// What it is started with; said in the results.
pub const SETTINGS: [&str; 4] =
    ["--innodb-buffer-pool-size=2G", "--innodb-log-file-size=1G", "--max-allowed-packet=64M", "--skip-name-resolve"];

/// A running server.
pub struct MariaDb {
    child: Child,
    /// Where it listens.
    pub port: u16,
    /// Its files.
    pub folder: PathBuf,
}

impl MariaDb {
    /// Starts the server in folder `name`; its files are made when they are not there.
    pub async fn start(bench: &Bench, name: &str) -> anyhow::Result<Self> {
        let folder = std::path::absolute(bench.folder(name)?)?;
        let data = folder.join("data");
        if !data.join("mysql").exists() {
            install(&data).await?;
        }
        let port = free_port()?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new("mariadbd")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.join("socket").display()))
            .arg(format!("--port={port}"))
            .args(["--bind-address=127.0.0.1", "--secure-file-priv=", "--user=root"])
            .args(SETTINGS)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("mariadbd: install it with apt-get install mariadb-server")?;
        let mut server = Self { child, port, folder };
        server.wait().await?;
        server.sql("CREATE DATABASE IF NOT EXISTS haat CHARACTER SET utf8mb4").await?;
        server.sql("CREATE USER IF NOT EXISTS 'haat'@'%' IDENTIFIED BY 'haat'").await?;
        server.sql("GRANT ALL ON *.* TO 'haat'@'%'").await?;
        Ok(server)
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.sql("SELECT 1").await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("mariadbd ended: {status}; see {}", self.folder.join("log").display());
            }
            if started.elapsed() > Duration::from_secs(120) {
                bail!("mariadbd does not answer after two minutes");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// One statement, through the command-line client as the superuser, and its rows in columns with tabs in between.
    async fn sql(&self, statement: &str) -> anyhow::Result<String> {
        let socket = format!("--socket={}", self.folder.join("socket").display());
        let arguments = ["--no-defaults", &socket, "-uroot", "--batch", "--skip-column-names", "-e", statement];
        let output = Command::new("mariadb").args(arguments).output().await?;
        ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// One of the server's counters (`SHOW GLOBAL STATUS`).
    pub async fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let row = self.sql(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).await?;
        let value = row.trim().split('\t').nth(1);
        value.and_then(|value| value.parse().ok()).with_context(|| format!("mariadbd does not count {name}"))
    }

    /// Forgets what Haat has written.
    pub async fn empty(&self) -> anyhow::Result<()> {
        self.sql("DROP DATABASE haat").await?;
        self.sql("CREATE DATABASE haat CHARACTER SET utf8mb4").await?;
        Ok(())
    }

    /// How Haat is told of it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DB_HOST", "127.0.0.1".to_owned()),
            ("DB_PORT", self.port.to_string()),
            ("DB_USER", "haat".to_owned()),
            ("DB_PASS", "haat".to_owned()),
            ("DB_NAME", "haat".to_owned()),
        ]
    }

    /// Shuts it down, everything written.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            terminate(pid).await?;
        }
        tokio::time::timeout(Duration::from_secs(120), self.child.wait()).await.context("mariadbd shutting down")??;
        Ok(())
    }
}

async fn install(data: &std::path::Path) -> anyhow::Result<()> {
    let output = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=socket", "--skip-test-db", "--user=root"])
        .arg(format!("--datadir={}", data.display()))
        .output()
        .await
        .context("mariadb-install-db: install it with apt-get install mariadb-server")?;
    ensure!(output.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
