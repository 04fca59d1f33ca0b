//! The store on a MySQL-compatible server: MariaDB from 10.6, MySQL from 8, and clusters that speak the protocol.
//!
//! Nothing here is MariaDB's alone (no `RETURNING`), and nothing assumes that `AUTO_INCREMENT` is ordered or without
//! gaps, so that a Galera cluster, TiDB or Aurora is a matter of settings.
//!
//! Sessions run at READ COMMITTED: what a transaction decides upon it locks (`FOR UPDATE`) or guards by a unique index,
//! so it needs no snapshot, and without gap locks writers of different products never wait for each other but at the
//! counter. A server that writes a binary log needs it in ROW or MIXED format for that, which is the default.

mod batch;
mod changes;
mod clients;
mod compaction;
mod diagnosis;
mod idempotency;
mod items;
mod jobs;
mod products;
pub(crate) mod refusal;
mod revocations;
mod signing;
mod sources;
pub(crate) mod statements;

use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::ports::StoreError;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, query, query_scalar};

use crate::diagnosis::Diagnosis;
use crate::fault::Fault;
use crate::lane::{Answer, Hooks, Lane};
use crate::options::{MySqlOptions, MySqlTls};
use crate::store::{Backend, not_among};

/// Seconds to wait for another replica that is migrating.
const MIGRATION_LOCK_SECONDS: i64 = 60;
/// A connection that lay idle this long is tried before it is used: a proxy or the server may have cut it.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);
/// How long that trial may take. One that was cut silently never answers; the pool then makes a new connection, for which
/// there must be time left.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// Writers leave one connection in so many to reads.
const LEFT_BY_WRITERS: u32 = 4;

/// MySQL.
pub(crate) struct MySql {
    /// All connections.
    readers: Lane<sqlx::MySql>,
    /// The same connections less some, so that writers which wait for a lock never keep reads and health checks waiting.
    writers: Lane<sqlx::MySql>,
    limit: Duration,
    connections: u32,
}

impl MySql {
    pub(crate) async fn open(options: &MySqlOptions, hooks: Hooks) -> Result<Self, StoreError> {
        let session = session_settings(options.query_timeout);
        let ping_limit = PING_LIMIT.min(options.acquire_timeout / 2);
        let pool = MySqlPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            // The pool tests every connection that comes back; before use only one that lay idle needs another test.
            .test_before_acquire(false)
            .before_acquire(move |conn, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        let cut = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
                        tokio::time::timeout(ping_limit, conn.ping()).await.map_err(cut)??;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |conn, _| {
                let session = session.clone();
                Box::pin(async move {
                    for setting in session {
                        conn.execute(AssertSqlSafe(setting)).await?;
                    }
                    Ok(())
                })
            });
        let connect = connection(options)?;
        knock(&connect, options).await?;
        let pool = pool.connect_with(connect).await.map_err(|e| cannot_connect(options, e))?;
        let readers = Lane::new(pool, options.acquire_timeout, "BEGIN", hooks);
        let writers = readers.leaving((options.max_connections / LEFT_BY_WRITERS).max(1));
        Ok(Self { readers, writers, limit: options.query_timeout, connections: options.max_connections })
    }
}

/// Connects once outside the pool: the pool hides why it cannot, trying a refused connection until its time is up.
async fn knock(connect: &MySqlConnectOptions, options: &MySqlOptions) -> Result<(), StoreError> {
    let attempt = tokio::time::timeout(options.acquire_timeout, MySqlConnection::connect_with(connect)).await;
    let conn = attempt.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|e| cannot_connect(options, e))?;
    // Whether the server hears the goodbye makes no difference.
    let _ = conn.close().await;
    Ok(())
}

fn connection(options: &MySqlOptions) -> Result<MySqlConnectOptions, StoreError> {
    let mut connect = MySqlConnectOptions::new()
        .host(&options.host)
        .port(options.port)
        .username(&options.user)
        .database(&options.database)
        .charset("utf8mb4")
        .collation("utf8mb4_bin")
        // What sqlx would set by itself; Haat keeps times as numbers and sets the mode below.
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false);
    if !options.password.is_empty() {
        connect = connect.password(&options.password);
    }
    Ok(match &options.tls {
        MySqlTls::Off => connect.ssl_mode(MySqlSslMode::Disabled),
        MySqlTls::Verify { ca: None } => connect.ssl_mode(MySqlSslMode::VerifyIdentity),
        MySqlTls::Verify { ca: Some(path) } => {
            let read = std::fs::read(path);
            let pem = read.map_err(|e| StoreError::Unavailable(format!("the authority in {}: {e}", path.display())))?;
            connect.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca_from_pem(pem)
        }
    })
}

