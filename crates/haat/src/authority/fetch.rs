//! Fetches the key sets of clients and of other issuers.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use haat_oauth::jwks::check_source;
use haat_oauth::ports::FetchKeys;
use reqwest::Client;
use reqwest::redirect::Policy;
use url::Url;

/// The most time for a key set.
const TIME: Duration = Duration::from_secs(5);
/// The most bytes of one.
const MAX_BYTES: usize = 256 * 1024;

/// Fetches key sets: no redirects, nothing large. The client is made when it is first needed: to read the certificates of
/// the usual authorities takes longer than all the rest of a start.
#[derive(Default)]
pub struct Fetcher(OnceLock<Client>);

impl Fetcher {
    fn client(&self) -> Result<&Client, String> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = Client::builder().timeout(TIME).redirect(Policy::none()).user_agent("haat").build();
        let client = client.map_err(|e| format!("there can be no client for key sets: {e}"))?;
        Ok(self.0.get_or_init(|| client))
    }
}

#[async_trait]
impl FetchKeys for Fetcher {
    async fn fetch(&self, url: &Url) -> Result<Bytes, String> {
        check_source(url).map_err(|what| format!("its address {what}"))?;
        let answer = self.client()?.get(url.clone()).header("accept", "application/jwk-set+json, application/json");
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
