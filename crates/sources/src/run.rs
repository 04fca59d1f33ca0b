//! A run: one synchronisation of a source, from its beginning to its end, as it is kept and shown.

use haat_catalog::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::ports::Item;

/// The most errors of a run that are kept one by one; all are counted.
pub const MAX_ERRORS: usize = 100;
/// The most products of which is kept that they would go if somebody confirmed it; all are counted.
pub const MAX_VANISHED: usize = 100;

/// What a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything; what is not there any more goes.
    Full,
    /// What changed since the last run.
    Incremental,
}

impl Mode {
    /// As it is called where it is shown and measured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Reading pages.
    Reading,
    /// All was read; what vanished is being removed.
    Removing,
    /// All was read; more vanished than may go without a confirmation. Nothing goes until there is one.
    AwaitingConfirmation,
    /// Ended well.
    Done,
    /// Ended early; `message` says why. The next run begins anew.
    Failed,
    /// Ended by an operator. The next run begins anew.
    Cancelled,
}

impl RunState {
    /// Whether somebody has to go on with it.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Reading | Self::Removing)
    }
}

/// How many items a run has dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunCounts {
    /// Read upstream.
    pub read: u64,
    /// Products created.
    pub created: u64,
    /// Products changed.
    pub updated: u64,
    /// Products that already were so.
    pub unchanged: u64,
    /// Items older than what is known.
    pub stale: u64,
    /// Items refused.
    pub failed: u64,
    /// Products of the source that were not seen, in a full run.
    pub vanished: u64,
    /// Products removed.
    pub removed: u64,
    /// Pages read.
    pub pages: u64,
}

/// An item that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemError {
    /// What the source calls it; empty where it says nothing that can be read.
    pub key: String,
    /// Where in the item, or in the product that it becomes, as a JSON Pointer.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

/// A product that would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VanishedItem {
    /// What the source called its item; `None` where the item has another sku now.
    pub key: Option<String>,
    /// The product's sku.
    pub sku: String,
}

/// Runs of one mode that failed, with none between them that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub times: u32,
    /// When the last of them ended.
    pub ended_at: Timestamp,
}

/// A synchronisation as it is kept. What others are shown of it is a [`RunView`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// What it reads.
    pub mode: Mode,
    /// Where it stands.
    pub state: RunState,
    /// Who has it in hand, or had it last.
    pub owner: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From which change upstream on it reads (incremental).
    pub since: Option<Timestamp>,
    /// The latest time of change upstream that it has met.
    pub newest: Option<Timestamp>,
    /// The connector's own place: which page is next. `None` before the first and after the last.
    pub position: Option<Value>,
    /// How many items there are in all, where the upstream says so.
    pub total: Option<u64>,
    /// What was done.
    pub counts: RunCounts,
    /// Whether an item could not even be told from others, so that nobody knows what vanished: then nothing goes.
    pub keyless: bool,
    /// The first errors.
    pub errors: Vec<ItemError>,
    /// Why it failed or waits, or what it left undone.
    pub message: Option<String>,
    /// Of a run that waits for a confirmation, the first products that would go.
    #[serde(default)]
    pub vanished: Vec<VanishedItem>,
    /// Whether removing more than the limit was confirmed.
    pub removals_confirmed: bool,
    /// Under which settings of its source it began ([`crate::connector::Connector::fingerprint`]).
    #[serde(default)]
    pub fingerprint: u64,
    /// Of which kind the orders of items are that are known ([`crate::connector::Connector::order_fingerprint`]).
    #[serde(default)]
    pub order_fingerprint: u64,
    /// Full runs that failed before it, if the last of them did.
    #[serde(default)]
    pub failed_full: Option<Failures>,
    /// Incremental runs that failed before it, if the last of them did.
    #[serde(default)]
    pub failed_incremental: Option<Failures>,
}

impl Run {
    /// A run that has done nothing yet.
    pub fn new(id: Uuid, mode: Mode, owner: &str, since: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            id,
            mode,
            state: RunState::Reading,
            owner: owner.to_owned(),
            started_at: now,
            moved_at: now,
            ended_at: None,
            since,
            newest: None,
            position: None,
            total: None,
            counts: RunCounts::default(),
            keyless: false,
            errors: Vec::new(),
            message: None,
            vanished: Vec::new(),
            removals_confirmed: false,
            fingerprint: 0,
            order_fingerprint: 0,
            failed_full: None,
            failed_incremental: None,
        }
    }

    /// The same as the one that begins after `before`, and knows which runs have failed and of which kind the known orders are.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let failures = |mode| before.and_then(|before| before.failures(mode));
        Self {
            failed_full: failures(Mode::Full),
            failed_incremental: failures(Mode::Incremental),
            order_fingerprint: before.map_or(0, |before| before.order_fingerprint),
            ..self
        }
    }

    /// The same, ended by an operator.
    #[must_use]
    pub fn cancelled(self, now: Timestamp) -> Self {
        let message = Some("stopped by an operator".to_owned());
        Self { state: RunState::Cancelled, moved_at: now, ended_at: Some(now), message, ..self }
    }

    /// The runs of a mode that have failed up to this one, with it; `None` if the last of them has not.
    pub fn failures(&self, mode: Mode) -> Option<Failures> {
        let before = match mode {
            Mode::Full => self.failed_full,
            Mode::Incremental => self.failed_incremental,
        };
        match self.state {
            _ if self.mode != mode => before,
            RunState::Reading | RunState::Removing | RunState::Cancelled => before,
            RunState::AwaitingConfirmation | RunState::Done => None,
            RunState::Failed => {
                let times = before.map_or(0, |before| before.times).saturating_add(1);
                Some(Failures { times, ended_at: self.ended_at.unwrap_or(self.moved_at) })
            }
        }
    }

    /// Counts an item as refused, and keeps the error if there are few.
    pub fn refuse(&mut self, error: ItemError) {
        self.counts.failed += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }
}

/// A synchronisation as it is shown: without what only those who carry it on need. Its place may be an address of the upstream,
/// with all that its query holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    /// Its id.
    pub id: Uuid,
    /// What it reads.
    pub mode: Mode,
    /// Where it stands.
    pub state: RunState,
    /// Who has it in hand, or had it last.
    pub owner: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From which change upstream on it reads (incremental).
    pub since: Option<Timestamp>,
    /// How many items there are in all, where the upstream says so.
    pub total: Option<u64>,
    /// What was done.
    pub counts: RunCounts,
    /// The first errors.
    pub errors: Vec<ItemError>,
    /// Why it failed or waits, or what it left undone.
    pub message: Option<String>,
    /// While it waits for a confirmation, the first products that would go.
    pub vanished: Vec<VanishedItem>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            mode: run.mode,
            state: run.state,
            owner: run.owner,
            started_at: run.started_at,
            moved_at: run.moved_at,
            ended_at: run.ended_at,
            since: run.since,
            total: run.total,
            counts: run.counts,
            errors: run.errors,
            message: run.message,
            vanished: run.vanished,
        }
    }
}

impl From<&Item> for VanishedItem {
    fn from(item: &Item) -> Self {
        Self { key: (!item.is_retired()).then(|| item.key.clone()), sku: item.sku.as_str().to_owned() }
    }
}

/// By what a full run remembers that it has seen an item: XXH3-128 of what the source calls it.
pub fn key_hash(key: &str) -> [u8; 16] {
    xxh3_128(key.as_bytes()).to_be_bytes()
}
