//! For tests alone: a hook into transactions, and the list of all statements.

use std::sync::Arc;

use haat_catalog::ports::StoreError;

use crate::{Store, StoreOptions};

pub use crate::lane::CommitHook;
pub use crate::statement::{Sample, Statement};

/// As [`crate::open`]; `before_commit` is awaited between the last statement of every writing transaction and its
/// commit.
///
/// # Errors
/// As [`crate::open`].
pub async fn open_with_commit_hook(
    options: &StoreOptions,
    before_commit: CommitHook,
) -> Result<Arc<dyn Store>, StoreError> {
    crate::open_hooked(options, Some(before_commit)).await
}

/// Every statement that the backend issues but for migrations, transaction control and connection settings.
pub fn statements(backend: &str) -> Vec<Statement> {
    match backend {
        "mysql" => crate::mysql::statements::all(),
        _ => crate::sqlite::statements::all(),
    }
}
