//! The breaker decides as resilience4j's documentation says (<https://resilience4j.readme.io/docs/circuitbreaker>), on
//! traces that are written down here, and is never stuck.
//!
//! Its states are called: CLOSED → closed, OPEN → open, HALF_OPEN → half open, FORCED_OPEN → forced open, DISABLED (and
//! METRICS_ONLY, for rates are counted on) → forced closed. Where it differs, on purpose:
//! - One failed probe opens again; there the rate over all permitted probes decides, so that with 50 % one failure of three
//!   would close. A breaker that closes on a third of failures sends everything to an upstream that is half down.
//! - The open time doubles with every failed probing and is shortened at random (there: fixed, or an interval function).
//! - A cancelled probe gives its place back by itself; there `releasePermission` must be called, or the half-open state
//!   waits for ever without `maxWaitDurationInHalfOpenState`.
//! - Leaving FORCED_OPEN leads through half open; there whoever leaves it names the next state.

use std::collections::VecDeque;

use State::{Closed, ForcedClosed, ForcedOpen, HalfOpen, Open};
use Step::{Admitted, Cancel, Fail, Force, Is, Late, Refused, Slow, Succeed, Wait};

use super::*;

/// A step of a trace. Calls are settled in the order in which they were admitted.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many calls ask and are let through.
    Admitted(usize),
    /// A call asks and is refused.
    Refused,
    /// So many of those under way end well, badly, well but slowly.
    Succeed(usize),
    Fail(usize),
    Slow(usize),
    /// So many of those under way come to nothing.
    Cancel(usize),
    /// Those under way that were let through in an earlier state end badly, and nothing comes of it.
    Late,
    Wait(u64),
    Force(Order),
    Is(State),
}

/// 10 calls at least, 50 % failures, 50 % calls of 2 s; open for 5 s up to 60 s; 3 probes; a window of 30 s.
fn options() -> BreakerOptions {
    BreakerOptions { minimum_calls: 10, ..BreakerOptions::default() }
}

/// A machine, its time, and the calls that it has let through.
struct Stage {
    machine: Machine,
    now: Instant,
    under_way: VecDeque<u64>,
}

impl Stage {
    /// The calls that are under way longest end so; false if there are not as many.
    fn settle(&mut self, times: usize, outcome: Outcome, ms: u64) -> bool {
        (0..times).all(|_| {
            let ended = self.under_way.pop_front();
            ended.is_some_and(|generation| {
                self.machine.settle(generation, outcome, Duration::from_millis(ms), self.now, 0.0);
                true
            })
        })
    }

    /// Whether the step is possible and leads where it says.
    fn take(&mut self, step: Step) -> bool {
        match step {
            Admitted(times) => (0..times).all(|_| {
                let admitted = self.machine.admit(self.now).0;
                self.under_way.extend(admitted);
                admitted.is_ok()
            }),
            Refused => self.machine.admit(self.now).0.is_err(),
            Succeed(times) => self.settle(times, Outcome::Success, 10),
            Fail(times) => self.settle(times, Outcome::Failure, 10),
            Slow(times) => self.settle(times, Outcome::Success, 2_000),
            Cancel(times) => (0..times).all(|_| {
                let cancelled = self.under_way.pop_front();
                cancelled.is_some_and(|generation| {
                    self.machine.cancel(generation);
                    true
                })
            }),
            Late => {
                let before = self.machine.generation();
                let (current, late) = self.under_way.drain(..).partition(|generation| *generation == before);
                self.under_way = late;
                let settled = self.settle(self.under_way.len(), Outcome::Failure, 10);
                self.under_way = current;
                settled && self.machine.generation() == before && self.machine.snapshot(self.now).calls == 0
            }
            Wait(ms) => {
                self.now += Duration::from_millis(ms);
                true
            }
            Force(order) => {
                self.machine.force(order, self.now);
                true
            }
            Is(state) => self.machine.state() == state,
        }
    }
}

fn run(name: &str, trace: &[Step]) {
    let now = Instant::now();
    let mut stage = Stage { machine: Machine::new(options(), now), now, under_way: VecDeque::new() };
    for (n, step) in trace.iter().enumerate() {
        assert!(stage.take(*step), "{name}, step {n}: {step:?}, and the machine is {:?}", stage.machine.state());
    }
}

