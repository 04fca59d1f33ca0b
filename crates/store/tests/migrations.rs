//! Migrating: several replicas at once, a server that ended half way, a database of a newer Haat.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use haat_oauth::ports::Revocation;
use haat_sources::ports::BreakerOrder;
use haat_store::{StoreOptions, open};
use haat_testkit::conformance::{after_noon, create, draft};
use haat_testkit::servers::MariaDb;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, SqliteConnection, query_scalar};
use stage::{Stage, mysql_options, sqlite_options};
use tokio::task::JoinSet;

const ALL: [&str; 3] = ["0001_catalogue", "0002_authorization", "0003_sources"];

async fn replicas_may_start_together(options: StoreOptions) {
    let store = open(&options).await.unwrap();
    assert_eq!(store.pending_migrations().await.unwrap(), ALL);
    let mut replicas = JoinSet::new();
    for _ in 0..8 {
        let options = options.clone();
        replicas.spawn(async move { open(&options).await.unwrap().migrate().await.unwrap() });
    }
    let applied: Vec<String> = replicas.join_all().await.concat();
    assert_eq!(applied, ALL, "one applied it, the others waited");
    assert!(store.pending_migrations().await.unwrap().is_empty());
    assert!(store.migrate().await.unwrap().is_empty());
    store.write(create(draft("A", "a"), 1)).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
    assert!(store.check().await.is_ok());
    store.close().await;
    assert!(store.check().await.is_err(), "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_may_start_together_on_mysql() {
    let database = MariaDb::shared().create_database();
    replicas_may_start_together(StoreOptions::MySql(mysql_options(&database))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_may_start_together_on_sqlite() {
    let folder = tempfile::TempDir::new().unwrap();
    replicas_may_start_together(StoreOptions::Sqlite(sqlite_options(folder.path().join("new/folder/haat.db")))).await;
}

#[tokio::test]
async fn every_database_has_an_origin_of_its_own() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut origins = std::collections::HashSet::new();
    for name in ["one.db", "two.db"] {
        let store = open(&StoreOptions::Sqlite(sqlite_options(folder.path().join(name)))).await.unwrap();
        store.migrate().await.unwrap();
        origins.insert(store.origin().await.unwrap());
    }
    let databases = [MariaDb::shared().create_database(), MariaDb::shared().create_database()];
    for database in &databases {
        let store = open(&StoreOptions::MySql(mysql_options(database))).await.unwrap();
        store.migrate().await.unwrap();
        origins.insert(store.origin().await.unwrap());
    }
    assert_eq!(origins.len(), 4, "{origins:?}");
}

#[tokio::test]
async fn a_migration_that_ended_half_way_is_repeated() {
    let database = MariaDb::shared().create_database();
    let options = StoreOptions::MySql(mysql_options(&database));
    let store = open(&options).await.unwrap();
    store.migrate().await.unwrap();
    store.write(create(draft("A", "a"), 1)).await.unwrap();
    // As the server leaves it when it ends between the first table and the last.
    database.execute(
        "UPDATE _sqlx_migrations SET success = FALSE; DROP TABLE import_jobs; DROP TABLE idempotency_keys;
         DROP TABLE used_once; DROP TABLE signing_keys; DELETE FROM auth_revisions;
         DROP TABLE source_seen; DROP TABLE source_breakers",
    );
    assert_eq!(store.pending_migrations().await.unwrap(), ALL);
    assert_eq!(store.migrate().await.unwrap(), ALL);
    assert!(store.keys().await.unwrap().is_empty());
    store.revoke(a_revocation()).await.unwrap();
    assert!(store.breaker_reports(after_noon(0)).await.unwrap().is_empty());
    assert!(store.unfinished_jobs("anybody").await.unwrap().is_empty());
    assert_eq!(store.count().await.unwrap(), 1, "what was there has stayed");
}

fn a_revocation() -> Revocation {
    Revocation { jti: uuid::Uuid::from_u128(1), expires_at: after_noon(9) }
}

/// What takes a database back to a migration, as the version that had no later one left it.
const BACK_TO_0002: &str = "DROP TABLE sources; DROP TABLE source_items; DROP TABLE source_seen; \
    DROP TABLE source_breakers; DELETE FROM _sqlx_migrations WHERE version = 3";

/// While the version before still runs on it: nothing that it knows changes under it.
async fn a_database_of_the_version_before_is_migrated(stage: Stage, before: Vec<String>, now: Vec<String>) {
    assert_eq!(before, now, "the tables that were there are as they were");
    let store = &stage.store;
    assert_eq!(stage.product("A").await.unwrap().name, "a");
    assert_eq!(stage.changes().await.len(), 1);
    store.write(create(draft("B", "b"), 2)).await.unwrap();
    assert_eq!(store.revoked_since(0).await.unwrap(), [a_revocation()]);
    store.order_breaker("s", BreakerOrder::ForceOpen).await.unwrap();
    assert_eq!(store.sources().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_of_the_version_before_is_migrated_on_mysql() {
    let stage = stage::mysql().await;
    let database = stage.database.as_ref().unwrap();
    let tables = || {
        let catalogue = ["products", "change_log", "change_seq", "change_log_state", "change_followers", "import_jobs"];
        let authorization = ["clients", "secret_uses", "signing_keys", "revoked_tokens", "used_once", "auth_revisions"];
        catalogue
            .into_iter()
            .chain(authorization)
            .map(|table| database.execute(&format!("SHOW CREATE TABLE {table}")))
            .collect()
    };
    stage.store.write(create(draft("A", "a"), 1)).await.unwrap();
    stage.store.revoke(a_revocation()).await.unwrap();
    database.execute(BACK_TO_0002);
    let before = tables();
    assert_eq!(stage.store.migrate().await.unwrap(), ALL[2..]);
    let now = tables();
    a_database_of_the_version_before_is_migrated(stage, before, now).await;
}

#[tokio::test]
async fn a_database_of_the_version_before_is_migrated_on_sqlite() {
    let stage = stage::sqlite().await;
    let StoreOptions::Sqlite(options) = &stage.options else { unreachable!() };
    let mut conn = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&options.path)).await.unwrap();
    let schema =
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND rowid IN (SELECT n FROM known) ORDER BY rowid";
    stage.store.write(create(draft("A", "a"), 1)).await.unwrap();
    stage.store.revoke(a_revocation()).await.unwrap();
    conn.execute(BACK_TO_0002).await.unwrap();
    conn.execute("CREATE TEMP TABLE known AS SELECT rowid AS n FROM sqlite_master").await.unwrap();
    let before = query_scalar(schema).fetch_all(&mut conn).await.unwrap();
    assert_eq!(stage.store.migrate().await.unwrap(), ALL[2..]);
    let now = query_scalar(schema).fetch_all(&mut conn).await.unwrap();
    a_database_of_the_version_before_is_migrated(stage, before, now).await;
}

#[tokio::test]
async fn a_database_of_a_newer_haat_is_left_alone() {
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', TRUE, '', 0)";
    let database = MariaDb::shared().create_database();
    let store = open(&StoreOptions::MySql(mysql_options(&database))).await.unwrap();
    store.migrate().await.unwrap();
    database.execute(newer);
    let error = store.migrate().await.unwrap_err().to_string();
    assert!(error.contains("newer Haat"), "{error}");

    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("haat.db");
    let store = open(&StoreOptions::Sqlite(sqlite_options(path.clone()))).await.unwrap();
    store.migrate().await.unwrap();
    let mut conn = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
    conn.execute(newer).await.unwrap();
    let error = store.pending_migrations().await.unwrap_err().to_string();
    assert!(error.contains("newer Haat"), "{error}");
}
