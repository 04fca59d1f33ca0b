//! What sources need of the circuit breaker in front of an upstream: to show how it stands, and to tell it what an operator
//! wants.

use haat_catalog::Timestamp;

use crate::ports::BreakerOrder;

/// How a breaker of this process stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerStanding {
    /// `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Share of failed calls in its window, 0 to 1.
    pub failure_rate: f64,
    /// Share of slow calls in its window, 0 to 1.
    pub slow_rate: f64,
    /// Calls in its window.
    pub calls: u64,
}

/// A breaker of this process. Neither method waits for anything.
pub trait BreakerControl: Send + Sync {
    /// How it stands.
    fn report(&self) -> BreakerStanding;
    /// Tells it what an operator wants; the same order twice changes nothing.
    fn order(&self, order: BreakerOrder);
}
