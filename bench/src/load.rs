//! Sending listings and timing them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;

use crate::client::Client;

/// Latencies in microseconds.
pub type Latencies = Histogram<u64>;

/// A histogram up to a minute, to three digits.
pub fn latencies() -> anyhow::Result<Latencies> {
    Ok(Histogram::new_with_max(60_000_000, 3)?)
}

/// Adds a duration.
pub fn record(into: &mut Latencies, took: Duration) {
    into.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
}

/// Milliseconds at a quantile, as they are written in a table.
pub fn ms(of: &Latencies, quantile: f64) -> String {
    format!("{:.2}", of.value_at_quantile(quantile) as f64 / 1_000.0)
}

/// What a run showed.
pub struct Outcome {
    /// How long each took.
    pub latency: Latencies,
    /// How long all took.
    pub elapsed: Duration,
    /// Answers without products.
    pub empty: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latency: latencies()?, elapsed: Duration::ZERO, empty: 0, bytes: 0 })
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        self.empty += other.empty;
        self.bytes += other.bytes;
        Ok(())
    }

    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Answers without products, in percent.
    pub fn empty_percent(&self) -> f64 {
        100.0 * self.empty as f64 / self.latency.len().max(1) as f64
    }
}

/// Sends every target once, over so many connections, each sending its next request when it has the answer.
pub async fn closed_loop(port: u16, connections: usize, targets: Vec<String>) -> anyhow::Result<Outcome> {
    let (targets, next) = (Arc::new(targets), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (targets, next) = (targets.clone(), next.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(port).await?;
                let mut outcome = Outcome::new()?;
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(&mut client, target, Instant::now(), &mut outcome).await?;
                }
                anyhow::Ok(outcome)
            })
        })
        .collect();
    collect(tasks, started).await
}

/// Sends targets at a fixed rate until told to stop, whether or not the answers keep up: a request that had to wait
/// for its turn counts the waiting.
pub async fn paced(port: u16, per_second: u32, targets: Vec<String>, stop: Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    const CONNECTIONS: usize = 8;
    ensure!(!targets.is_empty(), "nothing to send");
    let (targets, next) = (Arc::new(targets), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let gap = Duration::from_secs(1) / per_second;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (targets, next, stop) = (targets.clone(), next.clone(), stop.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(port).await?;
                let mut outcome = Outcome::new()?;
                while !stop.load(Ordering::Relaxed) {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let due = started + gap * u32::try_from(turn)?;
                    let early = due > Instant::now();
                    tokio::time::sleep_until(due.into()).await;
                    // A timer that wakes late is the generator's fault; a connection that was busy is the server's.
                    let begun = if early { Instant::now() } else { due };
                    if let Some(target) = targets.get(turn % targets.len()) {
                        one(&mut client, target, begun, &mut outcome).await?;
                    }
                }
                anyhow::Ok(outcome)
            })
        })
        .collect();
    collect(tasks, started).await
}

async fn one(client: &mut Client, target: &str, begun: Instant, outcome: &mut Outcome) -> anyhow::Result<()> {
    let answer = client.get(target).await?;
    record(&mut outcome.latency, begun.elapsed());
    ensure!(answer.status == 200, "{target}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    outcome.empty += u64::from(answer.is_empty_listing());
    outcome.bytes += u64::try_from(answer.body.len())?;
    Ok(())
}

async fn collect(
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Outcome>>>,
    started: Instant,
) -> anyhow::Result<Outcome> {
    let mut all = Outcome::new()?;
    for task in tasks {
        all.add(&task.await??)?;
    }
    all.elapsed = started.elapsed();
    Ok(all)
}
