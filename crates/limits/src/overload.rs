//! How much work there may be at once: as much as does not make all of it slow.
//!
//! The limit follows the latency of what was admitted, as in Envoy's adaptive concurrency filter and Netflix's
//! concurrency-limits: latency grows over its baseline when work waits for processors, and then the limit shrinks in
//! proportion; while it does not, and the limit is made use of, the limit grows. What is beyond the limit is refused at
//! once, which costs next to nothing, instead of waiting, which would cost everyone.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How work at once is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// To so much, whatever it takes.
    Fixed(usize),
    /// Between these two, by its latency.
    Adaptive {
        /// Never less.
        least: usize,
        /// Never more.
        most: usize,
    },
}

/// A limit on work at once.
pub struct Overload {
    mode: Concurrency,
    limit: AtomicUsize,
    at_work: AtomicUsize,
    waiting: AtomicUsize,
    done: Notify,
    window: Mutex<Window>,
    demand: Mutex<Demand>,
}

/// How much of what was asked for lately was refused.
struct Demand {
    began: Instant,
    admitted: u32,
    refused: u32,
    /// Whether there was twice as much in the last span as there may be: waiting helps nobody then, for whoever waits
    /// takes the place of one who comes later, and both have lost time.
    lasting: bool,
}

/// Over how long demand is counted.
const SPAN: Duration = Duration::from_millis(100);

impl Demand {
    fn roll(&mut self) {
        let elapsed = self.began.elapsed();
        if elapsed >= SPAN {
            // A span without anybody in it says that it is over.
            self.lasting = elapsed < 2 * SPAN && self.refused > 0 && self.refused >= self.admitted;
            (self.began, self.admitted, self.refused) = (Instant::now(), 0, 0);
        }
    }
}

/// A place among those who wait.
struct InLine<'a>(&'a Overload);

