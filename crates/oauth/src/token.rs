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
    /// The key it is bound to, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cnf: Option<Confirmation>,
}

impl Claims {
    /// When it was issued.
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_millis(self.iat.saturating_mul(1_000))
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.exp.saturating_mul(1_000))
    }
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
    /// The parts of a token, if it is one: header and payload are JSON objects (RFC 7515 §4, RFC 7519 §7.2), where a list
    /// would do for reading them.
    pub fn of(token: &'a str) -> Option<Self> {
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
