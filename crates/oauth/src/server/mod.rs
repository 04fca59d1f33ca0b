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

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haat_cache::Cache;
use haat_catalog::{Clock, Timestamp};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

pub use credentials::JWT_BEARER;
pub use error::Refusal;
pub use form::MAX_FORM;

use crate::client::{AuthMethod, Client, ClientSecret};
use crate::directory::{Directory, Known};
use crate::dpop::Proofs;
use crate::jwks::{KeySet, RemoteKeys};
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
    /// The URLs under which it is reached, the issuer among them, without a slash at the end: a proof of possession is for
    /// one of them (RFC 9449 §4.3).
    pub addresses: Vec<String>,
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

impl ServerOptions {
    /// The URLs under which a request to this path may have been sent.
    pub fn urls(&self, path: &str) -> Vec<String> {
        self.addresses.iter().map(|address| format!("{address}{path}")).collect()
    }
}

/// The URLs under which a server with this issuer is reached, for [`ServerOptions::addresses`]: the issuer, and for one at
/// `http://localhost` the addresses of this machine that the name stands for.
pub fn addresses_of(issuer: &str) -> Vec<String> {
    let mut addresses = vec![issuer.to_owned()];
    let port = issuer.strip_prefix("http://localhost").filter(|port| port.is_empty() || port.starts_with(':'));
    if let Some(port) = port {
        addresses.extend(["127.0.0.1", "[::1]"].map(|host| format!("http://{host}{port}")));
    }
    addresses
}

/// A request to one of the endpoints.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// Who sends it.
    pub address: IpAddr,
}

impl fmt::Debug for Asked<'_> {
    /// How much there is, not what: header and body have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fields, body) = (self.headers.len(), self.body.len());
        write!(f, "Asked(from {}, {fields} header fields, {body} bytes)", self.address)
    }
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
    /// By which statements are checked that nobody can have signed.
    nobodys_keys: KeySet,
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
            nobodys_keys: nobodys_keys(),
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

/// A public key of every kind that a client may have. Those of the examples in RFC 8037 §A.2 and RFC 7517 §A.1; what is
/// signed by them is refused.
fn nobodys_keys() -> KeySet {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM\
             stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5\
             hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let keys = serde_json::json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
         "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},
        {"kty": "RSA", "n": n, "e": "AQAB"},
    ]});
    KeySet::read(keys.to_string().as_bytes()).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://haat.example", &["https://haat.example"])]
    #[case("http://localhost:8080", &["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"])]
    #[case("http://localhost", &["http://localhost", "http://127.0.0.1", "http://[::1]"])]
    #[case("https://localhost:8080", &["https://localhost:8080"])]
    #[case("http://localhost.example:8080", &["http://localhost.example:8080"])]
    fn a_server_on_this_machine_is_reached_by_its_addresses_too(#[case] issuer: &str, #[case] addresses: &[&str]) {
        assert_eq!(addresses_of(issuer), addresses);
    }

    #[test]
    fn nobody_has_a_key_of_every_kind() {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
            assert_eq!(nobodys_keys().candidates(None, algorithm).len(), 1, "{algorithm:?}");
        }
    }
}