impl<'a> InLine<'a> {
    fn join(overload: &'a Overload) -> Option<Self> {
        let most = overload.limit();
        let joined = |n| (n < most).then_some(n + 1);
        overload.waiting.fetch_update(Ordering::AcqRel, Ordering::Relaxed, joined).ok()?;
        Some(Self(overload))
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The latencies of a short while.
struct Window {
    began: Instant,
    latencies: Vec<Duration>,
    /// The most that was at work.
    peak: usize,
    /// What work takes when nothing waits.
    baseline: Option<Duration>,
    /// The limit before it is rounded.
    limit: f64,
}

/// A window is looked at when it has so many latencies and is so old, or has the largest number of them.
const WINDOW: (usize, Duration, usize) = (20, Duration::from_millis(50), 500);
/// Latency may be so many times its baseline before the limit shrinks.
const TOLERANCE: f64 = 2.0;
/// By how much a baseline may rise per window in which as little was at work as may be: only then is it the work itself
/// that takes longer, and not the waiting. Under lasting overload the limit sinks that far if it has to.
const RISE: f64 = 1.1;
/// How fast the limit follows.
const WEIGHT: f64 = 0.3;

/// Leave to work; ends when it is dropped.
pub struct Permit {
    overload: Arc<Overload>,
    began: Instant,
    counts: bool,
}

impl Overload {
    /// Nothing is at work.
    pub fn new(mode: Concurrency) -> Arc<Self> {
        let limit = match mode {
            Concurrency::Fixed(limit) => limit.max(1),
            Concurrency::Adaptive { least, most } => (least * 4).min(most).max(least).max(1),
        };
        let window =
            Window { began: Instant::now(), latencies: Vec::new(), peak: 0, baseline: None, limit: number(limit) };
        Arc::new(Self {
            mode,
            limit: AtomicUsize::new(limit),
            at_work: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            done: Notify::new(),
            window: Mutex::new(window),
            demand: Mutex::new(Demand { began: Instant::now(), admitted: 0, refused: 0, lasting: false }),
        })
    }

    /// Leave to work, or `None` when there is enough at work.
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        let limit = self.limit.load(Ordering::Relaxed);
        let entered = self.at_work.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        entered.ok()?;
        Some(Permit { overload: Arc::clone(self), began: Instant::now(), counts: true })
    }

    /// The same, waiting so long at most until another's work is done: bursts are spread by that. Only as many as may be at
    /// work wait, and nobody while there is far too much to do for longer than a burst.
    pub async fn enter_within(self: &Arc<Self>, patience: Duration) -> Option<Permit> {
        let permit = match self.enter() {
            None if !self.is_lasting() => self.wait(patience).await,
            at_once => at_once,
        };
        let mut demand = self.demand.lock().unwrap_or_else(PoisonError::into_inner);
        match permit {
            Some(_) => demand.admitted += 1,
            None => demand.refused += 1,
        }
        permit
    }

    fn is_lasting(&self) -> bool {
        let mut demand = self.demand.lock().unwrap_or_else(PoisonError::into_inner);
        demand.roll();
        demand.lasting
    }

    async fn wait(self: &Arc<Self>, patience: Duration) -> Option<Permit> {
        let line = InLine::join(self)?;
        let deadline = Instant::now() + patience;
        loop {
            let mut done = pin!(line.0.done.notified());
            done.as_mut().enable();
            if let Some(permit) = self.enter() {
                return Some(permit);
            }
            if timeout_at(deadline, done).await.is_err() {
                return self.enter();
            }
        }
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// What is at work now.
    pub fn at_work(&self) -> usize {
        self.at_work.load(Ordering::Relaxed)
    }

    fn note(&self, latency: Duration, at_work: usize) {
        let Concurrency::Adaptive { least, most } = self.mode else { return };
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.peak = window.peak.max(at_work);
        window.latencies.push(latency);
        let (enough, old, full) = WINDOW;
        let count = window.latencies.len();
        if count >= full || count >= enough && window.began.elapsed() >= old {
            window.follow(number(least.max(1)), number(most.max(1)));
            // Not negative, and at most `most`.
            self.limit.store(window.limit.round() as usize, Ordering::Relaxed);
        }
    }
}

impl Window {
    fn follow(&mut self, least: f64, most: f64) {
        self.latencies.sort_unstable();
        let median = self.latencies.get(self.latencies.len() / 2).copied().unwrap_or_default();
        let median = median.max(Duration::from_micros(1));
        let quiet = number(self.peak) <= least;
        let rise = if quiet { RISE } else { 1.0 };
        let baseline = self.baseline.map_or(median, |known| known.mul_f64(rise).min(median));
        self.baseline = Some(baseline);
        let gradient = (TOLERANCE * baseline.as_secs_f64() / median.as_secs_f64()).clamp(0.5, 1.0);
        // Growing where nobody uses it would make the limit meaningless by the time it is needed.
        let room = if number(self.peak) * 2.0 >= self.limit { self.limit.sqrt() } else { 0.0 };
        let wanted = self.limit * gradient + room;
        self.limit = (self.limit + (wanted - self.limit) * WEIGHT).clamp(least, most);
        self.latencies.clear();
        self.peak = 0;
        self.began = Instant::now();
    }
}

impl Permit {
    /// Work that tells nothing about load (it failed, or its caller went away) leaves the limit as it is.
    pub fn forget_latency(&mut self) {
        self.counts = false;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let at_work = self.overload.at_work.fetch_sub(1, Ordering::AcqRel);
        self.overload.done.notify_one();
        if self.counts {
            self.overload.note(self.began.elapsed(), at_work);
        }
    }
}

fn number(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of `cores`: `at_once` pieces of work of 1 ms each take as long as they wait for a core.
    async fn work(overload: &Arc<Overload>, offered: usize, cores: usize, rounds: usize) -> (usize, Duration) {
        let mut refused = 0;
        let mut slowest = Duration::ZERO;
        for _ in 0..rounds {
            let permits: Vec<_> = (0..offered).filter_map(|_| overload.enter()).collect();
            refused += offered - permits.len();
            let latency = Duration::from_millis(1).mul_f64(number(permits.len().max(cores)) / number(cores));
            slowest = latency;
            tokio::time::advance(latency).await;
        }
        (refused, slowest)
    }

    #[tokio::test(start_paused = true)]
    async fn under_too_much_work_the_limit_finds_what_keeps_latency_near_its_baseline() {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        work(&overload, 2, 2, 500).await;
        let (refused, slowest) = work(&overload, 200, 2, 2_000).await;
        assert!(refused > 100_000, "{refused}");
        assert!(slowest < Duration::from_millis(8), "{slowest:?} at {}", overload.limit());
        assert!(overload.limit() >= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_machine_that_can_the_limit_grows() {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        work(&overload, 100, 1_000, 3_000).await;
        assert!(overload.limit() >= 100, "{}", overload.limit());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_longer_for_good_is_the_new_baseline() {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        work(&overload, 100, 20, 2_000).await;
        let before = overload.limit();
        // A fifth of the cores is gone, and all work is slower by it.
        work(&overload, 100, 4, 4_000).await;
        assert!(overload.limit() < before, "{before} to {}", overload.limit());
        work(&overload, 100, 20, 4_000).await;
        assert!(overload.limit() * 2 > before, "{before} to {}", overload.limit());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_limit_does_not_grow() {
        let overload = Overload::new(Concurrency::Adaptive { least: 4, most: 500 });
        let before = overload.limit();
        work(&overload, 1, 2, 5_000).await;
        assert_eq!(overload.limit(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_let_in_when_work_is_done_and_refused_when_it_takes_too_long() {
        let overload = Overload::new(Concurrency::Fixed(1));
        let at_work = overload.enter().unwrap();
        let waits = tokio::spawn({
            let overload = Arc::clone(&overload);
            async move { overload.enter_within(Duration::from_millis(3)).await.is_some() }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(overload.enter_within(Duration::from_millis(3)).await.is_none(), "one waits already");
        drop(at_work);
        assert!(waits.await.unwrap());
        let at_work = overload.enter().unwrap();
        let began = Instant::now();
        assert!(overload.enter_within(Duration::from_millis(3)).await.is_none());
        assert_eq!(began.elapsed(), Duration::from_millis(3));
        drop(at_work);
        assert_eq!((overload.at_work(), overload.waiting.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_while_there_is_far_too_much_for_long() {
        let overload = Overload::new(Concurrency::Fixed(1));
        let waited = async || {
            let began = Instant::now();
            assert!(overload.enter_within(Duration::from_millis(3)).await.is_none());
            began.elapsed()
        };
        let at_work = overload.enter().unwrap();
        for _ in 0..30 {
            assert_eq!(waited().await, Duration::from_millis(3), "a burst is waited out");
        }
        tokio::time::advance(SPAN - Duration::from_millis(90)).await;
        for _ in 0..200 {
            assert_eq!(waited().await, Duration::ZERO);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        tokio::time::advance(3 * SPAN).await;
        assert_eq!(waited().await, Duration::from_millis(3), "it is over");
        drop(at_work);
    }

    #[test]
    fn a_fixed_limit_is_what_it_says_and_permits_come_back() {
        let overload = Overload::new(Concurrency::Fixed(2));
        let (a, b) = (overload.enter().unwrap(), overload.enter().unwrap());
        assert!(overload.enter().is_none());
        drop(a);
        assert!(overload.enter().is_some());
        drop(b);
        assert_eq!((overload.at_work(), overload.limit()), (0, 2));
    }
}
