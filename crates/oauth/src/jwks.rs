//! Key sets of others (RFC 7517): those that clients register, and those that are fetched from them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::ports::FetchKeys;

/// The algorithms that clients and foreign issuers may sign with. Never a symmetric one: whoever has a public key could
/// make signatures with it (RFC 8725 §2.1). `Ed25519` is the newer name of what `EdDSA` stands for here (RFC 9864).
pub const ALGORITHMS: [(&str, Algorithm); 4] =
    [(ED25519, Algorithm::EdDSA), (EDDSA, Algorithm::EdDSA), ("ES256", Algorithm::ES256), ("RS256", Algorithm::RS256)];
const ED25519: &str = "Ed25519";
const EDDSA: &str = "EdDSA";

/// The most keys of a set that are looked at.
const MAX_KEYS: usize = 32;

/// Public keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

impl KeySet {
    /// Reads a set that somebody registers.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn register(json: &serde_json::Value) -> Result<Self, KeySetError> {
        let keys = json.get("keys").and_then(|keys| keys.as_array());
        let keys = keys.ok_or_else(|| KeySetError::Malformed("there is no member 'keys' with a list".into()))?;
        if let Some(at) = keys.iter().position(|key| ["d", "k"].iter().any(|part| key.get(part).is_some())) {
            return Err(KeySetError::Private(at));
        }
        let set = Self::of_json(json).ok_or_else(|| KeySetError::Malformed("it cannot be read".into()))?;
        if set.keys.is_empty() { Err(KeySetError::Useless) } else { Ok(set) }
    }

    /// Reads a set that was fetched: what cannot be used of it is left out (RFC 7517 §5).
    pub fn read(text: &[u8]) -> Option<Self> {
        Self::of_json(&serde_json::from_slice(text).ok()?)
    }

    fn of_json(json: &serde_json::Value) -> Option<Self> {
        let keys = json.get("keys")?.as_array()?.iter().take(MAX_KEYS);
        let keys = keys.cloned().map(|mut key| {
            // The library knows the older name only.
            if let Some(name) = key.get_mut("alg").filter(|name| name.as_str() == Some(ED25519)) {
                *name = EDDSA.into();
            }
            serde_json::from_value::<Jwk>(key)
        });
        let keys = keys.filter_map(Result::ok);
        Some(Self { keys: keys.filter(|key| algorithm_of(key).is_some()).collect() })
    }

    /// The keys that a signature of that header may have been made with: the one of that name, or all of the kind if it
    /// names none.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fits = |key: &&Jwk| {
            algorithm_of(key) == Some(algorithm) && kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid))
        };
        self.keys.iter().filter(fits).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect()
    }
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

/// How long a fetched set is used without a look at its source.
const FRESH: Duration = Duration::from_secs(600);
/// How long after a fetch nothing is fetched again, whoever names keys that are not there.
const PAUSE: Duration = Duration::from_secs(10);

/// Key sets by their URL. One fetch at a time for each, and at most one in [`PAUSE`].
pub struct RemoteKeys {
    fetch: Arc<dyn FetchKeys>,
    sets: std::sync::Mutex<HashMap<Url, Arc<Remote>>>,
}

/// A set that is somewhere else.
#[derive(Default)]
struct Remote {
    fetched: ArcSwapOption<Fetched>,
    /// When it was last asked for; held while it is.
    tried: Mutex<Option<Instant>>,
}

struct Fetched {
    set: KeySet,
    at: Instant,
}

impl Remote {
    /// The keys that are known to fit, and whether they are known from lately.
    fn known(&self, kid: Option<&str>, algorithm: Algorithm) -> (Vec<DecodingKey>, bool) {
        match &*self.fetched.load() {
            Some(fetched) => (fetched.set.candidates(kid, algorithm), fetched.at.elapsed() < FRESH),
            None => (Vec::new(), false),
        }
    }
}

impl RemoteKeys {
    /// None fetched yet.
    pub fn new(fetch: Arc<dyn FetchKeys>) -> Self {
        Self { fetch, sets: std::sync::Mutex::default() }
    }

    /// The keys at `url` that a signature of that header may have been made with. A key that is not known is looked for at
    /// the source; a source that does not answer leaves what was known.
    pub async fn candidates(&self, url: &Url, kid: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let remote = {
            let mut sets = self.sets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(sets.entry(url.clone()).or_default())
        };
        let (found, fresh) = remote.known(kid, algorithm);
        if fresh && !found.is_empty() {
            return found;
        }
        // Whoever has a key does not wait while others, who may name any key they like, make this server look for theirs.
        let mut tried = match remote.tried.try_lock() {
            Ok(tried) => tried,
            Err(_) if !found.is_empty() => return found,
            Err(_) => remote.tried.lock().await,
        };
        if tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return remote.known(kid, algorithm).0;
        }
        *tried = Some(Instant::now());
        match self.read(url).await {
            Ok(set) => {
                remote.fetched.store(Some(Arc::new(Fetched { set, at: Instant::now() })));
                remote.known(kid, algorithm).0
            }
            Err(error) => {
                tracing::warn!(%url, error, "a key set cannot be fetched");
                found
            }
        }
    }

    async fn read(&self, url: &Url) -> Result<KeySet, String> {
        let text = self.fetch.fetch(url).await?;
        KeySet::read(&text).ok_or_else(|| "what it answers is not a JSON Web Key Set".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn ed(kid: &str) -> serde_json::Value {
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

    struct Source(AtomicUsize);

    #[async_trait]
    impl FetchKeys for Source {
        async fn fetch(&self, _: &Url) -> Result<Bytes, String> {
            let n = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            match n {
                2 => Err("gone".into()),
                n => Ok(json!({"keys": [ed(&format!("key-{n}"))]}).to_string().into()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_key_does_not_wait_while_an_unknown_one_is_looked_for() {
        let keys = RemoteKeys::new(Arc::new(Source(AtomicUsize::new(0))));
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async |kid| keys.candidates(&url, Some(kid), Algorithm::EdDSA).await.len();
        assert_eq!(find("key-0").await, 1);
        tokio::time::advance(PAUSE).await;
        let known = async {
            tokio::task::yield_now().await;
            let begun = Instant::now();
            assert_eq!(find("key-0").await, 1);
            begun.elapsed()
        };
        let (unknown, waited) = tokio::join!(find("key-1"), known);
        assert_eq!((unknown, waited), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_is_looked_for_once_in_a_while() {
        let source = Arc::new(Source(AtomicUsize::new(0)));
        let keys = RemoteKeys::new(source.clone());
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async |kid| keys.candidates(&url, Some(kid), Algorithm::EdDSA).await.len();
        let fetched = || source.0.load(Ordering::SeqCst);
        assert_eq!(tokio::join!(find("key-0"), find("key-0")), (1, 1));
        for _ in 0..50 {
            assert_eq!(find("key-1").await, 0);
        }
        assert_eq!(fetched(), 1);
        tokio::time::advance(PAUSE).await;
        assert_eq!(tokio::join!(find("key-1"), find("key-1")), (1, 1));
        assert_eq!(fetched(), 2);
        tokio::time::advance(FRESH).await;
        assert_eq!(find("key-1").await, 1, "what was known is used while the source does not answer");
        assert_eq!((find("key-1").await, fetched()), (1, 3));
        tokio::time::advance(PAUSE).await;
        assert_eq!((find("key-3").await, find("key-1").await, fetched()), (1, 0, 4), "and given up once it does");
    }
}
