//! A running `haat serve`.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Url};

use super::{SOON, eventually};

/// A process; killed when it is dropped.
pub struct Server {
    process: Child,
    log: PathBuf,
    address: SocketAddr,
    pub(super) client: Client,
    token: Arc<Mutex<String>>,
}

impl Server {
    /// Starts the command and waits until it says where it listens.
    pub(super) async fn spawn(command: &mut Command, log: PathBuf, token: Arc<Mutex<String>>) -> Self {
        let file = File::create(&log).unwrap();
        command.stdout(Stdio::from(file.try_clone().unwrap())).stderr(Stdio::from(file));
        let process = command.spawn().unwrap();
        let client = Client::builder().timeout(Duration::from_secs(60)).no_gzip().build().unwrap();
        let mut server = Self { process, log, address: SocketAddr::from(([127, 0, 0, 1], 0)), client, token };
        server.address = eventually("the server says where it listens", SOON, async || {
            if let Some(status) = server.process.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            address_in(&server.log())
        })
        .await;
        if let Some(secret) = secret_in(&server.log()) {
            let token = server.token_of("administrator", &secret, &[]).await;
            *server.token.lock().unwrap() = token;
        }
        server
    }

    /// A token of a client, with these parameters besides the grant.
    pub async fn token_of(&self, id: &str, secret: &str, parameters: &[(&str, &str)]) -> String {
        let form = [&[("grant_type", "client_credentials")], parameters].concat();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(self.url("/oauth/token")).basic_auth(id, Some(secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let reply = self.send(request).await.expect(200);
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A token that may do everything.
    pub fn token(&self) -> String {
        self.token.lock().unwrap().clone()
    }

    /// Waits until the server says it is ready.
    pub async fn ready(&self) {
        eventually("the server is ready", SOON, async || (self.get("/readyz").await.status == 200).then_some(())).await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path, written as it shall be sent.
    pub fn url(&self, path_and_query: &str) -> Url {
        format!("http://{}{path_and_query}", self.address).parse().unwrap()
    }

    /// All that the process has said.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Sends a signal: `KILL`, `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the server ends", within, async || self.process.try_wait().unwrap()).await
    }

    /// Asks the server to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended(SOON).await;
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; a frozen one is killed all the same.
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            let log = self.log();
            // Whoever waits for readiness asks often.
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("route=\"/readyz\"")).collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- the last lines of the server's log\n{}", tail.join("\n"));
        }
    }
}

/// Sends a signal to a process that this test started.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name}");
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

/// The secret of the first client, where a server says it at its first start.
fn secret_in(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("client_secret  ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The first `http://127.0.0.1:PORT` of a log.
fn address_in(log: &str) -> Option<SocketAddr> {
    // A line that is not finished may end in half a number.
    let whole = &log[..log.rfind('\n')?];
    let (_, rest) = whole.split_once("http://127.0.0.1:")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|port| *port != 0).map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)))
}
