//! What the shared flows ask of a database: one small trait for each kind of table, implemented on the connection
//! types of SQLite and of MySQL (the files of the same names in [`crate::sqlite`] and [`crate::mysql`]).
//!
//! These traits are statements, not promises: transactions, decisions and retries are the flows' business. Those of
//! sources are in [`crate::sources::sql`].

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::{ImportCounts, StoredProduct};
use haat_catalog::product::{ContentHash, Product, ProductKey};
use haat_catalog::{ChangeOp, ProductId, Seq, Sku, Timestamp};
use haat_oauth::ports::{Revocation, SecretUse, StoredKey};
use haat_oauth::vault::SecretHash;
use sqlx::FromRow;
use uuid::Uuid;

use crate::fault::Fault;
use crate::lane::Answer;
use crate::sources::sql::SourcesSql;

/// Everything that a flow may ask of a connection.
pub(crate) trait Sql:
    ProductSql + BatchSql + ChangeSql + CompactionSql + KeySql + JobSql + AuthSql + SourcesSql
{
}
impl<C: ProductSql + BatchSql + ChangeSql + CompactionSql + KeySql + JobSql + AuthSql + SourcesSql> Sql for C {}

/// Everything that authorization may ask of a connection.
pub(crate) trait AuthSql: ClientSql + SigningSql + RevocationSql {}
impl<C: ClientSql + SigningSql + RevocationSql> AuthSql for C {}

/// Products one by one.
pub(crate) trait ProductSql: Send {
    /// The product of that key.
    fn find(&mut self, key: &ProductKey) -> impl Future<Output = Answer<Option<ProductRow>>> + Send;
    /// The same, locked until the end of the transaction.
    fn find_locked(&mut self, key: &ProductKey) -> impl Future<Output = Answer<Option<LockedRow>>> + Send;
    /// Products with greater ids, in order of id.
    fn scan(&mut self, after: &[u8], limit: u32) -> impl Future<Output = Answer<Vec<ProductRow>>> + Send;
    /// How many there are.
    fn count(&mut self) -> impl Future<Output = Answer<i64>> + Send;
    /// Removes one.
    fn delete(&mut self, id: ProductId) -> impl Future<Output = Answer<()>> + Send;
}

/// Products by the hundred.
pub(crate) trait BatchSql: Send {
    /// What is known of the products with those skus; locked until the end of the transaction if `lock`.
    fn known(&mut self, skus: &[&Sku], lock: bool) -> impl Future<Output = Answer<Vec<KnownRow>>> + Send;
    /// Those of the ids that belong to a product.
    fn taken_ids(&mut self, ids: &[ProductId]) -> impl Future<Output = Answer<Vec<Vec<u8>>>> + Send;
    /// The newest versions, as far as the change log knows, of ids that products had once.
    fn last_versions(&mut self, ids: &[ProductId]) -> impl Future<Output = Answer<Vec<VersionRow>>> + Send;
    /// Inserts new products; [`Fault::Duplicate`] when an id or sku is taken.
    fn insert(&mut self, rows: &[NewRow]) -> impl Future<Output = Answer<()>> + Send;
    /// Replaces existing products, found by id.
    fn replace(&mut self, rows: &[NewRow]) -> impl Future<Output = Answer<()>> + Send;
    /// Removes products.
    fn remove_products(&mut self, ids: &[ProductId]) -> impl Future<Output = Answer<()>> + Send;
}

/// The change log.
pub(crate) trait ChangeSql: Send {
    /// Takes `places` places at the end of the log and counts `products` more (or fewer) products; gives the last
    /// place taken. Holds the counter until the end of the transaction: every writer waits behind it.
    fn advance(&mut self, places: i64, products: i64) -> impl Future<Output = Answer<i64>> + Send;
    /// Writes rows of the log.
    fn append(&mut self, rows: &[LogRow]) -> impl Future<Output = Answer<()>> + Send;
    /// The newest place.
    fn head(&mut self) -> impl Future<Output = Answer<i64>> + Send;
    /// What tells this database from every other.
    fn origin(&mut self) -> impl Future<Output = Answer<Vec<u8>>> + Send;
    /// The place of a product's newest change.
    fn newest_of(&mut self, id: ProductId) -> impl Future<Output = Answer<Option<i64>>> + Send;
    /// Changes after a place with head and floor, all of one moment. Always at least one row, perhaps without a change.
    /// Their documents are asked for apart.
    fn changes_after(&mut self, after: i64, limit: u32) -> impl Future<Output = Answer<Vec<ReadRow>>> + Send;
    /// The documents of those of the products that are there.
    fn documents(&mut self, ids: &[ProductId]) -> impl Future<Output = Answer<Vec<DocumentRow>>> + Send;
    /// Notes how far a follower has come.
    fn note_follower(&mut self, name: &str, seq: i64, now: i64) -> impl Future<Output = Answer<()>> + Send;
}

