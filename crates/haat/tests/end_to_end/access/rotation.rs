//! Signing keys change while tokens are asked for and used everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{base64url, pair};
use crate::harness::{SOON, Server, eventually};

/// `auth.jwks_max_age` of the test.
const MAX_AGE: Duration = Duration::from_secs(6);
/// A key waits for as long as writing it may take, besides: less than a `max-age`, or it would wait long enough for that alone.
const SETTINGS: [(&str, &str); 3] = [
    ("HAAT_AUTH__JWKS_MAX_AGE", "6s"),
    ("HAAT_DATABASE__QUERY_TIMEOUT", "2s"),
    ("HAAT_DATABASE__ACQUIRE_TIMEOUT", "1s"),
];

/// The name of the key that signed a token.
fn kid(token: &str) -> String {
    let header = base64url::decode(token.split('.').next().unwrap());
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

impl Server {
    async fn published(&self) -> Vec<String> {
        let set = self.send(self.bare(Method::GET, "/oauth/jwks")).await.expect(200).json();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

/// Those who ask two servers for tokens, use them, and read the key sets, and what they saw.
struct Crowd {
    servers: [Arc<Server>; 2],
    client: (String, String),
    stop: AtomicBool,
    used: AtomicUsize,
    tokens: Mutex<Vec<String>>,
    /// When a key was first seen in the key set of a server, and when a token that it signed.
    published: [Mutex<BTreeMap<String, Instant>>; 2],
    signed: Mutex<BTreeMap<String, Instant>>,
}

impl Crowd {
    async fn token(&self, server: usize) -> String {
        let token = self.servers[server].token_of(&self.client.0, &self.client.1, &[]).await;
        self.signed.lock().unwrap().entry(kid(&token)).or_insert_with(Instant::now);
        self.tokens.lock().unwrap().push(token.clone());
        token
    }

    async fn takes(&self, server: usize, token: &str) {
        let reply = self.servers[server].changes_with(token).await;
        assert_eq!(reply.status, 200, "server {server}, a token of the key {}: {reply:?}", kid(token));
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Uses each new token at the server that did not sign it, and an old one.
    async fn use_tokens(self: Arc<Self>, first: usize) {
        for round in first.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let token = self.token(round % 2).await;
            let old = {
                let tokens = self.tokens.lock().unwrap();
                tokens[round * 7919 % tokens.len()].clone()
            };
            self.takes((round + 1) % 2, &token).await;
            self.takes((round + 1) % 2, &old).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn read_keys(self: Arc<Self>, server: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            for kid in self.servers[server].published().await {
                self.published[server].lock().unwrap().entry(kid).or_insert_with(Instant::now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every key but the first, which nobody could know a key set without, was published for a `max-age` before it signed.
    fn saw_every_key_before_it_signed(&self, first: &str) {
        let signed = self.signed.lock().unwrap();
        for (kid, signed) in signed.iter().filter(|(kid, _)| *kid != first) {
            for (server, published) in self.published.iter().enumerate() {
                let published = published.lock().unwrap().get(kid).copied();
                let known = published.and_then(|published| signed.checked_duration_since(published));
                assert!(known >= Some(MAX_AGE), "the key {kid} signed when server {server} had shown it for {known:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rotations_under_load_on_two_servers_refuse_no_valid_token() {
    let (stage, _redis, one, other) = pair(&SETTINGS).await;
    let client = one.client_with(&["changes:read"]).await;
    eventually("the other server knows the client", SOON, async || {
        let asked = other.form("/oauth/token", (&client.0, &client.1), "grant_type=client_credentials".into()).await;
        (asked.status == 200).then_some(())
    })
    .await;
    let crowd = Arc::new(Crowd {
        servers: [one, other],
        client,
        stop: AtomicBool::new(false),
        used: AtomicUsize::new(0),
        tokens: Mutex::default(),
        published: Default::default(),
        signed: Mutex::default(),
    });
    let first = kid(&crowd.token(0).await);
    let mut tasks = JoinSet::new();
    (0..4).for_each(|n| drop(tasks.spawn(Arc::clone(&crowd).use_tokens(n))));
    (0..2).for_each(|n| drop(tasks.spawn(Arc::clone(&crowd).read_keys(n))));

    let mut keys = vec![first.clone()];
    for _ in 0..20 {
        let made = stage.run(&["--json", "keys", "rotate"]).await.succeeded().json();
        keys.push(made["kid"].as_str().unwrap().to_owned());
    }
    let last = keys.last().unwrap();
    for server in [0, 1] {
        eventually("the last key signs", SOON, async || (kid(&crowd.token(server).await) == *last).then_some(())).await;
    }
    crowd.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let all: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(all.len(), 21, "twenty rotations make twenty keys: {keys:?}");
    crowd.saw_every_key_before_it_signed(&first);
    assert!(crowd.signed.lock().unwrap().keys().all(|kid| all.contains(kid)), "a key has signed that nobody made");
    let used = crowd.used.load(Ordering::Relaxed);
    assert!(used > 200, "{used} uses are no load");
    // None of the tokens has ended: the keys of all are there, and both servers take all of them.
    let tokens = crowd.tokens.lock().unwrap().clone();
    for server in [0, 1] {
        assert_eq!(crowd.servers[server].published().await.iter().collect::<BTreeSet<_>>(), all);
        for token in &tokens {
            crowd.takes(server, token).await;
        }
    }
}
