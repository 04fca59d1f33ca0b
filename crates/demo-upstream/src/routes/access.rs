//! Who may do what: bearer tokens (RFC 6750) and the limit of requests that each client has.

use http::{HeaderMap, StatusCode, header};

use crate::refusal::Refusal;
use crate::upstream::Upstream;

/// Lets a request pass that has a good token for that scope and is within its client's limit.
///
/// # Errors
/// 401, 403 (RFC 6750 §3) or 429.
pub(super) fn authorize(upstream: &Upstream, headers: &HeaderMap, scope: &str) -> Result<(), Refusal> {
    let client = if upstream.open { String::new() } else { client(upstream, headers, scope)? };
    let Some(rate) = upstream.settings().rate_limit else {
        return Ok(());
    };
    upstream.rate.pass(&client, rate).map_err(|wait| {
        let seconds = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
        Refusal::too_many(seconds.max(1))
    })
}

fn client(upstream: &Upstream, headers: &HeaderMap, scope: &str) -> Result<String, Refusal> {
    let Some(token) = bearer(headers) else {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send an access token from POST /oauth/token",
        )
        .with(header::WWW_AUTHENTICATE, "Bearer"));
    };
    let Some(grant) = upstream.tokens.check(token, upstream.settings().expire_early) else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "invalid_token", "the token has expired or never was one")
            .with(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""));
    };
    if !grant.scopes.iter().any(|granted| granted == scope) {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        let message = format!("this needs a token with the scope {scope}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "insufficient_scope", message)
            .with(header::WWW_AUTHENTICATE, &challenge));
    }
    Ok(grant.client)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start_matches(' '))
}
