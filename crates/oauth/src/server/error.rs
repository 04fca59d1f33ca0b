//! Refusals of the OAuth endpoints (RFC 6749 §5.2): JSON with `error`, `error_description` and nothing else.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use haat_catalog::ports::StoreError;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

/// What an OAuth endpoint refuses a request with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The registered error code.
    pub error: &'static str,
    /// What is wrong, for the client's developer.
    pub description: Cow<'static, str>,
    /// When it may be tried again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self { status, error, description: description.into(), retry_after: None }
    }

    /// The request is malformed.
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// The client has not proved who it is. Always the same words: whoever guesses learns nothing.
    pub fn invalid_client() -> Self {
        let description = "client authentication failed: unknown client, wrong or expired credentials, or another \
                           method than the client is registered for";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    /// The same with what is wrong, where that tells nothing about which clients there are.
    pub fn no_client(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    /// Any other of the 400s.
    pub fn bad(error: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, description)
    }

    /// Authentication failed too often from there.
    pub fn too_many_failures(retry_after: Duration) -> Self {
        let description = "too many failed attempts from this address; try again later";
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", description);
        Self { retry_after: Some(retry_after), ..refusal }
    }

    /// What is needed to decide does not answer.
    pub fn unavailable() -> Self {
        let description = "the server cannot decide now; try again later";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description);
        Self { retry_after: Some(Duration::from_secs(2)), ..refusal }
    }

    /// The answer.
    pub fn respond(&self) -> Response<Bytes> {
        let body = json!({"error": self.error, "error_description": self.description});
        let mut response = super::json(self.status, &body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"haat\""));
        }
        if let Some(after) = self.retry_after {
            // Never too early.
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request to an OAuth endpoint cannot be decided");
        Self::unavailable()
    }
}
