//! Where a token is looked for, and in which order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haat_cache::{CacheError, Held};
use haat_catalog::Clock;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::credentials::Credentials;
use super::error::TokenError;
use super::fetch::Fetcher;
use super::flight::{Duty, Flights, Found, Joined, Kind};
use super::random::Random;
use super::shared::{SharedTokens, Shelf};
use super::token::{Token, margin};
use crate::Caller;

/// How often a process that waits for another one's token looks for it.
const LOOK: Duration = Duration::from_millis(40);
/// How often a search begins anew because what it found was rejected meanwhile.
const ROUNDS: u32 = 3;
/// How long fresh tokens are not fetched for an API that has rejected a fresh one; doubled each time.
const FUTILE: Duration = Duration::from_secs(1);
const LONGEST_FUTILE: Duration = Duration::from_secs(60);
/// A refresh that failed is tried again after so small a part of the margin, at first and at most.
const FIRST_PART: u32 = 64;
const MOST_PART: u32 = 8;

/// How long things may take.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The upstream's name, for metrics and logs.
    pub upstream: String,
    /// How long a request to the token endpoint may take.
    pub patience: Duration,
    /// The longest that a token is used, whatever its provider says.
    pub longest_life: Duration,
    /// How long the lock in the shared cache outlives its holder.
    pub lock: Duration,
    /// The longest that one process keeps the lock; then another may try, though this one is still at it.
    pub longest_hold: Duration,
    /// Up to how long a process waits before it asks for itself because the shared cache is gone: so that the provider is
    /// not asked by all of them in the same moment.
    pub jitter: Duration,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            upstream: String::new(),
            patience: Duration::from_secs(10),
            longest_life: Duration::from_secs(24 * 3_600),
            lock: Duration::from_secs(3),
            longest_hold: Duration::from_secs(12),
            jitter: Duration::from_millis(200),
        }
    }
}

/// Gives the access token for an upstream. Clones are the same manager.
#[derive(Clone)]
pub struct TokenManager(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    shelf: Option<Shelf>,
    options: TokenOptions,
    random: Arc<dyn Random>,
    flights: Flights,
    refresh: Backoff,
    futile: Mutex<Option<u128>>,
    futile_wait: Backoff,
}

/// What a search is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Any token that may be sent.
    Serving,
    /// One that is not near its end, in place of one that is.
    Fresh,
}

impl TokenManager {
    /// A manager that has no token yet. `caller` sends the token requests; `shared` is the cache that the other processes
    /// use, if there is one.
    pub fn new(
        credentials: Credentials,
        options: TokenOptions,
        caller: Arc<dyn Caller>,
        shared: Option<SharedTokens>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let shelf = shared.map(|shared| Shelf::new(shared, &credentials));
        let limits = (options.patience, options.longest_life);
        let upstream = options.upstream.clone();
        let fetcher = Fetcher::new(upstream, credentials, caller, clock, Arc::clone(&random), limits);
        Self(Arc::new(Inner {
            fetcher,
            shelf,
            options,
            random,
            flights: Flights::default(),
            refresh: Backoff::default(),
            futile: Mutex::default(),
            futile_wait: Backoff::default(),
        }))
    }

    /// A token that may be sent. One that is near its end is given too, and another one looked for beside it. A caller that
    /// goes away does not end the search.
    ///
    /// # Errors
    /// When there is none. It is not remembered: the next caller asks again, unless the endpoint is to be left alone.
    pub async fn token(&self) -> Result<Arc<Token>, TokenError> {
        if let Some(token) = self.0.flights.token() {
            if token.is_due(Instant::now())
                && self.0.refresh.left().is_none()
                && let Some(duty) = self.0.flights.refresh()
            {
                self.0.spawn(Want::Fresh, duty);
            }
            return Ok(token);
        }
        let (found, kind) = self.0.join().await;
        // A search ahead of time may have begun while the provider was gone, and end now that it is back.
        match found {
            Err(_) if kind == Kind::Ahead => self.0.join().await.0,
            found => found,
        }
    }

    /// The API has rejected a token. Drops it if it is still the one in use, here and for whoever looks for it in the shared
    /// cache; says whether it is worth asking for another one. It is not while an API rejects fresh ones as well.
    pub fn rejected(&self, token: &Token) -> bool {
        if self.0.flights.is_current(token.id) && self.0.futile_wait.left().is_some() {
            return false;
        }
        self.0.flights.reject(token.id);
        true
    }

    /// The API has rejected a token that was got after it had rejected another: what it does not like is not the token.
    /// For a while rejections do not lead to new ones; a longer one the next time.
    pub fn futile(&self, token: &Token) {
        let mut last = self.0.futile.lock().unwrap_or_else(PoisonError::into_inner);
        // Many may have tried with the same one.
        if *last != Some(token.id) {
            *last = Some(token.id);
            self.0.futile_wait.fail(FUTILE, LONGEST_FUTILE, &*self.0.random);
        }
    }

    /// The API has taken a token.
    pub fn accepted(&self) {
        let mut last = self.0.futile.lock().unwrap_or_else(PoisonError::into_inner);
        if last.take().is_some() {
            self.0.futile_wait.clear();
        }
    }
}

impl std::fmt::Debug for TokenManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenManager").field(&self.0.fetcher.credentials).finish()
    }
}

