//! What a breaker decides: a machine that is told everything, the time included, and does nothing by itself.

use std::time::Duration;

use tokio::time::Instant;

use super::{Order, Snapshot};
use crate::window::Window;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Over how long rates are taken.
    pub window: Duration,
    /// With fewer calls in the window it stays closed, whatever became of them.
    pub minimum_calls: u32,
    /// It opens when so many of a hundred calls failed.
    pub failure_percent: u32,
    /// It opens when so many of a hundred calls were slow.
    pub slow_percent: u32,
    /// A call that took so long is slow, whether it failed or not.
    pub slow_call: Duration,
    /// How long it is open the first time; twice as long after every probing that failed. Up to a fifth of it is taken
    /// off at random, so that replicas do not probe together.
    pub open: Duration,
    /// How long it is open at most.
    pub max_open: Duration,
    /// How many probes there are, at once and in all, before it closes.
    pub probes: u32,
    /// An attempt that a caller's deadline ends is a failure if it had so long; after less nobody can tell.
    pub cut_off: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            minimum_calls: 20,
            failure_percent: 50,
            slow_percent: 50,
            slow_call: Duration::from_secs(2),
            open: Duration::from_secs(5),
            max_open: Duration::from_secs(60),
            probes: 3,
            cut_off: Duration::from_millis(250),
        }
    }
}

/// The share of the open time that may be taken off.
const JITTER: f64 = 0.2;
/// When to ask again while others probe: that takes as long as an attempt, at most.
const WHILE_PROBED: Duration = Duration::from_secs(1);

/// A breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything is sent.
    Closed,
    /// A few probes are sent.
    HalfOpen,
    /// Nothing is sent for a while.
    Open,
    /// Nothing is sent until an operator says otherwise.
    ForcedOpen,
    /// Everything is sent until an operator says otherwise.
    ForcedClosed,
}

impl State {
    /// As in logs, metrics and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }

    /// As in the gauge `haat_outbound_breaker_state`: 0 closed, 1 half open, 2 open, 3 forced open, 4 forced closed.
    pub fn number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
            Self::ForcedOpen => 3,
            Self::ForcedClosed => 4,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transition {
    pub from: State,
    pub to: State,
    pub why: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    HalfOpen { under_way: u32, succeeded: u32, slow: u32 },
    Open { until: Instant },
    ForcedOpen,
    ForcedClosed,
}

#[derive(Debug, Clone)]
pub(crate) struct Machine {
    options: BreakerOptions,
    phase: Phase,
    /// Grows with every change of state.
    generation: u64,
    since: Instant,
    /// Calls, failures, slow ones; since the last change of state at the longest.
    window: Window<3>,
    /// How many probings in a row have failed.
    failed_probings: u32,
}

impl Machine {
    pub fn new(options: BreakerOptions, now: Instant) -> Self {
        let window = Window::new(options.window, now);
        Self { options, phase: Phase::Closed, generation: 0, since: now, window, failed_probings: 0 }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Open { .. } => State::Open,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::ForcedClosed => State::ForcedClosed,
        }
    }

