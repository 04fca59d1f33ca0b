//! The authorization server: what its endpoints answer to a request's header fields and body. How requests come in is not
//! its business.

mod assertion;
mod authenticate;
mod credentials;
mod error;
mod form;
mod grant;
mod introspect;
mod metadata;
mod revoke;
mod throttle;
mod uses;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haat_cache::Cache;
use haat_catalog::{Clock, Timestamp};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

pub use credentials::JWT_BEARER;
pub use error::Refusal;

use crate::client::{AuthMethod, Client, ClientSecret};
use crate::directory::{Directory, Known};
use crate::dpop::Proofs;
use crate::jwks::RemoteKeys;
use crate::keys::KeyTimes;
use crate::ports::{AuthStore, FetchKeys};
use crate::scope::Scopes;
use crate::vault::Vault;
use throttle::Throttle;
use uses::Uses;

/// How the server is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// Its identifier: the URL under which clients reach it, without a slash at the end (RFC 8414 §2).
    pub issuer: String,
    /// The resource that tokens are for where a request names none.
    pub audience: String,
    /// How long a token lasts where its client says nothing else.
    pub token_lifetime: Duration,
    /// How long keys are needed.
    pub keys: KeyTimes,
    /// How often a client may fail to authenticate from one address within a minute.
    pub failures_per_client: u32,
    /// How often anybody may from one address within a minute.
    pub failures_per_address: u32,
}

/// A request to one of the endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// Who sends it.
    pub address: IpAddr,
}

/// What the server stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where clients, keys and revocations are kept.
    pub store: Arc<dyn AuthStore>,
    /// What is known of them.
    pub directory: Arc<Directory>,
    /// Keys derived from the encryption key.
    pub vault: Arc<Vault>,
    /// Fetches the keys of clients.
    pub fetch: Arc<dyn FetchKeys>,
    /// A cache that replicas share, if there is one.
    pub cache: Option<Arc<dyn Cache>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The authorization server.
pub struct AuthorizationServer {
    options: ServerOptions,
    store: Arc<dyn AuthStore>,
    directory: Arc<Directory>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    remote: RemoteKeys,
    throttle: Throttle,
    proofs: Arc<Proofs>,
    uses: Uses,
    /// Whom unknown ids are taken for.
    nobody: Arc<Client>,
}

impl AuthorizationServer {
    /// The server over these parts; `proofs` remembers which proofs of possession were used.
    pub fn new(options: ServerOptions, parts: Parts, proofs: Arc<Proofs>) -> Arc<Self> {
        let Parts { store, directory, vault, fetch, cache, clock } = parts;
        let throttle = Throttle::new(cache, options.failures_per_client, options.failures_per_address);
        Arc::new(Self {
            options,
            store,
            directory,
            vault,
            clock,
            remote: RemoteKeys::new(fetch),
            throttle,
            proofs,
            uses: Uses::default(),
            nobody: Arc::new(nobody()),
        })
    }

    /// How it is set up.
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Writes when secrets were last used, as far as that is not written yet.
    ///
    /// # Errors
    /// When the store fails; the uses are kept for the next time.
    pub async fn write_uses(&self) -> Result<(), haat_catalog::ports::StoreError> {
        let uses = self.uses.take();
        let written = self.store.note_secret_uses(&uses).await;
        if written.is_err() {
            self.uses.put_back(uses);
        }
        written
    }
}

/// A client with a secret that nobody has: it is as much work to compare with as another's.
fn nobody() -> Client {
    let never = Timestamp::from_millis(0);
    Client {
        id: "".into(),
        name: String::new(),
        scopes: Scopes::NONE,
        grants: Vec::new(),
        auth_method: AuthMethod::ClientSecretBasic,
        keys: None,
        secrets: vec![ClientSecret { hash: [0; 32], created_at: never, expires_at: None }],
        token_lifetime: None,
        audiences: Vec::new(),
        dpop_bound: false,
        policy: None,
        enabled: false,
        created_at: never,
        updated_at: never,
        version: 0,
    }
}

/// A JSON answer that nobody may keep (RFC 6749 §5.1).
fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// An answer or a refusal, as it is sent.
fn answer(result: Result<Response<Bytes>, Refusal>) -> Response<Bytes> {
    result.unwrap_or_else(|refusal| refusal.respond())
}
