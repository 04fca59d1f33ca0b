//! What sources need of the store. One method is one transaction.
//!
//! A source has at most one run at a time, on whichever replica or in whichever command. Whoever runs it holds a *lease*:
//! the row of the source names its fence, and everything that is written for the run is written only while that fence is
//! the newest. A run whose holder is gone is taken over, with a greater fence, from where it stood.

use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::ports::StoreError;
use haat_catalog::product::overlay::Overlay;
use haat_catalog::{ProductId, Sku, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::run::{ItemError, Mode, Run};

/// The right to write for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose run.
    pub source: String,
    /// Greater than that of every holder before.
    pub fence: u64,
}

/// A run that somebody wants to begin.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Of which source.
    pub source: String,
    /// What it reads.
    pub mode: Mode,
    /// The new run's id, if it is not an unfinished one that goes on.
    pub id: Uuid,
    /// Who holds the lease: the replica, or which command.
    pub owner: String,
    /// How long the lease lasts unless it is renewed.
    pub hold: Duration,
    /// The run whose removals somebody has looked at and confirms, which waits for that: it goes on, or nothing begins. Whatever
    /// `mode` says, and never ahead: a confirmation that comes twice confirms nothing else.
    pub confirms: Option<Uuid>,
    /// Under which settings the source is read ([`crate::connector::Connector::fingerprint`]). A run that began under others
    /// neither goes on nor is confirmed: a new one begins instead.
    pub fingerprint: u64,
    /// The current time.
    pub now: Timestamp,
}

/// How the beginning of a run ended.
#[derive(Debug, Clone)]
pub enum Begun {
    /// The run is the caller's: a new one, or an unfinished one whose holder is gone (its [`Run::position`] says from where).
    Mine(Lease, Box<Run>),
    /// Somebody else is at it.
    Running(Box<Run>),
    /// The run that is confirmed does not wait for it, or began under other settings. The newest one, if there is any.
    NothingToConfirm(Option<Box<Run>>),
}

/// A source as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// The newest run, finished or not.
    pub run: Option<Run>,
    /// The newest full run that came to its end.
    pub last_full: Option<Run>,
    /// The newest run of any kind that came to its end.
    pub last_done: Option<Run>,
    /// Up to which change upstream, in its own time, everything is known: from here an incremental run reads.
    pub watermark: Option<Timestamp>,
    /// How many products belong to the source.
    pub items: u64,
    /// What an operator wants of the breaker, on all replicas.
    pub breaker_order: BreakerOrder,
}

/// What an operator wants of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerOrder {
    /// That it decides for itself.
    #[default]
    Auto,
    /// That nothing passes.
    ForceOpen,
    /// That everything passes.
    ForceClosed,
}

impl BreakerOrder {
    /// As it is called where it is given and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ForceOpen => "force_open",
            Self::ForceClosed => "force_closed",
        }
    }
}

/// What a replica says of its breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerReport {
    /// The replica.
    pub replica: String,
    /// `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Share of failed and of slow calls in its window, 0 to 1, and the number of calls.
    pub failure_rate: f64,
    /// As above.
    pub slow_rate: f64,
    /// As above.
    pub calls: u64,
    /// When the replica said so.
    pub seen_at: Timestamp,
}

/// A product that belongs to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What the source calls it: 1 to 255 bytes, of which the first is not U+0001 but for [`Self::is_retired`].
    pub key: String,
    /// The product's sku.
    pub sku: Sku,
    /// The source's version or time of change as a number that grows; `None` where it says none.
    pub order: Option<i64>,
}

/// What the keys of retired products begin with, and those of items never. The product's sku is what follows.
pub const RETIRED: char = '\u{1}';

impl Item {
    /// Whether the product is the source's only until it is removed: its item has another sku now. Its key is the store's own;
    /// no upstream knows it.
    pub fn is_retired(&self) -> bool {
        self.key.starts_with(RETIRED)
    }
}

/// One item of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct PageItem {
    /// Which item.
    pub item: Item,
    /// What it says of its product.
    pub overlay: Overlay,
    /// An id, used if the product is new.
    pub new_id: ProductId,
}

