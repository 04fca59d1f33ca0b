//! How a demonstration upstream behaves.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::Clock;
use haat_catalog::time::SystemClock;
use serde::Serialize;

use crate::script::Script;
use crate::span;

/// The scope that reading products needs.
pub const READ: &str = "catalog:read";
/// The scope that writing products needs.
pub const WRITE: &str = "catalog:write";

/// A client that may have tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The scopes that it may have: of [`READ`] and [`WRITE`], and any others, which nothing here needs.
    pub scopes: Vec<String>,
}

impl Client {
    /// A client that may have both scopes.
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), scopes: vec![READ.to_owned(), WRITE.to_owned()] }
    }
}

impl Default for Client {
    /// `haat` with the secret `open-air-market`, which everybody may know: it is for demonstrations.
    fn default() -> Self {
        Self::new("haat", "open-air-market")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// What may be set anew while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// How long every answer takes at least.
    #[serde(serialize_with = "span::serialize")]
    pub latency: Duration,
    /// Up to this more, drawn for each request.
    #[serde(serialize_with = "span::serialize")]
    pub jitter: Duration,
    /// How many requests for products a client may send in a second; so many may come at once. `None`: any number.
    pub rate_limit: Option<NonZeroU32>,
    /// How long a new token is good for.
    #[serde(serialize_with = "span::serialize")]
    pub expires_in: Duration,
    /// So much before the end of its time a token is refused, as by a provider that does not keep its word.
    #[serde(serialize_with = "span::serialize")]
    pub expire_early: Duration,
    /// By how many milliseconds the server's clock is ahead of the real one; behind it if negative. It shows in the `Date`
    /// header and in `created` and `modified` of what is written.
    pub skew_ms: i64,
}

impl Default for Settings {
    /// At once, without limits, with tokens for an hour and the right time.
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_limit: None,
            expires_in: Duration::from_secs(3_600),
            expire_early: Duration::ZERO,
            skew_ms: 0,
        }
    }
}

/// How a demonstration upstream behaves.
#[derive(Clone)]
pub struct Options {
    /// What the catalogue, the jitter and the flaky answers are drawn from.
    pub seed: u64,
    /// How many products the catalogue has, up to [`MAX_PRODUCTS`](crate::catalogue::MAX_PRODUCTS).
    pub products: usize,
    /// Who may have tokens.
    pub clients: Vec<Client>,
    /// Whether everybody may read and write products without one. The token endpoint works all the same.
    pub open: bool,
    /// What may be set anew later.
    pub settings: Settings,
    /// What goes wrong, from the start on.
    pub script: Script,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How many of the latest requests are remembered one by one, with their time.
    pub arrivals: usize,
    /// The most connections at once; further ones wait in the system's queue.
    pub max_connections: usize,
}

impl Default for Options {
    /// 500 products, one client, no limits and no faults.
    fn default() -> Self {
        Self {
            seed: 1,
            products: 500,
            clients: vec![Client::default()],
            open: false,
            settings: Settings::default(),
            script: Script::default(),
            clock: Arc::new(SystemClock),
            arrivals: 10_000,
            max_connections: 10_000,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("seed", &self.seed)
            .field("products", &self.products)
            .field("clients", &self.clients)
            .field("open", &self.open)
            .field("settings", &self.settings)
            .field("script", &self.script.to_string())
            .finish_non_exhaustive()
    }
}
