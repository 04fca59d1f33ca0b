//! Proofs of possession (RFC 9449): a JWT, made for one request, by the key that a token is bound to.

mod address;
mod used;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_cache::Cache;
use haat_catalog::Timestamp;
use http::{HeaderMap, HeaderName};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde::Deserialize;

use crate::hash::sha256;
use crate::jwks::{ALGORITHMS, KeySet};
use crate::keys::CLOCK_SKEW;
use crate::token::{Header, Parts};
use address::is_same;
use used::{Name, Use, Used};

/// The header field of a proof.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// How far the time in a proof may be from now, before and after.
const WINDOW: Duration = Duration::from_secs(60);
/// The most proofs that this process remembers: some 5,000 a second, and 50 MB.
const REMEMBERED: usize = 1_000_000;
/// How long a proof can be used, from the first replica's clock that takes it to the last one's.
const USABLE: Duration = Duration::from_secs(2 * WINDOW.as_secs() + CLOCK_SKEW.as_secs());

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not one, or more than one.
    #[error("there must be one DPoP header, with a JWT of type dpop+jwt and its public key in the header")]
    Malformed,
    /// Not made by its key.
    #[error("the DPoP proof's signature is not that of the key in its header")]
    Signature,
    /// For another request.
    #[error("the DPoP proof is for another method or address (htm, htu)")]
    OtherRequest,
    /// For another token.
    #[error("the DPoP proof is for another access token (ath)")]
    OtherToken,
    /// Made too long ago, or not yet.
    #[error("the DPoP proof's iat is more than 60 s from the server's time")]
    Time,
    /// Used before.
    #[error("the DPoP proof's jti was used before; each is good once")]
    Replayed,
    /// There are so many proofs that nobody can tell whether this one was used before.
    #[error("there are too many DPoP proofs now; try again later")]
    TooMany,
}

#[derive(Deserialize)]
struct Proof {
    jti: String,
    htm: String,
    htu: String,
    iat: f64,
    #[serde(default)]
    ath: Option<String>,
}

/// Checks proofs, and remembers them for as long as they could be used again: in this process, and in the cache that
/// replicas share while there is one.
pub struct Proofs {
    shared: Option<Arc<dyn Cache>>,
    used: Mutex<Used>,
}

impl Proofs {
    /// None used yet.
    pub fn new(shared: Option<Arc<dyn Cache>>) -> Self {
        Self { shared, used: Mutex::new(Used::new(REMEMBERED)) }
    }

    /// The thumbprint of the key by which a request proves something; nothing if it has no proof. `urls` are those under
    /// which the request may have been sent, `token` the access token that goes with it.
    ///
    /// # Errors
    /// When there is a proof and it is not one of this request, or it cannot be told whether it was used before.
    pub async fn prove(
        &self,
        headers: &HeaderMap,
        method: &str,
        urls: &[&str],
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<String>, ProofError> {
        let mut proofs = headers.get_all(&DPOP).iter();
        let Some(proof) = proofs.next() else { return Ok(None) };
        let jwt = proof.to_str().ok().filter(|jwt| !jwt.is_empty() && proofs.next().is_none());
        let (thumbprint, proof) = read(jwt.ok_or(ProofError::Malformed)?)?;
        if proof.htm != method || !urls.iter().any(|url| is_same(url, &proof.htu)) {
            return Err(ProofError::OtherRequest);
        }
        if (proof.iat - now.as_millis() as f64 / 1e3).abs() > WINDOW.as_secs_f64() {
            return Err(ProofError::Time);
        }
        let hash = token.map(|token| URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())));
        if hash.is_some() && hash != proof.ath {
            return Err(ProofError::OtherToken);
        }
        match self.note(&thumbprint, &proof.jti, now).await {
            Use::First => Ok(Some(thumbprint)),
            Use::Again => Err(ProofError::Replayed),
            Use::Unknown => Err(ProofError::TooMany),
        }
    }

    async fn note(&self, thumbprint: &str, jti: &str, now: Timestamp) -> Use {
        let hash = sha256(format!("{thumbprint}:{jti}").as_bytes());
        let name: Name = std::array::from_fn(|i| hash[i]);
        let here = self.used.lock().unwrap_or_else(PoisonError::into_inner).note(name, now.plus(USABLE), now);
        let Some(cache) = self.shared.as_ref().filter(|cache| here == Use::First && cache.is_up()) else { return here };
        let key = format!("dpop:{}", URL_SAFE_NO_PAD.encode(name));
        match cache.count(&key, 1, USABLE).await {
            Ok(1) => Use::First,
            Ok(_) => Use::Again,
            // Gone since: this process alone has to know. While it is there, one that fails has not said that it is new.
            Err(_) if !cache.is_up() => Use::First,
            Err(_) => Use::Unknown,
        }
    }
}

