//! What is derived from the server's one encryption key: the hashes of client secrets and the sealing of signing keys.
//!
//! The key is 256 bits, from the configuration or from a file in the data folder. Each use has a key of its own
//! ([`haat_sealing`]).

use std::fmt;

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use haat_sealing::{Derivation, KEY_BYTES, Seal};

pub use haat_sealing::Unsealable;

use crate::hash::array;

/// What every client secret begins with, so that scanners of leaked secrets know it.
pub const SECRET_PREFIX: &str = "haat_";
/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;

/// The encryption key.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

/// Not an encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 32 bytes in base64; `openssl rand -base64 32` makes them")]
pub struct NotAKey;

impl MasterKey {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, Unsealable> {
        random().map(Self)
    }

    /// The key of a text: base64 with or without padding, of either alphabet.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let text = text.trim();
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotAKey)
    }

    /// As it is kept in a file.
    pub fn to_text(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// The key itself, for other vaults to derive theirs from.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// The keys derived from the encryption key.
pub struct Vault {
    secrets: hmac::Key,
    keys: Seal,
}

/// The keyed hash of a client secret. A machine's secret is 256 random bits: a fast hash is as safe as a slow one, and
/// bcrypt would only look at 72 bytes of it.
pub type SecretHash = [u8; 32];

impl Vault {
    /// The vault of a key.
    ///
    /// # Errors
    /// Never for a key of the right length, which it has by its type.
    pub fn new(master: &MasterKey) -> Result<Self, Unsealable> {
        let keys = Derivation::new(&master.0, "haat/oauth/1");
        Ok(Self { secrets: keys.hashing("client secrets")?, keys: keys.sealing("signing keys")? })
    }

    /// The hash by which a client secret is kept.
    pub fn hash_secret(&self, secret: &[u8]) -> SecretHash {
        array(hmac::sign(&self.secrets, secret).as_ref())
    }

    /// Encrypts a private key so that it is good for this name only.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        self.keys.seal(name, plain)
    }

    /// Opens what was sealed under that name.
    ///
    /// # Errors
    /// When it was sealed with another key or under another name, or was changed.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        self.keys.open(name, sealed)
    }
}

/// A new client secret: 256 bits of randomness, only letters, digits, `-` and `_`.
///
/// # Errors
/// When the system has no randomness to give.
pub fn generate_secret() -> Result<String, Unsealable> {
    Ok(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?)))
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Unsealable> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Unsealable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_secrets_depend_on_the_key() {
        assert_eq!(vault(1).hash_secret(b"s"), vault(1).hash_secret(b"s"));
        assert_ne!(vault(1).hash_secret(b"s"), vault(2).hash_secret(b"s"));
    }

    #[test]
    fn secrets_have_256_bits_of_plain_characters() {
        let secret = generate_secret().unwrap();
        let random = secret.strip_prefix(SECRET_PREFIX).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_ne!(secret, generate_secret().unwrap());
    }

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        let key = MasterKey::generate().unwrap();
        assert_eq!(MasterKey::parse(&format!("{}\n", key.to_text())).unwrap().0, key.0);
        assert!(MasterKey::parse("c2hvcnQ=").is_err());
        assert!(!format!("{key:?}").contains(&key.to_text()));
    }

    fn vault(n: u8) -> Vault {
        Vault::new(&MasterKey([n; KEY_BYTES])).unwrap()
    }
}
