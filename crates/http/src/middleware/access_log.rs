//! One structured line per request: method, route, status, latency, bytes, id. Never bodies, tokens or query values.

use std::borrow::Cow;
use std::time::Instant;

use http::{Method, StatusCode};
use tracing::Span;

use super::request_id::RequestId;
use crate::problem::Code;

/// The log of one request. Dropped before [`Self::end`] it notes that the client went away.
pub(crate) struct AccessLog {
    id: RequestId,
    method: Method,
    route: Cow<'static, str>,
    started: Instant,
    ended: bool,
}

impl AccessLog {
    /// `route` is the pattern that matched, not the path: a handful of values to count by, and no product's name among
    /// them.
    pub fn begin(id: RequestId, method: &Method, route: Cow<'static, str>) -> Self {
        Self { id, method: method.clone(), route, started: Instant::now(), ended: false }
    }

    /// The span that every line of those who work on the request is in.
    pub fn span(&self) -> Span {
        let (id, method) = (self.id.as_str(), self.method.as_str());
        tracing::info_span!("request", request_id = id, method, route = &*self.route)
    }

    /// Notes why a problem was answered, which the client is not told.
    pub fn cause(&self, code: Code, cause: &str) {
        let (request_id, code_name) = (self.id.as_str(), code.name());
        if code.status().is_server_error() {
            tracing::error!(request_id, code = code_name, cause, "request failed");
        } else {
            tracing::debug!(request_id, code = code_name, cause, "request refused");
        }
    }

    /// Writes the line.
    pub fn end(mut self, status: StatusCode, bytes: Option<u64>) {
        self.ended = true;
        let (request_id, method, route) = (self.id.as_str(), self.method.as_str(), &*self.route);
        let (status, failed) = (status.as_u16(), status.is_server_error());
        let latency_us = self.latency_us();
        if failed {
            tracing::warn!(target: "haat::access", request_id, method, route, status, latency_us, bytes, "answered");
        } else {
            tracing::info!(target: "haat::access", request_id, method, route, status, latency_us, bytes, "answered");
        }
    }

    fn latency_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if !self.ended {
            let (request_id, method, route) = (self.id.as_str(), self.method.as_str(), &*self.route);
            let latency_us = self.latency_us();
            tracing::info!(target: "haat::access", request_id, method, route, latency_us, "client went away");
        }
    }
}