/// A page of a run, written as a whole or not at all.
#[derive(Debug, Clone)]
pub struct WritePage {
    /// The right to.
    pub lease: Lease,
    /// What the page says; each sku and each key at most once.
    pub items: Vec<PageItem>,
    /// Hashes of the keys of all items of the page, those that could not be read as well ([`crate::run::key_hash`]); kept
    /// until the run ends. By them the store knows a second item with one sku from one that was made anew.
    pub seen: Vec<[u8; 16]>,
    /// The run as it stands after this page, but for what the store finds out: `created`, `updated`, `unchanged`, `stale` and
    /// the refusals among `failed` and `errors` are added to it.
    pub run: Run,
    /// Until when the lease is held from now on.
    pub hold: Duration,
    /// The current time.
    pub now: Timestamp,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    /// Its product was created.
    Created,
    /// Its product changed.
    Updated,
    /// Its product already was so.
    Unchanged,
    /// What is known is newer ([`Item::order`]): nothing was written.
    Stale,
    /// Not written: no valid product, one of another source, or one of an item that the run has seen before.
    Refused(ItemError),
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else has taken over the run, or it was ended.
    #[error("the run of source '{0}' belongs to somebody else now")]
    Lost(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Products of a source that are to go, all in one transaction with the run's progress.
#[derive(Debug, Clone)]
pub struct RemoveItems {
    /// The right to.
    pub lease: Lease,
    /// Which; one that does not belong to the source any more is left alone, and so is one whose `order` is not this any more.
    pub items: Vec<Item>,
    /// The run as it stands after this, but for `removed`, which the store adds to.
    pub run: Run,
    /// Until when the lease is held from now on.
    pub hold: Duration,
    /// The current time.
    pub now: Timestamp,
}

/// Products of a source that a full run did not list, and that nobody can be asked about.
#[derive(Debug, Clone)]
pub struct MissedItems {
    /// The right to write.
    pub lease: Lease,
    /// Which; those that are not as they were ([`RemoveItems::items`]) are left alone.
    pub items: Vec<Item>,
    /// The run.
    pub run: Uuid,
    /// The full run that ended well before it.
    pub before: Option<Uuid>,
}

/// Orders of a source's items that are to be forgotten, for they were of another kind than those that come now.
#[derive(Debug, Clone)]
pub struct ForgetOrders {
    /// The right to write.
    pub lease: Lease,
    /// The run that does.
    pub run: Uuid,
    /// Behind which key.
    pub after: Option<String>,
    /// Of how many items at most.
    pub limit: u32,
}

/// A source that is to be known no longer.
#[derive(Debug, Clone)]
pub struct ForgetSource {
    /// Which.
    pub source: String,
    /// Whose its products are from now on; `None` for nobody's.
    pub heir: Option<String>,
    /// The current time.
    pub now: Timestamp,
}

/// What became of that.
#[derive(Debug, Clone, PartialEq)]
pub enum Forgotten {
    /// It is known no longer, and so many products have changed hands.
    Done(u64),
    /// There is no such source.
    Unknown,
    /// A run of one of the two is under way.
    Running(Box<Run>),
}

/// Keeps what is known of sources.
#[async_trait]
pub trait SourceStore: Send + Sync {
    /// All sources that were ever run or given an order, by name.
    async fn sources(&self) -> Result<Vec<SourceRow>, StoreError>;
    /// One of them.
    async fn source(&self, name: &str) -> Result<Option<SourceRow>, StoreError>;
    /// Begins a run, or goes on with one whose holder let its lease run out (the newest run is unfinished) and that began under
    /// the same settings. An incremental one does not go on where a full run is wanted: that one begins, and reads what the other
    /// would have. A new run removes what an abandoned one had seen.
    async fn begin_run(&self, begin: Begin) -> Result<Begun, StoreError>;
    /// Holds on to a run, and writes how it stands. A `hold` of zero gives the lease back although the run is unfinished:
    /// whoever begins next goes on with it at once.
    async fn save_run(&self, lease: &Lease, run: &Run, hold: Duration, now: Timestamp) -> Result<(), RunError>;
    /// Writes a page: products and their change-log rows, whose they are, what was seen, and the run's progress, in one
    /// transaction. Gives the run as it was written, and an outcome for each item.
    async fn write_page(&self, page: WritePage) -> Result<(Run, Vec<ItemOutcome>), RunError>;
    /// Items of a source with keys after `after`, in order of key, up to `limit`; none only at the end.
    async fn items(&self, source: &str, after: Option<&str>, limit: u32) -> Result<Vec<Item>, StoreError>;
    /// The hashes of all keys that a run has seen.
    async fn seen(&self, source: &str, run: Uuid) -> Result<Vec<[u8; 16]>, StoreError>;
    /// Notes that a full run did not list products, and gives those of them of which the one before has noted it as well; those
    /// keep its note, so that whoever takes the run over is given the same.
    async fn miss_items(&self, missed: MissedItems) -> Result<Vec<Item>, RunError>;
    /// Removes products with their change-log rows. Gives the run as it was written.
    async fn remove_items(&self, removal: RemoveItems) -> Result<Run, RunError>;
    /// Ends a run (its `state` is final, or waits for a confirmation) and gives the lease back. `watermark`, if there is
    /// one, becomes the source's: of a full run whatever it was before, of an incremental one only if it is later. What a
    /// finished run had seen is forgotten.
    async fn end_run(&self, lease: &Lease, run: &Run, watermark: Option<Timestamp>) -> Result<(), RunError>;
    /// Ends the newest run, whoever holds it, as [`crate::run::RunState::Cancelled`] if it is unfinished or waits for a confirmation;
    /// whoever carries it on writes nothing any more. Gives it, or `None` where there is nothing to end.
    async fn cancel_run(&self, source: &str, now: Timestamp) -> Result<Option<Run>, StoreError>;
    /// Forgets the orders of the next items in order of key. Gives the last key that it came to; `None` only at the end.
    async fn forget_orders(&self, forget: ForgetOrders) -> Result<Option<String>, RunError>;
    /// Forgets a source with its runs, unless one is under way. Its products stay, and are nobody's, or the heir's: those that the
    /// heir calls by keys which it gives to others already are its retired ones. The heir's unfinished run or one that waits ends
    /// as failed, and its next run is a full one.
    async fn forget_source(&self, forget: ForgetSource) -> Result<Forgotten, StoreError>;
    /// Whose product that is.
    async fn owner_of(&self, sku: &Sku) -> Result<Option<(String, Item)>, StoreError>;
    /// Says what an operator wants of a source's breaker.
    async fn order_breaker(&self, source: &str, order: BreakerOrder) -> Result<(), StoreError>;
    /// Says how a replica's breaker stands.
    async fn report_breaker(&self, source: &str, report: &BreakerReport) -> Result<(), StoreError>;
    /// What replicas said since a moment; older reports are forgotten on the way.
    async fn breaker_reports(&self, since: Timestamp) -> Result<Vec<(String, BreakerReport)>, StoreError>;
}