/// Lets the next caller search where a search was interrupted.
struct Landing {
    inner: Arc<Inner>,
    landed: bool,
}

impl Landing {
    /// The search has ended as it should.
    fn done(mut self) {
        self.landed = true;
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            self.inner.flights.crash();
        }
    }
}

impl Inner {
    /// Waits for the search that is under way, or for one that begins now.
    async fn join(self: &Arc<Self>) -> (Found, Kind) {
        let Joined { flight, kind, duty } = self.flights.join();
        if let Some(duty) = duty {
            self.spawn(Want::Serving, duty);
        }
        (flight.await, kind)
    }

    /// Searches in a task of its own.
    fn spawn(self: &Arc<Self>, want: Want, duty: Duty) {
        let landing = Landing { inner: Arc::clone(self), landed: false };
        tokio::spawn(async move {
            let found = landing.inner.search(want).await;
            landing.done();
            // Nobody may be waiting.
            let _ = duty.send(found);
        });
    }

    async fn search(&self, want: Want) -> Found {
        for _ in 0..ROUNDS {
            let found = self.find(want).await;
            match &found {
                Ok(_) => self.refresh.clear(),
                Err(_) if want == Want::Fresh => self.put_refresh_off(),
                Err(_) => {}
            }
            if let Some(landed) = self.flights.land(found) {
                return landed;
            }
        }
        self.flights.crash();
        Err(TokenError::Unusable("it was rejected before it could be used"))
    }

    /// The old token serves meanwhile; the margin decides how often it can be tried.
    fn put_refresh_off(&self) {
        let margin = self.flights.token().map_or(Duration::ZERO, |token| margin(token.life));
        self.refresh.fail(margin / FIRST_PART, margin / MOST_PART, &*self.random);
    }

    async fn find(&self, want: Want) -> Result<Token, TokenError> {
        let Some(shelf) = &self.shelf else { return self.fetch(want).await };
        if let Some(found) = self.find_while_up(shelf, want).await {
            return found;
        }
        if let Some(error) = self.fetcher.pausing() {
            return Err(error);
        }
        sleep(self.options.jitter.mul_f64(self.random.fraction())).await;
        // It may be back.
        match self.find_while_up(shelf, want).await {
            Some(found) => found,
            None => self.fetch(want).await,
        }
    }

    /// Fetches a token. One ahead of time ends with the one that serves meanwhile: whoever needs one then must not wait for an
    /// endpoint that hung before.
    async fn fetch(&self, want: Want) -> Result<Token, TokenError> {
        let serving = self.flights.token().filter(|_| want == Want::Fresh);
        self.fetcher.fetch(serving.map(|token| token.ends())).await
    }

    /// What is found with the shared cache; none if that does not answer, and nothing was fetched then.
    async fn find_while_up(&self, shelf: &Shelf, want: Want) -> Option<Result<Token, TokenError>> {
        if !shelf.is_up() {
            return None;
        }
        match self.find_for_all(shelf, want).await {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::debug!(%error, "the shared cache is of no use to an access token");
                None
            }
        }
    }

    /// Finds a token that all processes use: the one that is there, the one that another is fetching, or one that this
    /// one fetches.
    ///
    /// # Errors
    /// When the shared cache fails before anything was fetched.
    async fn find_for_all(&self, shelf: &Shelf, want: Want) -> Result<Result<Token, TokenError>, CacheError> {
        let patience = self.options.longest_hold + self.options.lock;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(token) = self.on(shelf, want).await? {
                return Ok(Ok(token));
            }
            // Another process may have got one meanwhile; this one is not to ask.
            if let Some(error) = self.fetcher.pausing() {
                return Ok(Err(error));
            }
            if let Some(held) = shelf.lock(self.options.lock).await? {
                let work = self.fetch_for_all(shelf, &held, want);
                return Ok(shelf.holding(&held, self.options.lock, self.options.longest_hold, work).await);
            }
            if Instant::now() >= deadline {
                tracing::warn!(upstream = self.options.upstream, "other processes do not get an access token");
                return Ok(self.fetch(want).await);
            }
            sleep(LOOK.mul_f64(0.5 + self.random.fraction())).await;
        }
    }

    /// Fetches a token under the lock, unless another did before it was this process's turn.
    async fn fetch_for_all(&self, shelf: &Shelf, held: &Held, want: Want) -> Result<Token, TokenError> {
        if let Ok(Some(token)) = self.on(shelf, want).await {
            return Ok(token);
        }
        let token = self.fetch(want).await?;
        match shelf.write(&token, held.fence).await {
            Ok(true) => {}
            Ok(false) => {
                // Whoever had the lock after this process was quicker: all use that one.
                tracing::info!(upstream = self.options.upstream, "an access token came too late to be shared");
                if let Ok(Some(newer)) = self.on(shelf, Want::Serving).await {
                    return Ok(newer);
                }
            }
            Err(error) => tracing::debug!(%error, "an access token is not shared"),
        }
        Ok(token)
    }

    /// The token in the shared cache, if it is what is wanted.
    async fn on(&self, shelf: &Shelf, want: Want) -> Result<Option<Token>, CacheError> {
        let now = Instant::now();
        let fits = |token: &Token| token.serves(now) && (want == Want::Serving || !token.is_due(now));
        let found = shelf.read(&*self.random).await?;
        Ok(found.filter(|token| fits(token) && !self.flights.is_rejected(token.id)))
    }
}
