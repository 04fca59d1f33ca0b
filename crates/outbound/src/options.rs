//! What an operator may set for the calls to one upstream.

use std::time::Duration;

use ipnet::IpNet;

use crate::breaker::BreakerOptions;
use crate::retry::RetryOptions;

/// How one upstream is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// What the upstream is called in logs and metrics.
    pub name: String,
    /// How long a call may take, with all attempts and waits. A call's own deadline may be earlier.
    pub total_timeout: Duration,
    /// How long one attempt may take, from the first packet to the last byte of the body.
    pub attempt_timeout: Duration,
    /// How long it may take to open a connection, TLS included.
    pub connect_timeout: Duration,
    /// How long a connection is kept for the next call.
    pub idle_timeout: Duration,
    /// When calls are sent again.
    pub retry: RetryOptions,
    /// When nothing is sent.
    pub breaker: BreakerOptions,
    /// How many attempts may be under way at once.
    pub concurrency: usize,
    /// How many may wait until one of these is done.
    pub max_waiting: usize,
    /// How large a body may be, unpacked, in bytes.
    pub max_response_bytes: usize,
    /// Networks that may be called although they are not public, and by plain `http`.
    pub allow_networks: Vec<IpNet>,
    /// Whether plain `http` may be spoken with public addresses too.
    pub allow_http: bool,
}

impl ClientOptions {
    /// The defaults, for an upstream of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            total_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
            retry: RetryOptions::default(),
            breaker: BreakerOptions::default(),
            concurrency: 16,
            max_waiting: 64,
            max_response_bytes: 16 << 20,
            allow_networks: Vec::new(),
            allow_http: false,
        }
    }

    /// These options for the token endpoint of that upstream. It is asked by one of all callers at a time, and seldom: its
    /// breaker would never see as many calls as that of an API, however long the endpoint hangs. A slow token is better than
    /// none, and whoever needs one should have it soon after the endpoint is back.
    #[must_use]
    pub fn for_token_endpoint(mut self) -> Self {
        let breaker = &mut self.breaker;
        breaker.minimum_calls = 3;
        breaker.window = Duration::from_secs(120);
        breaker.slow_call = Duration::MAX;
        breaker.max_open = Duration::from_secs(10);
        breaker.open = breaker.open.min(breaker.max_open);
        self
    }

    /// Checks that they make sense together.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), OptionsError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that makes no sense.
    pub fn faults(&self) -> Vec<OptionsError> {
        let Self { retry, breaker, .. } = self;
        let rules = [
            ("name", !self.name.is_empty() && self.name.len() <= 100, "must have 1 to 100 bytes"),
            ("total_timeout", within(self.total_timeout, Duration::from_secs(3_600)), "must be from 1 ms to an hour"),
            (
                "attempt_timeout",
                within(self.attempt_timeout, self.total_timeout),
                "must be from 1 ms to `total_timeout`",
            ),
            (
                "connect_timeout",
                within(self.connect_timeout, self.attempt_timeout),
                "must be from 1 ms to `attempt_timeout`",
            ),
            ("retry.max_attempts", (1..=10).contains(&retry.max_attempts), "must be from 1 to 10"),
            ("retry.base", within(retry.base, retry.cap), "must be from 1 ms to `retry.cap`"),
            ("retry.cap", within(retry.cap, Duration::from_secs(600)), "must be from 1 ms to 10 minutes"),
            ("retry.budget_percent", retry.budget_percent <= 100, "must be from 0 to 100"),
            ("retry.reserve", retry.reserve <= 100, "must be from 0 to 100"),
            ("breaker.window", within(breaker.window, Duration::from_secs(3_600)), "must be from 1 ms to an hour"),
            ("breaker.minimum_calls", breaker.minimum_calls >= 1, "must be at least 1"),
            ("breaker.failure_percent", (1..=100).contains(&breaker.failure_percent), "must be from 1 to 100"),
            ("breaker.slow_percent", (1..=100).contains(&breaker.slow_percent), "must be from 1 to 100"),
            ("breaker.slow_call", within(breaker.slow_call, Duration::MAX), "must be at least 1 ms"),
            ("breaker.open", within(breaker.open, breaker.max_open), "must be from 1 ms to `breaker.max_open`"),
            ("breaker.max_open", within(breaker.max_open, Duration::from_secs(3_600)), "must be from 1 ms to an hour"),
            ("breaker.probes", (1..=100).contains(&breaker.probes), "must be from 1 to 100"),
            ("concurrency", (1..=10_000).contains(&self.concurrency), "must be from 1 to 10,000"),
            ("max_waiting", self.max_waiting <= 100_000, "must be at most 100,000"),
            ("max_response_bytes", (1..=1 << 30).contains(&self.max_response_bytes), "must be from 1 to 1 GiB"),
        ];
        let broken = rules.into_iter().filter(|(_, holds, _)| !holds);
        broken.map(|(field, _, why)| OptionsError { field, why }).collect()
    }
}

fn within(duration: Duration, most: Duration) -> bool {
    (Duration::from_millis(1)..=most).contains(&duration)
}

/// Options that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct OptionsError {
    /// Which field, as it is written here; that of `retry` or `breaker` with its name in front.
    pub field: &'static str,
    /// What it must be.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense_and_what_does_not_is_named() {
        let good = || ClientOptions::new("upstream");
        assert_eq!(good().check(), Ok(()));
        assert_eq!(good().for_token_endpoint().check(), Ok(()));
        let field = |change: fn(&mut ClientOptions)| {
            let mut options = good();
            change(&mut options);
            options.check().map_err(|e| e.field)
        };
        assert_eq!(field(|o| o.name.clear()), Err("name"));
        assert_eq!(field(|o| o.total_timeout = Duration::ZERO), Err("total_timeout"));
        assert_eq!(field(|o| o.attempt_timeout = Duration::from_secs(11)), Err("attempt_timeout"));
        assert_eq!(field(|o| o.connect_timeout = Duration::from_secs(4)), Err("connect_timeout"));
        assert_eq!(field(|o| o.retry.max_attempts = 0), Err("retry.max_attempts"));
        assert_eq!(field(|o| o.retry.base = Duration::from_secs(3)), Err("retry.base"));
        assert_eq!(field(|o| o.retry.budget_percent = 101), Err("retry.budget_percent"));
        assert_eq!(field(|o| o.breaker.minimum_calls = 0), Err("breaker.minimum_calls"));
        assert_eq!(field(|o| o.breaker.failure_percent = 0), Err("breaker.failure_percent"));
        assert_eq!(field(|o| o.breaker.open = Duration::from_secs(61)), Err("breaker.open"));
        assert_eq!(field(|o| o.breaker.probes = 0), Err("breaker.probes"));
        assert_eq!(field(|o| o.concurrency = 0), Err("concurrency"));
        assert_eq!(field(|o| o.max_response_bytes = 0), Err("max_response_bytes"));
        let mut options = good();
        (options.concurrency, options.breaker.probes) = (0, 0);
        assert_eq!(options.faults().iter().map(|e| e.field).collect::<Vec<_>>(), ["breaker.probes", "concurrency"]);
    }
}
