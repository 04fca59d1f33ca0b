//! What is asked of an upstream, and how that ends.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use haat_catalog::time::Timestamp;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::retry::retry_after;

/// A request to an upstream. The body is in memory, so that it can be sent again.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Header fields besides those of the client itself and of its credentials.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// Whether sending it twice may do something twice.
    pub repeat: Repeat,
    /// When the caller stops waiting, if that is before the client's own total timeout ends.
    pub deadline: Option<Instant>,
}

/// Whether a request may be sent again after an attempt of which nobody knows what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    /// As its method says (RFC 9110 §9.2.2): idempotent ones may.
    #[default]
    ByMethod,
    /// It may not, even where it was refused: it is good once, like a signed statement. Only where no connection was opened.
    Never,
    /// It may: it carries an idempotency key, or is known to change nothing (a search by `POST`, a token request).
    Harmless,
}

impl Call {
    /// A `GET` without more.
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            repeat: Repeat::ByMethod,
            deadline: None,
        }
    }

    /// Whether it may be sent again although an earlier attempt may have been carried out.
    pub fn may_repeat(&self) -> bool {
        match self.repeat {
            Repeat::ByMethod => self.method.is_idempotent(),
            Repeat::Never => false,
            Repeat::Harmless => true,
        }
    }
}

impl std::fmt::Debug for Call {
    /// Method and host: paths, queries, header fields and bodies are somebody's data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({} {})", self.method, self.url.host_str().unwrap_or_default())
    }
}

/// What an upstream answered, whatever its status: whoever called knows what a 404 means to it.
#[derive(Clone)]
pub struct Answer {
    /// The status of the last attempt.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, unpacked, within the limit on its size.
    pub body: Bytes,
    /// How many attempts were made.
    pub attempts: u32,
}

impl Answer {
    /// For how long it asks not to be asked again (`Retry-After`, RFC 9110 §10.2.3); `now` is what a date counts from.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(&self.headers, now)
    }
}

impl std::fmt::Debug for Answer {
    /// Status and size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes, {} attempts)", self.status.as_u16(), self.body.len(), self.attempts)
    }
}

/// Why there is no answer. Texts are for logs and operators; none holds a body, a path, a query or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The time of an attempt was up, and there was none for another; or all of the time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The breaker is open: nothing was sent.
    #[error("the circuit breaker is open; the next probe is due in {} ms", .retry_in.as_millis())]
    BreakerOpen {
        /// When it may be worth asking again.
        retry_in: Duration,
    },
    /// As many calls as allowed were under way, and as many as allowed waited: nothing was sent.
    #[error("too many calls to this upstream at once")]
    Saturated,
    /// The address is one that this upstream may not be at: nothing was sent.
    #[error("{0} is not an address that may be called; see `allow_networks`")]
    ForbiddenAddress(IpAddr),
    /// The URL is not one that may be called: nothing was sent.
    #[error("the URL cannot be called: {0}")]
    ForbiddenUrl(&'static str),
    /// No connection could be opened.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke, or what came was no HTTP.
    #[error("the exchange broke off: {0}")]
    Broken(String),
    /// The body is larger than allowed.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// There is no access token, so nothing was sent.
    #[error("no access token: {0}")]
    NoToken(String),
}

/// Sends calls: the client does, and whatever is put around it.
#[async_trait::async_trait]
pub trait Caller: Send + Sync {
    /// Sends a call and gives what was answered, whatever its status.
    ///
    /// # Errors
    /// When there is no answer.
    async fn call(&self, call: Call) -> Result<Answer, CallError>;
}
