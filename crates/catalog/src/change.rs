//! The change log's vocabulary.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::product::{ProductId, Sku};
use crate::time::Timestamp;

/// A place in the change log. Numbers grow in the order in which changes become visible; they may leave gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What tells one database's change log from another's: places of one say nothing in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Origin(Uuid);

impl Origin {
    /// From the 16 bytes that the store keeps.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// As one number.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

/// What happened to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOp {
    /// It was not there before.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
}

impl ChangeOp {
    /// The number by which the store keeps it.
    pub fn code(self) -> i16 {
        match self {
            Self::Created => 1,
            Self::Updated => 2,
            Self::Deleted => 3,
        }
    }

    /// The operation of that number.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Created, Self::Updated, Self::Deleted].into_iter().find(|op| op.code() == code)
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// One row of the change log, with what the product is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its place.
    pub seq: Seq,
    /// What happened.
    pub op: ChangeOp,
    /// To which product.
    pub id: ProductId,
    /// The product's sku at that time.
    pub sku: Sku,
    /// The version that this change made (of a deletion: the last one).
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// The product's JSON as it is when the row is read, which may be later than the change; `None` once it is gone.
    pub document: Option<Bytes>,
}

/// Where a follower goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resume {
    /// The last place seen; 0 to begin.
    pub after: Seq,
    /// The log's floor ([`ChangePage::floor`]) when this follower began at 0, for as long as it has not come past it; 0
    /// when it does not know.
    ///
    /// Deletions up to that floor were forgotten before it began: it never saw what they deleted, and can go on from
    /// below the floor. Whoever does not know whether they began before that cannot.
    pub floor: Seq,
}

impl From<Seq> for Resume {
    fn from(after: Seq) -> Self {
        Self { after, floor: Seq(0) }
    }
}

/// What a follower reads at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangePage {
    /// Changes after the place asked for, in order.
    pub changes: Vec<Change>,
    /// The newest place in the log when it was read: equal to the last change's when the follower is up to date.
    pub head: Seq,
    /// The newest deletion that has been forgotten, 0 when none has been: who was here before and has seen less of
    /// the log than this may have products that are gone.
    pub floor: Seq,
}