/// What every connection begins with.
fn session_settings(query_timeout: Duration) -> Vec<String> {
    // Below the transaction's own limit, so that the server tells who waits for a lock instead of being cut off.
    let lock_wait = (query_timeout.as_secs() / 2).max(1);
    vec![
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
         NO_ENGINE_SUBSTITUTION'"
            .to_owned(),
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        format!("SET SESSION innodb_lock_wait_timeout = {lock_wait}"),
    ]
}

fn cannot_connect(options: &MySqlOptions, error: sqlx::Error) -> StoreError {
    let place = format!("{}:{}, database '{}'", options.host, options.port, options.database);
    match Fault::from(error) {
        Fault::Failed(StoreError::Denied(why)) => StoreError::Denied(format!("{place}: {why}")),
        Fault::Failed(StoreError::Unavailable(why))
        | Fault::Lost(why)
        | Fault::Refused(why)
        | Fault::Duplicate(why) => StoreError::Unavailable(format!("{place}: {why}")),
        // MySQL's caching_sha2_password sends the password only through TLS (or by RSA, which Haat leaves out).
        Fault::Failed(error) if error.to_string().contains("mysql-rsa") => {
            StoreError::Denied(format!("{place}: this account's password plugin needs TLS (database.tls = \"verify\")"))
        }
        Fault::Failed(error) => StoreError::Unavailable(format!("{place}: {error}")),
    }
}

#[async_trait]
impl Backend for MySql {
    type Db = sqlx::MySql;
    const NAME: &'static str = "mysql";

    fn readers(&self) -> &Lane<sqlx::MySql> {
        &self.readers
    }

    fn writers(&self) -> &Lane<sqlx::MySql> {
        &self.writers
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    async fn pending(&self, limit: Duration) -> Result<Vec<String>, StoreError> {
        self.readers.run(limit, |conn| Box::pin(async move { not_among(&migrator(), &applied(conn).await?) })).await
    }

    async fn diagnose(&self, limit: Duration) -> Result<Diagnosis, StoreError> {
        let connections = self.connections;
        self.readers.run(limit, move |conn| Box::pin(diagnosis::examine(conn, connections))).await
    }

    async fn migrate(&self, limit: Duration) -> Result<Vec<String>, StoreError> {
        self.writers.run(limit, |conn| Box::pin(migrate_locked(conn))).await
    }
}

/// The migrations, without sqlx's own lock: it waits with `GET_LOCK(…, -1)`, which MariaDB refuses to wait for, and
/// ignores the answer.
pub(crate) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/mysql");
    migrator.set_locking(false);
    migrator
}

/// Migrates under a lock by name, which the server gives back by itself when the connection ends.
async fn migrate_locked(conn: &mut MySqlConnection) -> Answer<Vec<String>> {
    let got: Option<i64> = query_scalar("SELECT GET_LOCK(CONCAT('haat_migrate_', MD5(DATABASE())), ?)")
        .bind(MIGRATION_LOCK_SECONDS)
        .fetch_one(&mut *conn)
        .await?;
    if got != Some(1) {
        return Err(Fault::Failed(StoreError::Timeout(format!(
            "another replica has been migrating the database for {MIGRATION_LOCK_SECONDS} s"
        ))));
    }
    let result = apply(conn).await;
    query("SELECT RELEASE_LOCK(CONCAT('haat_migrate_', MD5(DATABASE())))").execute(&mut *conn).await?;
    result
}

async fn apply(conn: &mut MySqlConnection) -> Answer<Vec<String>> {
    let migrator = migrator();
    let table = migrator.table_name.as_ref();
    conn.ensure_migrations_table(table).await?;
    // Data definition commits by itself, so a server that ends half way leaves a migration marked as not done. Nobody
    // else is at it, for the lock is ours, and migrations may be repeated: begin that one again.
    conn.execute(AssertSqlSafe(format!("DELETE FROM {table} WHERE success = FALSE"))).await?;
    let pending = not_among(&migrator, &applied(conn).await?)?;
    migrator.run_direct(None, conn, false).await?;
    Ok(pending)
}

async fn applied(conn: &mut MySqlConnection) -> Answer<Vec<i64>> {
    let migrator = migrator();
    let table = migrator.table_name.as_ref();
    let exists: i64 = query_scalar(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
    )
    .bind(table)
    .fetch_one(&mut *conn)
    .await?;
    if exists == 0 {
        return Ok(Vec::new());
    }
    let applied: Vec<i64> =
        query_scalar(AssertSqlSafe(format!("SELECT version FROM {table} WHERE success = TRUE ORDER BY version")))
            .fetch_all(&mut *conn)
            .await?;
    Ok(applied)
}
