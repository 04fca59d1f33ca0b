//! Machine clients: who may get tokens, for what, and how they prove who they are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};
use url::Url;

use crate::jwks::KeySet;
use crate::scope::Scopes;
use crate::vault::SecretHash;

/// How a client proves who it is (RFC 6749 §2.3.1, RFC 7523 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Its secret, in the `Authorization` header.
    ClientSecretBasic,
    /// Its secret, in the request's body.
    ClientSecretPost,
    /// A JWT that it signs with a key of its own.
    PrivateKeyJwt,
}

impl AuthMethod {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// Its name in the registry of token endpoint authentication methods.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether it needs a secret that Haat keeps.
    pub fn has_secret(self) -> bool {
        self != Self::PrivateKeyJwt
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a client may get tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// By its own credentials (RFC 6749 §4.4).
    ClientCredentials,
}

impl Grant {
    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// The public keys of a client that signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// Registered here.
    Jwks(KeySet),
    /// Fetched from the client's own server, and again when it names a key that is not among them.
    JwksUri(Url),
}

/// A secret of a client, as it is kept: never the secret itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Its keyed hash.
    #[serde(with = "text_hash")]
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no longer good; never if `None`.
    pub expires_at: Option<Timestamp>,
}

impl ClientSecret {
    /// Whether it is good at that time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSecret(made {}, ends {:?})", self.created_at, self.expires_at)
    }
}

/// A machine client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its `client_id`.
    pub id: Arc<str>,
    /// What people call it.
    pub name: String,
    /// The most that a token of it may be used for.
    pub scopes: Scopes,
    /// How it may get tokens; a resource that only asks whether tokens are good needs none.
    pub grants: Vec<Grant>,
    /// How it proves who it is.
    pub auth_method: AuthMethod,
    /// The keys that it signs with, if it does.
    pub keys: Option<ClientKeys>,
    /// Its secrets, the oldest first: at most two are good at the same time.
    pub secrets: Vec<ClientSecret>,
    /// How long its tokens last; the server's setting if `None`.
    pub token_lifetime: Option<Duration>,
    /// The resources that it may ask tokens for (RFC 8707) besides this server. Of one that gets no tokens: those that it
    /// is, and whose tokens it may ask about (RFC 7662).
    pub audiences: Vec<String>,
    /// Whether its tokens must be bound to a key of its (RFC 9449).
    pub dpop_bound: bool,
    /// The rate-limit policy that its requests count for instead of the usual ones.
    pub policy: Option<String>,
    /// Whether it gets tokens, and those that it has are good.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How often it was changed; what is written says which state it was made from.
    pub version: u64,
}

/// The most secrets that are good at the same time.
pub const MAX_SECRETS: usize = 2;

impl Client {
    /// The secrets that are good at that time.
    pub fn live_secrets(&self, now: Timestamp) -> impl Iterator<Item = &ClientSecret> {
        self.secrets.iter().filter(move |secret| secret.is_live(now))
    }

    /// The resources that it is, if it is one rather than a client of one.
    pub fn resources(&self) -> &[String] {
        if self.grants.is_empty() { &self.audiences } else { &[] }
    }

    /// The secret of that hash, if it is good. Every secret is looked at, in constant time.
    pub fn secret_of(&self, hash: &SecretHash, now: Timestamp) -> Option<&ClientSecret> {
        let mut found = None;
        for secret in self.live_secrets(now) {
            let same: Choice = secret.hash.ct_eq(hash);
            if bool::from(same) {
                found = Some(secret);
            }
        }
        found
    }
}

/// Hashes as they stand in JSON.
mod text_hash {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::vault::SecretHash;

    pub fn serialize<S: Serializer>(hash: &SecretHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(hash))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("a hash has 32 bytes"))
    }
}
