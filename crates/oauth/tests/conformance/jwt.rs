//! JWTs of every shape, right and wrong: signed by hand, so that a header may say anything.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// RSA keys take long to make; one is enough for all tests of a process.
static RSA: LazyLock<Arc<RsaKeyPair>> = LazyLock::new(|| Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

/// Somebody with a private key.
#[derive(Clone)]
pub struct Signer {
    pub kid: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Ed25519(Arc<Ed25519KeyPair>),
    P256(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>),
    /// Not a key pair at all: whoever verifies can sign.
    Secret(Vec<u8>),
}

impl Signer {
    pub fn ed25519(kid: &str) -> Self {
        Self { kid: kid.into(), key: Key::Ed25519(Arc::new(Ed25519KeyPair::generate().unwrap())) }
    }

    /// Of a private key that there is.
    pub fn of_ed25519(kid: &str, pkcs8: &[u8]) -> Self {
        Self { kid: kid.into(), key: Key::Ed25519(Arc::new(Ed25519KeyPair::from_pkcs8(pkcs8).unwrap())) }
    }

    pub fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), key: Key::P256(Arc::new(pair)) }
    }

    pub fn rsa(kid: &str) -> Self {
        Self { kid: kid.into(), key: Key::Rsa(RSA.clone()) }
    }

    pub fn secret(kid: &str, secret: &[u8]) -> Self {
        Self { kid: kid.into(), key: Key::Secret(secret.to_vec()) }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Ed25519(_) => "EdDSA",
            Key::P256(_) => "ES256",
            Key::Rsa(_) => "RS256",
            Key::Secret(_) => "HS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Key::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Key::Secret(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
        }
    }

    /// The members of its public key that make it that key.
    fn members(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            Key::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
            Key::P256(pair) => {
                // 4, x, y (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..65])})
            }
            Key::Rsa(pair) => {
                // SEQUENCE { INTEGER of 257 bytes, the first of them 0; INTEGER 65537 } (RFC 8017 §A.1.1).
                let der = pair.public_key().as_ref();
                assert_eq!((der.len(), &der[4..9]), (270, [2, 130, 1, 1, 0].as_slice()));
                json!({"kty": "RSA", "n": text(&der[9..265]), "e": text(&der[267..270])})
            }
            Key::Secret(secret) => json!({"kty": "oct", "k": text(secret)}),
        }
    }

    /// Its public key.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.members();
        jwk["kid"] = json!(self.kid);
        jwk
    }

    /// A key set with its public key alone.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    /// Its public key in the forms that somebody may take for a shared secret.
    pub fn public_forms(&self) -> Vec<Vec<u8>> {
        let Key::Ed25519(pair) = &self.key else { return Vec::new() };
        let der: PublicKeyX509Der = pair.public_key().as_der().unwrap();
        let raw = pair.public_key().as_ref().to_vec();
        vec![URL_SAFE_NO_PAD.encode(&raw).into_bytes(), raw, der.as_ref().to_vec(), self.jwk().to_string().into()]
    }

    /// The name of its public key (RFC 7638).
    pub fn thumbprint(&self) -> String {
        // A JSON object is written in order of its names here, as the RFC wants.
        let members = self.members().to_string();
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()))
    }
}

/// A JWT before it is signed.
#[derive(Clone)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
}

impl Jwt {
    /// A statement by which a client proves who it is (RFC 7523 §3).
    pub fn statement(client: &str, issuer: &str, now: i64) -> Self {
        let claims =
            json!({"iss": client, "sub": client, "aud": issuer, "iat": now, "exp": now + 60, "jti": fresh_name()});
        Self { header: json!({"typ": "JWT"}), claims }
    }

    /// A proof for a request (RFC 9449 §4.2).
    pub fn proof(method: &str, url: &str, now: i64) -> Self {
        let claims = json!({"htm": method, "htu": url, "iat": now, "jti": fresh_name()});
        Self { header: json!({"typ": "dpop+jwt"}), claims }
    }

    /// With a member of the header; without it if null.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        put(&mut self.header, name, value.into());
        self
    }

    /// With a claim; without it if null.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        put(&mut self.claims, name, value.into());
        self
    }

    /// Signed; `alg` and `kid` are the signer's where the header says nothing else.
    pub fn by(&self, signer: &Signer) -> String {
        self.clone().naming("alg", signer.algorithm()).naming("kid", &*signer.kid).as_it_is(signer)
    }

    /// The same without a key's name.
    pub fn nameless_by(&self, signer: &Signer) -> String {
        self.clone().naming("alg", signer.algorithm()).as_it_is(signer)
    }

    /// With the key in the header, as proofs have it.
    pub fn proved_by(&self, signer: &Signer) -> String {
        self.clone().naming("alg", signer.algorithm()).naming("jwk", signer.members()).as_it_is(signer)
    }

    /// Signed with nothing added to the header.
    pub fn as_it_is(&self, signer: &Signer) -> String {
        signed(self.header.to_string().as_bytes(), self.claims.to_string().as_bytes(), signer)
    }

    /// With no signature at all.
    pub fn unsigned(&self) -> String {
        format!("{}.{}.", encoded(&self.header), encoded(&self.claims))
    }

    fn naming(mut self, name: &str, value: impl Into<Value>) -> Self {
        if self.header.get(name).is_none() {
            put(&mut self.header, name, value.into());
        }
        self
    }
}

/// Any bytes as header and payload, signed.
pub fn signed(header: &[u8], payload: &[u8], signer: &Signer) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// The token with one of its parts (0: header, 1: payload) changed, under the signature it has.
pub fn tampered(token: &str, part: usize, name: &str, value: impl Into<Value>) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut json = decoded(&parts[part]);
    put(&mut json, name, value.into());
    parts[part] = encoded(&json);
    parts.join(".")
}

/// Header and claims of a token.
pub fn read(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(decoded_part);
    (parts.next().unwrap(), parts.next().unwrap())
}

/// A name that was not used before in this process.
pub fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("name-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn decoded_part(part: &str) -> Value {
    URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn put(json: &mut Value, name: &str, value: Value) {
    let members: &mut Map<String, Value> = json.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
}
