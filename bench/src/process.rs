//! Running a command and watching what it takes, and reading what a process holds.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// What a finished command took.
#[derive(Debug, Clone)]
pub struct Cost {
    /// From start to end.
    pub elapsed: Duration,
    /// The most memory it held, bytes: all of it, and without mapped files.
    pub peak: u64,
    /// What it said.
    pub said: String,
}

/// Memory of a process, bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// All resident memory, mapped files included.
    pub resident: u64,
    /// Memory that no file backs: what the process needs for itself.
    pub anonymous: u64,
    /// Pages of mapped files that are in memory; the system takes them back when it needs them.
    pub mapped: u64,
    /// The most that was resident.
    pub peak: u64,
}

/// Reads `/proc/PID/status`.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| -> u64 {
        let line = text.lines().find(|l| l.starts_with(name));
        line.and_then(|l| l.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Ok(Memory { resident: kib("VmRSS:"), anonymous: kib("RssAnon:"), mapped: kib("RssFile:"), peak: kib("VmHWM:") })
}

/// The processor time that a process has taken so far, to a hundredth of a second (`/proc/PID/stat`).
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may have anything in it, so fields are counted from its closing parenthesis: utime and stime.
    let fields = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

/// Bytes that this process and those of its children that have ended have sent to disks so far (`/proc/self/io`).
pub fn written() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.context("the system does not count what processes write")?.trim().parse().context("bytes")
}

/// Runs a command to its end.
///
/// # Errors
/// When it fails; the message has its last lines.
pub async fn measure(mut command: Command) -> anyhow::Result<Cost> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id().context("the command ended at once")?;
    let output = tokio::spawn({
        let (out, err) = (child.stdout.take(), child.stderr.take());
        async move {
            let (out, err) = tokio::join!(read_all(out), read_all(err));
            format!("{out}{err}")
        }
    });
    let mut peak = 0;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                peak = peak.max(memory(pid).map_or(0, |m| m.peak));
            }
        }
    };
    let elapsed = started.elapsed();
    let output = output.await?;
    let tail: Vec<&str> = output.lines().rev().take(15).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    ensure!(status.success(), "{command:?} failed: {status}\n{}", tail.join("\n"));
    println!("{}", tail.join("\n"));
    Ok(Cost { elapsed, peak, said: output })
}

/// Runs a command to its end for what it answers on standard output, which may be a secret and is not shown.
///
/// # Errors
/// When it fails; the message has what it said on standard error.
pub async fn answer(mut command: Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().await?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

async fn read_all(from: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What could be read until the pipe broke is still worth showing.
        let _ = from.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks a process to end.
pub async fn terminate(pid: u32) -> anyhow::Result<()> {
    Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
    Ok(())
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Bytes as megabytes (10^6), for tables.
pub fn mb(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
