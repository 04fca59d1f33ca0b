//! What is derived from the server's one encryption key for tokens: their names in the shared cache, and their sealing there.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::credentials::Credentials;

const KEY_BYTES: usize = 32;

/// The keys for tokens that are kept where others may read. Each is derived by HKDF-SHA-256 (RFC 5869) under a label of
/// its own, so that it says nothing of what else is derived from the encryption key.
pub struct TokenVault {
    names: hmac::Key,
    tokens: RandomizedNonceKey,
}

/// What is sealed cannot be opened, or nothing can be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another encryption key or under another name, or it is damaged")]
pub struct Unsealable;

impl TokenVault {
    /// The vault of the server's encryption key.
    ///
    /// # Errors
    /// Never for a key of the right length, which it has by its type.
    pub fn new(master: &[u8; KEY_BYTES]) -> Result<Self, Unsealable> {
        let derived = |purpose: &'static str| -> Result<[u8; KEY_BYTES], Unsealable> {
            let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"haat/outbound/1").extract(master);
            let mut key = [0; KEY_BYTES];
            let info = [purpose.as_bytes()];
            let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).map_err(|_| Unsealable)?;
            expanded.fill(&mut key).map_err(|_| Unsealable)?;
            Ok(key)
        };
        Ok(Self {
            names: hmac::Key::new(hmac::HMAC_SHA256, &derived("names of tokens")?),
            tokens: RandomizedNonceKey::new(&AES_256_GCM, &derived("tokens")?).map_err(|_| Unsealable)?,
        })
    }

    /// Under which name the token of these credentials is shared. Whatever may make a difference to the token is in it, the
    /// secret too; it is a keyed hash, so that who reads the cache cannot try secrets.
    pub(super) fn name(&self, credentials: &Credentials) -> String {
        let tag = hmac::sign(&self.names, &credentials.identity());
        format!("token:{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Encrypts what is good under this name only (AES-256-GCM, random nonce in front).
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let mut sealed = plain.to_vec();
        let aad = Aad::from(name.as_bytes());
        let nonce = self.tokens.seal_in_place_append_tag(aad, &mut sealed).map_err(|_| Unsealable)?;
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut sealed);
        Ok(out)
    }

    /// Opens what was sealed under this name.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut rest = rest.to_vec();
        let aad = Aad::from(name.as_bytes());
        Ok(self.tokens.open_in_place(nonce, aad, &mut rest).map_err(|_| Unsealable)?.to_vec())
    }
}

impl std::fmt::Debug for TokenVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenVault(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_name_only() {
        let (vault, other) = (TokenVault::new(&[1; 32]).unwrap(), TokenVault::new(&[2; 32]).unwrap());
        let sealed = vault.seal("a", b"wonderland").unwrap();
        assert_eq!(vault.open("a", &sealed).unwrap(), b"wonderland");
        assert!(vault.open("b", &sealed).is_err() && other.open("a", &sealed).is_err());
        assert!(vault.open("a", &sealed[..5]).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("a", &changed).is_err(), "byte {at}");
        }
        assert!(!sealed.windows(10).any(|window| window == b"wonderland"));
    }
}
