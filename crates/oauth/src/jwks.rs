//! Key sets of others (RFC 7517): those that clients register, and those that are fetched from them.

mod remote;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use remote::RemoteKeys;

/// The algorithms that clients and foreign issuers may sign with. Never a symmetric one: whoever has a public key could
/// make signatures with it (RFC 8725 §2.1). `Ed25519` is the newer name of what `EdDSA` stands for here (RFC 9864).
pub const ALGORITHMS: [(&str, Algorithm); 4] =
    [(ED25519, Algorithm::EdDSA), (EDDSA, Algorithm::EdDSA), ("ES256", Algorithm::ES256), ("RS256", Algorithm::RS256)];
const ED25519: &str = "Ed25519";
const EDDSA: &str = "EdDSA";

/// The most keys of a set that can be used.
const MAX_KEYS: usize = 32;
/// The most keys by which a signature is checked that names none.
const MAX_TRIED: usize = 4;

/// Whether keys may be fetched from there: over https, or from this machine, for whoever is in between could put keys of
/// his own in. The rule for what is registered, what is configured and what is fetched.
///
/// # Errors
/// With what is wrong with the address, in words that follow its name.
pub fn check_source(url: &Url) -> Result<(), &'static str> {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err("must be a URL with a host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => return Err("must be a URL with https, or with http on this machine (localhost)"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user or a password in it");
    }
    if url.fragment().is_some() { Err("must not have a fragment") } else { Ok(()) }
}

/// Public keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KeySet {
    keys: Vec<Jwk>,
}

/// Why a key set cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON of that form.
    #[error("is not a JSON Web Key Set, {{\"keys\": […]}} (RFC 7517): {0}")]
    Malformed(String),
    /// A private key must stay with its owner.
    #[error("key {0} has its private part: send only the public one, and replace that key, for others have seen it")]
    Private(usize),
    /// Nothing in it can verify a signature.
    #[error("has no public key for signatures with EdDSA (Ed25519), ES256 (P-256) or RS256 (RSA, 2048 to 8192 bits)")]
    Useless,
    /// More than are ever looked at.
    #[error("has more than {MAX_KEYS} public keys: remove those that do not sign any more")]
    TooMany,
}

impl KeySet {
    /// Reads a set that somebody registers.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn register(json: &serde_json::Value) -> Result<Self, KeySetError> {
        let keys = list(json)?;
        if let Some(at) = keys.iter().position(|key| ["d", "k"].iter().any(|part| key.get(part).is_some())) {
            return Err(KeySetError::Private(at));
        }
        let set = Self::of_keys(keys)?;
        if set.keys.is_empty() { Err(KeySetError::Useless) } else { Ok(set) }
    }

    /// Reads a set that was fetched: what cannot be used of it is left out (RFC 7517 §5).
    ///
    /// # Errors
    /// When it is no key set, or has too many keys.
    pub fn read(text: &[u8]) -> Result<Self, KeySetError> {
        let json: serde_json::Value =
            serde_json::from_slice(text).map_err(|e| KeySetError::Malformed(e.to_string()))?;
        Self::of_keys(list(&json)?)
    }

    fn of_keys(keys: &[serde_json::Value]) -> Result<Self, KeySetError> {
        let keys = keys.iter().cloned().map(|mut key| {
            // The library knows the older name only.
            if let Some(name) = key.get_mut("alg").filter(|name| name.as_str() == Some(ED25519)) {
                *name = EDDSA.into();
            }
            serde_json::from_value::<Jwk>(key)
        });
        let usable = keys.filter_map(Result::ok).filter(|key| algorithm_of(key).is_some());
        let keys: Vec<Jwk> = usable.take(MAX_KEYS + 1).collect();
        if keys.len() > MAX_KEYS { Err(KeySetError::TooMany) } else { Ok(Self { keys }) }
    }

    /// The keys that a signature of that header may have been made with: the one of that name, or the first few of the
    /// kind if it names none.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fits = |key: &&Jwk| {
            algorithm_of(key) == Some(algorithm) && kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid))
        };
        self.keys.iter().filter(fits).filter_map(|key| DecodingKey::from_jwk(key).ok()).take(MAX_TRIED).collect()
    }
}

fn list(json: &serde_json::Value) -> Result<&[serde_json::Value], KeySetError> {
    let keys = json.get("keys").and_then(|keys| keys.as_array());
    Ok(keys.ok_or_else(|| KeySetError::Malformed("there is no member 'keys' with a list".into()))?)
}

