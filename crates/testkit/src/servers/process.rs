//! A server process that never outlives the test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{how_to_install, wait_for};

/// Starts the server, tells its process id, and waits for standard input to close: that happens when the test lets go
/// of it, and also when the test's process is killed. Then the server is killed, and its folder removed unless the
/// word `keep` was sent.
const GUARD: &str = r#"
folder=$1; shift
"$@" </dev/null >>"$folder/log" 2>&1 &
pid=$!
echo "$pid"
read -r word
kill -9 "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
[ "$word" = keep ] || rm -rf "$folder"
"#;

/// A server under a guard.
pub(super) struct Guarded {
    guard: Child,
    line: Option<ChildStdin>,
    pid: String,
    folder: PathBuf,
}

impl Guarded {
    /// Runs `program` with its log in `folder`, which goes with it.
    pub(super) fn start(folder: &Path, program: &str, args: &[String]) -> Self {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().unwrap();
        assert!(found.status.success(), "{program} is missing; {}", how_to_install(program));
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(folder)
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C goes to the test alone; the guard follows.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let line = guard.stdin.take();
        Self { guard, line, pid: pid.trim().to_owned(), folder: folder.to_owned() }
    }

    /// Sends a signal by name.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid]).status().unwrap();
        assert!(sent.success(), "kill -{name} {}", self.pid);
    }

    /// Stops all its threads (SIGSTOP) and waits until they stand still: until then it may still answer.
    pub(super) fn pause(&self) {
        self.signal("STOP");
        let stopped = wait_for(|| self.threads_stand_still().then_some(()));
        assert!(stopped.is_some(), "process {} does not stop", self.pid);
    }

    fn threads_stand_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        tasks.flatten().all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat"));
            // A thread that ended meanwhile stands still as well.
            stat.map_or(true, |stat| stat.contains(") T "))
        })
    }

    /// Whether the server still runs.
    pub(super) fn runs(&self) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        state.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Kills the server without a chance to tidy up (SIGKILL), keeps its folder.
    pub(super) fn kill(&mut self) {
        if let Some(mut line) = self.line.take() {
            writeln!(line, "keep").unwrap();
        }
        let _ = self.guard.wait();
        wait_for(|| (!self.runs()).then_some(())).unwrap_or_else(|| panic!("process {} lives on", self.pid));
    }

    /// The end of the server's log.
    pub(super) fn log_tail(&self) -> String {
        log_tail(&self.folder)
    }
}

/// The end of the log in a server's folder.
pub(super) fn log_tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A stopped process dies of SIGKILL all the same.
        drop(self.line.take());
        let _ = self.guard.wait();
    }
}
