//! Requests to the endpoints, and their answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::byte_serialize;
use haat_oauth::dpop::DPOP;
use haat_oauth::server::JWT_BEARER;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Token,
    Introspect,
    Revoke,
    Metadata,
    Jwks,
}

/// A request, built up piece by piece.
#[derive(Debug, Clone)]
pub struct Request {
    pub endpoint: Endpoint,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    /// A form without parameters.
    pub fn to(endpoint: Endpoint) -> Self {
        let request = Self { endpoint, headers: HeaderMap::new(), body: Vec::new() };
        request.field(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// A request for a token with the only grant that there is.
    pub fn token() -> Self {
        Self::to(Endpoint::Token).with("grant_type", "client_credentials")
    }

    pub fn introspect(token: &str) -> Self {
        Self::to(Endpoint::Introspect).with("token", token)
    }

    pub fn revoke(token: &str) -> Self {
        Self::to(Endpoint::Revoke).with("token", token)
    }

    /// With a parameter, encoded as it should be.
    pub fn with(self, name: &str, value: &str) -> Self {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}={}", encode(name), encode(value));
        self.raw(pair.as_bytes())
    }

    /// With something more in the body, as it is.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        if !self.body.is_empty() {
            self.body.push(b'&');
        }
        self.body.extend_from_slice(bytes);
        self
    }

    /// With a header field, added to those of its name.
    pub fn field(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// With another content type; none if `None`.
    pub fn of_type(mut self, kind: Option<&str>) -> Self {
        self.headers.remove(header::CONTENT_TYPE);
        match kind {
            Some(kind) => self.field(header::CONTENT_TYPE, kind),
            None => self,
        }
    }

    /// With the secret in the header, encoded as RFC 6749 §2.3.1 says.
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        self.basic_of(format!("{}:{}", encode(id), encode(secret)))
    }

    /// With these credentials in the header, in base64.
    pub fn basic_of(self, credentials: impl AsRef<[u8]>) -> Self {
        self.field(header::AUTHORIZATION, &format!("Basic {}", STANDARD.encode(credentials)))
    }

    /// With this `Authorization`, as it is.
    pub fn authorization(self, value: &str) -> Self {
        self.field(header::AUTHORIZATION, value)
    }

    /// With the secret in the body.
    pub fn post(self, id: &str, secret: &str) -> Self {
        self.with("client_id", id).with("client_secret", secret)
    }

    /// With a signed statement.
    pub fn assertion(self, jwt: &str) -> Self {
        self.with("client_assertion_type", JWT_BEARER).with("client_assertion", jwt)
    }

    /// With a proof of possession.
    pub fn proof(self, jwt: &str) -> Self {
        self.field(DPOP, jwt)
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Its body; null if it is no JSON.
    pub json: Value,
}

impl Answer {
    pub fn of(response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Self { status: head.status.as_u16(), headers: head.headers, body, json }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The only value of a header field.
    pub fn field(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok();
        value.filter(|_| values.next().is_none())
    }

    /// What no answer of a form's endpoint may ever be otherwise (RFC 6749 §5, RFC 7009 §2.2, RFC 7662 §2.2).
    pub fn check_form(&self, endpoint: Endpoint) -> Result<(), String> {
        let expect = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        expect(self.field(&header::CACHE_CONTROL) == Some("no-store"), "Cache-Control is not no-store")?;
        if endpoint == Endpoint::Revoke && self.status == 200 {
            return expect(self.body.is_empty(), "a revocation's answer has a body");
        }
        expect(self.field(&header::PRAGMA) == Some("no-cache"), "Pragma is not no-cache")?;
        expect(self.field(&header::CONTENT_TYPE) == Some("application/json"), "the content type is not JSON")?;
        let members = self.json.as_object().ok_or("the body is no JSON object")?;
        if self.status == 200 {
            let named = if endpoint == Endpoint::Token { "access_token" } else { "active" };
            return expect(members.contains_key(named), "the main member is missing");
        }
        let known = match self.status {
            400 => &ERRORS_400[..],
            401 => &["invalid_client"],
            429 | 503 => &["temporarily_unavailable"],
            _ => return Err("no such status is documented".into()),
        };
        expect(members.len() == 2, "an error has other members than error and error_description")?;
        let error = self.json["error"].as_str().unwrap_or_default();
        expect(known.contains(&error), "no such error is documented for the status")?;
        let description = self.json["error_description"].as_str().unwrap_or_default();
        // RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
        let plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        expect(!description.is_empty() && description.chars().all(plain), "error_description has odd characters")?;
        let challenge = self.field(&header::WWW_AUTHENTICATE).is_some_and(|value| value.starts_with("Basic realm="));
        expect(challenge == (self.status == 401), "WWW-Authenticate goes with 401 and nothing else")?;
        let waits = self.headers.contains_key(header::RETRY_AFTER);
        expect(waits == matches!(self.status, 429 | 503), "Retry-After goes with 429 and 503 and nothing else")
    }
}

const ERRORS_400: [&str; 6] = [
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_target",
    "invalid_dpop_proof",
];