/// Compaction of the change log.
pub(crate) trait CompactionSql: Send {
    /// How far it has come; locked until the end of the transaction, so that one compaction runs at a time.
    fn lock_state(&mut self) -> impl Future<Output = Answer<StateRow>> + Send;
    /// Notes how far it has come.
    fn save_state(&mut self, state: StateRow) -> impl Future<Output = Answer<()>> + Send;
    /// The place of the slowest follower heard of since.
    fn slowest_follower(&mut self, since: i64) -> impl Future<Output = Answer<Option<i64>>> + Send;
    /// Forgets followers not heard of since before a moment.
    fn forget_followers(&mut self, before: i64) -> impl Future<Output = Answer<()>> + Send;
    /// For each change in `(from, to]` that has one: the place of the change of the same product before it.
    fn predecessors(&mut self, from: i64, to: i64) -> impl Future<Output = Answer<Vec<i64>>> + Send;
    /// Deletions up to a place and before a moment, the earliest first.
    fn old_deletions(&mut self, to: i64, before: i64, limit: u32) -> impl Future<Output = Answer<Vec<i64>>> + Send;
    /// Removes rows of the log; gives their number.
    fn forget(&mut self, places: &[i64]) -> impl Future<Output = Answer<u64>> + Send;
}

/// Idempotency keys.
pub(crate) trait KeySql: Send {
    /// A key's row, locked until the end of the transaction if `lock`.
    fn find_key(&mut self, scope: &str, key: &str, lock: bool) -> impl Future<Output = Answer<Option<KeyRow>>> + Send;
    /// Claims a new key; [`Fault::Duplicate`] when it is there.
    fn insert_key(&mut self, claim: &Claim) -> impl Future<Output = Answer<()>> + Send;
    /// Claims a key whose claim ran out.
    fn take_over_key(&mut self, claim: &Claim) -> impl Future<Output = Answer<()>> + Send;
    /// Writes the answer's document and holds the key until the end of the transaction, if the claim still stands; tells
    /// whether it does.
    fn hold_key(&mut self, claim: &Claim, document: Option<&str>) -> impl Future<Output = Answer<bool>> + Send;
    /// Writes the receipt of a claim that is held.
    fn finish_key(&mut self, claim: &Claim, receipt: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Gives a claim up, if it still stands and there is no receipt.
    fn release_key(&mut self, claim: &Claim) -> impl Future<Output = Answer<()>> + Send;
    /// Forgets up to `limit` keys used before a moment; gives their number.
    fn prune_keys(&mut self, before: i64, limit: u32) -> impl Future<Output = Answer<u64>> + Send;
}

/// Import jobs.
pub(crate) trait JobSql: Send {
    /// Keeps a new one.
    fn insert_job(&mut self, job: &JobRow) -> impl Future<Output = Answer<()>> + Send;
    /// The one of that id.
    fn find_job(&mut self, id: Uuid) -> impl Future<Output = Answer<Option<JobRow>>> + Send;
    /// Writes state, counts, errors and message; tells whether the job is there and unfinished.
    fn save_job(&mut self, job: &JobRow) -> impl Future<Output = Answer<bool>> + Send;
    /// Writes the counts: `records` and `failed` as they are, the others on top; tells whether the job is unfinished and
    /// stood at `from` records.
    fn advance_job(
        &mut self,
        id: Uuid,
        from: u64,
        counts: ImportCounts,
        now: i64,
    ) -> impl Future<Output = Answer<bool>> + Send;
    /// Queued and running ones of an owner, oldest first.
    fn unfinished_jobs(&mut self, owner: &str) -> impl Future<Output = Answer<Vec<JobRow>>> + Send;
    /// Cancels an unfinished one.
    fn cancel_job(&mut self, id: Uuid, now: i64) -> impl Future<Output = Answer<()>> + Send;
    /// The number of the state of one.
    fn job_state(&mut self, id: Uuid) -> impl Future<Output = Answer<Option<i64>>> + Send;
    /// Fails unfinished ones that neither moved nor have an owner that was heard of since a moment; gives their number.
    fn fail_abandoned_jobs(&mut self, message: &str, since: i64, now: i64) -> impl Future<Output = Answer<u64>> + Send;
    /// Forgets finished ones last moved before a moment; gives their number.
    fn prune_jobs(&mut self, before: i64) -> impl Future<Output = Answer<u64>> + Send;
}

/// Machine clients, and how often everything of authorization was changed.
pub(crate) trait ClientSql: Send {
    /// How often each part was changed.
    fn revisions(&mut self) -> impl Future<Output = Answer<RevisionRow>> + Send;
    /// Counts a change of a part and gives the count. Holds the counters until the end of the transaction: every change of
    /// any part waits behind it.
    fn raise(&mut self, part: AuthPart) -> impl Future<Output = Answer<i64>> + Send;
    /// Whether there is a row of any.
    fn has_clients(&mut self) -> impl Future<Output = Answer<bool>> + Send;
    /// All clients, in order of id.
    fn clients(&mut self) -> impl Future<Output = Answer<Vec<ClientRow>>> + Send;
    /// Keeps a new one; [`Fault::Duplicate`] when its id is taken.
    fn insert_client(&mut self, client: &NewClient) -> impl Future<Output = Answer<()>> + Send;
    /// Writes one of the version before; tells whether it is there at that version.
    fn replace_client(&mut self, client: &NewClient) -> impl Future<Output = Answer<bool>> + Send;
    /// Removes one; tells whether it was there.
    fn delete_client(&mut self, id: &str) -> impl Future<Output = Answer<bool>> + Send;
    /// When secrets were last used.
    fn secret_uses(&mut self) -> impl Future<Output = Answer<Vec<SecretUseRow>>> + Send;
    /// Notes when secrets were used, where that is later than what is known.
    fn note_secret_uses(&mut self, uses: &[SecretUse]) -> impl Future<Output = Answer<()>> + Send;
    /// The hashes of those that were not used since a moment.
    fn old_secret_uses(&mut self, before: i64) -> impl Future<Output = Answer<Vec<Vec<u8>>>> + Send;
    /// Forgets the uses of some; gives the number of those that were there.
    fn forget_secret_uses(&mut self, hashes: &[SecretHash]) -> impl Future<Output = Answer<u64>> + Send;
}

/// Keys that sign tokens.
pub(crate) trait SigningSql: Send {
    /// All of them, by the time from which they sign.
    fn signing_keys(&mut self) -> impl Future<Output = Answer<Vec<SigningKeyRow>>> + Send;
    /// The name of the one that signs last.
    fn newest_signing_key(&mut self) -> impl Future<Output = Answer<Option<Vec<u8>>>> + Send;
    /// Keeps a new one; [`Fault::Duplicate`] when its name is taken.
    fn insert_signing_key(&mut self, key: &StoredKey) -> impl Future<Output = Answer<()>> + Send;
    /// Lets some sign tokens that last so long, of those that sign shorter ones; gives the number of these.
    fn raise_longest_token(&mut self, kids: &[String], longest: i64) -> impl Future<Output = Answer<u64>> + Send;
    /// Removes some; gives the number of those that were there.
    fn delete_signing_keys(&mut self, kids: &[String]) -> impl Future<Output = Answer<u64>> + Send;
}

/// What is revoked, and what was used of that which may be used once.
pub(crate) trait RevocationSql: Send {
    /// Keeps a new one, written at that count of revocations; [`Fault::Duplicate`] when the token is revoked already.
    fn insert_revocation(&mut self, token: Revocation, revision: i64) -> impl Future<Output = Answer<()>> + Send;
    /// Those written at a greater count, in the order in which they were.
    fn revoked_since(&mut self, revision: i64) -> impl Future<Output = Answer<Vec<RevocationRow>>> + Send;
    /// Keeps that something was used; [`Fault::Duplicate`] when it was before.
    fn insert_use(&mut self, hash: &[u8; 32], expires_at: i64) -> impl Future<Output = Answer<()>> + Send;
    /// Forgets up to `limit` revocations of tokens that ended before a moment; gives their number.
    fn prune_revocations(&mut self, before: i64, limit: u32) -> impl Future<Output = Answer<u64>> + Send;
    /// Forgets up to `limit` things used once that ended before a moment; gives their number.
    fn prune_uses(&mut self, before: i64, limit: u32) -> impl Future<Output = Answer<u64>> + Send;
}

/// A product as it is read.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ProductRow {
    id: Vec<u8>,
    sku: String,
    version: i64,
    document: Vec<u8>,
}

