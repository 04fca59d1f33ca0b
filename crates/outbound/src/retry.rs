//! Whether a call is sent again, and when.
//!
//! The wait is drawn from nothing up to `min(cap, base · 2^n)`: "full jitter" of "Exponential Backoff And Jitter" (AWS
//! Architecture Blog, 2015), which spreads callers that failed together over the whole time. `backon` adds its jitter to the
//! delay, so that half of the time nobody comes, and draws it from a generator of its own; so the formula stands here.
//! `Retry-After` (RFC 9110 §10.2.3) is waited for in any case, with the jitter on top: the upstream gives the same time to
//! everybody.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use haat_catalog::Clock;
use haat_catalog::time::Timestamp;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::call::{Answer, Call, CallError, Repeat};
use crate::random::Random;

/// How often a call is sent, and how fast after each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOptions {
    /// How often a call is sent at most, the first time included; 1 for no retries.
    pub max_attempts: u32,
    /// The first retry waits for so long at most; the next twice as long.
    pub base: Duration,
    /// Every retry waits for so long at most, unless the upstream asks for more.
    pub cap: Duration,
    /// So many of a hundred calls may be sent again, over ten seconds.
    pub budget_percent: u32,
    /// So many retries there may be in ten seconds although fewer calls would not allow for them, while some calls succeed.
    pub reserve: u32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(2),
            budget_percent: 20,
            reserve: 3,
        }
    }
}

/// Decides on retries.
pub(crate) struct Retry {
    options: RetryOptions,
    budget: Budget,
    random: Random,
    clock: Arc<dyn Clock>,
}

impl Retry {
    pub fn new(options: RetryOptions, random: Random, clock: Arc<dyn Clock>) -> Self {
        Self { options, budget: Budget::new(options.budget_percent, options.reserve), random, clock }
    }

    /// A call was sent for the first time.
    pub fn called(&self) {
        self.budget.called();
    }

    /// How long to wait before a call is sent again that was sent `attempts` times and ended so; none if it is over. A wait
    /// that would not end before the deadline is not begun.
    pub fn wait(
        &self,
        call: &Call,
        attempts: u32,
        ended: &Result<Answer, CallError>,
        deadline: Instant,
    ) -> Option<Duration> {
        if let Ok(answer) = ended
            && !failed(answer.status)
        {
            self.budget.succeeded();
            return None;
        }
        if attempts >= self.options.max_attempts || !may_repeat(call, ended) {
            return None;
        }
        let asked = ended.as_ref().ok().and_then(|answer| retry_after(&answer.headers, self.clock.now()));
        let wait = asked.unwrap_or_default().saturating_add(self.backoff(attempts));
        let in_time = Instant::now().checked_add(wait).is_some_and(|until| until < deadline);
        (in_time && self.budget.take()).then_some(wait)
    }

    /// A wait after so many attempts.
    fn backoff(&self, attempts: u32) -> Duration {
        let doubled = self.options.base.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
        self.random.up_to(doubled.min(self.options.cap))
    }
}

