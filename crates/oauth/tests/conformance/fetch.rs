//! The network: key sets by their addresses, and how often each was fetched.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haat_oauth::ports::FetchKeys;
use serde_json::Value;
use url::Url;

#[derive(Default)]
pub struct Sources {
    sources: Mutex<HashMap<String, Source>>,
    /// Answers take a while.
    pub slow: AtomicBool,
}

#[derive(Default)]
struct Source {
    answer: Option<String>,
    fetched: usize,
}

impl Sources {
    /// From now on a key set is at `url`.
    pub fn serve(&self, url: &str, jwks: &Value) {
        self.sources.lock().unwrap().entry(url.to_owned()).or_default().answer = Some(jwks.to_string());
    }

    /// How often `url` was asked for.
    pub fn fetched(&self, url: &str) -> usize {
        self.sources.lock().unwrap().get(url).map_or(0, |source| source.fetched)
    }
}

#[async_trait]
impl FetchKeys for Sources {
    async fn fetch(&self, url: &Url) -> Result<Bytes, String> {
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut sources = self.sources.lock().unwrap();
        let source = sources.entry(url.to_string()).or_default();
        source.fetched += 1;
        source.answer.clone().map(Bytes::from).ok_or_else(|| "connection refused".to_owned())
    }
}