#[test]
fn decides_as_resilience4j_does() {
    run("fewer than the minimum number of calls are not judged", &[Admitted(9), Fail(9), Is(Closed), Admitted(1)]);
    run("it opens when the failure rate equals the threshold", &[Admitted(10), Succeed(5), Fail(5), Is(Open), Refused]);
    run("below the threshold it stays closed", &[Admitted(10), Succeed(6), Fail(4), Is(Closed), Admitted(1)]);
    run("it opens when the slow call rate equals the threshold", &[Admitted(10), Succeed(5), Slow(5), Is(Open)]);
    run("below the slow call rate it stays closed", &[Admitted(10), Succeed(6), Slow(4), Is(Closed)]);
    run("failures and slow calls are two rates, not a sum", &[Admitted(10), Succeed(2), Slow(4), Fail(4), Is(Closed)]);
    run(
        "calls that left the time-based window do not count",
        &[Admitted(9), Fail(9), Wait(30_000), Admitted(1), Fail(1), Is(Closed), Admitted(9), Fail(9), Is(Open)],
    );
    run(
        "ignored calls are neither successes nor failures",
        &[Admitted(19), Fail(9), Cancel(10), Is(Closed), Admitted(1), Fail(1), Is(Open)],
    );
    run(
        "open refuses until the wait is over; the next call makes it half open",
        &[Admitted(10), Fail(10), Wait(4_999), Refused, Is(Open), Wait(1), Is(Open), Admitted(1), Is(HalfOpen)],
    );
    let opened = [Admitted(10), Fail(10), Is(Open), Wait(5_000)];
    let after = |name, rest: &[Step]| run(name, &[&opened[..], rest].concat());
    after(
        "half open permits so many and refuses more until they are done",
        &[Admitted(3), Refused, Succeed(2), Refused, Is(HalfOpen), Succeed(1), Is(Closed), Admitted(100)],
    );
    after("half open opens again when the probes fail", &[Admitted(3), Fail(1), Is(Open), Refused]);
    after("half open opens again when the probes are slow", &[Admitted(3), Slow(3), Is(Open)]);
    after("half open closes below the slow call rate", &[Admitted(3), Slow(1), Succeed(2), Is(Closed)]);
    after("closed again, it starts counting anew", &[Admitted(3), Succeed(3), Admitted(9), Fail(9), Is(Closed)]);
    run("FORCED_OPEN always denies", &[Force(Order::Open), Is(ForcedOpen), Refused, Wait(3_600_000), Refused]);
    run("DISABLED always allows", &[Force(Order::Closed), Admitted(100), Fail(100), Is(ForcedClosed), Admitted(1)]);
    after("DISABLED can be entered from open", &[Force(Order::Closed), Is(ForcedClosed), Admitted(100)]);
    run("FORCED_OPEN can be entered from closed", &[Admitted(5), Force(Order::Open), Late, Is(ForcedOpen)]);
    run(
        "back from DISABLED it starts anew",
        &[
            Force(Order::Closed),
            Admitted(100),
            Fail(100),
            Force(Order::Auto),
            Is(Closed),
            Admitted(9),
            Fail(9),
            Is(Closed),
        ],
    );
}

#[test]
fn decides_otherwise_than_resilience4j_on_purpose() {
    let opened = [Admitted(10), Fail(10), Is(Open), Wait(5_000)];
    let after = |name, rest: &[Step]| run(name, &[&opened[..], rest].concat());
    after("one failed probe of three opens again", &[Admitted(3), Succeed(2), Fail(1), Is(Open)]);
    let again = [Admitted(1), Fail(1), Is(Open)];
    let steps = |ms: u64| [Wait(ms - 1), Refused, Wait(1)];
    let doubling = [10_000, 20_000, 40_000, 60_000, 60_000].map(steps).map(|wait| [&again[..], &wait[..]].concat());
    after("the open time doubles up to its most", &[doubling.concat(), vec![Admitted(1), Is(HalfOpen)]].concat());
    after(
        "and is the first one after it was closed",
        &[
            Admitted(3),
            Fail(1),
            Wait(10_000),
            Cancel(2),
            Admitted(3),
            Succeed(3),
            Is(Closed),
            Admitted(10),
            Fail(10),
            Is(Open),
            Wait(5_000),
            Admitted(1),
        ],
    );
    after(
        "cancelled probes give their places back",
        &[
            Admitted(3),
            Refused,
            Cancel(3),
            Admitted(3),
            Refused,
            Cancel(1),
            Succeed(2),
            Is(HalfOpen),
            Admitted(1),
            Refused,
            Succeed(1),
            Is(Closed),
        ],
    );
    run(
        "results of an earlier state are ignored",
        &[
            Admitted(30),
            Fail(10),
            Is(Open),
            Wait(5_000),
            Admitted(2),
            Is(HalfOpen),
            Late,
            Admitted(1),
            Succeed(3),
            Is(Closed),
        ],
    );
    run("FORCED_OPEN ends in half open", &[Force(Order::Open), Force(Order::Auto), Is(HalfOpen), Admitted(3), Refused]);
}

