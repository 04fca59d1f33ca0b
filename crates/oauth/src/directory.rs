//! What this process knows of clients, keys and revocations: all of it, in memory, so that neither a token request nor
//! the check of a token waits for the database, nor fails with it. It follows the store's revisions; what another replica
//! changes is known here within [`LOOK`] and the time of a small query.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use haat_catalog::ports::StoreError;
use haat_catalog::{Clock, Timestamp};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::Client;
use crate::keys::{KeyRing, SigningKey};
use crate::ports::{AuthStore, Revisions};
use crate::vault::Vault;

/// How often the store is asked for its revisions.
pub const LOOK: Duration = Duration::from_millis(250);

/// What is known at one moment.
#[derive(Default)]
pub struct Known {
    /// Clients by their id.
    pub clients: HashMap<Arc<str>, Arc<Client>, RandomState>,
    /// The signing keys.
    pub keys: Arc<KeyRing>,
    /// Revoked tokens that have not ended yet, and when they do.
    pub revoked: HashMap<Uuid, Timestamp, RandomState>,
    /// Up to which revisions this goes.
    pub revisions: Revisions,
}

/// Why the directory could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing keys were sealed with another encryption key.
    #[error(
        "the signing key {0} cannot be opened: it was sealed with another encryption key. Every server on this database \
         needs the same one: set auth.encryption_key (HAAT_AUTH__ENCRYPTION_KEY) to it, or copy the key file into this \
         data folder"
    )]
    WrongKey(String),
}

/// Follows the store.
pub struct Directory {
    store: Arc<dyn AuthStore>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    known: ArcSwap<Known>,
    /// One refresh at a time.
    refreshing: Mutex<()>,
}

impl Directory {
    /// Reads everything.
    ///
    /// # Errors
    /// When the store fails, or the keys cannot be opened.
    pub async fn open(
        store: Arc<dyn AuthStore>,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, DirectoryError> {
        let directory = Self { store, vault, clock, known: ArcSwap::default(), refreshing: Mutex::default() };
        directory.read(true).await?;
        Ok(Arc::new(directory))
    }

    /// What is known now.
    pub fn known(&self) -> arc_swap::Guard<Arc<Known>> {
        self.known.load()
    }

    /// Looks now whether something changed, and reads it. Whoever changed something here calls this, so that the next
    /// request to this server finds it.
    ///
    /// # Errors
    /// When the store fails; what was known stays.
    pub async fn refresh(&self) -> Result<(), DirectoryError> {
        self.read(false).await
    }

    /// Follows the store until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let read = self.refresh().await;
            match &read {
                Ok(()) if failing => tracing::info!("clients and keys can be read again"),
                Err(error) if !failing => {
                    tracing::warn!(%error, "clients and keys cannot be read; going on with those known");
                }
                _ => {}
            }
            failing = read.is_err();
        }
    }

    async fn read(&self, everything: bool) -> Result<(), DirectoryError> {
        let _one = self.refreshing.lock().await;
        // Asked for before the rest: what is read may be newer than it says, never older.
        let now = self.store.revisions().await?;
        let known = self.known.load_full();
        let before = known.revisions;
        if now == before && !everything {
            return Ok(());
        }
        let mut next = Known {
            clients: known.clients.clone(),
            keys: Arc::clone(&known.keys),
            revoked: known.revoked.clone(),
            revisions: now,
        };
        if now.clients != before.clients || everything {
            let clients = self.store.clients().await?;
            next.clients = clients.into_iter().map(|client| (Arc::clone(&client.id), Arc::new(client))).collect();
        }
        if now.keys != before.keys || everything {
            next.keys = Arc::new(self.read_keys(&known.keys).await?);
        }
        if now.revocations != before.revocations || everything {
            // A database that was put back to an earlier state counts anew.
            let since = if now.revocations < before.revocations || everything { 0 } else { before.revocations };
            let revoked = self.store.revoked_since(since).await?;
            next.revoked.extend(revoked.into_iter().map(|token| (token.jti, token.expires_at)));
            let time = self.clock.now().minus(crate::keys::CLOCK_SKEW);
            next.revoked.retain(|_, end| *end >= time);
        }
        self.known.store(Arc::new(next));
        Ok(())
    }

    async fn read_keys(&self, before: &KeyRing) -> Result<KeyRing, DirectoryError> {
        let mut keys = Vec::new();
        for stored in self.store.keys().await? {
            let key = match before.find(&stored.kid) {
                Some(key) => Arc::clone(key),
                None => {
                    let opened = SigningKey::open(&self.vault, &stored);
                    Arc::new(opened.map_err(|_| DirectoryError::WrongKey(stored.kid.clone()))?)
                }
            };
            keys.push(key);
        }
        Ok(KeyRing::new(keys))
    }
}
