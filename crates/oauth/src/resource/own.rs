//! Tokens of this server.

use haat_catalog::Timestamp;
use serde::Deserialize;

use crate::client::Client;
use crate::directory::{Directory, Known};
use crate::keys::{CLOCK_SKEW, TOKEN_TYPE};
use crate::token::{Claims, Header, Parts, is_type};

/// The claims of a token that this server has issued, and that is neither over nor revoked, of a client that still may have
/// it. For whom it is meant is not looked at.
///
/// A token may name a key that another replica has made and this one has not heard of: the store is asked once more.
pub(crate) async fn claims(directory: &Directory, issuer: &str, token: &str, now: Timestamp) -> Option<Claims> {
    let parts = Parts::of(token)?;
    let header: Header = serde_json::from_slice(&parts.header).ok()?;
    // The algorithm is the key's, whatever the token says; it only has to say the same (RFC 8725 §3.1).
    if header.alg != "EdDSA" || header.crit.is_some() || !header.typ.as_deref().is_some_and(is_access_token) {
        return None;
    }
    let kid = header.kid.as_deref()?;
    if directory.known().keys.find(kid).is_none() && says_to_be_of(issuer, &parts) {
        directory.look_again().await;
    }
    let known = directory.known();
    if !parts.is_signed_by_own(known.keys.find(kid)?) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&parts.payload).ok()?;
    is_good(&claims, &known, issuer, now).then_some(claims)
}

fn is_good(claims: &Claims, known: &Known, issuer: &str, now: Timestamp) -> bool {
    claims.iss == issuer
        && claims.iat <= now.plus(CLOCK_SKEW).as_seconds()
        && claims.expires_at() > now
        && !known.revoked.contains(&claims.jti)
        && known.clients.get(&claims.client_id).is_some_and(|client| may_have(client, claims.client_since))
}

/// Whether a token says to be of this issuer, before anything of it is checked.
fn says_to_be_of(issuer: &str, parts: &Parts<'_>) -> bool {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    serde_json::from_slice::<Issuer>(&parts.payload).is_ok_and(|claims| claims.iss == issuer)
}

/// Whether a client may have tokens of a client of its id that was made then: one made at another time was another client,
/// which had the id before.
pub(super) fn may_have(client: &Client, client_since: i64) -> bool {
    client.enabled && client.created_at.as_millis() == client_since
}

/// `typ` of an access token, with or without `application/` in front (RFC 9068 §4).
pub(super) fn is_access_token(typ: &str) -> bool {
    is_type(typ, TOKEN_TYPE)
}
