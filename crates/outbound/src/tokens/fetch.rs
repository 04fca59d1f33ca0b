//! Asking the token endpoint, and when not to.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haat_catalog::{Clock, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::backoff::Backoff;
use super::credentials::{ClientAuth, Credentials};
use super::error::TokenError;
use super::random::{Random, unique};
use super::token::Token;
use super::{request, response};
use crate::{CallError, Caller};

/// After a refusal that nothing but a change at the provider or here can lift, the endpoint is left alone for so long,
/// twice as long after the next one, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// An answer that is no refusal and no token is looked at again after so long, and at most so long.
const FIRST_GLANCE: Duration = Duration::from_millis(250);
const LONGEST_GLANCE: Duration = Duration::from_secs(5);
/// The longest that an endpoint which is down is believed when it says how long that will last.
const LONGEST_GUESS: Duration = Duration::from_secs(10);
/// By how much a provider's clock may differ before statements are made by its time instead of ours: about as exact as the
/// `Date` of its answers is. Some providers forgive no more.
const SKEW: Duration = Duration::from_secs(2);

/// What a fetch needs, and what it has learnt.
pub(super) struct Fetcher {
    pub upstream: String,
    pub credentials: Credentials,
    pub caller: Arc<dyn Caller>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// How long a request may take.
    pub patience: Duration,
    /// The longest that a token is used.
    pub longest_life: Duration,
    learnt: Learnt,
}

#[derive(Default)]
struct Learnt {
    /// How far the provider's clock is ahead, in milliseconds; 0 while it is near enough.
    ahead_ms: AtomicI64,
    pause: Backoff,
    /// What it is paused for.
    last: Mutex<Option<TokenError>>,
}

/// A request that gave no token, and for how long the endpoint asked to be left alone.
struct Failed {
    error: TokenError,
    retry_after: Option<Duration>,
}

impl From<TokenError> for Failed {
    fn from(error: TokenError) -> Self {
        Self { error, retry_after: None }
    }
}

impl Fetcher {
    pub fn new(
        upstream: String,
        credentials: Credentials,
        caller: Arc<dyn Caller>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        (patience, longest_life): (Duration, Duration),
    ) -> Self {
        let learnt = Learnt::default();
        Self { upstream, credentials, caller, clock, random, patience, longest_life, learnt }
    }

    /// Why the endpoint is not to be asked now, if so.
    pub fn pausing(&self) -> Option<TokenError> {
        let retry_in = self.learnt.pause.left()?;
        let last = self.learnt.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(TokenError::NotYet { retry_in, last: Box::new(last) })
    }

    /// A new token from the endpoint, within the usual patience, and before `by` if that is earlier.
    ///
    /// # Errors
    /// When it gives none, or is not to be asked now.
    pub async fn fetch(&self, by: Option<Instant>) -> Result<Token, TokenError> {
        if let Some(error) = self.pausing() {
            return Err(error);
        }
        let began = Instant::now();
        let latest = began + self.patience;
        let fetched = self.ask(by.map_or(latest, |by| by.min(latest))).await;
        let outcome = fetched.as_ref().map_or_else(|failed| failed.error.outcome(), |_| "ok");
        metrics::counter!("haat_outbound_token_fetches_total", "upstream" => self.upstream.clone(), "outcome" => outcome)
            .increment(1);
        match fetched {
            Ok(token) => {
                self.learnt.pause.clear();
                let (took_ms, life_s) = (began.elapsed().as_millis(), token.life.as_secs());
                tracing::info!(upstream = self.upstream, took_ms, life_s, "an access token was fetched");
                Ok(token)
            }
            Err(failed) => {
                self.pause(&failed);
                let wait_ms = self.learnt.pause.left().unwrap_or_default().as_millis();
                tracing::warn!(upstream = self.upstream, error = %failed.error, wait_ms, "no access token was given");
                Err(failed.error)
            }
        }
    }

    fn pause(&self, failed: &Failed) {
        if failed.error.is_lasting() {
            self.learnt.pause.fail(FIRST_WAIT, LONGEST_WAIT, &*self.random);
        } else if matches!(failed.error, TokenError::Status(_) | TokenError::Unusable(_)) {
            // Something else answers at that address, for a moment or for good.
            self.learnt.pause.fail(FIRST_GLANCE, LONGEST_GLANCE, &*self.random);
        }
        if let Some(wait) = failed.retry_after {
            // Of an endpoint that is down it is a guess, and callers wait for it to be wrong.
            let is_down = matches!(failed.error, TokenError::Status(status) if status >= 500);
            self.learnt.pause.wait(if is_down { wait.min(LONGEST_GUESS) } else { wait });
        }
        *self.learnt.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed.error.clone());
    }

    /// Asks; once more where the provider's clock, which its answer has told, may be why it refused.
    async fn ask(&self, deadline: Instant) -> Result<Token, Failed> {
        let before = self.learnt.ahead_ms.load(Ordering::Relaxed);
        let asked = self.ask_once(deadline).await;
        let moved = self.learnt.ahead_ms.load(Ordering::Relaxed).abs_diff(before) > SKEW.as_millis() as u64;
        let signs = matches!(self.credentials.auth, ClientAuth::PrivateKeyJwt { .. });
        match asked {
            Err(Failed { error: TokenError::Refused(_), .. }) if signs && moved => self.ask_once(deadline).await,
            asked => asked,
        }
    }

    async fn ask_once(&self, deadline: Instant) -> Result<Token, Failed> {
        // A token's life counts from here: it is issued later, never earlier.
        let sent = Instant::now();
        let call = request::build(&self.credentials, self.provider_now(), unique(&*self.random), deadline)?;
        let answer = match timeout_at(deadline, self.caller.call(call)).await {
            Ok(answer) => answer.map_err(TokenError::NoAnswer)?,
            Err(_) => return Err(TokenError::NoAnswer(CallError::Timeout(sent.elapsed())).into()),
        };
        self.learn_time(response::date(&answer.headers));
        let issued = response::read(&answer).map_err(|error| {
            let retry_after = response::retry_after(&answer.headers, self.clock.now());
            Failed { error, retry_after }
        })?;
        let life = issued.life().min(self.longest_life);
        let token = Token::new(&issued.text, unique(&*self.random), life, sent + life, self.random.fraction());
        token.map_err(|why| TokenError::Unusable(why).into())
    }

    /// The time at the provider, as far as it is known.
    fn provider_now(&self) -> Timestamp {
        let ahead = self.learnt.ahead_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(self.clock.now().as_millis().saturating_add(ahead))
    }

    fn learn_time(&self, date: Option<Timestamp>) {
        let Some(date) = date else { return };
        let ahead = date.as_millis().saturating_sub(self.clock.now().as_millis());
        let near = ahead.unsigned_abs() <= SKEW.as_millis() as u64;
        self.learnt.ahead_ms.store(if near { 0 } else { ahead }, Ordering::Relaxed);
    }
}
