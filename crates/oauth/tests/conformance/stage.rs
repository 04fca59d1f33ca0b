//! What the tests stand on: an authorization server over a SQLite file, with clients of every kind, on a clock that stands
//! still.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use haat_cache::Cache;
use haat_catalog::Clock;
use haat_oauth::admin::{Admin, Rules};
use haat_oauth::directory::Directory;
use haat_oauth::dpop::Proofs;
use haat_oauth::keys::KeyTimes;
use haat_oauth::resource::{ForeignIssuer, Verifier};
use haat_oauth::server::{Asked, AuthorizationServer, Parts, ServerOptions};
use haat_oauth::vault::{MasterKey, Vault};
use haat_store::testing::{Hook, Hooks, open_with_hooks};
use haat_store::{SqliteOptions, Store, StoreOptions};
use haat_testkit::clock::TestClock;
use haat_testkit::conformance::Gate;
use tempfile::TempDir;

use crate::clients;
use crate::fetch::Sources;
use crate::jwt::Signer;
use crate::request::{Answer, Endpoint, Request};

/// The server's identifier.
pub const ISSUER: &str = "https://haat.example";
/// Another address of it, by which it is reached from inside.
pub const INTERNAL: &str = "http://haat.internal:8080";
/// The resource that tokens are for where nobody names one.
pub const AUDIENCE: &str = "https://haat.example/catalogue";
/// A resource of somebody else.
pub const PARTNER: &str = "https://partner.example/api";
/// Another.
pub const STOCK: &str = "urn:partner:stock";
/// Where requests come from.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
/// How long a token lasts where its client says nothing else.
pub const LIFETIME: Duration = Duration::from_secs(3_600);

pub const KEY_TIMES: KeyTimes = KeyTimes {
    max_age: Duration::from_secs(300),
    longest_token: Duration::from_secs(7_200),
    rotate_every: Some(Duration::from_secs(86_400)),
};

/// One authorization server with all that it stands on.
pub struct Stage {
    pub clock: Arc<TestClock>,
    pub store: Arc<dyn Store>,
    pub vault: Arc<Vault>,
    pub master: MasterKey,
    pub admin: Admin,
    pub sources: Arc<Sources>,
    /// Holds writes back before their commit while it is closed.
    pub gate: Gate,
    /// The first of its replicas.
    pub replica: Replica,
    /// The secrets of clients, and the keys of those that sign, by their ids.
    pub secrets: HashMap<&'static str, String>,
    pub signers: HashMap<&'static str, Signer>,
    _folder: TempDir,
}

/// One process that serves.
pub struct Replica {
    pub directory: Arc<Directory>,
    pub server: Arc<AuthorizationServer>,
    pub verifier: Verifier,
    pub proofs: Arc<Proofs>,
}

impl Stage {
    /// A server with the clients of [`clients`], without limits on failures.
    pub async fn new() -> Self {
        Self::with_failures(u32::MAX, u32::MAX).await
    }

    /// The same with limits on failures: for a client, and for an address.
    pub async fn with_failures(per_client: u32, per_address: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let options = SqliteOptions { path: folder.path().join("haat.db"), ..SqliteOptions::default() };
        let gate = Gate::default();
        let passed = gate.clone();
        let before_commit: Hook = Arc::new(move || {
            let gate = passed.clone();
            Box::pin(async move { gate.pass().await })
        });
        let hooks = Hooks { before_commit: Some(before_commit), claimed: None };
        let store = open_with_hooks(&StoreOptions::Sqlite(options), hooks).await.unwrap();
        store.migrate().await.unwrap();
        let master = MasterKey::generate().unwrap();
        let vault = Arc::new(Vault::new(&master).unwrap());
        let clock = Arc::new(TestClock::default());
        let rules = Rules { keys: KEY_TIMES, policies: vec!["bulk".into()] };
        let admin = Admin::new(store.clone(), vault.clone(), clock.clone(), rules);
        assert!(admin.tend_keys().await.unwrap(), "the first key is made");
        let registered = clients::register(&admin, &clock).await;
        let sources = Arc::new(Sources::default());
        sources.serve(clients::JWKS_URI, &registered.signers["remote"].jwks());
        let options = options_with(per_client, per_address);
        let replica = Replica::open(&store, &vault, &clock, &sources, options, Vec::new(), None).await;
        let (secrets, signers) = (registered.secrets, registered.signers);
        Self { clock, store, vault, master, admin, sources, gate, replica, secrets, signers, _folder: folder }
    }

