//! Answers that caches may keep: entity tags, conditional requests (RFC 9110 §13) and `Cache-Status` (RFC 9211).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use super::JSON;
use crate::extract::precondition::{IfNoneMatch, Tags};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Nothing is cached yet, so every answer was made anew for its request.
const FORWARDED: HeaderValue = HeaderValue::from_static("haat; fwd=miss");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// A strong entity tag for these bytes.
pub(crate) fn tag_of(body: &[u8]) -> String {
    format!("\"{:032x}\"", xxh3_128(body))
}

/// `body` as JSON with its validators, or 304 when the client has it already.
pub(crate) fn answer(known: &IfNoneMatch, etag: &str, cache_control: &HeaderValue, body: Bytes) -> Response {
    let known = match &known.0 {
        None => false,
        Some(Tags::Any) => true,
        // Weak comparison (§13.1.2): `W/` makes no difference.
        Some(Tags::These(tags)) => tags.iter().any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag),
    };
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    };
    let headers = response.headers_mut();
    // The tags are made here and in the catalogue, of hexadecimal digits, so this always holds.
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, cache_control.clone());
    headers.insert(header::VARY, ACCEPT_ENCODING);
    headers.insert(header::AGE, HeaderValue::from_static("0"));
    headers.insert(CACHE_STATUS, FORWARDED);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::precondition::tags;
    use http::HeaderMap;
    use rstest::rstest;

    fn ask(if_none_match: Option<&str>) -> Response {
        let headers = if_none_match.map(|v| (header::IF_NONE_MATCH, v.parse().unwrap()));
        let known = IfNoneMatch(tags(&HeaderMap::from_iter(headers), &header::IF_NONE_MATCH).unwrap());
        answer(&known, "\"a\"", &HeaderValue::from_static("no-cache"), Bytes::from_static(b"{}"))
    }

    #[rstest]
    #[case(None, 200)]
    #[case(Some("\"b\""), 200)]
    #[case(Some("\"b\", \"a\""), 304)]
    #[case(Some("W/\"a\""), 304)]
    #[case(Some("*"), 304)]
    fn a_client_that_has_it_is_not_sent_it_again(#[case] if_none_match: Option<&str>, #[case] status: u16) {
        let response = ask(if_none_match);
        assert_eq!(response.status(), status);
        for name in [header::ETAG, header::CACHE_CONTROL, header::VARY, header::AGE, CACHE_STATUS] {
            assert!(response.headers().contains_key(&name), "{name}");
        }
        assert_eq!(response.headers().contains_key(header::CONTENT_TYPE), status == 200);
    }

    #[test]
    fn tags_follow_the_bytes() {
        assert_eq!(tag_of(b"x"), tag_of(b"x"));
        assert_ne!(tag_of(b"x"), tag_of(b"y"));
        assert_eq!(tag_of(b"").len(), 34);
    }
}
