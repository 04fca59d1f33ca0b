//! What handlers give back.

pub(crate) mod caching;
pub(crate) mod coding;
pub(crate) mod date;
pub(crate) mod document;
pub(crate) mod link;
pub(crate) mod page;
pub(crate) mod ready;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

/// The media type of data.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// For answers that no cache may keep.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The place in the change log that a write has.
pub(crate) const HAAT_SEQ: HeaderName = HeaderName::from_static("haat-seq");
/// Says that the index is still incomplete.
pub(crate) const HAAT_INDEX: HeaderName = HeaderName::from_static("haat-index");
/// Says that an answer repeats that to an earlier request of the same idempotency key.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer that says all by its status.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// JSON that no cache may keep.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}
