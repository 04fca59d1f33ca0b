//! Authorization's ports over any backend.
//!
//! Whatever changes clients, signing keys or revocations counts it first, in the same transaction, and holds the counters
//! until its commit. So changes happen one after the other, each seeing all before it; the order of counts is the order of
//! commits, and whoever reads a count finds everything that was counted up to it (as docs/adr/0002 says of the change log).
//! Taken first, the counters keep changes out of each other's way altogether: these are rare, and none waits for a row
//! that another holds. What turns out to change nothing is undone, its count with it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::Timestamp;
use haat_catalog::ports::StoreError;
use haat_oauth::client::Client;
use haat_oauth::ports::{
    ClientStore, KeyStore, PutClientError, Revisions, Revocation, RevocationStore, SecretUse, StoredKey,
};
use haat_oauth::vault::SecretHash;
use uuid::Uuid;

use crate::fault::Fault;
use crate::lane::{Answer, Verdict};
use crate::sql::{
    AuthPart, ClientRow, ClientSql, NewClient, RevisionRow, RevocationRow, RevocationSql, SecretUseRow, SigningKeyRow,
    SigningSql, millis, signed, unsigned,
};
use crate::store::{Backend, PRUNE_ROWS, SqlStore};

/// The longest id and the longest name of a key, in bytes.
const MAX_BYTES: usize = 255;

#[async_trait]
impl<B: Backend> ClientStore for SqlStore<B> {
    async fn revisions(&self) -> Result<Revisions, StoreError> {
        self.0.readers().run(self.0.limit(), |conn| Box::pin(async move { conn.revisions().await?.revisions() })).await
    }

    async fn has_clients(&self) -> Result<bool, StoreError> {
        self.0.readers().run(self.0.limit(), |conn| Box::pin(async move { conn.has_clients().await })).await
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        self.0
            .readers()
            .run(self.batch_limit(), |conn| Box::pin(async move { Ok(readable(conn.clients().await?)) }))
            .await
    }

    async fn put_client(&self, client: &Client) -> Result<(), PutClientError> {
        let is_new = client.version == 1;
        let client = Arc::new(NewClient::of(client).map_err(StoreError::from)?);
        let put = self
            .0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let client = Arc::clone(&client);
                Box::pin(async move {
                    conn.raise(AuthPart::Clients).await?;
                    let put = if is_new {
                        was_free(conn.insert_client(&client).await)?
                    } else {
                        conn.replace_client(&client).await?
                    };
                    Ok(keep_if(put))
                })
            })
            .await?;
        match (put, is_new) {
            (true, _) => Ok(()),
            (false, true) => Err(PutClientError::Exists),
            (false, false) => Err(PutClientError::Changed),
        }
    }

    async fn remove_client(&self, id: &str) -> Result<bool, StoreError> {
        let id: Arc<str> = id.into();
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let id = Arc::clone(&id);
                Box::pin(async move {
                    conn.raise(AuthPart::Clients).await?;
                    Ok(keep_if(conn.delete_client(&id).await?))
                })
            })
            .await
    }

    async fn secret_uses(&self) -> Result<Vec<SecretUse>, StoreError> {
        self.0
            .readers()
            .run(self.batch_limit(), |conn| {
                Box::pin(async move { conn.secret_uses().await?.into_iter().map(SecretUseRow::secret_use).collect() })
            })
            .await
    }

    async fn note_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut uses = uses.to_vec();
        // In one order everywhere, so that replicas that note the same ones never wait for each other in a circle.
        uses.sort_unstable_by_key(|noted| noted.hash);
        let uses = Arc::new(uses);
        self.0
            .writers()
            .transact(self.batch_limit(), move |conn| {
                let uses = Arc::clone(&uses);
                Box::pin(async move { conn.note_secret_uses(&uses).await.map(Verdict::Commit) })
            })
            .await
    }

    async fn prune_secret_uses(&self, before: Timestamp, live: &[SecretHash]) -> Result<u64, StoreError> {
        let before = before.as_millis();
        let old = self
            .0
            .readers()
            .run(self.batch_limit(), move |conn| Box::pin(async move { conn.old_secret_uses(before).await }))
            .await?;
        let live: HashSet<&SecretHash> = live.iter().collect();
        let old = old.into_iter().filter_map(|hash| SecretHash::try_from(hash).ok());
        let gone: Vec<SecretHash> = old.filter(|hash| !live.contains(hash)).collect();
        let mut forgotten = 0;
        for step in gone.chunks(PRUNE_ROWS as usize) {
            let step: Arc<[SecretHash]> = step.into();
            forgotten += self
                .0
                .writers()
                .run(self.0.limit(), move |conn| {
                    let step = Arc::clone(&step);
                    Box::pin(async move { conn.forget_secret_uses(&step).await })
                })
                .await?;
        }
        Ok(forgotten)
    }
}