impl ProductRow {
    /// Its id, as it is stored.
    pub(crate) fn key(&self) -> &[u8] {
        &self.id
    }

    /// How long its document is.
    pub(crate) fn bytes(&self) -> usize {
        self.document.len()
    }

    /// As the port gives it.
    pub(crate) fn stored(self) -> Answer<StoredProduct> {
        Ok(StoredProduct {
            id: product_id(&self.id)?,
            sku: sku(self.sku)?,
            version: unsigned(self.version)?,
            document: self.document.into(),
        })
    }
}

/// A product about to be written, read whole.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct LockedRow {
    /// Hash of its content.
    pub(crate) content_hash: Vec<u8>,
    /// Its JSON.
    pub(crate) document: Vec<u8>,
}

impl LockedRow {
    /// The product.
    pub(crate) fn product(&self) -> Answer<Product> {
        Product::from_json(&self.document).map_err(|e| Fault::corrupt(format!("a product's document: {e}")))
    }
}

/// What a batch needs to know of a product that is there.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct KnownRow {
    pub(crate) id: Vec<u8>,
    pub(crate) sku: String,
    pub(crate) version: i64,
    pub(crate) content_hash: Vec<u8>,
    pub(crate) created_at: i64,
}

/// The last version of an id.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct VersionRow {
    pub(crate) product_id: Vec<u8>,
    pub(crate) version: i64,
}

