//! What went wrong in a transaction, seen from whether it is worth trying again.
//!
//! [`Fault`] lives inside this crate; what leaves it is a [`StoreError`].

use haat_catalog::ports::StoreError;
use sqlx::migrate::MigrateError;

/// Why an attempt failed. But for [`Self::Failed`], nothing was written and the same work may be tried again.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The database refused the transaction: deadlock, serialization, certification, busy.
    Refused(String),
    /// A unique index was violated: another transaction inserted the same key meanwhile. What was read before no
    /// longer holds, so the work is done again from the start, and then sees the other's row.
    Duplicate(String),
    /// The connection broke before the transaction was committed.
    Lost(String),
    /// Nothing that trying again would mend.
    Failed(StoreError),
}

impl Fault {
    /// Whether the connection can be used again.
    pub(crate) fn leaves_connection_sound(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Duplicate(_))
    }

    /// What is stored is not what Haat stores.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Failed(StoreError::Corrupt(what.into()))
    }

    /// A fault in Haat.
    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self::Failed(StoreError::Internal(what.into()))
    }

    /// The same, met while committing: when the connection broke there, nobody knows whether it was committed.
    pub(crate) fn at_commit(self) -> Self {
        match self {
            Self::Lost(why) => Self::Failed(StoreError::Unavailable(format!(
                "the connection broke during commit, so whether it was committed is unknown: {why}"
            ))),
            other => other,
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let text = error.to_string();
        match &error {
            E::Database(database) => crate::sqlite::refusal::classify(database.as_ref())
                .or_else(|| crate::mysql::refusal::classify(database.as_ref()))
                .unwrap_or(Self::Failed(StoreError::Internal(text))),
            E::Io(_) | E::Protocol(_) | E::WorkerCrashed | E::BeginFailed => Self::Lost(text),
            E::Tls(_) | E::PoolClosed => Self::Failed(StoreError::Unavailable(text)),
            E::PoolTimedOut => {
                Self::Failed(StoreError::Unavailable("no connection to the database could be made in time".into()))
            }
            E::ColumnDecode { .. } | E::Decode(_) => Self::Failed(StoreError::Corrupt(text)),
            _ => Self::Failed(StoreError::Internal(text)),
        }
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => e.into(),
            MigrateError::VersionMissing(version) => Self::internal(format!(
                "the database was migrated by a newer Haat (migration {version} is unknown here); run that version"
            )),
            other => Self::internal(format!("migration: {other}")),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(why) => Self::Contention(why),
            Fault::Duplicate(why) => Self::Internal(why),
            Fault::Lost(why) => Self::Unavailable(why),
            Fault::Failed(error) => error,
        }
    }
}
