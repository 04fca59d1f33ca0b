//! Writing: commands with their preconditions, and the pure decision what a command does to a product.
//!
//! A store reads the product inside its transaction, asks [`decide`], and applies the [`Decision`] together with the
//! change-log row in that same transaction. So both stores, and the tests, share one set of rules.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::Seq;
use crate::invalid::{Invalid, Violation};
use crate::ports::{ImportJob, StoreError};
use crate::product::{Draft, Product, ProductId, ProductKey, Sku, etag_of, patch::merge_patch};
use crate::time::Timestamp;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A new product; refused when the sku is taken.
    Create(Box<Draft>),
    /// The product of the draft's sku becomes exactly the draft; created when there is none.
    Put(Box<Draft>),
    /// A JSON merge patch (RFC 7396).
    Patch {
        /// Which product.
        key: ProductKey,
        /// The patch.
        patch: Value,
    },
    /// The product goes.
    Delete {
        /// Which product.
        key: ProductKey,
    },
}

impl Command {
    /// The product that the command is about.
    pub fn key(&self) -> ProductKey {
        match self {
            Self::Create(draft) | Self::Put(draft) => ProductKey::Sku(draft.sku.clone()),
            Self::Patch { key, .. } | Self::Delete { key } => key.clone(),
        }
    }
}

/// What must hold for the command to be carried out (RFC 9110 §13.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: *`: there is such a product.
    Exists,
    /// `If-Match`: the product's entity tag is one of these (quotes included; weak tags never match).
    IfMatch(Vec<String>),
    /// `If-None-Match: *`: there is no such product.
    Absent,
}

/// A client's promise that two requests of one key are the same request
/// (draft-ietf-httpapi-idempotency-key-header-06).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is: keys of different clients never meet.
    pub scope: String,
    /// The key.
    pub key: String,
    /// Hash of method, path, preconditions and body.
    pub request_hash: [u8; 16],
}

/// A command, ready to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteRequest {
    /// What to do.
    pub command: Command,
    /// When.
    pub precondition: Precondition,
    /// Whether this was asked before.
    pub idempotency: Option<IdempotencyKey>,
    /// The current time.
    pub now: Timestamp,
    /// The id of the product, should it be new and bring none.
    pub new_id: ProductId,
}

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A product was created.
    Created,
    /// A product changed.
    Updated,
    /// The product already was as asked: nothing was written, no change logged.
    Unchanged,
    /// A product is gone.
    Deleted,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// What happened.
    pub effect: Effect,
    /// To which product.
    pub id: ProductId,
    /// Its sku.
    pub sku: Sku,
    /// Its version now; of a deleted product its last.
    pub version: u64,
    /// The change's place in the log; of an unchanged product that of its last change.
    pub seq: Seq,
    /// The product's JSON now; `None` when it is gone.
    pub document: Option<Bytes>,
    /// Whether this repeats the answer to an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Receipt {
    /// The product's entity tag; `None` when it is gone.
    pub fn etag(&self) -> Option<String> {
        self.document.as_deref().and_then(etag_of)
    }
}

/// Why a command was not carried out. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such product.
    #[error("there is no such product")]
    NotFound,
    /// [`Command::Create`] for a sku that is taken.
    #[error("a product with sku '{0}' exists")]
    SkuExists(Sku),
    /// A new product brings an id that another product has.
    #[error("the id {0} belongs to another product")]
    IdTaken(ProductId),
    /// A precondition does not hold.
    #[error("the product is not in the state that the request expects")]
    PreconditionFailed {
        /// The entity tag now; `None` when there is no such product.
        current: Option<String>,
    },
    /// What would be written is no valid product.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for a different request")]
    KeyReused,
    /// A request with the same idempotency key is being carried out.
    #[error("a request with the same idempotency key is still being carried out")]
    KeyInFlight,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This new product.
    Insert(Box<Product>),
    /// This in place of the existing one.
    Update(Box<Product>),
    /// Nothing.
    Unchanged,
    /// The existing product goes.
    Delete,
}

