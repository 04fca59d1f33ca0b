//! What is derived from the server's one encryption key for tokens: their names in the shared cache, and their sealing there.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_sealing::{Derivation, KEY_BYTES, Seal};

pub use haat_sealing::Unsealable;

use super::credentials::Credentials;

/// The keys for tokens that are kept where others may read.
pub struct TokenVault {
    names: hmac::Key,
    tokens: Seal,
}

impl TokenVault {
    /// The vault of the server's encryption key.
    ///
    /// # Errors
    /// Never for a key of the right length, which it has by its type.
    pub fn new(master: &[u8; KEY_BYTES]) -> Result<Self, Unsealable> {
        let keys = Derivation::new(master, "haat/outbound/1");
        Ok(Self { names: keys.hashing("names of tokens")?, tokens: keys.sealing("tokens")? })
    }

    /// Under which name the token of these credentials is shared. Whatever may make a difference to the token is in it, the
    /// secret too; it is a keyed hash, so that who reads the cache cannot try secrets.
    pub(super) fn name(&self, credentials: &Credentials) -> String {
        let tag = hmac::sign(&self.names, &credentials.identity());
        format!("token:{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Encrypts what is good under this name only.
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        self.tokens.seal(name, plain)
    }

    /// Opens what was sealed under this name.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        self.tokens.open(name, sealed)
    }
}

impl std::fmt::Debug for TokenVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenVault(…)")
    }
}
