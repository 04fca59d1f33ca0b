//! What a SQLite file says of itself.

use haat_catalog::Timestamp;
use sqlx::{SqliteConnection, query_as, query_scalar};

use crate::diagnosis::{Concern, Diagnosis};
use crate::lane::Answer;

/// Looks at the file's settings; damage shows when it is read.
pub(super) async fn examine(conn: &mut SqliteConnection) -> Answer<Diagnosis> {
    let (version, now): (String, i64) =
        query_as("SELECT sqlite_version(), CAST(unixepoch('subsec') * 1000 AS INTEGER)").fetch_one(&mut *conn).await?;
    let mode: String = query_scalar("PRAGMA journal_mode").fetch_one(conn).await?;
    let mut concerns = Vec::new();
    if !mode.eq_ignore_ascii_case("wal") {
        let advice = "keep the file on a local disk: on a network file system several processes cannot share it";
        concerns.push(Concern::slight(format!("its journal mode is {mode}, so reads wait for writes"), advice));
    }
    Ok(Diagnosis { version: format!("SQLite {version}"), clock: Timestamp::from_millis(now), concerns })
}
