//! Values of this moment: a stored product with some members as its upstream has them now, within a deadline; else the stored
//! product, and how old that is and why. Nothing is written.
//!
//! However many ask for however many products, and however long the upstream takes: one lookup per product at a time, a bounded
//! number of lookups in all, and whoever finds no place gets the stored product at once.

mod fields;
mod lookup;

use std::time::Duration;

use bytes::Bytes;
use haat_catalog::Timestamp;
use serde::Serialize;

pub use fields::{LiveField, LiveFieldError, LiveFields};
pub use lookup::{Live, LiveSource};

/// How live values are looked up.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// How long an answer is given to others without asking again.
    pub fresh: Duration,
    /// How many lookups of one source may be under way.
    pub lookups: usize,
    /// How long a lookup may take however patient those are who wait for it.
    pub longest: Duration,
    /// The most answers kept.
    pub kept: u64,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { fresh: Duration::from_secs(1), lookups: 64, longest: Duration::from_secs(10), kept: 10_000 }
    }
}

/// Why the stored values were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredBecause {
    /// There was no answer in time.
    Timeout,
    /// The circuit breaker is open: the upstream was not asked.
    BreakerOpen,
    /// Too many lookups are under way: the upstream was not asked.
    Saturated,
    /// The upstream could not be reached, or answered with an error.
    UpstreamError,
    /// The upstream does not have the product any more.
    NotFound,
    /// What the upstream answered does not make a valid product.
    Unreadable,
    /// No source has the product, or none with live fields and a request for a single item.
    NotDeclared,
    /// Which source has the product could not be read from the database.
    StoreUnavailable,
}

impl StoredBecause {
    /// As it is called where it is shown and measured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::BreakerOpen => "breaker_open",
            Self::Saturated => "saturated",
            Self::UpstreamError => "upstream_error",
            Self::NotFound => "not_found",
            Self::Unreadable => "unreadable",
            Self::NotDeclared => "not_declared",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

/// What is to be told about the values of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveStatus {
    /// The source that has the product, as far as that is known.
    pub source: Option<String>,
    /// The members that the upstream was asked for; when `fresh`, those of them that it named. All others are the stored ones.
    pub fields: Vec<LiveField>,
    /// Whether these members are the upstream's.
    pub fresh: bool,
    /// The moment of which they are known to be right: when the upstream was asked; of stored ones when the product was written,
    /// or a synchronisation began that ended well and would have carried a change of them.
    pub as_of: Timestamp,
    /// How long ago that is.
    pub age_seconds: u64,
    /// Why they are the stored ones; nothing when `fresh`.
    pub reason: Option<StoredBecause>,
}

/// A product with the values of this moment, or the stored one.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveAnswer {
    /// The product's JSON. Its `version` and `updated_at` are the stored ones whatever the upstream says.
    pub document: Bytes,
    /// What its values are.
    pub live: LiveStatus,
}
