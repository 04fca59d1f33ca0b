//! Tokens of other issuers that the configuration trusts.

use std::time::Duration;

use haat_catalog::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use super::Verified;
use crate::jwks::{ALGORITHMS, RemoteKeys};
use crate::scope::Scopes;
use crate::token::{Header, Parts, is_type};

/// By how much the issuer's clock may differ from this one.
const LEEWAY: Duration = Duration::from_secs(15);
/// How long a token counts that says to last for ever and a day.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// The longest name of a client, in bytes, its issuer included: names are kept with idempotency keys and counted by.
const MAX_NAME: usize = 255;

/// An issuer whose tokens are good here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignIssuer {
    /// Its `iss`.
    pub issuer: String,
    /// The `aud` by which it means this server.
    pub audience: String,
    /// Where its keys are.
    pub jwks_url: Url,
    /// The claim that names scopes: a text with spaces or a list.
    pub scope_claim: String,
}

/// What a token of one of the issuers says, if it is good.
pub(super) async fn verify(
    issuers: &[ForeignIssuer],
    keys: &RemoteKeys,
    token: &str,
    now: Timestamp,
) -> Option<Verified> {
    let parts = Parts::of(token).filter(|_| !issuers.is_empty())?;
    let header: Header = serde_json::from_slice(&parts.header).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&parts.payload).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Asked for keys only if the rest is right: nobody makes Haat fetch by sending anything at all.
    let (iss, aud) = (text("iss")?, claims.get("aud")?);
    let issuer = issuers.iter().find(|known| known.issuer == iss && is_meant(aud, &known.audience))?;
    let (_, algorithm) = ALGORITHMS.iter().find(|(name, _)| *name == header.alg)?;
    // Many issuers say JWT or nothing; what says to be something else is something else (RFC 8725 §3.11).
    let typ_fits = header.typ.as_deref().is_none_or(|typ| super::own::is_access_token(typ) || is_type(typ, "jwt"));
    let expires_at = seconds(claims.get("exp")?)?;
    let mut begins = ["nbf", "iat"].iter().filter_map(|name| claims.get(*name)).map(seconds);
    let begun = begins.all(|at| at.is_some_and(|at| at <= now.plus(LEEWAY)));
    let ended = expires_at.plus(LEEWAY) <= now;
    // Bound in a way that cannot be checked here, it is nobody's (RFC 7800 §3).
    let bound = match claims.get("cnf") {
        Some(cnf) => Some(cnf.get("jkt").and_then(Value::as_str)?),
        None => None,
    };
    if header.crit.is_some() || !typ_fits || !begun || ended {
        return None;
    }
    let candidates = keys.candidates(&issuer.jwks_url, header.kid.as_deref(), *algorithm).await;
    if !parts.is_signed_by(&candidates, *algorithm) {
        return None;
    }
    let client = ["client_id", "azp", "sub"].into_iter().find_map(text)?;
    let client = format!("{}#{client}", issuer.issuer);
    if client.len() > MAX_NAME {
        tracing::debug!(issuer = issuer.issuer, "a token is refused: the name of its client is too long");
        return None;
    }
    Some(Verified {
        client: client.into(),
        scopes: scopes(claims.get(&issuer.scope_claim)),
        expires_at: expires_at.plus(LEEWAY).min(now.plus(LONGEST)),
        bound_to: bound.map(Into::into),
        policy: None,
    })
}

fn is_meant(aud: &Value, audience: &str) -> bool {
    match aud {
        Value::String(one) => one == audience,
        Value::Array(all) => all.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

fn seconds(value: &Value) -> Option<Timestamp> {
    // Beyond what a time can be it is cut off.
    value.as_f64().map(|seconds| Timestamp::from_millis((seconds * 1e3) as i64))
}

fn scopes(claim: Option<&Value>) -> Scopes {
    match claim {
        Some(Value::String(text)) => Scopes::known_in(text),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).map(Scopes::known_in).flat_map(Scopes::iter).collect()
        }
        _ => Scopes::NONE,
    }
}
