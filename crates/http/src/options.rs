//! What the binary decides: the parts behind the API and its limits.

use std::sync::Arc;
use std::time::Duration;

use haat_cache::Cache;
use haat_cache::answers::AnswersOptions;
use haat_catalog::ports::{ChangeLog, Health, ListingIndex, ProductReader, ProductWriter};
use haat_catalog::{Clock, Ids};
use haat_limits::Limiter;
use haat_limits::address::Proxies;
use haat_limits::overload::Concurrency;
use haat_oauth::admin::Admin;
use haat_oauth::directory::Directory;
use haat_oauth::dpop::Proofs;
use haat_oauth::resource::Verifier;
use haat_oauth::server::AuthorizationServer;
use haat_sources::service::Sources;
use haat_transfer::Uploads;
use http::HeaderName;
use tokio_util::sync::CancellationToken;

/// The parts that the API stands on.
#[derive(Clone)]
pub struct Services {
    /// Single products.
    pub reader: Arc<dyn ProductReader>,
    /// Writes.
    pub writer: Arc<dyn ProductWriter>,
    /// The change feed.
    pub changes: Arc<dyn ChangeLog>,
    /// Listings, searches and suggestions.
    pub index: Arc<dyn ListingIndex>,
    /// Imports.
    pub uploads: Arc<Uploads>,
    /// Upstream catalogues.
    pub sources: Arc<Sources>,
    /// What is measured, in the text format of Prometheus.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What `/readyz` asks besides the index.
    pub health: Vec<Arc<dyn Health>>,
    /// Where answers are kept that all replicas share, if they do.
    pub cache: Option<Arc<dyn Cache>>,
    /// How much callers may ask for.
    pub limiter: Arc<Limiter>,
    /// Who may do what.
    pub access: Access,
    /// Who is believed when it says whose request it passes on.
    pub proxies: Proxies,
    /// Cancelled once the server is to stop: it is no longer ready then, though it still answers.
    pub stopping: CancellationToken,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids of products and of requests.
    pub ids: Arc<dyn Ids>,
}

/// Who may do what: the authorization server, and the check of its tokens.
#[derive(Clone)]
pub struct Access {
    /// The OAuth endpoints.
    pub server: Arc<AuthorizationServer>,
    /// Checks access tokens.
    pub verifier: Arc<Verifier>,
    /// Which proofs of possession were used.
    pub proofs: Arc<Proofs>,
    /// Commands about clients.
    pub admin: Admin,
    /// What is known of clients; looked at anew after each command.
    pub directory: Arc<Directory>,
}

/// Limits and texts of the API.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Whether everybody may read products, or only who has the scope for it.
    pub public_read: bool,
    /// The largest body of a write, in bytes.
    pub max_body_bytes: usize,
    /// The largest body of an import, in bytes as they are sent.
    pub max_import_bytes: u64,
    /// The longest query string, in bytes.
    pub max_query_bytes: usize,
    /// The most header fields of a request.
    pub max_headers: usize,
    /// The most time for a request, of which its body may take three quarters; and for the gaps between the pieces of
    /// an import's body.
    pub request_timeout: Duration,
    /// The most time that a listing waits for `min_seq`.
    pub min_seq_wait: Duration,
    /// The most time that a product waits for its upstream's live values.
    pub live_wait: Duration,
    /// The most time for a request's head to arrive, and for a connection to stand idle.
    pub header_read_timeout: Duration,
    /// The most connections at a time; further ones wait to be accepted.
    pub max_connections: usize,
    /// The most time for requests in flight to be answered once shutdown began.
    pub drain_timeout: Duration,
    /// `Cache-Control` of listings, suggestions and products.
    pub cache_control: String,
    /// The header field that tells caches in front by which keys to purge an answer; none tells nothing.
    pub surrogate_header: Option<HeaderName>,
    /// How much is kept ready, and for how long.
    pub answers: AnswersOptions,
    /// How many listings and the like are computed at once.
    pub concurrency: Concurrency,
    /// The base of a problem's `type`; `#` and the code follow.
    pub errors_url: String,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            public_read: true,
            max_body_bytes: 1024 * 1024,
            max_import_bytes: 4 * 1024 * 1024 * 1024,
            max_query_bytes: 8 * 1024,
            max_headers: 100,
            request_timeout: Duration::from_secs(30),
            min_seq_wait: Duration::from_secs(2),
            live_wait: Duration::from_millis(800),
            header_read_timeout: Duration::from_secs(10),
            max_connections: 10_000,
            drain_timeout: Duration::from_secs(30),
            cache_control: "public, max-age=0, must-revalidate".to_owned(),
            surrogate_header: None,
            answers: AnswersOptions::default(),
            concurrency: Concurrency::Adaptive { least: 8, most: 512 },
            errors_url: "/docs/errors".to_owned(),
        }
    }
}
