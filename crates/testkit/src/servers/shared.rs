//! One MariaDB for all tests of a run, though nextest runs every test in a process of its own.
//!
//! Every process that uses the server holds a shared lock on a file, which the system gives back when the process
//! ends, however it ends. A guard beside the server waits for the exclusive lock: once it can have it for a while,
//! nobody is left, and it ends the server.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use reqwest::Url;

use super::mariadb::{Address, arguments, copy_template, greets};
use super::process::log_tail;
use super::{base_folder, free_port, wait_for};

/// Starts the server and ends it, with its folder, when nobody has held the lease for five seconds.
const GUARD: &str = r#"
folder=$1; lease=$2; shift 2
"$@" </dev/null >>"$folder/log" 2>&1 &
pid=$!
exec 9>>"$lease"
while kill -0 "$pid" 2>/dev/null; do
    flock -x 9; flock -u 9
    sleep 5
    if flock -n -x 9; then break; fi
done
kill -9 "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
rm -rf "$folder"
"#;

/// The lock that says that this process uses the server. Kept until the process ends.
static LEASE: Mutex<Option<File>> = Mutex::new(None);

/// The shared server's address, once it answers.
pub(super) fn address() -> Address {
    match std::env::var("HAAT_TEST_MYSQL_URL") {
        Ok(url) => from_url(&url),
        Err(_) => Address::local(start_or_join()),
    }
}

fn from_url(url: &str) -> Address {
    let url: Url = url.parse().expect("HAAT_TEST_MYSQL_URL is mysql://user:password@host:port");
    Address {
        host: url.host_str().unwrap_or("127.0.0.1").to_owned(),
        port: url.port().unwrap_or(3306),
        user: if url.username().is_empty() { "root".to_owned() } else { url.username().to_owned() },
        password: url.password().unwrap_or_default().to_owned(),
    }
}

fn start_or_join() -> u16 {
    let base = base_folder();
    let lease_path = base.join("mariadb-shared.lease");
    // One process at a time looks and starts.
    let turn = File::create(base.join("mariadb-shared.lock")).unwrap();
    turn.lock().unwrap();
    // Waits while a guard is ending the server.
    let lease = File::options().create(true).append(true).open(&lease_path).unwrap();
    lease.lock_shared().unwrap();
    *LEASE.lock().unwrap() = Some(lease);

    let folder = base.join("mariadb-shared");
    let running = std::fs::read_to_string(folder.join("port")).ok().and_then(|port| port.parse().ok());
    if let Some(port) = running.filter(|port| greets(*port)) {
        return port;
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let port = free_port();
    launch(&folder, &lease_path, port);
    let ready = wait_for(|| greets(port).then_some(()));
    assert!(ready.is_some(), "mariadbd does not answer: {}", log_tail(&folder));
    std::fs::write(folder.join("port"), port.to_string()).unwrap();
    port
}

#[allow(clippy::zombie_processes, reason = "the guard outlives this process")]
fn launch(folder: &Path, lease: &Path, port: u16) {
    let data = folder.join("data");
    copy_template(&data);
    let guard = Command::new("sh")
        .args(["-c", GUARD, "sh"])
        .args([folder, lease])
        .arg("mariadbd")
        .args(arguments(&data, port))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Outlives this process and whatever is sent to it.
        .process_group(0)
        .spawn();
    guard.unwrap();
}
