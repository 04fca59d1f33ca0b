//! A client that proves who it is by what it signs: `private_key_jwt` with Ed25519.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::anyhow;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::now;
use crate::Bench;
use crate::account::{Account, asking};

/// How such a statement is named in a form, encoded.
const KIND: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

/// The client and its key.
pub struct Signer {
    /// The client.
    pub account: Account,
    key: EncodingKey,
    /// How many statements it has made; each has its number as its name.
    made: AtomicU64,
}

impl Signer {
    /// Registers one, with the public half of a new key.
    pub async fn create(bench: &Bench, data_dir: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no key can be made"))?;
        let public = Ed25519KeyPair::from_pkcs8(pair.as_ref()).map_err(|e| anyhow!("the key: {e}"))?;
        let x = URL_SAFE_NO_PAD.encode(public.public_key());
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "bench", "alg": "EdDSA"}]});
        let file = bench.work.join("tokens-jwks.json");
        std::fs::write(&file, set.to_string())?;
        let file = file.to_string_lossy();
        let words: Vec<_> = ["--jwks", &*file].into_iter().chain(more.iter().copied()).collect();
        let account = Account::create(bench, data_dir, "private_key_jwt", &words).await?;
        Ok(Self { account, key: EncodingKey::from_ed_der(pair.as_ref()), made: AtomicU64::new(0) })
    }

    /// The form of one request: a statement for `issuer`, good for so many seconds and once.
    pub fn form(&self, issuer: &str, seconds: i64) -> anyhow::Result<String> {
        let (id, now) = (&self.account.id, now());
        let jti = self.made.fetch_add(1, Ordering::Relaxed).to_string();
        let claims = json!({"iss": id, "sub": id, "aud": issuer, "iat": now, "exp": now + seconds, "jti": jti});
        let header = Header { kid: Some("bench".to_owned()), ..Header::new(Algorithm::EdDSA) };
        Ok(format!("{}&{KIND}&client_assertion={}", asking(), encode(&header, &claims, &self.key)?))
    }
}