/// A generator for millions of draws in a debug build: SplitMix64 (Steele, Lea and Flood 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// A random event: a call asks, or one of those under way ends somehow (a panic is a drop), or time passes.
fn disturb(machine: &mut Machine, under_way: &mut Vec<u64>, now: &mut Instant, draw: &mut Draw) {
    let event = draw.below(16);
    let ended = if (5..13).contains(&event) && !under_way.is_empty() {
        Some(under_way.swap_remove(draw.below(under_way.len() as u64) as usize))
    } else {
        None
    };
    let mut settle = |generation, outcome, took| machine.settle(generation, outcome, took, *now, 0.5);
    match (event, ended) {
        (5..=6, Some(generation)) => {
            settle(generation, Outcome::Success, Duration::ZERO);
        }
        (7..=9, Some(generation)) => {
            settle(generation, Outcome::Failure, Duration::ZERO);
        }
        (10, Some(generation)) => {
            settle(generation, Outcome::Success, Duration::from_secs(2));
        }
        (11..=12, Some(generation)) => machine.cancel(generation),
        (13, _) => *now += Duration::from_millis(draw.below(1_000)),
        (14, _) => *now += Duration::from_secs(draw.below(70)),
        (15, _) => {
            let orders = [Order::Auto, Order::Open, Order::Closed, Order::Auto];
            machine.force(orders[draw.below(4) as usize], *now);
        }
        _ => under_way.extend(machine.admit(*now).0),
    }
}

/// Wherever a schedule has led, an upstream that is well again gets everything again, when the callers of before are gone: after
/// the longest open time, so many probes that succeed are enough. What failed before may still open it once, so twice.
fn recovers(machine: &mut Machine, under_way: &mut Vec<u64>, now: Instant) -> bool {
    machine.force(Order::Auto, now);
    under_way.drain(..).for_each(|generation| machine.cancel(generation));
    let mut later = now;
    for _ in 0..2 {
        later += Duration::from_secs(4);
        for _ in 0..2 {
            if let Ok(generation) = machine.admit(later).0 {
                machine.settle(generation, Outcome::Success, Duration::ZERO, later, 0.5);
            }
        }
    }
    machine.state() == Closed && machine.admit(later).0.is_ok()
}

/// Schedules of 4 to 20 events over a machine that opens at the second failure, for at most 4 s, and has 2 probes: short ones
/// suffice to come everywhere, and a million of them takes seconds in a debug build.
#[test]
fn is_never_stuck_in_a_million_random_schedules() {
    let second = Duration::from_secs(1);
    let options = BreakerOptions { minimum_calls: 2, probes: 2, open: second, max_open: second * 4, ..options() };
    let (mut draw, start) = (Draw(5), Instant::now());
    let mut ended_in = [0u32; 5];
    for schedule in 0..1_000_000 {
        let (mut machine, mut now) = (Machine::new(options, start), start);
        let mut under_way = Vec::new();
        for _ in 0..4 + draw.below(17) {
            disturb(&mut machine, &mut under_way, &mut now, &mut draw);
            let probes = under_way.iter().filter(|g| **g == machine.generation()).count();
            assert!(machine.state() != HalfOpen || probes <= 2, "schedule {schedule}: {probes} probes at once");
        }
        ended_in[usize::from(machine.state().number())] += 1;
        assert!(recovers(&mut machine, &mut under_way, now), "schedule {schedule} ends stuck: {machine:?}");
    }
    assert!(ended_in.iter().all(|n| *n > 10_000), "some states were hardly seen: {ended_in:?}");
}
