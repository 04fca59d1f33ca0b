//! Redis servers and clusters for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::Guarded;
use super::{Certificates, base_folder, free_port, run, wait_for};

/// The password of servers that have one.
const PASSWORD: &str = "only-for-tests";

/// A Redis server without persistence, gone when dropped.
pub struct RedisServer {
    port: u16,
    args: Vec<String>,
    /// With a password and TLS alone.
    authority: Option<PathBuf>,
    process: Guarded,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let port = free_port();
        Self::start_with(port, &format!("--port {port}"), |_| (String::new(), None))
    }

    /// Starts one that wants a password and speaks TLS only, under the name `localhost`.
    pub fn start_secured() -> Self {
        let port = free_port();
        Self::start_with(port, &format!("--port 0 --tls-port {port} --requirepass {PASSWORD}"), |folder| {
            let made = Certificates::make(folder, &["DNS:localhost"]);
            let (ca, certificate, key) = (made.ca.display(), made.certificate.display(), made.key.display());
            let args = format!(
                " --tls-cert-file {certificate} --tls-key-file {key} --tls-ca-cert-file {ca} --tls-auth-clients no"
            );
            (args, Some(made.ca))
        })
    }

    fn start_with(port: u16, listen: &str, more: impl FnOnce(&Path) -> (String, Option<PathBuf>)) -> Self {
        let folder = TempDir::new_in(base_folder()).unwrap();
        let dir = folder.path().to_str().unwrap();
        let (more, authority) = more(folder.path());
        let args = format!("{listen}{more} --bind 127.0.0.1 --appendonly no --dir {dir} --save");
        // An empty word of its own for `--save ""`.
        let args: Vec<String> = args.split(' ').map(str::to_owned).chain([String::new()]).collect();
        let process = Guarded::start(folder.path(), "redis-server", &args);
        let server = Self { port, args, authority, process, folder };
        server.await_answer();
        server
    }

    fn await_answer(&self) {
        let answered = wait_for(|| self.answers().then_some(()));
        answered.unwrap_or_else(|| panic!("redis: {}", self.process.log_tail()));
    }

    fn answers(&self) -> bool {
        assert!(self.process.runs(), "redis-server ended: {}", self.process.log_tail());
        let mut asking = Command::new("redis-cli");
        asking.args(["-h", "localhost", "-p", &self.port.to_string()]);
        if let Some(authority) = &self.authority {
            asking.args(["--tls", "--cacert", authority.to_str().unwrap(), "--no-auth-warning", "-a", PASSWORD]);
        }
        asking.arg("PING").output().is_ok_and(|output| output.stdout.starts_with(b"PONG"))
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`, or with password and TLS `rediss://:PASSWORD@localhost:PORT`.
    pub fn url(&self) -> String {
        match self.authority {
            None => format!("redis://127.0.0.1:{}", self.port),
            Some(_) => format!("rediss://:{PASSWORD}@localhost:{}", self.port),
        }
    }

    /// The certificate of the authority that vouches for a secured server, PEM.
    ///
    /// # Panics
    /// When the server is not [secured](Self::start_secured).
    pub fn authority(&self) -> &Path {
        self.authority.as_deref().expect("a server without TLS has no authority")
    }

    /// Runs a command by `redis-cli` and gives what it printed, one reply a line.
    pub fn command(&self, words: &[&str]) -> String {
        run("redis-cli", &[&["-h", "127.0.0.1", "-p", &self.port.to_string()], words].concat())
    }

    /// Stops it without closing connections (SIGSTOP): it accepts and never answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::kill`], on the same port, empty.
    pub fn restart(&mut self) {
        self.process = Guarded::start(self.folder.path(), "redis-server", &self.args);
        self.await_answer();
    }
}

/// A Redis Cluster of three servers that share all slots.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one on free ports.
    pub fn start() -> Self {
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let (port, bus) = (free_port(), free_port());
                let listen =
                    format!("--port {port} --cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 2000");
                RedisServer::start_with(port, &listen, |_| (String::new(), None))
            })
            .collect();
        let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        run("redis-cli", &[&["--cluster", "create"], &addresses[..], &["--cluster-yes"]].concat());
        let complete = || nodes.iter().all(|node| node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
        wait_for(|| complete().then_some(())).expect("the cluster never came together");
        Self { nodes }
    }

    /// The URLs of its nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Its nodes.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }
}
