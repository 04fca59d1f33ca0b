//! The right to write products. A handler that takes [`ProductsWrite`] cannot be reached without it.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, Uri, header};
use subtle::ConstantTimeEq;
use tokio::sync::OwnedSemaphorePermit;

use crate::options::WriteAccess;
use crate::problem::{Code, Problem};
use crate::state::SharedApp;

/// The caller may write products.
pub(crate) struct ProductsWrite {
    /// Who it is, for idempotency keys: those of different callers never meet.
    pub caller: &'static str,
}

impl FromRequestParts<SharedApp> for ProductsWrite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        match &app.options.write_access {
            WriteAccess::Open => local_caller(&parts.headers, &parts.uri).map(|()| Self { caller: "local" }),
            WriteAccess::Token(token) => bearer(&parts.headers, token).map(|()| Self { caller: "token" }),
        }
    }
}

/// One of the places for writes under way. Taken before the body is read, so that bodies held in memory are bounded.
pub(crate) struct WriteSlot(#[expect(dead_code, reason = "held for as long as the write lasts")] OwnedSemaphorePermit);

impl FromRequestParts<SharedApp> for WriteSlot {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        let slot = app.writes.clone().try_acquire_owned().map(Self);
        slot.map_err(|_| Problem::new(Code::Overloaded, "Too many writes at once; try again in a second."))
    }
}

/// The client that a request's credentials name, if they are good: whose requests count together for rate limits.
pub(crate) fn client(access: &WriteAccess, headers: &HeaderMap) -> Option<&'static str> {
    match access {
        WriteAccess::Token(token) if headers.contains_key(header::AUTHORIZATION) => {
            bearer(headers, token).is_ok().then_some("token")
        }
        _ => None,
    }
}

/// RFC 6750 §3: no credentials, a bare challenge; wrong ones, `invalid_token`.
fn bearer(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let about = Code::Unauthorized.about();
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let sent = values.next().map(|v| v.as_bytes());
    let Some(credentials) = sent.and_then(strip_scheme) else {
        return Err(Problem::new(Code::Unauthorized, about).with_header(header::WWW_AUTHENTICATE, "Bearer"));
    };
    // Compared in constant time, so that a token cannot be guessed byte by byte from how long the refusal takes.
    if values.next().is_none() && !token.is_empty() && bool::from(credentials.ct_eq(token.as_bytes())) {
        return Ok(());
    }
    let challenge = "Bearer error=\"invalid_token\", error_description=\"the token is not the server's\"";
    Err(Problem::new(Code::Unauthorized, about).with_header(header::WWW_AUTHENTICATE, challenge))
}

/// The credentials after `Bearer`, whose name is compared without case (RFC 9110 §11.1).
fn strip_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"Bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return None;
    }
    match rest {
        [] => Some(rest),
        [b' ', ..] => Some(rest.trim_ascii()),
        _ => None,
    }
}

/// Without a token the address alone protects the server, and an address does not protect it from a browser on the
/// same machine: a page of another site could reach it, under its own name by DNS rebinding or directly. So the name
/// asked for must be a loopback name and the page, if any, of the same site.
fn local_caller(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let host = match uri.host() {
        Some(host) => host,
        None => headers.get(header::HOST).and_then(|h| h.to_str().ok()).map_or("", without_port),
    };
    let loopback = host.eq_ignore_ascii_case("localhost") || host == "[::1]" || is_loopback_v4(host);
    let site = headers.get("sec-fetch-site").map(|v| v.as_bytes());
    if loopback && !matches!(site, Some(b"cross-site" | b"same-site")) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, Code::Forbidden.about()))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback_v4(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn challenge(headers: &HeaderMap) -> Option<String> {
        let response = axum::response::IntoResponse::into_response(bearer(headers, "t0ken").err()?);
        Some(response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned())
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        assert_eq!(challenge(&with(header::AUTHORIZATION, "Bearer t0ken")), None);
        assert_eq!(challenge(&with(header::AUTHORIZATION, "bearer  t0ken")), None);
        assert_eq!(challenge(&HeaderMap::new()).unwrap(), "Bearer");
        assert_eq!(challenge(&with(header::AUTHORIZATION, "Basic t0ken")).unwrap(), "Bearer");
        for wrong in ["Bearer t0ke", "Bearer t0kenn", "Bearer", "Bearer T0KEN"] {
            assert!(challenge(&with(header::AUTHORIZATION, wrong)).unwrap().contains("invalid_token"), "{wrong}");
        }
    }

    #[test]
    fn a_second_authorization_header_is_refused() {
        let mut headers = with(header::AUTHORIZATION, "Bearer t0ken");
        headers.append(header::AUTHORIZATION, "Bearer other".parse().unwrap());
        assert!(challenge(&headers).is_some());
    }

    #[test]
    fn without_a_token_only_loopback_names_may_write() {
        let uri = Uri::from_static("/v1/products");
        for host in ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "LOCALHOST", "127.1.2.3"] {
            assert!(local_caller(&with(header::HOST, host), &uri).is_ok(), "{host}");
        }
        for host in ["evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example", "", "10.0.0.1"] {
            assert!(local_caller(&with(header::HOST, host), &uri).is_err(), "{host}");
        }
        assert!(local_caller(&HeaderMap::new(), &Uri::from_static("http://127.0.0.1:3000/v1")).is_ok());
    }

    #[test]
    fn without_a_token_a_page_of_another_site_may_not_write() {
        let mut headers = with(header::HOST, "localhost:3000");
        headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
        assert!(local_caller(&headers, &Uri::from_static("/")).is_ok());
        headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
        assert!(local_caller(&headers, &Uri::from_static("/")).is_err());
    }
}
