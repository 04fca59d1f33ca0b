//! Statements by which a client proves who it is: `private_key_jwt` (RFC 7523 §2.2 and §3, OpenID Connect Core §9).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_catalog::Timestamp;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

/// How long a statement is good. It is made for one request.
const LIFE: Duration = Duration::from_secs(60);
/// The shortest RSA key (RFC 7518 §3.3).
const LEAST_RSA_BYTES: usize = 256;

/// The private key that signs statements. The kind of key decides upon the algorithm: Ed25519 `EdDSA`, P-256 `ES256`, RSA
/// `RS256`.
#[derive(Clone)]
pub struct AssertionKey(Arc<Inner>);

struct Inner {
    pair: Pair,
    kid: Option<String>,
}

enum Pair {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Not a key that can sign statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an Ed25519, P-256 or RSA (2,048 bits or more) private key in PEM without a password")]
pub struct UnusableKey;

impl AssertionKey {
    /// The key of a PEM text (`PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`). `kid` is the name under which the
    /// provider knows it, where it knows several.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_pem(pem: &[u8], kid: Option<String>) -> Result<Self, UnusableKey> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| UnusableKey)?;
        let der = key.secret_der();
        let ec = |der| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        let pair = match &key {
            PrivateKeyDer::Pkcs8(_) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(Pair::Ed)
                .or_else(|_| ec(der).map(Pair::Ec))
                .or_else(|_| RsaKeyPair::from_pkcs8(der).map(Pair::Rsa)),
            PrivateKeyDer::Sec1(_) => ec(der).map(Pair::Ec),
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der).map(Pair::Rsa),
            _ => return Err(UnusableKey),
        };
        let pair = pair.map_err(|_| UnusableKey)?;
        if matches!(&pair, Pair::Rsa(rsa) if rsa.public_modulus_len() < LEAST_RSA_BYTES) {
            return Err(UnusableKey);
        }
        Ok(Self(Arc::new(Inner { pair, kid })))
    }

    /// The public half: the point of an elliptic curve as it is, PKCS #1 for RSA.
    pub(super) fn public(&self) -> &[u8] {
        match &self.0.pair {
            Pair::Ed(pair) => pair.public_key().as_ref(),
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.0.kid.as_deref()
    }

    /// The algorithm that it signs by: `EdDSA`, `ES256` or `RS256` (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn algorithm(&self) -> &'static str {
        match &self.0.pair {
            Pair::Ed(_) => "EdDSA",
            Pair::Ec(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// A statement that the client is who it says, for this audience, from `now` on. `jti` is never used twice.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(super) fn state(&self, client: &str, audience: &str, now: Timestamp, jti: u128) -> Result<String, UnusableKey> {
        let mut header = json!({"alg": self.algorithm(), "typ": "JWT"});
        if let (Some(kid), Some(members)) = (self.kid(), header.as_object_mut()) {
            members.insert("kid".into(), kid.into());
        }
        let claims = json!({
            "iss": client,
            "sub": client,
            "aud": audience,
            "jti": URL_SAFE_NO_PAD.encode(jti.to_be_bytes()),
            "iat": now.as_seconds(),
            "exp": now.plus(LIFE).as_seconds(),
        });
        let mut jwt = URL_SAFE_NO_PAD.encode(header.to_string());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut jwt);
        let signature = self.sign(jwt.as_bytes())?;
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(jwt)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, UnusableKey> {
        let random = SystemRandom::new();
        match &self.0.pair {
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(|_| UnusableKey)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| UnusableKey)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for AssertionKey {
    /// Its algorithm and name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionKey({}, {})", self.algorithm(), self.kid().unwrap_or("without a name"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::process::Command;

    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use rstest::rstest;

    use super::*;

    /// A key by OpenSSL.
    fn openssl(arguments: &str) -> Vec<u8> {
        let made = Command::new("openssl").args(arguments.split(' ')).output().expect("apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    }

    /// The key of RFC 8037 §A.1.
    pub(in super::super) fn ed_key(kid: Option<String>) -> AssertionKey {
        const PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        AssertionKey::from_pem(PEM, kid).unwrap()
    }

    /// The key of RFC 7515 §A.3.
    pub(in super::super) fn ec_key(kid: Option<String>) -> AssertionKey {
        const PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
            MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCCOmxCecZCYv5gEh98f\n\
            XXfpyylgbr7SJjtfV8IT34T0sg==\n-----END PRIVATE KEY-----\n";
        AssertionKey::from_pem(PEM, kid).unwrap()
    }

    #[rstest]
    #[case::ed25519("genpkey -algorithm ed25519", Algorithm::EdDSA)]
    #[case::p256("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", Algorithm::ES256)]
    #[case::p256_sec1("ecparam -name prime256v1 -genkey -noout", Algorithm::ES256)]
    #[case::rsa("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", Algorithm::RS256)]
    #[case::rsa_pkcs1("genrsa -traditional 2048", Algorithm::RS256)]
    fn statements_of_every_kind_of_key_are_what_rfc_7523_asks_for(#[case] made_by: &str, #[case] algorithm: Algorithm) {
        let key = AssertionKey::from_pem(&openssl(made_by), Some("2026-11".into())).unwrap();
        let now = Timestamp::from_millis(1_767_323_045_678);
        let jwt = key.state("shop", "https://as.example", now, 5).unwrap();
        let verifying = match algorithm {
            Algorithm::EdDSA => DecodingKey::from_ed_der(key.public()),
            Algorithm::ES256 => DecodingKey::from_ec_der(key.public()),
            _ => DecodingKey::from_rsa_der(key.public()),
        };
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&["https://as.example"]);
        rules.set_issuer(&["shop"]);
        rules.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        rules.validate_exp = false;
        let read = jsonwebtoken::decode::<serde_json::Value>(&jwt, &verifying, &rules).unwrap();
        assert_eq!((read.header.alg, read.header.kid.as_deref()), (algorithm, Some("2026-11")));
        assert_eq!(
            read.claims,
            json!({"iss": "shop", "sub": "shop", "aud": "https://as.example", "iat": 1_767_323_045,
                "exp": 1_767_323_105, "jti": "AAAAAAAAAAAAAAAAAAAABQ"})
        );
    }

    #[rstest]
    #[case::nothing("version")]
    #[case::another_curve("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384")]
    #[case::another_algorithm("genpkey -algorithm x25519")]
    #[case::short_rsa("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024")]
    fn other_keys_are_refused(#[case] made_by: &str) {
        assert_eq!(AssertionKey::from_pem(&openssl(made_by), None).err(), Some(UnusableKey));
    }

    #[test]
    fn nothing_of_the_key_is_in_debug_output() {
        assert_eq!(format!("{:?}", ed_key(None)), "AssertionKey(EdDSA, without a name)");
        assert_eq!(format!("{:?}", ec_key(Some("k".into()))), "AssertionKey(ES256, k)");
    }
}
