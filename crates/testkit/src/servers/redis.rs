//! A Redis server for one test.

use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::TempDir;

use super::process::Guarded;
use super::{base_folder, free_port, wait_for};

/// A Redis server without persistence, gone when dropped.
pub struct RedisServer {
    port: u16,
    process: Guarded,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let folder = TempDir::new_in(base_folder()).unwrap();
        let port = free_port();
        let dir = folder.path().to_str().unwrap();
        let args = format!("--port {port} --bind 127.0.0.1 --appendonly no --dir {dir} --save");
        // An empty word of its own for `--save ""`.
        let args: Vec<String> = args.split(' ').map(str::to_owned).chain([String::new()]).collect();
        let process = Guarded::start(folder.path(), "redis-server", &args);
        let server = Self { port, process, _folder: folder };
        wait_for(|| server.answers().then_some(())).unwrap_or_else(|| panic!("redis: {}", server.process.log_tail()));
        server
    }

    fn answers(&self) -> bool {
        assert!(self.process.runs(), "redis-server ended: {}", self.process.log_tail());
        let mut answer = [0; 5];
        TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut stream| {
                stream.write_all(b"PING\r\n")?;
                stream.read_exact(&mut answer)
            })
            .is_ok_and(|()| &answer == b"+PONG")
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
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
}
