//! A circuit breaker for one upstream: while most calls fail, or are slow, nothing is sent; then a few probes find out.
//!
//! The pattern is Nygard's (Release It!, 2nd edition, 2018, §5.2); the states and rates are those of resilience4j, with the
//! differences that the tests write down (`traces.rs`). What it decides is in [`state`], without time or locks of its own.
//!
//! Whoever is let through holds a [`Permit`] and says how it ended. A permit that is dropped without a result (the caller
//! went away, panicked, or never sent anything) is neither a success nor a failure, and gives its probe back. A result that
//! comes when the breaker has changed its state since is of an older generation, and is ignored.
//!
//! ```text
//! state.rs     the states and what leads from one to the next
//! ```

#[cfg(test)]
mod schedules;
mod state;
#[cfg(test)]
mod traces;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use state::{BreakerOptions, State};
use state::{Machine, Outcome, Transition};

use crate::call::CallError;
use crate::random::Random;

/// What an operator wants of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// That it decides by itself. What was forced open is probed first.
    #[default]
    Auto,
    /// That nothing is sent, until another order.
    Open,
    /// That everything is sent, whatever comes of it, until another order.
    Closed,
}

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its state. Open although its time is over: the next call will be a probe.
    pub state: State,
    /// Since when it is in it.
    pub since: Instant,
    /// The share of calls in the window that failed, 0 to 1.
    pub failure_rate: f64,
    /// The share of calls in the window that were slow, 0 to 1.
    pub slow_rate: f64,
    /// How many calls in the window were judged. Cancelled ones are not.
    pub calls: u64,
    /// When it is open by itself: how long until it may be probed.
    pub retry_in: Option<Duration>,
}

/// The breaker of one upstream.
pub struct Breaker {
    upstream: Arc<str>,
    random: Random,
    machine: Mutex<Machine>,
}

/// Leave to send one call, and the duty to say how it ended; dropped without a result, it says nothing.
#[must_use]
pub struct Permit {
    breaker: Arc<Breaker>,
    generation: u64,
    settled: bool,
}

impl Breaker {
    /// A closed one that has seen nothing.
    pub fn new(upstream: impl Into<Arc<str>>, options: BreakerOptions, random: Random) -> Arc<Self> {
        let machine = Mutex::new(Machine::new(options, Instant::now()));
        let breaker = Self { upstream: upstream.into(), random, machine };
        breaker.show(State::Closed);
        Arc::new(breaker)
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // Nothing in the machine can be half done when something around it panics.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for leave to send a call.
    ///
    /// # Errors
    /// [`CallError::BreakerOpen`] while there is none.
    pub fn acquire(self: &Arc<Self>) -> Result<Permit, CallError> {
        let mut machine = self.machine();
        let (admitted, transition) = machine.admit(Instant::now());
        self.tell(transition);
        drop(machine);
        let generation = admitted.map_err(|retry_in| CallError::BreakerOpen { retry_in })?;
        Ok(Permit { breaker: Arc::clone(self), generation, settled: false })
    }

    /// Gives an order. It holds until the next one; results of calls that are under way are ignored.
    pub fn force(&self, order: Order) {
        let mut machine = self.machine();
        let transition = machine.force(order, Instant::now());
        self.tell(transition);
    }

    /// How it stands now.
    pub fn snapshot(&self) -> Snapshot {
        self.machine().snapshot(Instant::now())
    }

    /// Says that the state has changed, under the machine's lock: so the last word is of the last change.
    fn tell(&self, transition: Option<Transition>) {
        let Some(Transition { from, to, why }) = transition else { return };
        let (upstream, from, into) = (&*self.upstream, from.name(), to.name());
        match to {
            State::Open | State::ForcedOpen => tracing::warn!(upstream, from, to = into, why, "circuit breaker"),
            _ => tracing::info!(upstream, from, to = into, why, "circuit breaker"),
        }
        metrics::counter!(
            "haat_outbound_breaker_transitions_total",
            "upstream" => Arc::clone(&self.upstream),
            "to" => into
        )
        .increment(1);
        self.show(to);
    }

    fn show(&self, state: State) {
        metrics::gauge!("haat_outbound_breaker_state", "upstream" => Arc::clone(&self.upstream)).set(state.number());
    }
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Breaker({}, {})", self.upstream, self.snapshot().state.name())
    }
}

impl Permit {
    /// Whether the breaker is still in the state that gave it: whoever waited since should ask again.
    pub fn is_current(&self) -> bool {
        self.breaker.machine().generation() == self.generation
    }

    /// The upstream did what it should, in so much time.
    pub fn succeeded(self, took: Duration) {
        self.settle(Outcome::Success, took);
    }

    /// The upstream failed, after so much time.
    pub fn failed(self, took: Duration) {
        self.settle(Outcome::Failure, took);
    }

    fn settle(mut self, outcome: Outcome, took: Duration) {
        // Before anything else: whoever draws may panic, and then this permit was dropped.
        let fraction = self.breaker.random.fraction();
        self.settled = true;
        let mut machine = self.breaker.machine();
        let transition = machine.settle(self.generation, outcome, took, Instant::now(), fraction);
        self.breaker.tell(transition);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.machine().cancel(self.generation);
        }
    }
}
