//! The client of one upstream. Outermost first: total timeout, retry, circuit breaker, bulkhead, attempt timeout.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::Clock;
use haat_catalog::time::SystemClock;
use tokio::time::{Instant, timeout_at};

use crate::address::{AddressGuard, Lookup, SystemLookup};
use crate::breaker::{Breaker, Order, Permit, Snapshot};
use crate::bulkhead::Bulkhead;
use crate::call::{Answer, Call, CallError, Caller};
use crate::options::{ClientOptions, OptionsError};
use crate::random::Random;
use crate::retry::{Retry, failed};
use crate::telemetry::Counted;
use crate::wire::{Exchange, Wire};

/// What a client takes from around it: tests bring their own.
pub struct Surroundings {
    /// Tells what a date in `Retry-After` means.
    pub clock: Arc<dyn Clock>,
    /// Where jitter comes from.
    pub random: Random,
    /// Turns names into addresses.
    pub lookup: Arc<dyn Lookup>,
}

impl Default for Surroundings {
    /// The machine's clock, generator and resolver.
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), random: Random::default(), lookup: Arc::new(SystemLookup) }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its options make no sense.
    #[error("{0}")]
    Options(#[from] OptionsError),
    /// TLS cannot be set up: mostly, the machine has no root certificates.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
}

/// How many attempts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Under way.
    pub at_work: usize,
    /// Waiting until others are done.
    pub waiting: usize,
}

/// Calls one upstream. Shared by all who do: its breaker, its bulkhead and its budget are the upstream's.
pub struct Client {
    upstream: Arc<str>,
    total_timeout: Duration,
    attempt_timeout: Duration,
    cut_off: Duration,
    guard: AddressGuard,
    retry: Retry,
    breaker: Arc<Breaker>,
    bulkhead: Bulkhead,
    exchange: Box<dyn Exchange>,
}

/// How an attempt ended.
enum Attempt {
    /// Nothing was sent.
    NotSent(CallError),
    /// It was sent, or it was tried to.
    Ended(Result<Answer, CallError>),
}

impl Client {
    /// A client that has called nobody yet.
    ///
    /// # Errors
    /// When the options make no sense, or TLS cannot be set up.
    pub fn new(options: &ClientOptions, surroundings: Surroundings) -> Result<Self, ClientError> {
        options.check()?;
        let guard = AddressGuard::new(options.allow_networks.clone(), options.allow_http);
        let wire = Wire::new(options, &guard, &surroundings.lookup)
            .map_err(|e| ClientError::Http(std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string)))?;
        Ok(Self::over(Box::new(wire), options, guard, surroundings))
    }

    fn over(exchange: Box<dyn Exchange>, options: &ClientOptions, guard: AddressGuard, around: Surroundings) -> Self {
        let upstream: Arc<str> = options.name.as_str().into();
        Self {
            total_timeout: options.total_timeout,
            attempt_timeout: options.attempt_timeout,
            // Shorter than an attempt, whatever is set: one that hangs must tell something.
            cut_off: options.breaker.cut_off.min(options.attempt_timeout.mul_f64(0.9)),
            guard,
            retry: Retry::new(options.retry, around.random.clone(), around.clock),
            breaker: Breaker::new(Arc::clone(&upstream), options.breaker, around.random),
            bulkhead: Bulkhead::new(options.concurrency, options.max_waiting),
            exchange,
            upstream,
        }
    }

    /// What the upstream is called.
    pub fn name(&self) -> &str {
        &self.upstream
    }

    /// How its breaker stands.
    pub fn breaker(&self) -> Snapshot {
        self.breaker.snapshot()
    }

    /// Gives its breaker an order.
    pub fn force(&self, order: Order) {
        self.breaker.force(order);
    }

    /// How much is under way.
    pub fn load(&self) -> Load {
        Load { at_work: self.bulkhead.at_work(), waiting: self.bulkhead.waiting() }
    }

    /// Sends a call until it is answered, or until there is no sense in it. What was answered last counts, also when there
    /// would be time for another attempt but the breaker or the bulkhead refuses it.
    async fn attempts(&self, call: &Call) -> Result<Answer, CallError> {
        self.guard.check_url(&call.url)?;
        let began = Instant::now();
        let latest = began + self.total_timeout;
        let deadline = call.deadline.map_or(latest, |own| own.min(latest));
        let total = deadline.saturating_duration_since(began);
        let mut before = None;
        let mut attempts = 0;
        loop {
            let mut ended = match self.attempt(call, deadline, total, attempts == 0).await {
                Attempt::NotSent(why) => return before.unwrap_or(Err(why)),
                Attempt::Ended(ended) => ended,
            };
            attempts += 1;
            if let Ok(answer) = &mut ended {
                answer.attempts = attempts;
            }
            let Some(wait) = self.retry.wait(call, attempts, &ended, deadline) else { return ended };
            metrics::counter!("haat_outbound_retries_total", "upstream" => Arc::clone(&self.upstream)).increment(1);
            tokio::time::sleep(wait).await;
            before = Some(ended);
        }
    }

    /// Sends a call once, if the breaker and the bulkhead let it.
    async fn attempt(&self, call: &Call, deadline: Instant, total: Duration, first: bool) -> Attempt {
        let mut permit = match self.breaker.acquire() {
            Ok(permit) => permit,
            Err(open) => return Attempt::NotSent(open),
        };
        let Ok(_place) = self.bulkhead.enter(deadline).await else { return Attempt::NotSent(CallError::Saturated) };
        // Whoever has waited in line while the breaker opened must not be sent into the outage.
        if !permit.is_current() {
            permit = match self.breaker.acquire() {
                Ok(permit) => permit,
                Err(open) => return Attempt::NotSent(open),
            };
        }
        let began = Instant::now();
        if began >= deadline {
            return Attempt::NotSent(CallError::Timeout(total));
        }
        if first {
            self.retry.called();
        }
        let until = deadline.min(began + self.attempt_timeout);
        let ended = timeout_at(until, self.exchange.exchange(call)).await;
        let took = began.elapsed();
        let cut = ended.is_err() && until == deadline;
        let ended = ended.unwrap_or(Err(CallError::Timeout(if cut { total } else { self.attempt_timeout })));
        if !cut || took >= self.cut_off {
            settle(permit, &ended, took);
        }
        Attempt::Ended(ended)
    }
}

/// Tells the breaker what an attempt says of the upstream. What was never sent to it, or is only too much for this client,
/// is no failure of its.
fn settle(permit: Permit, ended: &Result<Answer, CallError>, took: Duration) {
    match ended {
        Ok(answer) if failed(answer.status) => permit.failed(took),
        Ok(_) | Err(CallError::TooLarge { .. }) => permit.succeeded(took),
        Err(CallError::Connect(_) | CallError::Broken(_) | CallError::Timeout(_)) => permit.failed(took),
        Err(_) => drop(permit),
    }
}

#[async_trait]
impl Caller for Client {
    /// The total timeout needs no timer of its own: every wait of an attempt and before one ends at the deadline.
    async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let counted = Counted::begin(&self.upstream);
        let ended = self.attempts(&call).await;
        counted.end(&ended);
        ended
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({}, {:?}, {:?})", self.upstream, self.breaker, self.load())
    }
}
