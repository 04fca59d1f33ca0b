//! What MySQL, MariaDB and the clusters that speak their protocol mean by their error codes.

use haat_catalog::ports::StoreError;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use crate::fault::Fault;

/// Reads an error; `None` when it is no MySQL error, or one that means nothing in particular.
pub(crate) fn classify(error: &(dyn DatabaseError + 'static)) -> Option<Fault> {
    let error = error.try_downcast_ref::<MySqlDatabaseError>()?;
    let text = format!("{} ({})", error.message(), error.number());
    meaning(error.number(), error.code(), text)
}

fn meaning(number: u16, sqlstate: Option<&str>, text: String) -> Option<Fault> {
    Some(match number {
        // Deadlock; lock wait timeout; row changed since it was read (MariaDB's innodb_snapshot_isolation).
        1213 | 1205 | 1020
        // Galera: this node is not in the cluster at the moment; Aurora and Group Replication: rolled back at commit.
        | 1047 | 3101
        // TiDB: write conflict, commit failed and may be tried again, schema changed meanwhile, region unavailable.
        | 8002 | 8022 | 8028 | 9005 | 9007
        // InnoDB asks to try again: too many concurrent transactions, table definition changed.
        | 1637 | 1412 => Fault::Refused(text),
        // Serialization failure, whoever says so (Vitess and Spanner-like engines use it).
        _ if sqlstate == Some("40001") => Fault::Refused(text),
        1062 | 1586 => Fault::Duplicate(text),
        // Killed, shutting down, timed out for being idle.
        1053 | 1927 | 4031 => Fault::Lost(text),
        // The server ended the statement for taking too long.
        1969 | 3024 => Fault::Failed(StoreError::Timeout(text)),
        // Access to the database, as the user, to a table or column, from this host; unknown database.
        1044 | 1045 | 1142 | 1143 | 1130 | 1049 => Fault::Failed(StoreError::Denied(text)),
        // Too many connections; read-only because of a failover; host blocked; disk or table space full.
        1040 | 1203 | 1226 | 1290 | 1792 | 1836 | 1129 | 1021 | 1114 => {
            Fault::Failed(StoreError::Unavailable(text))
        }
        1034 | 1194 | 1712 => Fault::Failed(StoreError::Corrupt(text)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_s_refusals_are_worth_another_try() {
        for (number, state) in [(1213, "40001"), (1205, "HY000"), (1047, "08S01"), (9007, "HY000"), (1105, "40001")] {
            let fault = meaning(number, Some(state), String::new());
            assert!(matches!(fault, Some(Fault::Refused(_))), "{number}");
        }
        assert!(meaning(1064, Some("42000"), String::new()).is_none(), "a syntax error is no reason to try again");
    }
}
