//! What this process knows of clients, keys and revocations: all of it, in memory, so that neither a token request nor
//! the check of a token waits for the database, nor fails with it. It follows the store's revisions; what another replica
//! changes is known here within [`LOOK`] and the time of a small query.
//!
//! What did not change is shared by what was known before and after, and a revocation is put among the others in place:
//! what one costs does not depend on how many clients and revocations there are.

mod revoked;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use haat_catalog::ports::StoreError;
use haat_catalog::{Clock, Timestamp};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use revoked::Revoked;

use crate::client::Client;
use crate::keys::{CLOCK_SKEW, KeyRing, SigningKey};
use crate::ports::{AuthStore, Revisions, StoredKey};
use crate::vault::Vault;

/// How often the store is asked for its revisions.
pub const LOOK: Duration = Duration::from_millis(250);
/// How often revocations of tokens that have ended are forgotten, at most.
const FORGET: Duration = Duration::from_secs(60);
/// How long a request waits for a look that it needs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Clients by their id.
pub type Clients = HashMap<Arc<str>, Arc<Client>, RandomState>;

/// What is known at one moment.
#[derive(Default)]
pub struct Known {
    /// The clients.
    pub clients: Arc<Clients>,
    /// The signing keys.
    pub keys: Arc<KeyRing>,
    /// Revoked tokens that have not ended yet; of this moment and of all later ones.
    pub revoked: Arc<Revoked>,
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
    looks: Mutex<Looks>,
}

/// What a look remembers for the next one.
#[derive(Default)]
struct Looks {
    /// When the last one began.
    begun: Option<Instant>,
    /// When revocations were last forgotten.
    forgotten: Option<Timestamp>,
}

impl Directory {
    /// Reads everything.
    ///
    /// # Errors
    /// When the store fails, or a key cannot be opened.
    pub async fn open(
        store: Arc<dyn AuthStore>,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, DirectoryError> {
        let directory = Self { store, vault, clock, known: ArcSwap::default(), looks: Mutex::default() };
        for stored in directory.store.keys().await? {
            directory.open_key(&stored)?;
        }
        directory.read(directory.looks.lock().await, true).await?;
        Ok(Arc::new(directory))
    }

    /// What is known now. For a moment only: whoever awaits something meanwhile takes [`Self::known_now`].
    pub fn known(&self) -> arc_swap::Guard<Arc<Known>> {
        self.known.load()
    }

    /// The same, to be held on to.
    pub fn known_now(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Looks now whether something changed, and reads it. Whoever changed something here calls this, so that the next
    /// request to this server finds it. A key that cannot be opened is left out, and logged: it must not keep revocations
    /// from being known.
    ///
    /// # Errors
    /// When the store fails; of what it failed to give, what was known stays.
    pub async fn refresh(&self) -> Result<(), DirectoryError> {
        self.read(self.looks.lock().await, false).await
    }

    /// The same for a request that names a key which is not known, unless somebody looked within [`LOOK`]: whoever makes
    /// up names makes nobody look more often. Does not wait long for the store.
    pub(crate) async fn look_again(&self) {
        let look = async {
            let looks = self.looks.lock().await;
            match looks.begun.is_some_and(|begun| begun.elapsed() < LOOK) {
                true => Ok(()),
                false => self.read(looks, false).await,
            }
        };
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, look).await {
            tracing::debug!(%error, "an unknown key cannot be looked for");
        }
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

    /// Reads what changed. What fails stays as it was, with its revision, and is tried again at the next look.
    async fn read(&self, mut looks: MutexGuard<'_, Looks>, everything: bool) -> Result<(), DirectoryError> {
        looks.begun = Some(Instant::now());
        // Asked for before the rest: what is read may be newer than it says, never older.
        let now = self.store.revisions().await?;
        let known = self.known_now();
        let before = known.revisions;
        if now == before && !everything {
            return Ok(());
        }
        let mut next = Known {
            clients: Arc::clone(&known.clients),
            keys: Arc::clone(&known.keys),
            revoked: Arc::clone(&known.revoked),
            revisions: before,
        };
        let (mut clients, mut keys, mut revocations) = (Ok(()), Ok(()), Ok(()));
        if now.revocations != before.revocations || everything {
            revocations = self.read_revocations(&mut next, now, everything, &mut looks).await;
        }
        if now.clients != before.clients || everything {
            clients = self.read_clients(&mut next, now).await;
        }
        if now.keys != before.keys || everything {
            keys = self.read_keys(&mut next, now).await;
        }
        self.known.store(Arc::new(next));
        Ok(revocations.and(clients).and(keys)?)
    }

    async fn read_revocations(
        &self,
        next: &mut Known,
        now: Revisions,
        everything: bool,
        looks: &mut Looks,
    ) -> Result<(), StoreError> {
        let before = next.revisions.revocations;
        // A database that was put back to an earlier state counts anew.
        let since = if now.revocations < before || everything { 0 } else { before };
        for token in self.store.revoked_since(since).await? {
            next.revoked.insert(token.jti, token.expires_at);
        }
        next.revisions.revocations = now.revocations;
        let time = self.clock.now();
        if looks.forgotten.is_none_or(|last| time.since(last) >= FORGET) {
            next.revoked.forget_ended(time.minus(CLOCK_SKEW));
            looks.forgotten = Some(time);
        }
        Ok(())
    }

    async fn read_clients(&self, next: &mut Known, now: Revisions) -> Result<(), StoreError> {
        let clients = self.store.clients().await?;
        next.clients = Arc::new(clients.into_iter().map(|client| (Arc::clone(&client.id), Arc::new(client))).collect());
        next.revisions.clients = now.clients;
        Ok(())
    }

    async fn read_keys(&self, next: &mut Known, now: Revisions) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        for stored in self.store.keys().await? {
            let as_before = next.keys.find(&stored.kid).filter(|key| key.is_as(&stored));
            match as_before.map_or_else(|| self.open_key(&stored), |key| Ok(Arc::clone(key))) {
                Ok(key) => keys.push(key),
                Err(error) => tracing::error!(%error, "a signing key is left out; going on with the others"),
            }
        }
        // Without any key nothing could be signed, nor checked.
        if !keys.is_empty() {
            next.keys = Arc::new(KeyRing::new(keys));
        }
        next.revisions.keys = now.keys;
        Ok(())
    }

    fn open_key(&self, stored: &StoredKey) -> Result<Arc<SigningKey>, DirectoryError> {
        let opened = SigningKey::open(&self.vault, stored);
        Ok(Arc::new(opened.map_err(|_| DirectoryError::WrongKey(stored.kid.clone()))?))
    }
}
