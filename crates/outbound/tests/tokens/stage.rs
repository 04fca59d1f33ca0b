//! What the tests share: managers, a client over TCP, caches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_cache::{Cache, MemoryCache};
use haat_catalog::Clock;
use haat_catalog::time::SystemClock;
use haat_outbound::tokens::{
    AssertionKey, ClientAuth, Credentials, CredentialsDraft, Secret, SharedTokens, SystemRandom, Token, TokenError,
    TokenManager, TokenOptions, TokenVault,
};
use haat_outbound::{Answer, Call, CallError, Caller};
use haat_testkit::servers::RedisServer;
use jsonwebtoken::DecodingKey;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::provider::{CLIENT, ISSUER, SECRET};

/// The encryption key.
pub const MASTER: [u8; 32] = [42; 32];

/// A client over TCP.
pub struct Plain(reqwest::Client);

impl Plain {
    pub fn client() -> Arc<dyn Caller> {
        Arc::new(Self(reqwest::Client::builder().no_proxy().build().unwrap()))
    }
}

#[async_trait]
impl Caller for Plain {
    async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let broken = |error: reqwest::Error| CallError::Broken(error.without_url().to_string());
        let request = self.0.request(call.method, call.url).headers(call.headers).body(call.body);
        let answer = request.send().await.map_err(broken)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await.map_err(broken)?, attempts: 1 })
    }
}

/// Where the provider's token endpoint is.
pub fn draft(address: Option<SocketAddr>) -> CredentialsDraft {
    CredentialsDraft {
        issuer: ISSUER.into(),
        token_url: format!("{}/token", base(address)).parse().unwrap(),
        client_id: CLIENT.into(),
        auth: ClientAuth::SecretBasic(Secret::new(SECRET)),
        scopes: vec!["products:read".into()],
        audience: None,
        resources: vec![],
        extra: vec![],
    }
}

fn base(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "http://direct.example".into(), |address| format!("http://{address}"))
}

/// A client that signs statements, and the key that verifies them.
pub fn signer() -> (ClientAuth, DecodingKey) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let der = STANDARD.encode(pair.to_pkcs8v1().unwrap().as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let key = AssertionKey::from_pem(pem.as_bytes(), None).unwrap();
    let verifying = DecodingKey::from_ed_der(pair.public_key().as_ref());
    (ClientAuth::PrivateKeyJwt { key, audience: ISSUER.into() }, verifying)
}

/// A request to the API.
pub fn api(address: Option<SocketAddr>) -> Call {
    Call::get(format!("{}/api", base(address)).parse().unwrap())
}

pub fn options() -> TokenOptions {
    TokenOptions { upstream: "demo".into(), ..TokenOptions::default() }
}

pub fn shared(cache: &Arc<dyn Cache>) -> Option<SharedTokens> {
    let vault = Arc::new(TokenVault::new(&MASTER).unwrap());
    Some(SharedTokens { cache: Arc::clone(cache), vault })
}

/// A manager of [`draft`].
pub fn manager(caller: &Arc<dyn Caller>, shared: Option<SharedTokens>, address: Option<SocketAddr>) -> TokenManager {
    manager_of(draft(address), options(), caller, shared, Arc::new(SystemClock))
}

pub fn manager_of(
    draft: CredentialsDraft,
    options: TokenOptions,
    caller: &Arc<dyn Caller>,
    shared: Option<SharedTokens>,
    clock: Arc<dyn Clock>,
) -> TokenManager {
    let credentials = Credentials::new(draft).unwrap();
    TokenManager::new(credentials, options, Arc::clone(caller), shared, clock, Arc::new(SystemRandom))
}

/// A cache in this process whose clock is the runtime's.
pub fn memory() -> Arc<dyn Cache> {
    let began = Instant::now();
    let now = move || 1_767_323_045_000_000 + i64::try_from(began.elapsed().as_micros()).unwrap();
    Arc::new(MemoryCache::new(1 << 20, Arc::new(now)))
}

pub async fn redis(server: &RedisServer, patience: Duration) -> Arc<dyn Cache> {
    let options = RedisOptions { urls: vec![server.url()], patience, ..RedisOptions::default() };
    let cache = RedisCache::open(options).unwrap();
    assert!(cache.reached(Duration::from_secs(20)).await);
    Arc::new(cache)
}

/// The text of a token.
pub fn text(token: &Token) -> String {
    token.authorization().to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

/// So many ask at once; what each was given, sorted, without repeats.
pub async fn ask(managers: &[TokenManager], times: usize) -> Vec<Result<String, TokenError>> {
    let mut callers = JoinSet::new();
    for manager in managers {
        for _ in 0..times {
            let manager = manager.clone();
            callers.spawn(async move { manager.token().await.map(|token| text(&token)) });
        }
    }
    let mut given = callers.join_all().await;
    given.sort_by_key(|given| format!("{given:?}"));
    given.dedup();
    given
}

/// Waits until it is so; fails the test if that takes too long. Looks often enough for tests of a few milliseconds.
pub async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
