//! What a database says of itself, and what of that does harm: for `haat doctor`.

use haat_catalog::Timestamp;

/// The facts about a database that a deployment stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Engine and version, as the database tells it: `MariaDB 10.11.6`, `SQLite 3.50.2`.
    pub version: String,
    /// The time on the database's machine.
    pub clock: Timestamp,
    /// What somebody should look at, the worst first; empty when all is well.
    pub concerns: Vec<Concern>,
}

/// A fact that does harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// Whether Haat does not work like this; otherwise it works, but worse than it could.
    pub grave: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Concern {
    pub(crate) fn grave(detail: impl Into<String>, advice: &'static str) -> Self {
        Self { grave: true, detail: detail.into(), advice }
    }

    pub(crate) fn slight(detail: impl Into<String>, advice: &'static str) -> Self {
        Self { grave: false, detail: detail.into(), advice }
    }
}
