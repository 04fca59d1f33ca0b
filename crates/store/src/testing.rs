//! For tests alone: hooks into writing, and the list of all statements.

use std::sync::Arc;

use haat_catalog::ports::StoreError;

use crate::{Store, StoreOptions};

pub use crate::lane::{Hook, Hooks};
pub use crate::statement::{Sample, Statement};

/// As [`crate::open`], with places where the test holds the store back.
///
/// # Errors
/// As [`crate::open`].
pub async fn open_with_hooks(options: &StoreOptions, hooks: Hooks) -> Result<Arc<dyn Store>, StoreError> {
    crate::open_hooked(options, hooks).await
}

/// Every statement that the backend issues but for migrations, transaction control and connection settings.
pub fn statements(backend: &str) -> Vec<Statement> {
    match backend {
        "mysql" => crate::mysql::statements::all(),
        _ => crate::sqlite::statements::all(),
    }
}