    /// Lets a call through and says in which generation, or says when to ask again.
    pub fn admit(&mut self, now: Instant) -> (Result<u64, Duration>, Option<Transition>) {
        let mut transition = None;
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            let probing = Phase::HalfOpen { under_way: 0, succeeded: 0, slow: 0 };
            transition = Some(self.enter(probing, "the open time is over", now));
        }
        let admitted = match &mut self.phase {
            Phase::Closed | Phase::ForcedClosed => Ok(self.generation),
            Phase::HalfOpen { under_way, succeeded, .. } if *under_way + *succeeded < self.options.probes => {
                *under_way += 1;
                Ok(self.generation)
            }
            Phase::HalfOpen { .. } => Err(WHILE_PROBED),
            Phase::Open { until } => Err(until.saturating_duration_since(now)),
            Phase::ForcedOpen => Err(self.options.max_open),
        };
        (admitted, transition)
    }

    /// Takes note of how a call of that generation ended. `fraction`, from 0 to 1, decides on the jitter.
    pub fn settle(
        &mut self,
        generation: u64,
        outcome: Outcome,
        took: Duration,
        now: Instant,
        fraction: f64,
    ) -> Option<Transition> {
        if generation != self.generation {
            return None;
        }
        let (failed, was_slow) = (outcome == Outcome::Failure, took >= self.options.slow_call);
        self.window.add(now, [1, u64::from(failed), u64::from(was_slow)]);
        match &mut self.phase {
            Phase::Closed => {
                let why = self.too_bad(now)?;
                Some(self.open(why, now, fraction))
            }
            Phase::HalfOpen { under_way, succeeded, slow } => {
                *under_way = under_way.saturating_sub(1);
                *succeeded += u32::from(!failed);
                *slow += u32::from(was_slow);
                let (enough, too_slow) =
                    (*succeeded >= self.options.probes, *slow * 100 >= self.options.slow_percent * self.options.probes);
                let why = match (failed, enough, too_slow) {
                    (true, ..) => "a probe failed",
                    (false, true, true) => "the probes were slow",
                    (false, true, false) => {
                        self.failed_probings = 0;
                        return Some(self.enter(Phase::Closed, "all probes succeeded", now));
                    }
                    (false, false, _) => return None,
                };
                self.failed_probings = self.failed_probings.saturating_add(1);
                Some(self.open(why, now, fraction))
            }
            Phase::Open { .. } | Phase::ForcedOpen | Phase::ForcedClosed => None,
        }
    }

    /// A call of that generation came to nothing: nobody knows anything from it.
    pub fn cancel(&mut self, generation: u64) {
        if generation != self.generation {
            return;
        }
        if let Phase::HalfOpen { under_way, .. } = &mut self.phase {
            *under_way = under_way.saturating_sub(1);
        }
    }

    pub fn force(&mut self, order: Order, now: Instant) -> Option<Transition> {
        let phase = match (order, self.phase) {
            (Order::Open, Phase::ForcedOpen)
            | (Order::Closed, Phase::ForcedClosed)
            | (Order::Auto, Phase::Closed | Phase::HalfOpen { .. } | Phase::Open { .. }) => return None,
            (Order::Open, _) => Phase::ForcedOpen,
            (Order::Closed, _) => Phase::ForcedClosed,
            (Order::Auto, Phase::ForcedOpen) => Phase::HalfOpen { under_way: 0, succeeded: 0, slow: 0 },
            (Order::Auto, Phase::ForcedClosed) => Phase::Closed,
        };
        self.failed_probings = 0;
        Some(self.enter(phase, "an operator's order", now))
    }

    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let [calls, failed, slow] = self.window.totals(now);
        let rate = |n: u64| if calls == 0 { 0.0 } else { n as f64 / calls as f64 };
        let retry_in = match self.phase {
            Phase::Open { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        };
        Snapshot {
            state: self.state(),
            since: self.since,
            failure_rate: rate(failed),
            slow_rate: rate(slow),
            calls,
            retry_in,
        }
    }

    /// Why to open, if there is a reason.
    fn too_bad(&mut self, now: Instant) -> Option<&'static str> {
        let [calls, failed, slow] = self.window.totals(now);
        let reached = |n: u64, percent: u32| n * 100 >= u64::from(percent) * calls;
        if calls < u64::from(self.options.minimum_calls) {
            None
        } else if reached(failed, self.options.failure_percent) {
            Some("too many calls failed")
        } else if reached(slow, self.options.slow_percent) {
            Some("too many calls were slow")
        } else {
            None
        }
    }

    fn open(&mut self, why: &'static str, now: Instant, fraction: f64) -> Transition {
        let doubled = self.options.open.saturating_mul(2u32.saturating_pow(self.failed_probings));
        let time = doubled.min(self.options.max_open).mul_f64(1.0 - JITTER * fraction.clamp(0.0, 1.0));
        self.enter(Phase::Open { until: now + time }, why, now)
    }

    fn enter(&mut self, phase: Phase, why: &'static str, now: Instant) -> Transition {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.since = now;
        self.window.clear(now);
        Transition { from, to: self.state(), why }
    }
}
