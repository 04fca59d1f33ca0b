//! One of several processes: this test program, run for one test that does what it is told over a connection.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_cache::Cache;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_catalog::time::SystemClock;
use haat_outbound::Caller;
use haat_outbound::tokens::{Authorized, TokenManager};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::stage::{Plain, api, ask, draft, manager_of, options, shared};

/// Names the address of whoever tells this process what to do.
const VARIABLE: &str = "HAAT_TEST_TOKEN_WORKER";

/// What a process works with.
#[derive(Clone, Serialize, Deserialize)]
pub struct Setup {
    pub redis: String,
    pub provider: std::net::SocketAddr,
    /// How long a Redis command may take.
    pub patience_ms: u64,
    pub lock_ms: u64,
}

#[derive(Serialize, Deserialize)]
enum Order {
    /// So many callers want a token.
    Ask(usize),
    /// So many callers call the API.
    Call(usize),
}

/// What came of an order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// What callers were given, and how many. Of `Ask` without numbers.
    pub given: BTreeMap<String, usize>,
    pub took: Duration,
}

/// A process, as the test sees it. It is killed when the test lets go of it.
pub struct Worker {
    process: Child,
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
}

impl Worker {
    /// Starts so many; they are connected to Redis.
    pub async fn start<const N: usize>(setup: &Setup) -> [Self; N] {
        let mut workers = Vec::new();
        for _ in 0..N {
            workers.push(Self::start_one(setup).await);
        }
        workers.try_into().ok().unwrap()
    }

    async fn start_one(setup: &Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker::worker", "--ignored", "--nocapture"])
            .env(VARIABLE, listener.local_addr().unwrap().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let (stream, _) = tokio::time::timeout(Duration::from_secs(60), listener.accept()).await.unwrap().unwrap();
        let (read, orders) = stream.into_split();
        let mut worker = Self { process: process.unwrap(), lines: BufReader::new(read).lines(), orders };
        worker.write(&serde_json::to_string(setup).unwrap()).await;
        assert_eq!(worker.read().await, "ready");
        worker
    }

    async fn write(&mut self, line: &str) {
        self.orders.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line()).await;
        line.expect("a worker does not answer").unwrap().expect("a worker has ended")
    }

    /// Lets so many callers want a token; see [`Self::report`].
    pub async fn ask(&mut self, times: usize) {
        self.write(&serde_json::to_string(&Order::Ask(times)).unwrap()).await;
    }

    /// Lets so many callers call the API; see [`Self::report`].
    pub async fn call(&mut self, times: usize) {
        self.write(&serde_json::to_string(&Order::Call(times)).unwrap()).await;
    }

    /// What came of it.
    pub async fn report(&mut self) -> Report {
        let line = self.read().await;
        serde_json::from_str(&line).unwrap()
    }

    /// Kills it (SIGKILL).
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }
}

async fn calls(caller: Arc<dyn Caller>, setup: &Setup, times: usize) -> BTreeMap<String, usize> {
    let mut callers = JoinSet::new();
    for _ in 0..times {
        let (caller, call) = (Arc::clone(&caller), api(Some(setup.provider)));
        callers.spawn(async move {
            match caller.call(call).await {
                Ok(answer) => answer.status.as_u16().to_string(),
                Err(error) => error.to_string(),
            }
        });
    }
    let mut given = BTreeMap::new();
    for outcome in callers.join_all().await {
        *given.entry(outcome).or_default() += 1;
    }
    given
}

async fn obey(stream: TcpStream) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let setup: Setup = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let patience = Duration::from_millis(setup.patience_ms);
    let redis = RedisOptions { urls: vec![setup.redis.clone()], patience, ..RedisOptions::default() };
    let redis = RedisCache::open(redis).unwrap();
    assert!(redis.reached(Duration::from_secs(20)).await);
    let (cache, plain): (Arc<dyn Cache>, _) = (Arc::new(redis), Plain::client());
    let mut options = options();
    options.lock = Duration::from_millis(setup.lock_ms);
    let credentials = draft(Some(setup.provider));
    let manager: TokenManager = manager_of(credentials, options, &plain, shared(&cache), Arc::new(SystemClock));
    let authorized: Arc<dyn Caller> = Arc::new(Authorized::new(plain, manager.clone()));
    write.write_all(b"ready\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let began = Instant::now();
        let given = match serde_json::from_str(&line).unwrap() {
            Order::Ask(times) => {
                let given = ask(std::slice::from_ref(&manager), times).await;
                given.into_iter().map(|given| (given.unwrap_or_else(|error| error.to_string()), 1)).collect()
            }
            Order::Call(times) => calls(Arc::clone(&authorized), &setup, times).await,
        };
        let report = Report { given, took: began.elapsed() };
        write.write_all(format!("{}\n", serde_json::to_string(&report).unwrap()).as_bytes()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "other tests run it as a process of its own"]
async fn worker() {
    if let Ok(address) = std::env::var(VARIABLE) {
        obey(TcpStream::connect(address).await.unwrap()).await;
    }
}
