//! The token endpoint: client credentials (RFC 6749 §4.4) with `client_secret_basic` and `client_secret_post` (§2.3.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::options::Client;
use crate::tokens::Grant;
use crate::upstream::Upstream;

/// Base64 as clients write it: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A refusal (RFC 6749 §5.2).
pub(super) struct TokenError {
    error: &'static str,
    description: &'static str,
}

impl TokenError {
    fn request(description: &'static str) -> Self {
        Self { error: "invalid_request", description }
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let is_client = self.error == "invalid_client";
        let status = if is_client { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = Json(json!({"error": self.error, "error_description": self.description}));
        let mut response = (status, unstored(), body).into_response();
        if is_client {
            let challenge = HeaderValue::from_static("Basic realm=\"demo-upstream\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// No answer with a token, or about one, may be kept (RFC 6749 §5.1).
fn unstored() -> [(http::HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]
}

/// `POST /oauth/token`.
pub(super) async fn issue(
    State(upstream): State<Arc<Upstream>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, TokenError> {
    let form = form(&headers, &body)?;
    let client = authenticate(&upstream.clients, &headers, &form)?;
    match form.get("grant_type").map(String::as_str) {
        Some("client_credentials") => {}
        Some(_) => {
            let description = "grant_type must be client_credentials";
            return Err(TokenError { error: "unsupported_grant_type", description });
        }
        None => return Err(TokenError::request("grant_type is missing")),
    }
    let scopes = match form.get("scope") {
        None => client.scopes.clone(),
        Some(asked) => asked.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
    };
    if scopes.is_empty() || !scopes.iter().all(|scope| client.scopes.contains(scope)) {
        let description = "the client may not have one of these scopes";
        return Err(TokenError { error: "invalid_scope", description });
    }
    let lives = upstream.settings().expires_in;
    let scope = scopes.join(" ");
    let token = upstream.tokens.issue(Grant { client: client.id.clone(), scopes }, lives);
    upstream.counter.issued();
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": lives.as_secs(), "scope": scope});
    Ok((unstored(), Json(body)).into_response())
}

/// The form's parameters without empty ones, which count as absent (RFC 6749 §3.2).
fn form(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, TokenError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::request("the body must be application/x-www-form-urlencoded"));
    }
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        // RFC 8707 §2: a resource may be named several times.
        let may_repeat = name == "resource";
        if form.insert(name.into_owned(), value.into_owned()).is_some() && !may_repeat {
            return Err(TokenError::request("a parameter is there twice"));
        }
    }
    form.retain(|_, value| !value.is_empty());
    Ok(form)
}

fn authenticate<'a>(
    clients: &'a [Client],
    headers: &HeaderMap,
    form: &BTreeMap<String, String>,
) -> Result<&'a Client, TokenError> {
    let unknown = || TokenError { error: "invalid_client", description: "no client has that id and secret" };
    let posted = form.get("client_secret");
    let (id, secret) = match (headers.get(header::AUTHORIZATION), posted) {
        (Some(_), Some(_)) => return Err(TokenError::request("a client authenticates in one way, not in two")),
        (Some(value), None) => basic(value).ok_or_else(unknown)?,
        (None, Some(secret)) => (form.get("client_id").ok_or_else(unknown)?.clone(), secret.clone()),
        (None, None) => return Err(unknown()),
    };
    let is = |client: &&Client| client.id == id && bool::from(client.secret.as_bytes().ct_eq(secret.as_bytes()));
    clients.iter().find(is).ok_or_else(unknown)
}

/// Id and secret of a `Basic` header (RFC 7617), each written as in a form (RFC 6749 §2.3.1).
fn basic(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((plain(id)?, plain(secret)?))
}

fn plain(text: &str) -> Option<String> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned())
}
