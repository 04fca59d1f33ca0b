//! What the authorization server needs of the world: where clients, keys and revocations are kept, and a way to fetch the
//! keys of others. One method is one transaction.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haat_catalog::Timestamp;
use haat_catalog::ports::StoreError;
use url::Url;
use uuid::Uuid;

use crate::client::Client;
use crate::vault::SecretHash;

/// How often each part was changed. A replica that knows a revision has everything that was written up to it: the
/// counters are raised in the transactions of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revisions {
    /// Clients.
    pub clients: u64,
    /// Signing keys.
    pub keys: u64,
    /// Revoked tokens.
    pub revocations: u64,
}

/// When a secret was last good for something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretUse {
    /// Whose hash it is.
    pub hash: SecretHash,
    /// When.
    pub at: Timestamp,
}

impl fmt::Debug for SecretUse {
    /// All but the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUse(at {})", self.at)
    }
}

/// A signing key as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name: the thumbprint of its public half (RFC 7638).
    pub kid: String,
    /// The private half, sealed ([`crate::vault::Vault::seal`]).
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs, until a later one does.
    pub signs_from: Timestamp,
    /// The longest that a token may last which it signs.
    pub longest_token: Duration,
}

impl fmt::Debug for StoredKey {
    /// All but the private half, sealed as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("kid", &self.kid)
            .field("created_at", &self.created_at)
            .field("signs_from", &self.signs_from)
            .field("longest_token", &self.longest_token)
            .finish_non_exhaustive()
    }
}

/// A token that is good no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Its `jti`.
    pub jti: Uuid,
    /// When it ends by itself; nobody need remember it after that.
    pub expires_at: Timestamp,
}

/// Why a client was not written.
#[derive(Debug, thiserror::Error)]
pub enum PutClientError {
    /// Its id is another client's.
    #[error("there is a client of that id already")]
    Exists,
    /// It was changed or removed since it was read.
    #[error("somebody else changed the client in between")]
    Changed,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps clients.
#[async_trait]
pub trait ClientStore: Send + Sync {
    /// How often clients, keys and revocations were changed.
    async fn revisions(&self) -> Result<Revisions, StoreError>;
    /// All clients, in order of id. One whose row cannot be read is left out (and logged).
    async fn clients(&self) -> Result<Vec<Client>, StoreError>;
    /// Whether there is any client, be its row readable or not.
    async fn has_clients(&self) -> Result<bool, StoreError>;
    /// Writes a client: a new one at version 1, otherwise one whose version in the store is the one before.
    async fn put_client(&self, client: &Client) -> Result<(), PutClientError>;
    /// Removes a client; tells whether it was there.
    async fn remove_client(&self, id: &str) -> Result<bool, StoreError>;
    /// When secrets were last used, of those that ever were.
    async fn secret_uses(&self) -> Result<Vec<SecretUse>, StoreError>;
    /// Notes that secrets were used; an earlier use than the one known changes nothing. No revision moves.
    async fn note_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError>;
    /// Forgets uses from before a moment, so that those of secrets that are gone do not pile up, but for those of `live`
    /// secrets; gives their number.
    async fn prune_secret_uses(&self, before: Timestamp, live: &[SecretHash]) -> Result<u64, StoreError>;
}

/// Keeps signing keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// All of them, by the time from which they sign.
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError>;
    /// Adds a key if `newest` is still the key that signs last (`None`: if there is none); tells whether it did, so that
    /// of replicas that rotate at the same time one does.
    async fn add_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError>;
    /// How long after it was called [`Self::add_key`] may still write, however it ends: it waits for a connection, and for
    /// others.
    fn longest_write(&self) -> Duration;
    /// Lets keys sign tokens that last so long; those that may sign longer ones stay as they are. Tells whether anything
    /// changed.
    async fn raise_longest_token(&self, kids: &[String], longest_token: Duration) -> Result<bool, StoreError>;
    /// Removes keys that nobody needs any more.
    async fn remove_keys(&self, kids: &[String]) -> Result<(), StoreError>;
}

/// Keeps what is revoked, and what may be used only once.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Revokes a token. Doing so again changes nothing.
    async fn revoke(&self, token: Revocation) -> Result<(), StoreError>;
    /// The tokens revoked after a revision of revocations.
    async fn revoked_since(&self, revision: u64) -> Result<Vec<Revocation>, StoreError>;
    /// Whether this is the first time that something is used that ends at `expires_at`, on any replica.
    async fn first_use(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError>;
    /// Forgets what has ended before a moment, in small transactions; gives how much that was. Whoever prunes leaves what
    /// clocks may differ by ([`crate::admin::Admin::prune`]): to a replica that is behind, nothing has ended yet.
    async fn prune_expired(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// All that is kept.
pub trait AuthStore: ClientStore + KeyStore + RevocationStore {}

impl<S: ClientStore + KeyStore + RevocationStore + ?Sized> AuthStore for S {}

/// Fetches the keys of others.
#[async_trait]
pub trait FetchKeys: Send + Sync {
    /// What is at a URL, of a size that a key set may have.
    ///
    /// # Errors
    /// With what went wrong, for the log.
    async fn fetch(&self, url: &Url) -> Result<Bytes, String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_hashes_nor_sealed_keys_are_in_what_debugging_shows() {
        let at = Timestamp::from_millis(0);
        let key = StoredKey {
            kid: "name".into(),
            sealed: vec![211; 3],
            created_at: at,
            signs_from: at,
            longest_token: Duration::from_secs(1),
        };
        let shown = format!("{key:?} {:?}", SecretUse { hash: [211; 32], at });
        assert!(shown.contains("name") && shown.contains("1970-01-01") && !shown.contains("211"), "{shown}");
    }
}