    /// Another replica over the same store, which trusts these issuers too.
    pub async fn another(&self, foreign: Vec<ForeignIssuer>) -> Replica {
        let options = options_with(u32::MAX, u32::MAX);
        Replica::open(&self.store, &self.vault, &self.clock, &self.sources, options, foreign, None).await
    }

    /// Another replica over the same store, with a cache that others share and a limit on failures for a client.
    pub async fn sharing(&self, cache: Arc<dyn Cache>, per_client: u32) -> Replica {
        let (options, cache) = (options_with(per_client, u32::MAX), Some(cache));
        Replica::open(&self.store, &self.vault, &self.clock, &self.sources, options, Vec::new(), cache).await
    }

    pub fn secret(&self, client: &str) -> &str {
        &self.secrets[client]
    }

    pub fn signer(&self, client: &str) -> &Signer {
        &self.signers[client]
    }

    /// Now, in seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.clock.now().as_seconds()
    }

    pub fn clock_now(&self) -> haat_catalog::Timestamp {
        self.clock.now()
    }

    /// A request for a token by a client with a secret.
    pub fn asked_by(&self, client: &str) -> Request {
        Request::token().basic(client, self.secret(client))
    }

    pub async fn send(&self, request: &Request) -> Answer {
        self.replica.send(request).await
    }

    /// The token that a request gets.
    pub async fn issue(&self, request: &Request) -> String {
        self.replica.issue(request).await
    }

    /// The key that signs tokens now, in hands that can sign anything with it.
    pub async fn own_signer(&self) -> Signer {
        let stored = self.store.keys().await.unwrap().remove(0);
        let private = self.vault.open(&stored.kid, &stored.sealed).unwrap();
        Signer::of_ed25519(&stored.kid, &private)
    }
}

impl Replica {
    async fn open(
        store: &Arc<dyn Store>,
        vault: &Arc<Vault>,
        clock: &Arc<TestClock>,
        sources: &Arc<Sources>,
        options: ServerOptions,
        foreign: Vec<ForeignIssuer>,
        cache: Option<Arc<dyn Cache>>,
    ) -> Self {
        let directory = Directory::open(store.clone(), vault.clone(), clock.clone()).await.unwrap();
        let proofs = Arc::new(Proofs::new(cache.clone()));
        let parts = Parts {
            store: store.clone(),
            directory: directory.clone(),
            vault: vault.clone(),
            fetch: sources.clone(),
            cache,
            clock: clock.clone(),
        };
        let (issuer, audience) = (options.issuer.clone(), options.audience.clone());
        let server = AuthorizationServer::new(options, parts, proofs.clone());
        let verifier = Verifier::new(issuer, audience, directory.clone(), clock.clone(), foreign, sources.clone());
        Self { directory, server, verifier, proofs }
    }

    pub async fn send(&self, request: &Request) -> Answer {
        self.send_from(request, ADDRESS).await
    }

    pub async fn send_from(&self, request: &Request, address: IpAddr) -> Answer {
        let asked = Asked { headers: &request.headers, body: &request.body, address };
        Answer::of(match request.endpoint {
            Endpoint::Token => self.server.token(asked).await,
            Endpoint::Introspect => self.server.introspect(asked).await,
            Endpoint::Revoke => self.server.revoke(asked).await,
            Endpoint::Metadata => self.server.metadata(),
            Endpoint::Jwks => self.server.jwks(),
        })
    }

    pub async fn issue(&self, request: &Request) -> String {
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "no token: {}", answer.text());
        answer.json["access_token"].as_str().unwrap().to_owned()
    }
}

fn options_with(failures_per_client: u32, failures_per_address: u32) -> ServerOptions {
    ServerOptions {
        issuer: ISSUER.into(),
        addresses: vec![ISSUER.into(), INTERNAL.into()],
        audience: AUDIENCE.into(),
        token_lifetime: LIFETIME,
        keys: KEY_TIMES,
        failures_per_client,
        failures_per_address,
    }
}
