//! What is derived from the server's one encryption key, for whoever keeps secrets where others may read: keys for hashes,
//! and keys that seal.
//!
//! Each use has a key of its own, derived by HKDF-SHA-256 (RFC 5869) under a label of its own, so that what one is good for
//! says nothing of the others. What is sealed is AES-256-GCM with a random nonce in front, and good under its name only.
//!
//! Labels and this form never change: what servers have sealed is in their databases.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};

/// Bytes of the encryption key, and of every key derived from it.
pub const KEY_BYTES: usize = 32;

/// What is sealed cannot be opened, or nothing can be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another encryption key or under another name, or it is damaged")]
pub struct Unsealable;

/// Derives the keys of one part of the server.
pub struct Derivation(hkdf::Prk);

impl Derivation {
    /// The keys of `part`, which names it and the version of what it derives: `haat/oauth/1`.
    pub fn new(master: &[u8; KEY_BYTES], part: &'static str) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, part.as_bytes()).extract(master))
    }

    fn key(&self, purpose: &'static str) -> Result<[u8; KEY_BYTES], Unsealable> {
        let mut key = [0; KEY_BYTES];
        let info = [purpose.as_bytes()];
        let expanded = self.0.expand(&info, hkdf::HKDF_SHA256).map_err(|_| Unsealable)?;
        expanded.fill(&mut key).map_err(|_| Unsealable)?;
        Ok(key)
    }

    /// A key for hashes that nobody without it can make (HMAC-SHA-256).
    ///
    /// # Errors
    /// Never for a key of this length.
    pub fn hashing(&self, purpose: &'static str) -> Result<hmac::Key, Unsealable> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &self.key(purpose)?))
    }

    /// A key that seals.
    ///
    /// # Errors
    /// Never for a key of this length.
    pub fn sealing(&self, purpose: &'static str) -> Result<Seal, Unsealable> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.key(purpose)?).map(Seal).map_err(|_| Unsealable)
    }
}

/// Seals and opens.
pub struct Seal(RandomizedNonceKey);

impl Seal {
    /// Encrypts what is good under this name only.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let mut sealed = plain.to_vec();
        let aad = Aad::from(name.as_bytes());
        let nonce = self.0.seal_in_place_append_tag(aad, &mut sealed).map_err(|_| Unsealable)?;
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut sealed);
        Ok(out)
    }

    /// Opens what was sealed under this name.
    ///
    /// # Errors
    /// When it was sealed with another key or under another name, or was changed.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut rest = rest.to_vec();
        let aad = Aad::from(name.as_bytes());
        Ok(self.0.open_in_place(nonce, aad, &mut rest).map_err(|_| Unsealable)?.to_vec())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(master: u8) -> Seal {
        Derivation::new(&[master; KEY_BYTES], "haat/oauth/1").sealing("signing keys").unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_name_only() {
        let (seal, other) = (seal(1), seal(2));
        let sealed = seal.seal("a", b"wonderland").unwrap();
        assert_eq!(seal.open("a", &sealed).unwrap(), b"wonderland");
        assert!(seal.open("b", &sealed).is_err() && other.open("a", &sealed).is_err());
        assert!(seal.open("a", &sealed[..5]).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open("a", &changed).is_err(), "byte {at}");
        }
        assert!(!sealed.windows(10).any(|window| window == b"wonderland"));
        assert_ne!(sealed, seal.seal("a", b"wonderland").unwrap(), "the nonce is another each time");
    }

    /// Each use has a key of its own.
    #[test]
    fn what_one_use_seals_no_other_opens() {
        let sealed = seal(1).seal("a", b"wonderland").unwrap();
        let derived = |part, purpose| Derivation::new(&[1; KEY_BYTES], part).sealing(purpose).unwrap();
        assert!(derived("haat/oauth/1", "signing keys").open("a", &sealed).is_ok());
        assert!(derived("haat/oauth/1", "tokens").open("a", &sealed).is_err());
        assert!(derived("haat/outbound/1", "signing keys").open("a", &sealed).is_err());
    }

    /// Made by another program (the `cryptography` of Python) from what the documentation above says.
    #[test]
    fn what_was_sealed_and_hashed_before_is_understood_for_ever() {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        for (part, purpose, sealed) in [
            (
                "haat/oauth/1",
                "signing keys",
                "000102030405060708090a0bef0c29db74c8fc4569a87b145176ad45f5675fd77c02cc291d77",
            ),
            (
                "haat/outbound/1",
                "tokens",
                "000102030405060708090a0b7f42788c0d506b921e6639292ea95fb63f08b559bb9c6d2ca746",
            ),
        ] {
            let seal = Derivation::new(&[7; KEY_BYTES], part).sealing(purpose).unwrap();
            assert_eq!(seal.open("a", &bytes(sealed)).unwrap(), b"wonderland", "{part}");
        }
        for (part, purpose, text, tag) in [
            (
                "haat/oauth/1",
                "client secrets",
                "haat_secret",
                "f97ed186d71f3ae74cbffad6a1e3c2743f0734b52b19238dc59f803b5b31bf4d",
            ),
            (
                "haat/outbound/1",
                "names of tokens",
                "identity",
                "a837aea79414f6285cdb4f2dd87bcecc7f6552b6a8abd259edf5a6b08a460086",
            ),
        ] {
            let key = Derivation::new(&[7; KEY_BYTES], part).hashing(purpose).unwrap();
            assert_eq!(hmac::sign(&key, text.as_bytes()).as_ref(), bytes(tag), "{part}");
        }
    }
}
