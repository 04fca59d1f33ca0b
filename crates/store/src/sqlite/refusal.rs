//! What SQLite means by its result codes.

use haat_catalog::ports::StoreError;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::sqlite::SqliteError;

use crate::fault::Fault;

/// Reads an error; `None` when it is no SQLite error, or one that means nothing in particular.
pub(crate) fn classify(error: &(dyn DatabaseError + 'static)) -> Option<Fault> {
    let error = error.try_downcast_ref::<SqliteError>()?;
    let text = error.to_string();
    if error.kind() == ErrorKind::UniqueViolation {
        return Some(Fault::Duplicate(text));
    }
    let extended: i32 = error.code()?.parse().ok()?;
    // The primary code is the low byte of the extended one.
    Some(match extended & 0xff {
        // BUSY (with BUSY_SNAPSHOT and BUSY_RECOVERY) and LOCKED.
        5 | 6 => Fault::Refused(text),
        // READONLY, IOERR, FULL, CANTOPEN.
        8 | 10 | 13 | 14 => Fault::Failed(StoreError::Unavailable(text)),
        // CORRUPT, NOTADB.
        11 | 26 => Fault::Failed(StoreError::Corrupt(text)),
        _ => return None,
    })
}
