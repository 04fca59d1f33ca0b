//! How much work there may be at once: as much as does not make all of it slow.
//!
//! The limit follows the latency of what was admitted, as in TCP Vegas (Brakmo and Peterson 1995) and Netflix's
//! concurrency-limits: from how much latency is over what work takes when nothing waits follows how much of what is at
//! work only waits for a processor, and the limit moves until that is a little, not nothing. A burst waits in line until
//! the work before it is done. Where there is more than can be done for longer than a burst, nobody waits: what is beyond
//! the limit is refused at once, which costs next to nothing, instead of waiting, which would cost everyone.

mod demand;

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
/// So many may always wait: a handful of callers who ask for one thing after the other are never refused while there is not
/// too much, however long their searches take.
const SHORT: usize = 6;
/// How long those wait then; a request's own time is shorter or near.
const LONGEST: Duration = Duration::from_secs(10);
/// How long they wait while there is too much, in times of what work takes when nothing waits: so that whoever is admitted is
/// hardly later than usual, and yet most of what a handful asks for is admitted, by which it shows that there is no longer
/// too much.
const PATIENCE: f64 = 2.0;

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
            demand: Mutex::new(Demand::new()),
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
        let burst = self.burst(baseline);
        let permit = if self.is_lasting(burst) {
            let patience = baseline.map_or(LONGEST, |each| each.mul_f64(PATIENCE).min(LONGEST));
            self.wait(SHORT, [patience; 2]).await
        } else {
            self.wait(LINE, [LONGEST, burst]).await
        };
        self.demand().count(permit.is_some());
        permit
    }

    /// How long a full line takes to be done: by what work takes when nothing waits, long while that is not known.
    fn burst(&self, baseline: Option<Duration>) -> Duration {
        let of_line = baseline.map_or(BURST.1, |each| each.mul_f64(2.0 * number(LINE) / number(self.limit().max(1))));
        of_line.clamp(BURST.0, BURST.1)
    }

    fn is_lasting(&self, burst: Duration) -> bool {
        let mut demand = self.demand();
        if demand.look(burst) {
            self.too_much.notify_waiters();
        }
        demand.lasting
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
        assert!(slowest <= Duration::from_millis(2), "{slowest:?} at {}", overload.limit());
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
    async fn who_waits_goes_on_when_work_is_done_and_leaves_nothing_behind_when_it_goes_away() {
        let overload = Overload::new(Concurrency::Fixed(1));
        let at_work = overload.enter().unwrap();
        let waiting = tokio::spawn({
            let overload = Arc::clone(&overload);
            async move { overload.enter_in_turn().await.is_some() }
        });
        let gone = tokio::spawn({
            let overload = Arc::clone(&overload);
            async move { overload.enter_in_turn().await.is_some() }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        gone.abort();
        drop(at_work);
        assert!(waiting.await.unwrap());
        let at_work = overload.enter().unwrap();
        let began = Instant::now();
        assert!(overload.enter_in_turn().await.is_none());
        assert_eq!(began.elapsed(), LONGEST);
        drop(at_work);
        assert_eq!((overload.at_work(), overload.waiting.load(Ordering::Relaxed)), (0, 0));
    }

    /// Callers who each ask for one thing after the other, whose work takes so long.
    async fn callers(overload: &Arc<Overload>, callers: usize, work: Duration) -> usize {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..callers {
            let overload = Arc::clone(overload);
            running.spawn(async move {
                let mut refused = 0;
                for _ in 0..100 {
                    match overload.enter_in_turn().await {
                        Some(_permit) => tokio::time::sleep(work).await,
                        None => refused += 1,
                    }
                }
                refused
            });
        }
        running.join_all().await.into_iter().sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_handful_of_callers_is_never_refused_however_long_their_work_takes() {
        for millis in [1, 20, 200, 1_000] {
            let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
            assert_eq!(callers(&overload, 2 + SHORT, Duration::from_millis(millis)).await, 0, "{millis} ms");
        }
        for millis in [1, 20] {
            let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
            assert_eq!(callers(&overload, 50, Duration::from_millis(millis)).await, 0, "fifty, {millis} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_goes_first_and_the_line_has_an_end() {
        let overload = Overload::new(Concurrency::Fixed(1));
        let at_work = overload.enter().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..LINE {
            let (overload, order) = (Arc::clone(&overload), Arc::clone(&order));
            waiting.spawn(async move {
                let permit = overload.enter_in_turn().await.unwrap();
                order.lock().unwrap().push(n);
                drop(permit);
            });
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        assert!(overload.enter_in_turn().await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "where the line is full nobody stands behind it");
        drop(at_work);
        waiting.join_all().await;
        assert!(order.lock().unwrap().iter().copied().eq(0..LINE));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_handful_waits_while_there_is_far_too_much_for_long() {
        let overload = Overload::new(Concurrency::Fixed(1));
        overload.window().baseline = Some(Duration::from_millis(1));
        let _at_work = overload.enter().unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        let mut ask = async || {
            let overload = Arc::clone(&overload);
            waiting.spawn(async move { overload.enter_in_turn().await.is_some() });
            tokio::task::yield_now().await;
        };
        for _ in 0..LINE + 1 {
            ask().await;
        }
        assert_eq!(overload.waiting.load(Ordering::Relaxed), LINE, "a burst is waited out");
        tokio::time::advance(overload.burst(Some(Duration::from_millis(1))) + Duration::from_millis(1)).await;
        ask().await;
        tokio::task::yield_now().await;
        assert_eq!(overload.waiting.load(Ordering::Relaxed), SHORT, "it lasts");
        let began = Instant::now();
        overload.waiting.store(0, Ordering::Relaxed);
        assert!(overload.enter_in_turn().await.is_none());
        assert_eq!(began.elapsed(), Duration::from_millis(2), "and who comes now does not wait for long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_limit_knows_what_work_takes_and_so_how_long_a_burst_lasts() {
        let overload = Overload::new(Concurrency::Fixed(4));
        assert_eq!(overload.burst(overload.window().baseline), LONGEST, "nothing is known yet");
        for _ in 0..200 {
            let permits: Vec<_> = (0..4).filter_map(|_| overload.enter()).collect();
            tokio::time::advance(Duration::from_millis(2)).await;
            drop(permits);
        }
        assert_eq!(overload.window().baseline, Some(Duration::from_millis(2)));
        assert_eq!((overload.burst(overload.window().baseline), overload.limit()), (Duration::from_millis(64), 4));
    }

    /// Requests at these times (ms), each a work of 20 ms for a core, where two cores share what is at work; how many were
    /// refused, and the longest that one took.
    async fn serve(overload: &Arc<Overload>, arrivals: impl Iterator<Item = f64>) -> (usize, Duration) {
        let began = Instant::now();
        let mut requests = tokio::task::JoinSet::new();
        for at in arrivals {
            let overload = Arc::clone(overload);
            requests.spawn(async move {
                tokio::time::sleep_until(began + Duration::from_secs_f64(at / 1e3)).await;
                let asked = Instant::now();
                let _permit = overload.enter_in_turn().await?;
                // In pieces, which take the longer the more is at work.
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(5).mul_f64(number(overload.at_work().max(2)) / 2.0)).await;
                }
                Some(asked.elapsed())
            });
        }
        let all = requests.join_all().await;
        (all.iter().filter(|took| took.is_none()).count(), all.into_iter().flatten().max().unwrap_or_default())
    }

    /// So many requests, evenly, at so many times what two cores can do.
    fn steady(count: i32, times: f64) -> impl Iterator<Item = f64> {
        (0..count).map(move |n| f64::from(n) * 10.0 / times)
    }

    #[tokio::test(start_paused = true)]
    async fn bursts_are_answered_and_under_overload_what_is_admitted_is_as_fast_as_ever() {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        let (refused, _) = serve(&overload, steady(1_000, 0.6)).await;
        assert_eq!(refused, 0, "usually");
        let (refused, _) = serve(&overload, (0..60).flat_map(|n| (0..30).map(move |_| f64::from(n) * 1_500.0))).await;
        assert_eq!(refused, 0, "thirty at once, again and again");
        // At first as long as a burst is waited out.
        serve(&overload, steady(1_000, 3.0)).await;
        let (refused, slowest) = serve(&overload, steady(6_000, 3.0)).await;
        assert!((3_500..4_500).contains(&refused), "{refused} at {}", overload.limit());
        assert!(slowest <= Duration::from_millis(120), "{slowest:?} at {}", overload.limit());
        serve(&overload, steady(100, 0.8)).await;
        let (refused, _) = serve(&overload, steady(1_000, 0.8)).await;
        assert_eq!(refused, 0, "when it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn overload_for_long_does_not_lift_the_limit() {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        for _ in 0..20 {
            serve(&overload, steady(6_000, 3.0)).await;
            assert!(overload.limit() <= 5, "{}", overload.limit());
        }
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