/// What a key can be used for here; nothing if it is for something else, or its members cannot be a key's.
fn algorithm_of(key: &Jwk) -> Option<Algorithm> {
    if key.common.public_key_use.as_ref().is_some_and(|kind| *kind != PublicKeyUse::Signature) {
        return None;
    }
    let bytes = |member: &str| URL_SAFE_NO_PAD.decode(member).map_or(0, |bytes| bytes.len());
    let (by_kind, sound) = match &key.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, bytes(&key.x) == 32)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, bytes(&key.x) == 32 && bytes(&key.y) == 32)
        }
        // From 2048 bits (RFC 7518 §3.3); some write a zero in front.
        AlgorithmParameters::RSA(key) => {
            (Algorithm::RS256, (256..=1_025).contains(&bytes(&key.n)) && (1..=8).contains(&bytes(&key.e)))
        }
        _ => return None,
    };
    if !sound {
        return None;
    }
    let named = key.common.key_algorithm.map(|named| named.to_string());
    let agrees = |name: &str| ALGORITHMS.iter().any(|(n, a)| *n == name && *a == by_kind);
    named.is_none_or(|name| agrees(&name)).then_some(by_kind)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub fn ed(kid: &str) -> serde_json::Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    #[test]
    fn private_and_symmetric_keys_are_not_registered() {
        let mut private = ed("a");
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        assert_eq!(KeySet::register(&json!({"keys": [ed("b"), private]})), Err(KeySetError::Private(1)));
        let symmetric = json!({"keys": [{"kty": "oct", "k": "AAAA"}]});
        assert_eq!(KeySet::register(&symmetric), Err(KeySetError::Private(0)));
        assert_eq!(KeySet::register(&json!({"keys": []})), Err(KeySetError::Useless));
        assert!(matches!(KeySet::register(&json!([])), Err(KeySetError::Malformed(_))));
        assert!(KeySet::register(&json!({"keys": [ed("b")]})).is_ok());
    }

    #[test]
    fn keys_are_found_by_name_and_kind() {
        let odd = json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "…", "kid": "c"});
        let mut for_another_use = ed("d");
        for_another_use["use"] = json!("enc");
        let mut of_another_algorithm = ed("e");
        of_another_algorithm["alg"] = json!("ES256");
        let all = json!({"keys": [odd, ed("a"), ed("b"), for_another_use, of_another_algorithm]});
        let set = KeySet::read(all.to_string().as_bytes()).unwrap();
        assert_eq!(set.candidates(None, Algorithm::EdDSA).len(), 2);
        assert_eq!(set.candidates(Some("b"), Algorithm::EdDSA).len(), 1);
        for (kid, algorithm) in [
            (Some("x"), Algorithm::EdDSA),
            (Some("a"), Algorithm::ES256),
            (Some("d"), Algorithm::EdDSA),
            (Some("e"), Algorithm::EdDSA),
        ] {
            assert!(set.candidates(kid, algorithm).is_empty(), "{kid:?} {algorithm:?}");
        }
    }

    #[test]
    fn a_set_that_is_too_large_is_refused_and_what_cannot_be_used_does_not_count() {
        let odd = json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "…"});
        let of = |odds: usize, keys: usize| {
            let keys = (0..keys).map(|n| ed(&format!("key-{n}")));
            let keys: Vec<_> = std::iter::repeat_n(odd.clone(), odds).chain(keys).collect();
            json!({ "keys": keys })
        };
        let full = of(100, MAX_KEYS);
        for set in [KeySet::register(&full), KeySet::read(full.to_string().as_bytes())] {
            assert_eq!(set.unwrap().candidates(Some("key-31"), Algorithm::EdDSA).len(), 1);
        }
        let too_full = of(0, MAX_KEYS + 1);
        assert_eq!(KeySet::register(&too_full), Err(KeySetError::TooMany));
        assert_eq!(KeySet::read(too_full.to_string().as_bytes()), Err(KeySetError::TooMany));
    }

    #[test]
    fn a_signature_that_names_no_key_is_checked_by_a_few() {
        let keys: Vec<_> = (0..10).map(|n| ed(&format!("key-{n}"))).collect();
        let set = KeySet::register(&json!({ "keys": keys })).unwrap();
        assert_eq!(set.candidates(None, Algorithm::EdDSA).len(), MAX_TRIED);
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        let check = |url: &str| check_source(&Url::parse(url).unwrap());
        for url in [
            "https://client.example/jwks?of=us",
            "http://localhost:8080/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]:9/jwks",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for url in [
            "http://client.example/jwks",
            "http://localhost.example/jwks",
            "http://10.0.0.1/jwks",
            "ftp://client.example/jwks",
            "file:///etc/passwd",
            "https://user@client.example/jwks",
            "https://:secret@client.example/jwks",
            "https://client.example/jwks#here",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
