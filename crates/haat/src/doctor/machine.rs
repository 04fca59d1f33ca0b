//! The machine: the data folder, the port, the limits of the process.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Finding;
use crate::config::Config;
use crate::config::units::Size;
use crate::data_dir::DataDir;

/// Less free space than this and the next import or merge of the index may fail.
const FEW_BYTES: Size = Size::gib(1);
/// Less than this and even small writes will fail soon.
const HARDLY_ANY_BYTES: Size = Size::mib(100);
/// Files beside connections: the index's, the database's, logs.
const OTHER_FILES: u64 = 512;

/// The folder: there, ours alone, writable, with room.
pub fn data_folder(data: &DataDir) -> Vec<Finding> {
    let shown = data.path().display();
    let about = match std::fs::metadata(data.path()) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            let detail = format!("{shown} is not a folder");
            return vec![Finding::fail("data folder", detail, "name a folder with HAAT_DATA_DIR or --data-dir")];
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let detail = format!("{shown} is not there yet");
            return vec![Finding::warn("data folder", detail, "nothing to do: `haat serve` and `haat import` make it")];
        }
        Err(e) => {
            let detail = format!("{shown} cannot be looked into: {e}");
            return vec![Finding::fail("data folder", detail, "let the user that runs Haat have access to it")];
        }
    };
    let mode = about.permissions().mode() & 0o777;
    let mut findings = vec![match writable(data.path()) {
        Err(e) => {
            let detail = format!("{shown} cannot be written to: {e}");
            Finding::fail("data folder", detail, "let the user that runs Haat own it")
        }
        Ok(()) if mode & 0o077 != 0 => {
            let detail = format!("{shown} is open to other users of this machine (mode {mode:o})");
            Finding::warn("data folder", detail, format!("chmod 700 {shown}"))
        }
        Ok(()) => Finding::ok("data folder", format!("{shown} is writable, and ours alone")),
    }];
    findings.push(disk_space(data.path()));
    findings
}

fn writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&probe, b"probe")?;
    std::fs::remove_file(&probe)
}

fn disk_space(folder: &Path) -> Finding {
    let advice = "free some space, or move the folder to a larger disk";
    match rustix::fs::statvfs(folder) {
        Err(e) => Finding::warn("disk space", format!("unknown: {e}"), "look with `df`"),
        Ok(disk) => {
            let free = Size::bytes(disk.f_bavail.saturating_mul(disk.f_frsize));
            let detail = format!("{} MiB free", free.get() >> 20);
            match free {
                free if free < HARDLY_ANY_BYTES => Finding::fail("disk space", detail, advice),
                free if free < FEW_BYTES => Finding::warn("disk space", detail, advice),
                _ => Finding::ok("disk space", detail),
            }
        }
    }
}

/// The port: free, or taken by the server of this very folder.
pub fn port(config: &Config, data: &DataDir) -> Finding {
    let address = SocketAddr::new(config.http.bind.0, config.http.port);
    if config.http.port == 0 {
        return Finding::ok("port", "any free one");
    }
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(_) if data.path().is_dir() && data.is_served() => {
            Finding::ok("port", format!("{address} is taken, and a server is running on this data folder"))
        }
        Err(e) => {
            let advice = "stop the other program, or choose another port or address: PORT, HAAT_HTTP__BIND";
            Finding::fail("port", format!("{address} cannot be listened on: {e}"), advice)
        }
    }
}

/// Whether the process may open as many files as there may be connections.
pub fn file_limit(max_connections: usize) -> Finding {
    let needed = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    // `serve` raises the soft limit to the hard one, so that is what counts.
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < needed => {
            let detail = format!("{limit} open files at most, {needed} needed for {max_connections} connections");
            let advice = "raise it (ulimit -Hn, LimitNOFILE= of systemd), or lower http.max_connections";
            Finding::warn("file limit", detail, advice)
        }
        Some(limit) => Finding::ok("file limit", format!("{limit} open files")),
        None => Finding::ok("file limit", "none"),
    }
}

/// Raises the number of files this process may open to what the system allows it.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit on open files; many connections may find it too low");
    }
}
