//! Tokens of this server.

use haat_catalog::Timestamp;

use crate::client::Client;
use crate::directory::Known;
use crate::keys::{CLOCK_SKEW, TOKEN_TYPE};
use crate::token::{Claims, Header, Parts};

/// The claims of a token that this server has issued, and that is neither over nor revoked, of a client that still may have
/// it. For whom it is meant is not looked at.
pub(crate) fn claims(known: &Known, issuer: &str, token: &str, now: Timestamp) -> Option<Claims> {
    let parts = Parts::of(token)?;
    let header: Header = serde_json::from_slice(&parts.header).ok()?;
    // The algorithm is the key's, whatever the token says; it only has to say the same (RFC 8725 §3.1).
    if header.alg != "EdDSA" || header.crit.is_some() || !header.typ.as_deref().is_some_and(is_access_token) {
        return None;
    }
    let key = known.keys.find(header.kid.as_deref()?)?;
    if !parts.is_signed_by_own(key) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&parts.payload).ok()?;
    let begun = claims.iat <= now.plus(CLOCK_SKEW).as_seconds();
    let good = claims.iss == issuer
        && begun
        && claims.expires_at() > now
        && !known.revoked.contains_key(&claims.jti)
        && known.clients.get(&claims.client_id).is_some_and(|client| may_have(client, claims.issued_at()));
    good.then_some(claims)
}

/// Whether a client may have tokens that were issued then: those from before it was made are another's, who had its id.
pub(super) fn may_have(client: &Client, issued_at: Timestamp) -> bool {
    client.enabled && client.created_at <= issued_at.plus(CLOCK_SKEW)
}

/// `typ` of an access token, with or without `application/` in front (RFC 9068 §4).
pub(super) fn is_access_token(typ: &str) -> bool {
    let name = match typ.split_at_checked("application/".len()) {
        Some((prefix, name)) if prefix.eq_ignore_ascii_case("application/") => name,
        _ => typ,
    };
    name.eq_ignore_ascii_case(TOKEN_TYPE)
}
