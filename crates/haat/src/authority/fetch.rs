//! Fetches the key sets of clients and of other issuers.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use haat_oauth::ports::FetchKeys;
use reqwest::redirect::Policy;
use url::{Host, Url};

/// The most time for a key set.
const TIME: Duration = Duration::from_secs(5);
/// The most bytes of one.
const MAX_BYTES: usize = 256 * 1024;

/// A client for key sets: no redirects, no proxies' cookies, nothing large.
pub struct Fetcher(reqwest::Client);

impl Fetcher {
    /// One that trusts the usual authorities.
    ///
    /// # Errors
    /// When there are none.
    pub fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(TIME).redirect(Policy::none()).user_agent("haat");
        Ok(Self(client.build().context("no client for key sets")?))
    }
}

#[async_trait]
impl FetchKeys for Fetcher {
    async fn fetch(&self, url: &Url) -> Result<Bytes, String> {
        // Whoever is in between could put keys of his own in; on this machine nobody is.
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !here {
            return Err("keys are fetched over https only".into());
        }
        let answer = self.0.get(url.clone()).header("accept", "application/jwk-set+json, application/json");
        let mut answer = answer.send().await.map_err(|e| e.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers with {}", answer.status()));
        }
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| e.without_url().to_string())? {
            if body.len() + piece.len() > MAX_BYTES {
                return Err(format!("it is larger than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}