/// A product to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    pub(crate) id: ProductId,
    pub(crate) sku: Sku,
    pub(crate) version: u64,
    pub(crate) content_hash: ContentHash,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) document: String,
}

/// A row of the change log to be written.
#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    pub(crate) seq: i64,
    pub(crate) product_id: ProductId,
    pub(crate) op: ChangeOp,
    pub(crate) sku: Sku,
    pub(crate) version: u64,
    pub(crate) changed_at: Timestamp,
}

/// A row of the change log as it is read, with where the log stands. Without a change all of the latter are `None`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ReadRow {
    pub(crate) head: i64,
    pub(crate) floor_seq: i64,
    pub(crate) seq: Option<i64>,
    pub(crate) product_id: Option<Vec<u8>>,
    pub(crate) op: Option<i64>,
    pub(crate) sku: Option<String>,
    pub(crate) version: Option<i64>,
    pub(crate) changed_at: Option<i64>,
}

/// A product's JSON.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DocumentRow {
    pub(crate) id: Vec<u8>,
    pub(crate) document: Vec<u8>,
}

/// How far compaction has come.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct StateRow {
    /// The newest deletion forgotten.
    pub(crate) floor_seq: i64,
    /// Every change up to here had its predecessor removed.
    pub(crate) compacted_seq: i64,
}

/// An idempotency key's row.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct KeyRow {
    pub(crate) request_hash: Vec<u8>,
    pub(crate) lease_until: i64,
    pub(crate) receipt: Option<String>,
    pub(crate) document: Option<Vec<u8>>,
}

/// A claim on an idempotency key.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) request_hash: [u8; 16],
    /// Tells this claim from an earlier one that ran out.
    pub(crate) token: i64,
    pub(crate) lease_until: i64,
    pub(crate) now: i64,
}

/// An import job's row.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct JobRow {
    pub(crate) id: Vec<u8>,
    pub(crate) owner: String,
    pub(crate) state: i64,
    pub(crate) options: String,
    pub(crate) records: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) failed: i64,
    pub(crate) errors: String,
    pub(crate) message: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// A part of authorization whose changes are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AuthPart {
    Clients,
    SigningKeys,
    Revocations,
}

/// How often each part of authorization was changed.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct RevisionRow {
    pub(crate) clients: i64,
    pub(crate) signing_keys: i64,
    pub(crate) revocations: i64,
}

/// A client as it is read.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ClientRow {
    pub(crate) id: Vec<u8>,
    pub(crate) version: i64,
    pub(crate) document: Vec<u8>,
}

/// A client to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewClient {
    pub(crate) id: Arc<str>,
    pub(crate) version: u64,
    pub(crate) document: String,
}

/// When a secret was last used.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SecretUseRow {
    pub(crate) hash: Vec<u8>,
    pub(crate) used_at: i64,
}

/// A key that signs.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SigningKeyRow {
    pub(crate) kid: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) signs_from: i64,
    pub(crate) longest_token: i64,
}

/// A revoked token.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RevocationRow {
    pub(crate) jti: Vec<u8>,
    pub(crate) expires_at: i64,
}

/// Reads an id.
pub(crate) fn product_id(bytes: &[u8]) -> Answer<ProductId> {
    let bytes = bytes.try_into().map_err(|_| Fault::corrupt(format!("an id of {} bytes", bytes.len())))?;
    Ok(ProductId::from_bytes(bytes))
}

/// Reads a sku.
pub(crate) fn sku(text: String) -> Answer<Sku> {
    Sku::new(text).map_err(|e| Fault::corrupt(format!("a sku: {e}")))
}

/// Reads a number that is never negative.
pub(crate) fn unsigned(number: i64) -> Answer<u64> {
    u64::try_from(number).map_err(|_| Fault::corrupt(format!("{number} where no number is below zero")))
}

/// Reads a place in the log.
pub(crate) fn place(number: i64) -> Answer<Seq> {
    unsigned(number).map(Seq)
}

/// A length of time as the databases keep it.
pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// As the databases keep it. Numbers beyond 2^63 do not occur; they would be kept as the largest.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
