//! Migrating: several replicas at once, a server that ended half way, a database of a newer Haat.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use haat_store::{StoreOptions, open};
use haat_testkit::conformance::{create, draft};
use haat_testkit::servers::MariaDb;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, SqliteConnection};
use stage::{mysql_options, sqlite_options};
use tokio::task::JoinSet;

async fn replicas_may_start_together(options: StoreOptions) {
    let store = open(&options).await.unwrap();
    assert_eq!(store.pending_migrations().await.unwrap(), ["0001_catalogue"]);
    let mut replicas = JoinSet::new();
    for _ in 0..8 {
        let options = options.clone();
        replicas.spawn(async move { open(&options).await.unwrap().migrate().await.unwrap() });
    }
    let applied: Vec<String> = replicas.join_all().await.concat();
    assert_eq!(applied, ["0001_catalogue"], "one applied it, the others waited");
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
    database
        .execute("UPDATE _sqlx_migrations SET success = FALSE; DROP TABLE import_jobs; DROP TABLE idempotency_keys");
    assert_eq!(store.pending_migrations().await.unwrap(), ["0001_catalogue"]);
    assert_eq!(store.migrate().await.unwrap(), ["0001_catalogue"]);
    assert!(store.unfinished_jobs("anybody").await.unwrap().is_empty());
    assert_eq!(store.count().await.unwrap(), 1, "what was there has stayed");
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
