//! What a MySQL-compatible server says of itself.

use std::collections::HashMap;

use haat_catalog::Timestamp;
use sqlx::{MySqlConnection, query_as};

use crate::diagnosis::{Concern, Diagnosis};
use crate::lane::Answer;

/// A statement of an import is cut at 1 MiB, but a row that is larger by itself travels whole.
const LEAST_PACKET: u64 = 16 << 20;

/// Asks the server; `connections` is how many Haat may open.
pub(super) async fn examine(conn: &mut MySqlConnection, connections: u32) -> Answer<Diagnosis> {
    let (version, now): (String, i64) =
        query_as("SELECT VERSION(), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)").fetch_one(&mut *conn).await?;
    // A variable that this server does not have is simply not among them.
    let variables: Vec<(String, String)> = query_as(
        "SHOW VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'max_connections', 'max_allowed_packet', \
         'innodb_flush_log_at_trx_commit', 'read_only', 'default_storage_engine')",
    )
    .fetch_all(conn)
    .await?;
    let server = Server { version, connections, variables: variables.into_iter().collect() };
    Ok(Diagnosis { version: server.name(), clock: Timestamp::from_millis(now), concerns: server.concerns() })
}

struct Server {
    version: String,
    connections: u32,
    variables: HashMap<String, String>,
}

impl Server {
    fn text(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    fn on(&self, name: &str) -> bool {
        matches!(self.text(name), "ON" | "1")
    }

    /// MariaDB calls itself `10.11.6-MariaDB-…`, MySQL `8.4.0`, TiDB `8.0.11-TiDB-v8.1.0`.
    fn name(&self) -> String {
        let number = self.version.split('-').next().unwrap_or_default();
        if self.version.contains("MariaDB") { format!("MariaDB {number}") } else { format!("MySQL {}", self.version) }
    }

    fn too_old(&self) -> bool {
        let mut parts = self.version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(0));
        version < if self.version.contains("MariaDB") { (10, 6) } else { (8, 0) }
    }

    fn concerns(&self) -> Vec<Concern> {
        let mut found = Vec::new();
        if self.too_old() {
            let advice = "use MariaDB 10.6, MySQL 8 or newer";
            found.push(Concern::grave(format!("{} is older than what Haat is tested with", self.name()), advice));
        }
        if self.on("read_only") {
            let advice = "connect to the primary; a replica cannot be written to";
            found.push(Concern::grave("the server is read-only", advice));
        }
        if self.on("log_bin") && self.text("binlog_format").eq_ignore_ascii_case("STATEMENT") {
            let advice = "set binlog_format to ROW or MIXED: with STATEMENT the server refuses every write of Haat";
            found.push(Concern::grave("the binary log is in STATEMENT format", advice));
        }
        if let Some(packet) = self.number("max_allowed_packet").filter(|bytes| *bytes < LEAST_PACKET) {
            let advice = "set max_allowed_packet to 16M or more, or imports of large products fail";
            found.push(Concern::slight(format!("max_allowed_packet is {packet} bytes"), advice));
        }
        if let Some(most) = self.number("max_connections").filter(|most| *most <= u64::from(self.connections)) {
            let detail = format!("the server allows {most} connections, one Haat opens up to {}", self.connections);
            found.push(Concern::slight(detail, "raise max_connections, or lower database.max_connections"));
        }
        if self.number("innodb_flush_log_at_trx_commit").is_some_and(|mode| mode != 1) {
            let advice = "set innodb_flush_log_at_trx_commit = 1, or accept that a power cut takes the last second";
            found.push(Concern::slight("a write is acknowledged before it is on the server's disk", advice));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, variables: &[(&str, &str)]) -> Server {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server { version: version.to_owned(), connections: 16, variables }
    }

    #[test]
    fn versions_are_read_as_each_engine_writes_them() {
        let old = ["10.5.12-MariaDB", "5.7.44-log", "10.3.39-MariaDB-0+deb10u1"];
        let new = ["10.6.0-MariaDB", "11.4.2-MariaDB-log", "8.0.36", "9.1.0-commercial", "8.0.11-TiDB-v8.1.0"];
        assert!(old.iter().all(|version| server(version, &[]).too_old()));
        assert!(new.iter().all(|version| !server(version, &[]).too_old()));
        assert_eq!(server("10.11.6-MariaDB-0+deb12u1", &[]).name(), "MariaDB 10.11.6");
    }

    #[test]
    fn what_does_harm_is_named_the_worst_first() {
        let fine = [("log_bin", "ON"), ("binlog_format", "MIXED"), ("max_allowed_packet", "16777216")];
        assert_eq!(server("10.11.6-MariaDB", &fine).concerns(), []);
        let bad = [
            ("log_bin", "1"),
            ("binlog_format", "STATEMENT"),
            ("read_only", "ON"),
            ("max_allowed_packet", "1048576"),
            ("max_connections", "16"),
            ("innodb_flush_log_at_trx_commit", "2"),
        ];
        let concerns = server("10.11.6-MariaDB", &bad).concerns();
        assert_eq!(concerns.iter().map(|c| c.grave).collect::<Vec<_>>(), [true, true, false, false, false]);
        // Without a binary log its format does not matter.
        assert_eq!(server("8.4.0", &[("log_bin", "OFF"), ("binlog_format", "STATEMENT")]).concerns(), []);
    }
}
