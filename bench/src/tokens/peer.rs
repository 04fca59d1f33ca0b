//! oidc-provider on Node, set up to issue what Haat issues: see `interop/oauth/bench-provider.js`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Bench;
use crate::account::{Account, SCOPE};
use crate::process::free_port;

/// The Node that interop/oauth/run takes.
const NODE: &str = "node@22.23.3";
/// Where the packages and the script are, from the root of the repository.
const FOLDER: &str = "interop/oauth";

/// A running one; it ends when its standard input does.
pub struct Peer {
    child: Child,
    /// The process that serves.
    pub pid: u32,
    /// Where it listens.
    pub port: u16,
}

impl Peer {
    /// Starts one that knows the account by the same id and secret.
    pub async fn start(bench: &Bench, account: &Account) -> anyhow::Result<Self> {
        let folder = std::path::absolute(FOLDER)?;
        ensure!(folder.join("package.json").exists(), "no {FOLDER} here: run it in the root of the repository");
        install(&folder).await?;
        let port = free_port()?;
        let log = bench.work.join("oidc-provider.log");
        let mut child = Command::new("npx")
            .args(["--yes", "--loglevel=error", "--package", NODE, "--", "node", "bench-provider.js"])
            .current_dir(&folder)
            .env("NODE_ENV", "production")
            .env("BENCH_PORT", port.to_string())
            .env("BENCH_CLIENT_ID", &account.id)
            .env("BENCH_CLIENT_SECRET", account.secret.as_deref().context("a client with a secret")?)
            .env("BENCH_SCOPE", SCOPE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .spawn()
            .context(MISSING)?;
        let mut said = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        // The first time Node is downloaded.
        let line =
            tokio::time::timeout(Duration::from_secs(300), said.next_line()).await.context("oidc-provider")??;
        let pid = line.as_deref().and_then(|line| line.strip_prefix("listening "));
        let pid = pid.with_context(|| format!("oidc-provider does not start; see {}", log.display()))?.parse()?;
        Ok(Self { child, pid, port })
    }

    /// Lets it end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("oidc-provider ending")??;
        Ok(())
    }
}

const MISSING: &str = "npm and npx: install them with apt-get install npm";

/// Installs the packages as interop/oauth/run does, where they are not those of the lock file already.
async fn install(folder: &Path) -> anyhow::Result<()> {
    let (lock, installed): (PathBuf, _) =
        (folder.join("package-lock.json"), folder.join("node_modules/installed.json"));
    let wanted = std::fs::read(&lock)?;
    if std::fs::read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let status = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(folder)
        .status()
        .await
        .context(MISSING)?;
    ensure!(status.success(), "npm ci in {FOLDER} failed: {status}");
    Ok(std::fs::write(installed, wanted)?)
}