#[async_trait]
impl<B: Backend> KeyStore for SqlStore<B> {
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.0
            .readers()
            .run(self.0.limit(), |conn| {
                Box::pin(async move { conn.signing_keys().await?.into_iter().map(SigningKeyRow::key).collect() })
            })
            .await
    }

    async fn add_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        fits("the name of a signing key", &key.kid)?;
        let (key, newest) = (Arc::new(key.clone()), newest.map(|kid| kid.as_bytes().to_vec()));
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let (key, newest) = (Arc::clone(&key), newest.clone());
                Box::pin(async move {
                    // Whoever rotates at the same time waits here, and then finds this key.
                    conn.raise(AuthPart::SigningKeys).await?;
                    if conn.newest_signing_key().await? != newest {
                        return Ok(Verdict::Discard(false));
                    }
                    Ok(keep_if(was_free(conn.insert_signing_key(&key).await)?))
                })
            })
            .await
    }

    fn longest_write(&self) -> Duration {
        self.0.writers().longest_write(self.0.limit())
    }

    async fn raise_longest_token(&self, kids: &[String], longest_token: Duration) -> Result<bool, StoreError> {
        let (kids, longest): (Arc<[String]>, _) = (kids.into(), millis(longest_token));
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let kids = Arc::clone(&kids);
                Box::pin(async move {
                    conn.raise(AuthPart::SigningKeys).await?;
                    Ok(keep_if(conn.raise_longest_token(&kids, longest).await? > 0))
                })
            })
            .await
    }

    async fn remove_keys(&self, kids: &[String]) -> Result<(), StoreError> {
        if kids.is_empty() {
            return Ok(());
        }
        let kids: Arc<[String]> = kids.into();
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let kids = Arc::clone(&kids);
                Box::pin(async move {
                    conn.raise(AuthPart::SigningKeys).await?;
                    Ok(keep_if(conn.delete_signing_keys(&kids).await? > 0))
                })
            })
            .await
            .map(|_| ())
    }
}

#[async_trait]
impl<B: Backend> RevocationStore for SqlStore<B> {
    async fn revoke(&self, token: Revocation) -> Result<(), StoreError> {
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                Box::pin(async move {
                    let revision = conn.raise(AuthPart::Revocations).await?;
                    Ok(keep_if(was_free(conn.insert_revocation(token, revision).await)?))
                })
            })
            .await
            .map(|_| ())
    }

    async fn revoked_since(&self, revision: u64) -> Result<Vec<Revocation>, StoreError> {
        self.0
            .readers()
            .run(self.batch_limit(), move |conn| {
                Box::pin(async move {
                    let rows = conn.revoked_since(signed(revision)).await?;
                    rows.into_iter().map(RevocationRow::revocation).collect()
                })
            })
            .await
    }

    async fn first_use(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        self.1.note(self.0.writers(), self.0.limit(), hash, expires_at.as_millis()).await
    }

    async fn prune_expired(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = before.as_millis();
        let revocations =
            self.prune(move |conn| Box::pin(async move { conn.prune_revocations(before, PRUNE_ROWS).await })).await?;
        let uses = self.prune(move |conn| Box::pin(async move { conn.prune_uses(before, PRUNE_ROWS).await })).await?;
        Ok(revocations + uses)
    }
}

