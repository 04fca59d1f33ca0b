//! A store with somebody in between who is slow, counts, or hides things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::Timestamp;
use haat_catalog::ports::StoreError;
use haat_oauth::client::Client;
use haat_oauth::ports::{
    ClientStore, KeyStore, PutClientError, Revisions, Revocation, RevocationStore, SecretUse, StoredKey,
};
use haat_oauth::vault::SecretHash;
use haat_store::Store;
use haat_testkit::clock::TestClock;

/// The store of a stage, and what happens on the way to it.
pub struct Between {
    store: Arc<dyn Store>,
    clock: Arc<TestClock>,
    /// Adding a key takes as long as it may.
    pub slow_keys: AtomicBool,
    /// No row of a client can be read.
    pub unreadable: AtomicBool,
    /// Whoever asks finds no client, as somebody did a moment ago.
    pub nobody_yet: AtomicBool,
    /// A row of the signing keys cannot be read, and so none can.
    pub broken_keys: AtomicBool,
    /// How often revisions were asked for.
    pub looks: AtomicUsize,
}

impl Between {
    pub fn new(store: &Arc<dyn Store>, clock: &Arc<TestClock>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            slow_keys: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            nobody_yet: AtomicBool::new(false),
            broken_keys: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl ClientStore for Between {
    async fn revisions(&self) -> Result<Revisions, StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.store.revisions().await
    }

    async fn has_clients(&self) -> Result<bool, StoreError> {
        if self.nobody_yet.load(Ordering::SeqCst) { Ok(false) } else { self.store.has_clients().await }
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        if self.unreadable.load(Ordering::SeqCst) { Ok(Vec::new()) } else { self.store.clients().await }
    }

    async fn put_client(&self, client: &Client) -> Result<(), PutClientError> {
        self.store.put_client(client).await
    }

    async fn remove_client(&self, id: &str) -> Result<bool, StoreError> {
        self.store.remove_client(id).await
    }

    async fn secret_uses(&self) -> Result<Vec<SecretUse>, StoreError> {
        self.store.secret_uses().await
    }

    async fn note_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        self.store.note_secret_uses(uses).await
    }

    async fn prune_secret_uses(&self, before: Timestamp, live: &[SecretHash]) -> Result<u64, StoreError> {
        self.store.prune_secret_uses(before, live).await
    }
}

#[async_trait]
impl KeyStore for Between {
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        match self.broken_keys.load(Ordering::SeqCst) {
            true => Err(StoreError::Corrupt("a signing key cannot be read".into())),
            false => self.store.keys().await,
        }
    }

    async fn add_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        if self.slow_keys.load(Ordering::SeqCst) {
            self.clock.advance(self.longest_write());
        }
        self.store.add_key(key, newest).await
    }

    fn longest_write(&self) -> Duration {
        self.store.longest_write()
    }

    async fn raise_longest_token(&self, kids: &[String], longest_token: Duration) -> Result<bool, StoreError> {
        self.store.raise_longest_token(kids, longest_token).await
    }

    async fn remove_keys(&self, kids: &[String]) -> Result<(), StoreError> {
        self.store.remove_keys(kids).await
    }
}

#[async_trait]
impl RevocationStore for Between {
    async fn revoke(&self, token: Revocation) -> Result<(), StoreError> {
        self.store.revoke(token).await
    }

    async fn revoked_since(&self, revision: u64) -> Result<Vec<Revocation>, StoreError> {
        self.store.revoked_since(revision).await
    }

    async fn first_use(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        self.store.first_use(hash, expires_at).await
    }

    async fn prune_expired(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.store.prune_expired(before).await
    }
}