/// Whether an answer says that the upstream cannot do its work now. 4xx are the caller's fault, except for throttling.
pub(crate) fn failed(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Whether a call that ended so may be sent again: what may do something twice only if it certainly was not carried out.
fn may_repeat(call: &Call, ended: &Result<Answer, CallError>) -> bool {
    match ended {
        Ok(answer) => match answer.status {
            StatusCode::TOO_MANY_REQUESTS => call.repeat != Repeat::Never,
            StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => call.may_repeat(),
            _ => false,
        },
        Err(CallError::Connect(_)) => true,
        Err(CallError::Broken(_) | CallError::Timeout(_)) => call.may_repeat(),
        Err(_) => false,
    }
}

/// How long the upstream asks to wait: in seconds, or until a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More than fits is for ever.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let until = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    // By the clock of whoever wrote the date, where that is told.
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let theirs = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let ours = || Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    Some(until.saturating_sub(theirs.unwrap_or_else(ours)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, Method};

    use super::*;

    struct Fixed(i64);

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    /// 1994-11-06T08:49:37Z, the moment of RFC 9110's examples.
    const THEN: i64 = 784_111_777_000;

    fn retry(options: RetryOptions) -> Retry {
        Retry::new(options, Random::new(|| 0.5), Arc::new(Fixed(THEN)))
    }

    fn answer(status: u16) -> Result<Answer, CallError> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Answer { status, headers: HeaderMap::new(), body: Bytes::new(), attempts: 1 })
    }

    fn later(headers: &str) -> Result<Answer, CallError> {
        let mut answer = answer(503).unwrap();
        answer.headers.insert(RETRY_AFTER, HeaderValue::from_str(headers).unwrap());
        Ok(answer)
    }

    fn call(method: Method) -> Call {
        Call { method, ..Call::get("https://upstream.example/".parse().unwrap()) }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_may_have_done_something_is_sent_again_only_if_it_certainly_did_not() {
        let connect = || Err(CallError::Connect(String::new()));
        let cases = [
            (answer(429), true, true),
            (connect(), true, true),
            (answer(500), true, false),
            (answer(502), true, false),
            (answer(503), true, false),
            (answer(504), true, false),
            (Err(CallError::Broken(String::new())), true, false),
            (Err(CallError::Timeout(ms(1))), true, false),
            (answer(501), false, false),
            (answer(400), false, false),
            (answer(401), false, false),
            (answer(404), false, false),
            (answer(409), false, false),
            (answer(302), false, false),
            (answer(200), false, false),
            (Err(CallError::BreakerOpen { retry_in: ms(1) }), false, false),
            (Err(CallError::Saturated), false, false),
            (Err(CallError::ForbiddenAddress([127, 0, 0, 1].into())), false, false),
            (Err(CallError::ForbiddenUrl("")), false, false),
            (Err(CallError::TooLarge { limit: 1 }), false, false),
            (Err(CallError::NoToken(String::new())), false, false),
        ];
        let harmless = Call { repeat: Repeat::Harmless, ..call(Method::POST) };
        for (ended, safe, not_safe) in &cases {
            assert_eq!(may_repeat(&call(Method::GET), ended), *safe, "GET, {ended:?}");
            assert_eq!(may_repeat(&call(Method::PUT), ended), *safe, "PUT, {ended:?}");
            assert_eq!(may_repeat(&harmless, ended), *safe, "POST that is harmless, {ended:?}");
            assert_eq!(may_repeat(&call(Method::POST), ended), *not_safe, "POST, {ended:?}");
            assert_eq!(may_repeat(&call(Method::PATCH), ended), *not_safe, "PATCH, {ended:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_cap_and_end_with_the_attempts() {
        let retry = retry(RetryOptions { max_attempts: 8, reserve: 100, ..RetryOptions::default() });
        let far = Instant::now() + Duration::from_secs(100);
        let waits: Vec<_> = (1..=8).map(|n| retry.wait(&call(Method::GET), n, &answer(503), far)).collect();
        let halves = [50, 100, 200, 400, 800, 1_000, 1_000];
        assert_eq!(waits, halves.map(|n| Some(ms(n))).into_iter().chain([None]).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn the_upstreams_wish_to_wait_is_the_least_wait() {
        let now = Timestamp::from_millis(THEN);
        let asked = |text: &str| retry_after(&later(text).unwrap().headers, now);
        // Their clock is five minutes behind ours, and so is what they mean.
        let mut theirs = later("Sun, 06 Nov 1994 08:44:57 GMT").unwrap().headers;
        theirs.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:44:37 GMT"));
        assert_eq!(retry_after(&theirs, now), Some(Duration::from_secs(20)));
        assert_eq!(asked("7"), Some(ms(7_000)));
        assert_eq!(asked("0"), Some(ms(0)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:47 GMT"), Some(ms(10_000)));
        assert_eq!(asked("Sunday, 06-Nov-94 08:49:39 GMT"), Some(ms(2_000)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:27 GMT"), Some(ms(0)), "a date that is past");
        assert_eq!(asked("99999999999999999999999"), Some(Duration::MAX));
        for nonsense in ["", "-1", "+1", "1.5", "soon", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
        let retry = retry(RetryOptions::default());
        let wait = |ended, deadline| retry.wait(&call(Method::GET), 1, &ended, Instant::now() + ms(deadline));
        assert_eq!(wait(later("7"), 8_000), Some(ms(7_050)));
        assert_eq!(wait(later("Sun, 06 Nov 1994 08:49:38 GMT"), 8_000), Some(ms(1_050)));
        assert_eq!(wait(later("7"), 7_000), None, "a wait beyond the deadline");
        assert_eq!(wait(later("99999999999999999999999"), 60_000), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_sent_again_costs_nothing_of_the_budget() {
        let retry = retry(RetryOptions { reserve: 1, ..RetryOptions::default() });
        let far = Instant::now() + Duration::from_secs(100);
        for _ in 0..10 {
            assert_eq!(retry.wait(&call(Method::POST), 1, &answer(503), far), None);
            assert_eq!(retry.wait(&call(Method::GET), 3, &answer(503), far), None);
            assert_eq!(retry.wait(&call(Method::GET), 1, &later("1000"), far), None);
        }
        assert!(retry.wait(&call(Method::GET), 1, &answer(503), far).is_some());
        assert!(retry.wait(&call(Method::GET), 1, &answer(503), far).is_none(), "the budget is spent");
        assert!(retry.wait(&call(Method::GET), 1, &answer(200), far).is_none());
        assert!(retry.wait(&call(Method::GET), 1, &answer(503), far).is_none(), "its window is not over");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(retry.wait(&call(Method::GET), 1, &answer(503), far).is_some());
    }
}