/// Whether there was no row of that key before. One that is there is an answer here: nothing was decided by what was read
/// before, so trying again would only find it once more.
pub(crate) fn was_free(inserted: Answer<()>) -> Answer<bool> {
    match inserted {
        Ok(()) => Ok(true),
        Err(Fault::Duplicate(_)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Keeps a change if there was one; otherwise its count must not stay either.
fn keep_if(changed: bool) -> Verdict<bool> {
    if changed { Verdict::Commit(true) } else { Verdict::Discard(false) }
}

/// A text too long for its column is refused by one database and kept by the other.
pub(crate) fn fits(what: &str, text: &str) -> Answer<()> {
    if text.len() <= MAX_BYTES {
        Ok(())
    } else {
        Err(Fault::internal(format!("{what} is longer than {MAX_BYTES} bytes")))
    }
}

impl RevisionRow {
    fn revisions(self) -> Answer<Revisions> {
        Ok(Revisions {
            clients: unsigned(self.clients)?,
            keys: unsigned(self.signing_keys)?,
            revocations: unsigned(self.revocations)?,
        })
    }
}

impl NewClient {
    /// The row of a client.
    fn of(client: &Client) -> Answer<Self> {
        fits("a client's id", &client.id)?;
        let document = serde_json::to_string(client).map_err(|e| Fault::internal(format!("a client: {e}")))?;
        Ok(Self { id: Arc::clone(&client.id), version: client.version, document })
    }
}

impl ClientRow {
    /// The client of a row.
    fn client(&self) -> Answer<Client> {
        let client: Client =
            serde_json::from_slice(&self.document).map_err(|e| Fault::corrupt(format!("a client: {e}")))?;
        // What is written is found by the row, what is read by the document.
        if client.id.as_bytes() != self.id || signed(client.version) != self.version {
            return Err(Fault::corrupt("a client's row and its document disagree on its id or version"));
        }
        Ok(client)
    }
}

/// The clients of those rows that can be read. One that cannot is told to the operators and left out: it must not keep all
/// others from getting tokens.
fn readable(rows: Vec<ClientRow>) -> Vec<Client> {
    let mut clients = Vec::with_capacity(rows.len());
    for row in rows {
        match row.client() {
            Ok(client) => clients.push(client),
            Err(fault) => {
                let client = String::from_utf8_lossy(&row.id);
                tracing::error!(%client, ?fault, "a client cannot be read and is left out");
            }
        }
    }
    clients
}

impl SecretUseRow {
    fn secret_use(self) -> Answer<SecretUse> {
        let hash = self.hash.try_into().map_err(|_| Fault::corrupt("the hash of a secret has not 32 bytes"))?;
        Ok(SecretUse { hash, at: Timestamp::from_millis(self.used_at) })
    }
}

impl SigningKeyRow {
    fn key(self) -> Answer<StoredKey> {
        Ok(StoredKey {
            kid: String::from_utf8(self.kid).map_err(|_| Fault::corrupt("the name of a signing key is no text"))?,
            sealed: self.sealed,
            created_at: Timestamp::from_millis(self.created_at),
            signs_from: Timestamp::from_millis(self.signs_from),
            longest_token: Duration::from_millis(unsigned(self.longest_token)?),
        })
    }
}

impl RevocationRow {
    fn revocation(self) -> Answer<Revocation> {
        let jti = Uuid::from_slice(&self.jti).map_err(|e| Fault::corrupt(format!("a revoked token's id: {e}")))?;
        Ok(Revocation { jti, expires_at: Timestamp::from_millis(self.expires_at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> ClientRow {
        let at = "2026-01-02T03:04:05Z";
        let document = serde_json::json!({
            "id": id, "name": "n", "scopes": ["imports"], "grants": [], "auth_method": "client_secret_post",
            "keys": null, "secrets": [], "token_lifetime": null, "audiences": [], "dpop_bound": false,
            "policy": null, "enabled": true, "created_at": at, "updated_at": at, "version": 3,
        });
        ClientRow { id: id.into(), version: 3, document: document.to_string().into_bytes() }
    }

    #[test]
    fn a_row_that_cannot_be_read_does_not_hide_the_others() {
        let cut = |row: ClientRow| ClientRow { document: row.document[1..].to_vec(), ..row };
        let rows = vec![
            row("first"),
            cut(row("cut short")),
            ClientRow { id: b"\xff".to_vec(), ..row("of another id") },
            ClientRow { version: 2, ..row("of another version") },
            row("last"),
        ];
        assert_eq!(readable(rows).iter().map(|client| &*client.id).collect::<Vec<_>>(), ["first", "last"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_before_the_database_sees_it() {
        let client = row("a").client().unwrap();
        let of = |id: &str| NewClient::of(&Client { id: id.into(), ..client.clone() });
        assert!(of(&"ü".repeat(127)).is_ok());
        assert!(of(&"ü".repeat(128)).is_err());
    }

    #[test]
    fn only_a_taken_key_is_an_answer() {
        assert!(was_free(Ok(())).unwrap());
        assert!(!was_free(Err(Fault::Duplicate(String::new()))).unwrap());
        assert!(was_free(Err(Fault::Refused(String::new()))).is_err());
    }
}
