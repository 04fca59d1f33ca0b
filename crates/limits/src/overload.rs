//! How much work there may be at once: as much as does not make all of it slow.
//!
//! The limit follows the latency of what was admitted, as in TCP Vegas (Brakmo and Peterson 1995) and Netflix's
//! concurrency-limits: from how much latency is over what work takes when nothing waits follows how much of what is at
//! work only waits for a processor, and the limit moves until that is a little, not nothing. A burst waits in line until
//! the work before it is done. Where there is more than can be done for longer than a burst, nobody waits: what is beyond
//! the limit is refused at once, which costs next to nothing, instead of waiting, which would cost everyone.

mod demand;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use demand::Demand;

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
    /// As many places as the limit, given in order of arrival.
    places: Arc<Semaphore>,
    /// Places that go away when the work on them is done: so many more were given than the limit now is.
    surplus: AtomicUsize,
    at_work: AtomicUsize,
    waiting: AtomicUsize,
    window: Mutex<Window>,
    demand: Mutex<Demand>,
    /// Told to those in line when waiting has no sense any more.
    too_much: Notify,
}

/// How long a burst lasts at least, and at most: a line is waited out for as long as it takes to be done, if it were full.
const BURST: (Duration, Duration) = (Duration::from_millis(50), LONGEST);
/// How many may wait at once while there is not too much.
const LINE: usize = 64;
/// So many may wait as soon as there is not too much, and as long as it takes: a handful of callers who ask for one thing after
/// the other are never refused then, however long their searches take.
const SHORT: usize = 6;
/// So many may wait while there is too much: enough for a place that becomes free to be taken at once.
const FEW: usize = 2;
/// How long a handful waits; a request's own time is shorter or near.
const LONGEST: Duration = Duration::from_secs(10);
/// How long those few wait, in times of what work takes when nothing waits: whoever is admitted is hardly later than usual.
const PATIENCE: f64 = 1.0;

/// A place among those who wait.
struct InLine<'a> {
    overload: &'a Overload,
    /// How many were before it.
    before: usize,
}

