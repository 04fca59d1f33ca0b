//! Requests that are written down one by one: at arrival times fixed beforehand, in a closed loop, or all at once.
//!
//! Where arrival times are fixed, a request whose turn came while every connection was busy counts from its turn, not
//! from when it could be sent: a server that stalls is charged for all who came meanwhile (no coordinated omission).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::client::{Answer, Client};
use crate::live;
use crate::load::{Latencies, latencies, record};

/// Who answered, by `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// The server's memory.
    Memory,
    /// Redis.
    Redis,
    /// Another request's computation.
    Collapsed,
    /// It was computed.
    Miss,
    /// Nobody says.
    Unsaid,
}

impl Cached {
    /// What an answer says.
    pub fn of(answer: &Answer) -> Self {
        match answer.field("cache-status") {
            Some(status) if status.contains("detail=memory") => Self::Memory,
            Some(status) if status.contains("detail=redis") => Self::Redis,
            Some(status) if status.contains("collapsed") => Self::Collapsed,
            Some(status) if status.contains("fwd=miss") => Self::Miss,
            _ => Self::Unsaid,
        }
    }
}

/// A request and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// From when it counts: its turn, or when it was sent if only the generator's timer was late.
    pub begun: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// When the answer was there.
    pub received: Instant,
    /// The status code.
    pub status: u16,
    /// Who answered.
    pub cached: Cached,
    /// What it says of live values ([`live::said`]).
    pub live: Option<&'static str>,
    /// Its body among [`Run::bodies`], where they are kept.
    pub body: Option<usize>,
}

impl Seen {
    /// How long it took.
    pub fn latency(&self) -> Duration {
        self.received - self.begun
    }
}

/// All that was seen.
pub struct Run {
    /// When it began.
    pub started: Instant,
    /// Until the last answer.
    pub elapsed: Duration,
    /// One per request, in no order.
    pub seen: Vec<Seen>,
    /// Bodies that differ by their entity tags.
    pub bodies: Vec<Vec<u8>>,
    /// How late the generator's own timers were.
    pub late: Latencies,
}

impl Run {
    /// Latencies of the answers that `which` picks.
    pub fn latency(&self, which: impl Fn(&Seen) -> bool) -> anyhow::Result<Latencies> {
        let mut all = latencies()?;
        self.seen.iter().filter(|seen| which(seen)).for_each(|seen| record(&mut all, seen.latency()));
        Ok(all)
    }

    /// How many answers `which` picks.
    pub fn count(&self, which: impl Fn(&Seen) -> bool) -> usize {
        self.seen.iter().filter(|seen| which(seen)).count()
    }

    /// Refuses anything but 200.
    pub fn all_ok(self) -> anyhow::Result<Self> {
        match self.seen.iter().find(|seen| seen.status != 200) {
            None => Ok(self),
            Some(seen) => anyhow::bail!("a request was answered with {}; see the server's log", seen.status),
        }
    }
}

/// A request's turn.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When, from the beginning.
    pub at: Duration,
    /// Which target.
    pub target: usize,
}

/// Evenly spaced turns over all targets, round and round.
pub fn steady(per_second: f64, lasting: Duration, targets: usize) -> Vec<Arrival> {
    // Rates and durations of a benchmark are small numbers.
    let count = (per_second * lasting.as_secs_f64()) as usize;
    (0..count)
        .map(|i| Arrival { at: Duration::from_secs_f64(i as f64 / per_second), target: i % targets.max(1) })
        .collect()
}

/// What one server is asked.
pub struct Lane {
    /// Which server.
    pub port: u16,
    /// Over how many connections.
    pub connections: usize,
    /// When what, in order of time.
    pub arrivals: Vec<Arrival>,
}

/// What the tasks of a run share.
struct Shared {
    targets: Arc<Vec<String>>,
    log: Mutex<Log>,
    keep: bool,
}

struct Log {
    seen: Vec<Seen>,
    bodies: Vec<Vec<u8>>,
    tags: HashMap<String, usize>,
    late: Latencies,
}

impl Shared {
    fn new(targets: &Arc<Vec<String>>, keep: bool) -> anyhow::Result<Arc<Self>> {
        ensure!(!targets.is_empty(), "nothing to send");
        let log = Log { seen: Vec::new(), bodies: Vec::new(), tags: HashMap::new(), late: latencies()? };
        Ok(Arc::new(Self { targets: targets.clone(), log: Mutex::new(log), keep }))
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, client: &mut Client, target: usize, begun: Instant) -> anyhow::Result<()> {
        let text = self.targets.get(target).context("a target that is not there")?;
        let sent = Instant::now();
        let answer = client.get(text).await?;
        self.note(begun, sent, answer);
        Ok(())
    }

