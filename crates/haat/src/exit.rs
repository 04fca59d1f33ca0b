//! How a command ends: exit codes, and the errors that lead to them.

use std::process::ExitCode;

use haat_catalog::ports::{IndexError, StoreError};
use haat_oauth::directory::DirectoryError;
use serde_json::{Value, json};

use crate::config::ConfigError;

/// An exit code. Those from 64 on are the ones of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed, or a check found something wrong.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// Records of the input were refused, or it cannot be read.
    BadData = 65,
    /// Something Haat needs (the database) cannot be reached; worth trying again later.
    Unavailable = 69,
    /// What was asked for is under way already; worth trying again later.
    Busy = 75,
    /// The configuration is wrong.
    Configuration = 78,
    /// A signal ended it.
    Interrupted = 130,
}

/// What `haat --help` says about exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something failed, or a check found something wrong
  2    the command line does not make sense
  65   records of the input were refused, or it cannot be read
  69   the database cannot be reached; worth trying again later
  75   what was asked for is under way already; worth trying again later
  78   the configuration is wrong (nothing was started)
  130  ended by a signal";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
    /// The input cannot be used at all.
    #[error("{0}")]
    BadData(String),
    /// Something Haat needs cannot be reached.
    #[error("{0}")]
    Unavailable(String),
    /// Somebody else is at it.
    #[error("{0}")]
    Busy(String),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// A signal came before it was done.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The exit code it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Configuration,
            Self::Usage(_) => Exit::Usage,
            Self::BadData(_) => Exit::BadData,
            Self::Unavailable(_) => Exit::Unavailable,
            Self::Busy(_) => Exit::Busy,
            Self::Failed(_) => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        let mut body = json!({ "exit_code": self.exit() as u8, "detail": self.to_string() });
        if let (Self::Configuration(error), Some(members)) = (self, body.as_object_mut()) {
            members.insert("problems".into(), json!(error.0));
        }
        json!({ "error": body })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Denied(_) | StoreError::Timeout(_) | StoreError::Contention(_) => {
                Self::Unavailable(format!("{error}; `haat doctor` looks for the cause"))
            }
            StoreError::Corrupt(_) | StoreError::Internal(_) => Self::Failed(error.into()),
        }
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            DirectoryError::WrongKey(_) => Self::Failed(error.into()),
        }
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Store(error) => error.into(),
            other => Self::Failed(other.into()),
        }
    }
}
