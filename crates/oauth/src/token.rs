//! Access tokens: signed JWTs with the claims of RFC 9068.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_catalog::Timestamp;
use jsonwebtoken::crypto::verify;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::SigningKey;

/// `aud`: one value, or several in a list (RFC 7519 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Audience {
    /// Of these; one is written alone.
    pub fn of(mut all: Vec<String>) -> Self {
        match all.len() {
            1 => Self::One(all.remove(0)),
            _ => Self::Many(all),
        }
    }

    /// Whether it is meant for `name`.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(all) => all.iter().any(|one| one == name),
        }
    }
}

/// The key that a token is bound to (RFC 7800 §3.1, RFC 9449 §6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of the key with which its bearer proves that it is theirs.
    pub jkt: String,
}

/// The claims of a token of this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// From when on it is no longer good, in seconds since the epoch.
    pub exp: i64,
    /// For which resources it is.
    pub aud: Audience,
    /// For whom it was issued: the client, as nobody else takes part in this grant.
    pub sub: Arc<str>,
    /// The client.
    pub client_id: Arc<str>,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// Its own name, by which it can be revoked.
    pub jti: Uuid,
    /// What it may be used for.
    pub scope: String,
    /// When its client was made, in milliseconds since the epoch: an id may be given again to another client, which shall
    /// not have the tokens of the one before. A private claim (RFC 7519 §4.3).
    pub client_since: i64,
    /// The key it is bound to, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cnf: Option<Confirmation>,
}

impl Claims {
    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.exp.saturating_mul(1_000))
    }
}

/// The longest JWT that is looked at, in bytes: a token, a client's statement or a proof.
pub(crate) const MAX_BYTES: usize = 8 * 1024;

/// Whether a header's `typ` is this one: case does not matter, and `application/` may stand in front (RFC 7515 §4.1.9).
pub(crate) fn is_type(typ: &str, name: &str) -> bool {
    const TREE: &str = "application/";
    let short = match typ.split_at_checked(TREE.len()) {
        Some((tree, rest)) if tree.eq_ignore_ascii_case(TREE) => rest,
        _ => typ,
    };
    short.eq_ignore_ascii_case(name)
}

/// The parts of a compact JWS (RFC 7515 §7.1).
pub(crate) struct Parts<'a> {
    /// Header and payload, as they were signed.
    message: &'a str,
    /// The header, decoded.
    pub header: Vec<u8>,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    /// The parts of a token, if it is one and no longer than [`MAX_BYTES`]: header and payload are JSON objects (RFC 7515
    /// §4, RFC 7519 §7.2), where a list would do for reading them.
    pub fn of(token: &'a str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let decode = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            bytes.trim_ascii_start().starts_with(b"{").then_some(bytes)
        };
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        Some(Self { message, header: decode(header)?, payload: decode(payload)?, signature })
    }

    /// Whether one of these keys has made the signature.
    pub fn is_signed_by(&self, keys: &[DecodingKey], algorithm: Algorithm) -> bool {
        let signed = |key| verify(self.signature, self.message.as_bytes(), key, algorithm).unwrap_or(false);
        keys.iter().any(signed)
    }

    /// Whether this server's key has.
    pub fn is_signed_by_own(&self, key: &SigningKey) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(self.signature);
        signature.is_ok_and(|signature| key.has_signed(self.message.as_bytes(), &signature))
    }
}

/// What matters of a header. Other members may be there; `crit` may not, as none of its extensions is known here
/// (RFC 7515 §4.1.11).
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    pub alg: String,
    #[serde(default)]
    pub typ: Option<String>,
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default)]
    pub crit: Option<serde_json::Value>,
    /// The key that a DPoP proof is made with.
    #[serde(default)]
    pub jwk: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_as_media_types() {
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert!(is_type(typ, "at+jwt"), "{typ}");
        }
        for typ in ["", "jwt", "application/", "text/at+jwt", "application/application/at+jwt"] {
            assert!(!is_type(typ, "at+jwt"), "{typ}");
        }
    }

    #[test]
    fn what_is_too_long_is_no_jwt() {
        let of = |payload: usize| {
            let payload = URL_SAFE_NO_PAD.encode(format!("{{{}}}", " ".repeat(payload)));
            Parts::of(&format!("e30.{payload}.")).is_some()
        };
        assert!(of(6_000) && !of(7_000));
    }
}
