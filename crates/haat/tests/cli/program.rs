//! A folder to run `haat` in, with nothing of the surrounding environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long anything may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A working folder, and the variables that commands run there see.
pub struct Desk {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its answer, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Desk {
    /// A new folder; servers take any free port.
    pub fn new() -> Self {
        let variables = BTreeMap::from([("PORT".to_owned(), "0".to_owned())]);
        Self { folder: tempfile::tempdir().unwrap(), variables }
    }

    /// Sets a variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes a file.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Where a file would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haat"));
        command.args(args).current_dir(self.folder.path()).env_clear().envs(&self.variables).kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "").await
    }

    /// Runs a command to its end with `input` on its standard input.
    pub async fn run_with(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // A command that does not read its input closes the pipe; that is no failure of the test.
        let feed = tokio::spawn(async move { drop(stdin.write_all(&input).await) });
        let ended = timeout(SOON * 2, child.wait_with_output()).await.expect("the command ends").unwrap();
        feed.await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
    }

    /// Starts a server and waits until it says where it listens.
    pub async fn serve(&self, args: &[&str]) -> Server {
        self.start(&[&["serve"], args].concat()).await
    }

    /// Starts a command that serves, and waits until it says where it listens.
    pub async fn start(&self, args: &[&str]) -> Server {
        let log = std::fs::File::create(self.path("server.log")).unwrap();
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut server = Server {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            url: String::new(),
            said: String::new(),
            log: self.path("server.log"),
        };
        let line = server.line_with("listen").await;
        let start = line.find("http://").unwrap();
        server.url = line[start..].split(['"', ' ']).next().unwrap().trim_end_matches('\\').to_owned();
        server
    }

    /// Starts a server and waits until it is ready.
    pub async fn serve_ready(&self, args: &[&str]) -> Server {
        let server = self.serve(args).await;
        server.eventually("/readyz", |status, _| status == 200).await;
        server
    }
}

/// A running `haat serve`, or another command that serves; killed when dropped.
pub struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    pub url: String,
    /// What it has said on standard output, as far as it was read.
    pub said: String,
}

impl Server {
    /// The next line on standard output that has `part` in it.
    pub async fn line_with(&mut self, part: &str) -> String {
        let found = timeout(SOON, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push_str(&format!("{line}\n"));
                if line.contains(part) {
                    return Some(line);
                }
            }
            None
        });
        found.await.ok().flatten().unwrap_or_else(|| panic!("the server never said '{part}'; its log:\n{}", self.log()))
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks for a page; gives status and body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = reqwest::Client::new().get(format!("{}{path}", self.url)).timeout(SOON).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Asks for a page until it is as wanted.
    pub async fn eventually(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let asked = timeout(SOON, async {
            loop {
                tick.tick().await;
                let (status, body) = self.get(path).await;
                if wanted(status, &body) {
                    return body;
                }
            }
        });
        asked.await.unwrap_or_else(|_| panic!("{path} never came to be as wanted; the server's log:\n{}", self.log()))
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().expect("it is still running").to_string();
        assert!(std::process::Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let ended = timeout(within, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the server did not end within {within:?}; its log:\n{}", self.log())).unwrap()
    }

    /// Asks it to stop, and checks that it ends well.
    pub async fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended(SOON).await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

/// A product of no importance, as a line of NDJSON.
pub fn product(sku: &str, name: &str) -> String {
    format!("{{\"sku\":\"{sku}\",\"name\":\"{name}\",\"price\":{{\"amount\":100,\"currency\":\"EUR\"}}}}\n")
}