/// A proof whose signature is right, and the thumbprint of its key.
fn read(jwt: &str) -> Result<(String, Proof), ProofError> {
    let malformed = ProofError::Malformed;
    let parts = Parts::of(jwt).ok_or(malformed)?;
    let header: Header = serde_json::from_slice(&parts.header).map_err(|_| malformed)?;
    let proof: Proof = serde_json::from_slice(&parts.payload).map_err(|_| malformed)?;
    let jwk = header.jwk.filter(|_| header.typ.as_deref() == Some("dpop+jwt") && header.crit.is_none());
    let jwk = jwk.ok_or(malformed)?;
    let (_, algorithm) = ALGORITHMS.iter().find(|(name, _)| *name == header.alg).ok_or(malformed)?;
    // A private key in it would be one that others have seen by now.
    let set = KeySet::register(&serde_json::json!({"keys": [jwk]})).map_err(|_| malformed)?;
    let keys = set.candidates(None, *algorithm);
    if !parts.is_signed_by(&keys, *algorithm) {
        return Err(ProofError::Signature);
    }
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| malformed)?;
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| malformed)?;
    if proof.jti.is_empty() || proof.jti.len() > 255 {
        return Err(malformed);
    }
    Ok((thumbprint, proof))
}

#[cfg(test)]
mod tests {
    use haat_cache::MemoryCache;

    use super::*;
    use crate::testing::{Fault, Faulty};

    const NOW: i64 = 1_767_323_045_000;

    fn memory() -> Arc<dyn Cache> {
        Arc::new(MemoryCache::new(1 << 20, Arc::new(|| 0)))
    }

    async fn note(proofs: &Proofs, jti: &str, seconds: i64) -> Use {
        proofs.note("thumbprint", jti, Timestamp::from_millis(NOW + seconds * 1_000)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_that_was_used_at_one_replica_is_used_at_the_other_for_as_long_as_any_clock_may_take_it() {
        let shared = memory();
        let [one, other] = [(); 2].map(|()| Proofs::new(Some(Arc::clone(&shared))));
        assert_eq!(note(&one, "a", 0).await, Use::First);
        assert_eq!(note(&other, "b", 0).await, Use::First);
        // Made a minute ahead, good for a minute after, by a clock that is another minute behind.
        tokio::time::advance(Duration::from_secs(179)).await;
        assert_eq!(note(&other, "a", 119).await, Use::Again);
        assert_eq!(note(&one, "a", 179).await, Use::Again);
        assert_eq!(note(&one, "b", 179).await, Use::Again);
    }

    #[tokio::test]
    async fn what_the_shared_cache_said_counts_though_it_is_gone_since() {
        let shared = memory();
        let one = Proofs::new(Some(Arc::clone(&shared)));
        assert_eq!(note(&one, "a", 0).await, Use::First);
        let fading = Proofs::new(Some(Faulty::over(shared, Fault::Fades)));
        assert_eq!(note(&fading, "a", 0).await, Use::Again);
    }

    #[tokio::test]
    async fn a_shared_cache_that_is_gone_is_done_without_one_that_fails_is_not() {
        let gone = Proofs::new(Some(Faulty::over(memory(), Fault::Breaks)));
        assert_eq!(note(&gone, "a", 0).await, Use::First);
        assert_eq!(note(&gone, "a", 0).await, Use::Again);
        let failing = Proofs::new(Some(Faulty::over(memory(), Fault::Fails)));
        assert_eq!(note(&failing, "a", 0).await, Use::Unknown);
    }

    #[tokio::test]
    async fn a_memory_that_is_full_refuses_what_it_could_not_tell_from_a_second_use() {
        let proofs = Proofs { shared: None, used: Mutex::new(Used::new(2)) };
        for jti in ["a", "b"] {
            assert_eq!(note(&proofs, jti, 0).await, Use::First);
        }
        assert_eq!(note(&proofs, "c", 0).await, Use::Unknown);
        assert_eq!(note(&proofs, "a", 0).await, Use::Again);
    }
}
