//! Reading a page of an upstream that may be down for a while: tried again until it answers, or for so long that the run has
//! to end.
//!
//! The client underneath has its own retries, for moments; this is for minutes.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::{Clock, Ids, Timestamp};
use haat_outbound::CallError;
use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use xxhash_rust::xxh3::xxh3_64;

use crate::connector::ReadError;
use crate::sync::page::{Prepared, prepare};
use crate::upstream::{Unread, Upstream, UpstreamError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The part of the patience that an upstream gets that answers, but with something that rarely mends itself.
const SHORTER: u32 = 8;

/// Which page is read, and with how much patience.
pub(super) struct Wanted {
    pub(super) source: String,
    pub(super) since: Option<Timestamp>,
    pub(super) position: Option<Value>,
    /// Which page of the run it is; the first is 1.
    pub(super) number: u64,
    pub(super) give_up_after: Duration,
}

/// A page on its way, in a task of its own: it comes while the one before is written.
pub(super) struct Fetching {
    /// Ends with the reason when nothing came for too long.
    pub(super) task: AbortOnDropHandle<Result<Prepared, String>>,
    /// What is in the way at the moment.
    pub(super) trouble: watch::Receiver<Option<String>>,
}

impl Fetching {
    /// Begins to read a page.
    pub(super) fn begin(wanted: Wanted, upstream: Upstream, ids: Arc<dyn Ids>, clock: Arc<dyn Clock>) -> Self {
        let (tell, trouble) = watch::channel(None);
        let task = tokio::spawn(async move { fetch(wanted, &upstream, &*ids, &*clock, &tell).await });
        Self { task: AbortOnDropHandle::new(task), trouble }
    }
}

async fn fetch(
    wanted: Wanted,
    upstream: &Upstream,
    ids: &dyn Ids,
    clock: &dyn Clock,
    trouble: &watch::Sender<Option<String>>,
) -> Result<Prepared, String> {
    let begun = Instant::now();
    let mut first_failure = None;
    let mut tries = 0;
    loop {
        let Unread { error, retry_after } = match upstream.page(wanted.since, wanted.position.as_ref(), clock).await {
            Ok(page) => return Ok(prepare(&*upstream.connector, ids, page, clock.now())),
            Err(unread) => unread,
        };
        tries += 1;
        let failing = first_failure.get_or_insert_with(Instant::now).elapsed();
        let pause = pause(tries, &error, jitter(&wanted.source, begun.elapsed(), tries));
        // On top, as the client does: the upstream gives the same time to everybody.
        let pause = retry_after.unwrap_or_default().saturating_add(pause);
        if failing.saturating_add(pause) > patience(&error, wanted.give_up_after) {
            return Err(format!(
                "page {} of the upstream's list could not be read in {tries} attempts over {} s: {error}; {}",
                wanted.number,
                failing.as_secs(),
                advice(&error)
            ));
        }
        tracing::warn!(source = wanted.source, page = wanted.number, %error, pause_ms = pause.as_millis() as u64, "a page of an upstream cannot be read; trying again");
        trouble.send_replace(Some(format!(
            "page {} of the upstream's list cannot be read: {error}; trying again",
            wanted.number
        )));
        tokio::time::sleep(pause).await;
    }
}

/// A number from 0 to 1 that differs between sources and attempts, so that those that fail together do not come back together.
fn jitter(source: &str, elapsed: Duration, tries: u32) -> f64 {
    let drawn = xxh3_64(format!("{source} {} {tries}", elapsed.as_nanos()).as_bytes());
    drawn as f64 / u64::MAX as f64
}

/// How long to wait after so many failed attempts: twice as long each time, up to a limit, the later half of it by chance.
fn pause(tries: u32, error: &UpstreamError, chance: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    let drawn = doubled.mul_f64(0.5 + chance / 2.0);
    match error {
        UpstreamError::Call(CallError::BreakerOpen { retry_in }) => drawn.max(*retry_in).min(LONGEST_PAUSE),
        _ => drawn,
    }
}

/// How long a page may fail.
fn patience(error: &UpstreamError, give_up_after: Duration) -> Duration {
    match error {
        // A setting is wrong, and this process will not see another.
        UpstreamError::Call(CallError::ForbiddenAddress(_) | CallError::ForbiddenUrl(_)) => Duration::ZERO,
        UpstreamError::Call(CallError::TooLarge { .. }) | UpstreamError::Read(ReadError::Malformed(_)) => {
            give_up_after / SHORTER
        }
        UpstreamError::Read(ReadError::Status(status)) if status.is_client_error() && !passes(*status) => {
            give_up_after / SHORTER
        }
        UpstreamError::Call(_) | UpstreamError::Read(ReadError::Status(_)) => give_up_after,
    }
}

/// Statuses of the client's fault that yet may be of the moment only (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4).
fn passes(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// Where to look.
fn advice(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Call(CallError::NoToken(_)) => "look at the source's token URL, client id and secret",
        UpstreamError::Call(CallError::ForbiddenAddress(_) | CallError::ForbiddenUrl(_)) => {
            "look at the source's URL in the configuration"
        }
        UpstreamError::Call(CallError::TooLarge { .. }) => {
            "ask for smaller pages, or raise the source's limit on the size of answers"
        }
        UpstreamError::Read(ReadError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
            "look at the source's credentials and at what they may read"
        }
        UpstreamError::Read(ReadError::Status(status)) if status.is_server_error() || passes(*status) => {
            "look at the upstream's own state, and sync again once it works"
        }
        UpstreamError::Read(_) => "look at the source's settings for its list",
        UpstreamError::Call(_) => {
            "look whether the upstream is up and reachable from here, and at the source's circuit breaker; then sync again"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> UpstreamError {
        ReadError::Status(StatusCode::from_u16(code).unwrap()).into()
    }

    #[test]
    fn pauses_double_up_to_thirty_seconds_and_differ() {
        let seconds: Vec<f64> = (1..9).map(|tries| pause(tries, &status(500), 1.0).as_secs_f64()).collect();
        assert_eq!(seconds, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(pause(4, &status(500), 0.0), Duration::from_secs(4));
        assert_eq!(pause(4_000, &status(500), 1.0), LONGEST_PAUSE);
        let open = CallError::BreakerOpen { retry_in: Duration::from_secs(20) };
        assert_eq!(pause(1, &open.into(), 0.5), Duration::from_secs(20), "not before the breaker lets anything pass");
        assert_ne!(jitter("a", Duration::from_secs(1), 1), jitter("b", Duration::from_secs(1), 1));
    }

    #[test]
    fn what_mends_itself_gets_more_patience_than_what_does_not() {
        let minute = Duration::from_secs(60);
        let of = |error: UpstreamError| patience(&error, 8 * minute);
        assert_eq!([of(status(503)), of(status(429)), of(CallError::Saturated.into())], [8 * minute; 3]);
        assert_eq!([of(status(404)), of(ReadError::Malformed("x".into()).into())], [minute; 2]);
        assert_eq!(of(CallError::ForbiddenUrl("x").into()), Duration::ZERO);
    }
}
