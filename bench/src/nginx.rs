//! An nginx of the benchmark's own: one worker that serves one page from a file, on one port per way of logging.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::process::{Child, Command};

use crate::Bench;
use crate::client::Client;
use crate::process::free_port;

/// What the page is called there.
pub const PAGE: &str = "/page.json";

/// A running server, ended when it is dropped.
pub struct Nginx {
    child: Child,
    folder: PathBuf,
    /// With a line in a log file for every request, as it is set up by default.
    pub logged: u16,
    /// With those lines written 64 KiB at a time.
    pub buffered: u16,
    /// Without a log.
    pub silent: u16,
}

impl Nginx {
    /// Starts one that serves `page`.
    pub async fn start(bench: &Bench, page: &[u8]) -> anyhow::Result<Self> {
        let folder = bench.folder("nginx")?;
        std::fs::create_dir_all(folder.join("www"))?;
        std::fs::write(folder.join("www").join(PAGE.trim_start_matches('/')), page)?;
        let (logged, buffered, silent) = (free_port()?, free_port()?, free_port()?);
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, text(&folder, logged, buffered, silent))?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new("nginx")
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("nginx: install it with apt-get install nginx-light")?;
        let server = Self { child, folder, logged, buffered, silent };
        let started = Instant::now();
        while Client::connect(silent).await.is_err() {
            ensure!(started.elapsed() < Duration::from_secs(10), "nginx: see log and error.log in its work folder");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let served = Client::connect(silent).await?.get(PAGE).await?.ok()?;
        ensure!(served == page, "nginx serves other bytes than it was given");
        Ok(server)
    }

    /// The process that serves.
    pub fn worker(&self) -> anyhow::Result<u32> {
        let master = self.child.id().context("nginx is gone")?;
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        children.split_whitespace().next().context("nginx has no worker")?.parse().context("a process id")
    }

    /// Ends it and removes its logs, which are large.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.terminate();
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("nginx ending")??;
        for log in ["access.log", "buffered.log"] {
            std::fs::remove_file(self.folder.join(log))?;
        }
        Ok(())
    }

    fn terminate(&self) {
        if let Some(master) = self.child.id() {
            // Where it cannot be asked to end it has ended.
            let _ = std::process::Command::new("kill").args(["-TERM", &master.to_string()]).status();
        }
    }
}

impl Drop for Nginx {
    /// Asked, not killed: a worker would outlive its master.
    fn drop(&mut self) {
        self.terminate();
    }
}

fn text(folder: &Path, logged: u16, buffered: u16, silent: u16) -> String {
    let folder = folder.display();
    // Without `user` a worker started by root could not read the page.
    format!(
        "user root;
daemon off;
worker_processes 1;
pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    types {{ application/json json; }}
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    root {folder}/www;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{logged}; access_log {folder}/access.log; }}
    server {{ listen 127.0.0.1:{buffered}; access_log {folder}/buffered.log combined buffer=64k flush=1s; }}
    server {{ listen 127.0.0.1:{silent}; access_log off; }}
}}
"
    )
}
