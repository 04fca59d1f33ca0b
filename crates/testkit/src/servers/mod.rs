//! Real servers for tests: started on a free port in a folder of their own, gone when the test ends.
//!
//! - [`MariaDb::shared`] is one server for all tests of a run, whatever processes they run in: the first process that
//!   needs it starts it, it ends a few seconds after the last one. Each test takes a [`TestDatabase`] of its own.
//!   `HAAT_TEST_MYSQL_URL=mysql://user:password@host:port` names a server to use instead, of any make.
//! - [`MariaDb::start`] is a server for one test, to be stopped, killed, started again ([`MariaDb::pause`] and so on);
//!   [`MariaDb::start_with_tls`] has certificates as well.
//! - [`RedisServer::start`] likewise, [`RedisServer::start_secured`] with password and TLS, [`RedisCluster::start`] a cluster.
//! - [`upstream::DemoUpstream::start`] is an upstream of other people's products, in the test's own process, that can be
//!   made slow, broken or absent.
//!
//! A missing server program fails the test with the line that installs it: nothing is skipped silently.

mod certificates;
mod mariadb;
mod process;
mod redis;
mod shared;

pub use haat_demo_upstream as upstream;

pub use certificates::Certificates;
pub use mariadb::{MariaDb, TestDatabase};
pub use redis::{RedisCluster, RedisServer};

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a server may take to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until `ready` gives something, looking often; `None` after [`PATIENCE`].
fn wait_for<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        // Another process tells nobody when it is ready: it has to be asked.
        #[allow(clippy::disallowed_methods, reason = "between two looks; the wait ends with the condition")]
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a program to its end; fails the test with what it said when it fails, or how to install it.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; {}", how_to_install(program)));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn how_to_install(program: &str) -> &'static str {
    match program {
        "openssl" => "install it with: apt-get install openssl",
        "redis-server" => "install it with: apt-get install redis-server",
        _ => "install it with: apt-get install mariadb-server",
    }
}

/// Where servers keep their files: beside the test programs, so that `cargo clean` removes what a crash may leave.
fn base_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let build = program.ancestors().find(|folder| folder.join("deps").is_dir());
    let folder = build.map_or_else(std::env::temp_dir, PathBuf::from).join("haat-testkit");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
