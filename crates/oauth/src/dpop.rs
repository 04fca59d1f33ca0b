//! Proofs of possession (RFC 9449): a JWT, made for one request, by the key that a token is bound to.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_cache::Cache;
use haat_catalog::Timestamp;
use http::{HeaderMap, HeaderName};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use moka::sync::Cache as Memory;
use serde::Deserialize;
use url::Url;

use crate::jwks::{ALGORITHMS, KeySet};
use crate::token::{Header, Parts};

/// The header field of a proof.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// How far the time in a proof may be from now, before and after.
const WINDOW: Duration = Duration::from_secs(60);
/// The most proofs that this process remembers.
const REMEMBERED: u64 = 200_000;
/// The most bytes of a proof.
const MAX_BYTES: usize = 8 * 1024;

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

/// Checks proofs, and remembers them for as long as they could be used again: in the cache that replicas share, or in this
/// process while there is none.
pub struct Proofs {
    shared: Option<Arc<dyn Cache>>,
    used: Memory<[u8; 32], ()>,
}

impl Proofs {
    /// None used yet.
    pub fn new(shared: Option<Arc<dyn Cache>>) -> Self {
        Self { shared, used: Memory::builder().max_capacity(REMEMBERED).time_to_live(WINDOW * 2).build() }
    }

    /// The thumbprint of the key by which a request proves something; nothing if it has no proof. `urls` are those under
    /// which the request may have been sent, `token` the access token that goes with it.
    ///
    /// # Errors
    /// When there is a proof and it is not one of this request.
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
        let jwt = proof.to_str().ok().filter(|jwt| jwt.len() <= MAX_BYTES && proofs.next().is_none());
        let (thumbprint, proof) = read(jwt.ok_or(ProofError::Malformed)?)?;
        if proof.htm != method || !urls.iter().any(|url| is_same(url, &proof.htu)) {
            return Err(ProofError::OtherRequest);
        }
        if (proof.iat - now.as_millis() as f64 / 1e3).abs() > WINDOW.as_secs_f64() {
            return Err(ProofError::Time);
        }
        let hash = token.map(|token| URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())));
        if hash.is_some() && hash != proof.ath {
            return Err(ProofError::OtherToken);
        }
        if !self.is_first(&thumbprint, &proof.jti).await {
            return Err(ProofError::Replayed);
        }
        Ok(Some(thumbprint))
    }

    async fn is_first(&self, thumbprint: &str, jti: &str) -> bool {
        let mut name = [0; 32];
        let hash = digest(&SHA256, format!("{thumbprint}:{jti}").as_bytes());
        name.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        if !self.used.entry(name).or_insert(()).is_fresh() {
            return false;
        }
        let Some(cache) = self.shared.as_ref().filter(|cache| cache.is_up()) else { return true };
        let key = format!("dpop:{}", URL_SAFE_NO_PAD.encode(name));
        cache.count(&key, 1, WINDOW * 2).await.is_ok_and(|uses| uses == 1) || !cache.is_up()
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

/// Whether two addresses are the same but for query and fragment, normalised as RFC 3986 §6.2.2 and §6.2.3 say.
fn is_same(one: &str, other: &str) -> bool {
    let normal = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    matches!((normal(one), normal(other)), (Some(one), Some(other)) if one == other)
}