impl<'a> InLine<'a> {
    fn join(overload: &'a Overload, most: usize) -> Option<Self> {
        let joined = |n| (n < most).then_some(n + 1);
        let before = overload.waiting.fetch_update(Ordering::AcqRel, Ordering::Relaxed, joined).ok()?;
        Some(Self { overload, before })
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.overload.waiting.fetch_sub(1, Ordering::AcqRel);
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
/// How much of what is at work may wait: one, and such a share of the limit, for on a large machine some of it always
/// meets.
const MAY_WAIT: (f64, f64) = (1.0, 0.2);
/// By how much a baseline may rise in a second in which as little was at work as may be: only then is it the work itself
/// that takes longer, and not the waiting.
const RISE: f64 = 1.1;
/// How fast the limit follows.
const WEIGHT: f64 = 0.3;

/// Leave to work; ends when it is dropped.
pub struct Permit {
    overload: Arc<Overload>,
    place: Option<OwnedSemaphorePermit>,
    began: Instant,
    counts: bool,
}

impl Overload {
    /// Nothing is at work.
    pub fn new(mode: Concurrency) -> Arc<Self> {
        let limit = match mode {
            Concurrency::Fixed(limit) => limit.max(1),
            Concurrency::Adaptive { least, .. } => least.max(1),
        };
        let window =
            Window { began: Instant::now(), latencies: Vec::new(), peak: 0, baseline: None, limit: number(limit) };
        Arc::new(Self {
            mode,
            limit: AtomicUsize::new(limit),
            places: Arc::new(Semaphore::new(limit)),
            surplus: AtomicUsize::new(0),
            at_work: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            window: Mutex::new(window),
            demand: Mutex::new(Demand::new(LINE)),
            too_much: Notify::new(),
        })
    }

    /// Leave to work, or `None` when there is enough at work.
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(self.permit(place))
    }

    fn permit(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Permit {
        self.at_work.fetch_add(1, Ordering::AcqRel);
        Permit { overload: Arc::clone(self), place: Some(place), began: Instant::now(), counts: true }
    }

    /// The same, waiting until another's work is done: bursts are spread by that. Who came first goes first; but for a
    /// handful nobody waits while there is too much to do for longer than a burst.
    pub async fn enter_in_turn(self: &Arc<Self>) -> Option<Permit> {
        let at_once = self.enter();
        if at_once.is_some() {
            self.demand().admitted_at_once();
            return at_once;
        }
        let baseline = self.window().baseline;
        let (lasting, line, burst) = self.standing(baseline);
        let patience = if lasting {
            [baseline.map_or(LONGEST, |each| each.mul_f64(PATIENCE).min(LONGEST)); 2]
        } else {
            [LONGEST, burst]
        };
        let permit = self.wait(line, patience).await;
        self.demand().count(permit.is_some());
        permit
    }

    /// How long a full line takes to be done: by what work takes when nothing waits, long while that is not known.
    fn burst(&self, baseline: Option<Duration>, line: usize) -> Duration {
        let of_line = baseline.map_or(BURST.1, |each| each.mul_f64(2.0 * number(line) / number(self.limit().max(1))));
        of_line.clamp(BURST.0, BURST.1)
    }

    /// Whether there is too much for longer than a burst, how many may wait, and how long a burst of so many lasts.
    fn standing(&self, baseline: Option<Duration>) -> (bool, usize, Duration) {
        let mut demand = self.demand();
        let burst = self.burst(baseline, demand.line);
        if demand.look(burst, [FEW, SHORT, LINE]) {
            self.too_much.notify_waiters();
        }
        (demand.lasting, demand.line, burst)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits in a line of at most so many: so long who is among the first [`SHORT`] of it, and so long who is not.
    async fn wait(self: &Arc<Self>, most: usize, [first, others]: [Duration; 2]) -> Option<Permit> {
        let line = InLine::join(self, most)?;
        let always = line.before < SHORT;
        tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => Some(self.permit(place.ok()?)),
            () = self.too_much.notified(), if !always => None,
            () = sleep(if always { first } else { others }) => None,
        }
    }

    /// Changes the limit; one that shrinks does so as work is done.
    fn set_limit(&self, limit: usize) {
        let before = self.limit.swap(limit, Ordering::AcqRel);
        if limit < before {
            let less = before - limit;
            self.surplus.fetch_add(less - self.places.forget_permits(less), Ordering::AcqRel);
        }
        for _ in before..limit {
            if !self.take_surplus() {
                self.places.add_permits(1);
            }
        }
    }

    /// Whether there was one place too many, which there is not now.
    fn take_surplus(&self) -> bool {
        self.surplus.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok()
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
        let mut window = self.window();
        window.peak = window.peak.max(at_work);
        window.latencies.push(latency);
        let (enough, old, full) = WINDOW;
        let count = window.latencies.len();
        if count >= full || count >= enough && window.began.elapsed() >= old {
            match self.mode {
                Concurrency::Fixed(limit) => drop(window.learn(number(limit.max(1)))),
                Concurrency::Adaptive { least, most } => {
                    window.follow(number(least.max(1)), number(most.max(1)));
                    // Not negative, and at most `most`.
                    self.set_limit(window.limit.round() as usize);
                }
            }
            window.begin_anew();
        }
    }
}

impl Window {
    /// Learns what work takes when nothing waits, and gives that and what it took lately.
    fn learn(&mut self, least: f64) -> (Duration, Duration) {
        self.latencies.sort_unstable();
        let median = self.latencies.get(self.latencies.len() / 2).copied().unwrap_or_default();
        let median = median.max(Duration::from_micros(1));
        let quiet = number(self.peak) <= least;
        let rise = if quiet { RISE.powf(self.began.elapsed().as_secs_f64()) } else { 1.0 };
        let baseline = self.baseline.map_or(median, |known| known.mul_f64(rise).min(median));
        self.baseline = Some(baseline);
        (baseline, median)
    }

    fn follow(&mut self, least: f64, most: f64) {
        let (baseline, median) = self.learn(least);
        let waits = number(self.peak) * (1.0 - baseline.as_secs_f64() / median.as_secs_f64());
        let step = MAY_WAIT.0 + MAY_WAIT.1 * self.limit - waits;
        // Growing where nobody uses it would make the limit meaningless by the time it is needed.
        let most_step = if number(self.peak) * 2.0 >= self.limit { step } else { 0.0 };
        let step = step.clamp(-self.limit / 4.0, most_step.max(0.0));
        self.limit = (self.limit + step * WEIGHT).clamp(least, most);
    }

    fn begin_anew(&mut self) {
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
        // Given back first: what is noted below may change how many places there are.
        let place = self.place.take();
        match place {
            Some(place) if self.overload.take_surplus() => place.forget(),
            place => drop(place),
        }
        if self.counts {
            self.overload.note(self.began.elapsed(), at_work);
        }
    }
}

fn number(n: usize) -> f64 {
    n as f64
}