/// Decides what `request` does to the product as it is.
///
/// # Errors
/// Any of [`WriteError`] but those of the store and of idempotency keys.
pub fn decide(existing: Option<&Product>, request: &WriteRequest) -> Result<Decision, WriteError> {
    check_precondition(existing, &request.precondition)?;
    match (&request.command, existing) {
        (Command::Create(draft), Some(_)) => Err(WriteError::SkuExists(draft.sku.clone())),
        (Command::Create(draft) | Command::Put(draft), None) => {
            Ok(Decision::Insert(Box::new(new_product((**draft).clone(), request.new_id, request.now))))
        }
        (Command::Put(draft), Some(existing)) => replace((**draft).clone(), existing, request.now),
        (Command::Patch { patch, .. }, Some(existing)) => replace(merge_patch(existing, patch)?, existing, request.now),
        (Command::Delete { .. }, Some(_)) => Ok(Decision::Delete),
        (Command::Patch { .. } | Command::Delete { .. }, None) => Err(WriteError::NotFound),
    }
}

fn check_precondition(existing: Option<&Product>, precondition: &Precondition) -> Result<(), WriteError> {
    let current = existing.map(Product::etag);
    let holds = match precondition {
        Precondition::None => true,
        Precondition::Exists => existing.is_some(),
        Precondition::Absent => existing.is_none(),
        Precondition::IfMatch(tags) => current.as_ref().is_some_and(|c| tags.contains(c)),
    };
    if holds { Ok(()) } else { Err(WriteError::PreconditionFailed { current }) }
}

/// A product that was not there before.
pub fn new_product(draft: Draft, new_id: ProductId, now: Timestamp) -> Product {
    let id = draft.id.unwrap_or(new_id);
    let created_at = draft.created_at.unwrap_or(now);
    draft.into_product(id, 1, created_at, now)
}

fn replace(draft: Draft, existing: &Product, now: Timestamp) -> Result<Decision, WriteError> {
    if draft.id.is_some_and(|id| id != existing.id) {
        let detail = format!("the product with this sku has the id {}; leave 'id' out or send that one", existing.id);
        return Err(Invalid(vec![Violation::new("/id", detail)]).into());
    }
    let created_at = draft.created_at.unwrap_or(existing.created_at);
    let next = draft.into_product(existing.id, existing.version, created_at, existing.updated_at);
    if next == *existing {
        return Ok(Decision::Unchanged);
    }
    Ok(Decision::Update(Box::new(Product { version: existing.version + 1, updated_at: now, ..next })))
}

/// Many products at once, as imports and synchronisation write them: one transaction, only what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    /// What the products shall be; each sku at most once.
    pub drafts: Vec<Draft>,
    /// An id for each draft, used where the product is new and brings none.
    pub new_ids: Vec<ProductId>,
    /// The current time.
    pub now: Timestamp,
    /// Find out what would happen, write nothing.
    pub dry_run: bool,
    /// The import job whose progress is written in the same transaction.
    pub checkpoint: Option<Checkpoint>,
}

/// Why a batch was not written. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The checkpoint's job does not stand where the batch goes on from: an earlier attempt at this very batch was
    /// written although its answer was lost, or the job has ended meanwhile, or is gone.
    #[error("the import job is not where the batch goes on from")]
    Moved(Option<Box<ImportJob>>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far an import job has come with this batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The job.
    pub job: uuid::Uuid,
    /// Records that the job has dealt with before this batch. The batch is written only if that is so, which makes
    /// sending it again harmless, whoever wrote in between.
    pub from: u64,
    /// Records read so far, this batch included.
    pub records: u64,
    /// Records refused so far, before the store looked at this batch.
    pub failed: u64,
}

/// What happened to one draft of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Created.
    Created,
    /// Changed.
    Updated,
    /// Already so.
    Unchanged,
    /// Not written; the rest of the batch was.
    Refused(Violation),
}
