//! What is counted of calls: how they ended, and how long they took with all attempts and waits.

use std::sync::Arc;

use tokio::time::Instant;

use crate::call::{Answer, CallError};

/// A call that is under way; one that is dropped without an end was cancelled by its caller.
pub(crate) struct Counted {
    upstream: Arc<str>,
    began: Instant,
    outcome: &'static str,
}

impl Counted {
    pub fn begin(upstream: &Arc<str>) -> Self {
        Self { upstream: Arc::clone(upstream), began: Instant::now(), outcome: "cancelled" }
    }

    pub fn end(mut self, ended: &Result<Answer, CallError>) {
        self.outcome = outcome(ended);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let labels = || Arc::clone(&self.upstream);
        metrics::counter!("haat_outbound_calls_total", "upstream" => labels(), "outcome" => self.outcome).increment(1);
        metrics::histogram!("haat_outbound_call_duration_seconds", "upstream" => labels())
            .record(self.began.elapsed().as_secs_f64());
    }
}

/// A handful of words, so that the metric has a handful of series.
fn outcome(ended: &Result<Answer, CallError>) -> &'static str {
    match ended {
        Ok(answer) => match answer.status.as_u16() {
            429 => "throttled",
            100..=399 => "answered",
            400..=499 => "client_error",
            _ => "server_error",
        },
        Err(CallError::Timeout(_)) => "timeout",
        Err(CallError::BreakerOpen { .. }) => "breaker_open",
        Err(CallError::Saturated) => "saturated",
        Err(CallError::ForbiddenAddress(_) | CallError::ForbiddenUrl(_)) => "forbidden",
        Err(CallError::Connect(_)) => "connect",
        Err(CallError::Broken(_)) => "broken",
        Err(CallError::TooLarge { .. }) => "too_large",
        Err(CallError::NoToken(_)) => "no_token",
    }
}
