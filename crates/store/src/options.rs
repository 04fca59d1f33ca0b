//! Where the database is and how to reach it.

use std::path::PathBuf;
use std::time::Duration;

/// A SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file; it and its folder are made when they are not there.
    pub path: PathBuf,
    /// Connections that read at the same time, beside the one that writes.
    pub max_readers: u32,
    /// How long to wait for a connection to be free.
    pub acquire_timeout: Duration,
    /// How long a transaction may take, retries included; a batch may take [`BATCH_FACTOR`] times as long.
    pub query_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data/haat.db"),
            max_readers: 8,
            acquire_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(10),
        }
    }
}

/// A MySQL-compatible server: MariaDB from 10.6, MySQL from 8, and clusters that speak the same protocol.
#[derive(Clone)]
pub struct MySqlOptions {
    /// Host name or address; the name that the certificate must bear.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password, empty for none.
    pub password: String,
    /// The database, which must exist.
    pub database: String,
    /// Whether to encrypt.
    pub tls: MySqlTls,
    /// Connections at the same time, reading and writing. Writers leave a quarter of them to reads.
    pub max_connections: u32,
    /// How long to wait for a connection to be free, and to be made.
    pub acquire_timeout: Duration,
    /// How long a transaction may take, retries included; a batch may take [`BATCH_FACTOR`] times as long.
    pub query_timeout: Duration,
}

impl Default for MySqlOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 3306,
            user: "root".into(),
            password: String::new(),
            database: "haat".into(),
            tls: MySqlTls::Off,
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for MySqlOptions {
    /// All but the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MySqlOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// How many times [`SqliteOptions::query_timeout`] a batch may take.
pub const BATCH_FACTOR: u32 = 6;

/// Encryption of the connections to MySQL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MySqlTls {
    /// None. Only for a server on the same machine or network.
    #[default]
    Off,
    /// TLS, refusing a server whose certificate is not issued by a trusted authority for the very host name.
    Verify {
        /// A PEM file with an authority to trust, beside the well-known ones.
        ca: Option<PathBuf>,
    },
}

/// Which database.
#[derive(Debug, Clone)]
pub enum StoreOptions {
    /// A SQLite file.
    Sqlite(SqliteOptions),
    /// A MySQL-compatible server.
    MySql(MySqlOptions),
}
