//! Why what is asked of a source is not done.

use haat_catalog::ports::StoreError;
use uuid::Uuid;

use crate::ports::RunError;
use crate::run::Run;

/// Why a synchronisation does not begin, or did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such source.
    #[error("there is no source '{0}'")]
    Unknown(String),
    /// One of this source is under way.
    #[error("a synchronisation of this source is under way, by {}", .0.owner)]
    Running(Box<Run>),
    /// Removals are confirmed that do not wait for it.
    #[error("there is nothing to confirm: {why}")]
    NothingToConfirm {
        /// What is the case instead.
        why: &'static str,
        /// The run that waits for a confirmation, if one does.
        waits: Option<Uuid>,
    },
    /// Somebody else has taken the run over: this process was silent for longer than its lease.
    #[error("the synchronisation was taken over by somebody else")]
    Lost,
    /// The store failed. A run that had begun goes on with whoever begins next.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RunError> for StartError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lost(_) => Self::Lost,
            RunError::Store(error) => Self::Store(error),
        }
    }
}

/// Why a source is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Its next run would take up again what it has.
    #[error("the source '{0}' is declared: take it out of the configuration of all servers first")]
    Declared(String),
    /// There is no such source.
    #[error("there is no source '{0}', neither in the configuration nor with products here")]
    Unknown(String),
    /// Whoever is given its products is not declared.
    #[error("there is no source '{0}' in the configuration that the products could be given to")]
    NoHeir(String),
    /// A run of one of the two is under way.
    #[error("a synchronisation is under way, by {}", .0.owner)]
    Running(Box<Run>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
