//! One structured line per request: method, route, status, latency, bytes, id. Never bodies, tokens or query values.

use std::time::Instant;

use axum::response::Response;
use http::Method;
use http_body::Body as _;
use tracing::Span;

use super::request_id::RequestId;
use crate::problem::Code;

/// The log of one request. Dropped before [`Self::end`] it notes that the client went away.
pub(crate) struct AccessLog {
    span: Span,
    started: Instant,
    ended: bool,
}

impl AccessLog {
    /// Opens the span that every line about the request is in. `route` is the pattern that matched, not the path:
    /// a handful of values to count by, and no product's name among them.
    pub fn begin(id: &RequestId, method: &Method, route: &str) -> Self {
        let span = tracing::info_span!("request", request_id = id.as_str(), method = method.as_str(), route);
        Self { span, started: Instant::now(), ended: false }
    }

    /// The request's span.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes why a problem was answered, which the client is not told.
    pub fn cause(&self, code: Code, cause: &str) {
        let _in = self.span.enter();
        if code.status().is_server_error() {
            tracing::error!(code = code.name(), cause, "request failed");
        } else {
            tracing::debug!(code = code.name(), cause, "request refused");
        }
    }

    /// Writes the line.
    pub fn end(mut self, response: &Response) {
        self.ended = true;
        let status = response.status().as_u16();
        let latency_us = self.latency_us();
        // Unknown for streams.
        let bytes = response.body().size_hint().exact();
        let _in = self.span.enter();
        if response.status().is_server_error() {
            tracing::warn!(target: "haat::access", status, latency_us, bytes, "answered");
        } else {
            tracing::info!(target: "haat::access", status, latency_us, bytes, "answered");
        }
    }

    fn latency_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if !self.ended {
            let _in = self.span.enter();
            tracing::info!(target: "haat::access", latency_us = self.latency_us(), "client went away");
        }
    }
}