    fn note(&self, begun: Instant, sent: Instant, answer: Answer) {
        let received = Instant::now();
        let (status, cached, live) = (answer.status, Cached::of(&answer), live::said(&answer));
        let mut log = self.log();
        let body = if self.keep { log.body(answer) } else { None };
        log.seen.push(Seen { begun, sent, received, status, cached, live, body });
    }

    fn end(&self, started: Instant) -> Run {
        let log = &mut *self.log();
        let (seen, bodies, late) = (std::mem::take(&mut log.seen), std::mem::take(&mut log.bodies), log.late.clone());
        let last = seen.iter().map(|seen| seen.received).max().unwrap_or(started);
        Run { started, elapsed: last - started, seen, bodies, late }
    }
}

impl Log {
    /// Where the body is kept; bodies of one entity tag are the same.
    fn body(&mut self, answer: Answer) -> Option<usize> {
        let tag = answer.field("etag")?;
        if let Some(known) = self.tags.get(tag) {
            return Some(*known);
        }
        let place = self.bodies.len();
        self.tags.insert(tag.to_owned(), place);
        self.bodies.push(answer.body);
        Some(place)
    }
}

async fn connect(port: u16, connections: usize) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(Client::connect(port).await.context("connecting; are there enough open files (ulimit -n)?")?);
    }
    Ok(clients)
}

/// Sends every arrival at its time, or as soon after it as a connection is free. `keep` keeps the bodies.
pub async fn open(lanes: Vec<Lane>, targets: &Arc<Vec<String>>, keep: bool) -> anyhow::Result<Run> {
    let shared = Shared::new(targets, keep)?;
    let mut ready = Vec::new();
    for lane in lanes {
        let (clients, turns) = (connect(lane.port, lane.connections).await?, Arc::new(lane.arrivals));
        let next = Arc::new(AtomicUsize::new(0));
        ready.extend(clients.into_iter().map(|client| (client, turns.clone(), next.clone())));
    }
    let started = Instant::now() + Duration::from_millis(50);
    let tasks = ready.into_iter().map(|(mut client, turns, next)| {
        let shared = shared.clone();
        tokio::spawn(async move {
            while let Some(turn) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
                let due = started + turn.at;
                let early = due > Instant::now();
                tokio::time::sleep_until(due.into()).await;
                let now = Instant::now();
                if early {
                    record(&mut shared.log().late, now - due);
                }
                // A timer that wakes late is the generator's fault; a connection that was busy is the server's.
                shared.ask(&mut client, turn.target, if early { now } else { due }).await?;
            }
            anyhow::Ok(())
        })
    });
    finish(tasks.collect()).await?;
    Ok(shared.end(started))
}

/// So many connections, each sending its next request when it has its answer, for so long.
pub async fn closed(
    port: u16,
    connections: usize,
    lasting: Duration,
    targets: &Arc<Vec<String>>,
) -> anyhow::Result<Run> {
    let (shared, next) = (Shared::new(targets, false)?, Arc::new(AtomicUsize::new(0)));
    let clients = connect(port, connections).await?;
    let started = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        let (shared, next) = (shared.clone(), next.clone());
        tokio::spawn(async move {
            while started.elapsed() < lasting {
                let target = next.fetch_add(1, Ordering::Relaxed) % shared.targets.len().max(1);
                shared.ask(&mut client, target, Instant::now()).await?;
            }
            anyhow::Ok(())
        })
    });
    finish(tasks.collect()).await?;
    Ok(shared.end(started))
}

/// One target, asked over so many connections to each of the servers, all of them open before and written to in one go.
pub async fn at_once(ports: &[u16], connections: usize, target: &str) -> anyhow::Result<Run> {
    let shared = Shared::new(&Arc::new(vec![target.to_owned()]), false)?;
    let mut lanes = Vec::new();
    for port in ports {
        lanes.push(connect(*port, connections).await?);
    }
    let started = Instant::now();
    let mut waiting = Vec::new();
    // In turn, so that no server has all of its requests before the others have any.
    while lanes.iter().any(|lane| !lane.is_empty()) {
        for mut client in lanes.iter_mut().filter_map(Vec::pop) {
            let sent = Instant::now();
            client.send(target).await?;
            waiting.push((client, sent));
        }
    }
    let tasks = waiting.into_iter().map(|(mut client, sent)| {
        let shared = shared.clone();
        tokio::spawn(async move {
            let answer = client.answer().await?;
            shared.note(sent, sent, answer);
            anyhow::Ok(())
        })
    });
    finish(tasks.collect()).await?;
    Ok(shared.end(started))
}

async fn finish(tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>) -> anyhow::Result<()> {
    for task in tasks {
        task.await??;
    }
    Ok(())
}
