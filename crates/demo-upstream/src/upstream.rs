//! What all requests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use haat_catalog::{Clock, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use crate::catalogue::{Catalogue, generate};
use crate::options::{Client, Options, Settings};
use crate::plan::Plan;
use crate::rate::RateLimit;
use crate::stats::{Counter, Stats};
use crate::tokens::Tokens;

/// The server's state.
pub(crate) struct Upstream {
    pub catalogue: Catalogue,
    pub tokens: Tokens,
    pub rate: RateLimit,
    pub counter: Arc<Counter>,
    pub clients: Vec<Client>,
    pub open: bool,
    /// Cancelled when the server stops: every wait ends then.
    pub stop: CancellationToken,
    settings: RwLock<Settings>,
    plan: Mutex<Plan>,
    dice: Mutex<ChaCha8Rng>,
    clock: Arc<dyn Clock>,
}

impl Upstream {
    pub fn new(options: &Options, stop: CancellationToken) -> Self {
        Self {
            catalogue: Catalogue::new(generate(options.seed, options.products)),
            tokens: Tokens::default(),
            rate: RateLimit::default(),
            counter: Arc::new(Counter::new(options.arrivals)),
            clients: options.clients.clone(),
            open: options.open,
            stop,
            settings: RwLock::new(options.settings),
            plan: Mutex::new(Plan::new(options.script.clone())),
            dice: Mutex::new(ChaCha8Rng::seed_from_u64(options.seed)),
            clock: Arc::clone(&options.clock),
        }
    }

    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    pub fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self) -> MutexGuard<'_, ChaCha8Rng> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a draw hits that share of a hundred.
    pub fn hits(&self, percent: u8) -> bool {
        self.dice().random_range(0..100) < percent
    }

    /// How long an answer takes: the latency and a part of the jitter.
    pub fn latency(&self) -> Duration {
        let Settings { latency, jitter, .. } = self.settings();
        if jitter.is_zero() { latency } else { latency.saturating_add(jitter.mul_f64(self.dice().random())) }
    }

    /// The time as this server sees it.
    pub fn now(&self) -> Timestamp {
        let skew = self.settings().skew_ms;
        Timestamp::from_millis(self.clock.now().as_millis().saturating_add(skew))
    }

    pub fn stats(&self) -> Stats {
        let fault = self.plan().current();
        self.counter.stats(self.catalogue.len(), fault)
    }
}
