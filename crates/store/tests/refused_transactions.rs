//! A transaction that the database refuses (deadlock, lock timeout, a busy file) is run again until it succeeds; when
//! it never does, the caller is told that it was contention.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::time::Duration;

use haat_catalog::ports::StoreError;
use haat_catalog::write::{BatchOutcome, WriteError};
use haat_sources::ports::ItemOutcome;
use haat_sources::run::RunCounts;
use haat_store::{MySqlOptions, SqliteOptions, StoreOptions, open};
use haat_testkit::conformance::upstream::{begin, item};
use haat_testkit::conformance::{batch, create, draft, patch};
use haat_testkit::servers::MariaDb;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, SqliteConnection, query_scalar};
use stage::{Stage, mysql_options, past_the_store};
use tokio::task::JoinSet;

async fn rival(stage: &Stage) -> MySqlConnection {
    let options = past_the_store(stage.database.as_ref().unwrap());
    MySqlConnection::connect_with(&options).await.unwrap()
}

async fn run(conn: &mut MySqlConnection, sql: &str) {
    conn.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// Waits until a transaction of the store waits for a lock that the rival holds.
async fn until_someone_waits(conn: &mut MySqlConnection) {
    let waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while query_scalar::<_, i64>(waiting).fetch_one(&mut *conn).await.unwrap() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        // The table is a copy that is made anew only when nobody has looked for a tenth of a second.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

/// A server of its own: the shared one has other tests' transactions waiting too.
async fn own_server() -> (MariaDb, Stage) {
    let server = MariaDb::start();
    let database = server.create_database();
    let stage = Stage::over(StoreOptions::MySql(mysql_options(&database)), None).await;
    (server, Stage { database: Some(database), ..stage })
}

/// Writes the products A and B of the store by `write`, which locks A first, so that it loses a deadlock against a rival, once.
async fn with_a_deadlock<T: Send + 'static>(stage: &Stage, write: impl Future<Output = T> + Send + 'static) -> T {
    let mut rival = rival(stage).await;
    // The rival weighs more (it has written more rows), so that the server picks the other to refuse.
    run(&mut rival, "CREATE TABLE ballast (n INT PRIMARY KEY)").await;
    run(&mut rival, "BEGIN").await;
    run(&mut rival, "INSERT INTO ballast SELECT seq FROM seq_1_to_20000").await;
    run(&mut rival, "SELECT * FROM products WHERE sku = 'B' FOR UPDATE").await;
    let store = tokio::spawn(write);
    until_someone_waits(&mut rival).await;
    // The other holds A and waits for B: this closes the circle.
    run(&mut rival, "SELECT * FROM products WHERE sku = 'A' FOR UPDATE").await;
    run(&mut rival, "COMMIT").await;
    let deadlocks = stage.database.as_ref().unwrap().execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'");
    assert_eq!(deadlocks.trim(), "Innodb_deadlocks\t1", "the deadlock happened");
    store.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_loses_a_deadlock_is_run_again() {
    let (_server, stage) = own_server().await;
    stage.batch(batch(vec![draft("A", "0"), draft("B", "0")], 1)).await;
    let writer = stage.subject.writer.clone();
    let write = async move { writer.write_batch(batch(vec![draft("A", "1"), draft("B", "1")], 10)).await };
    let outcomes = with_a_deadlock(&stage, write).await.unwrap();
    assert_eq!(outcomes, [BatchOutcome::Updated, BatchOutcome::Updated]);
    assert_eq!(stage.product("B").await.unwrap().name, "1");
    assert_eq!(stage.changes().await.len(), 4, "and was logged once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_source_that_loses_a_deadlock_is_run_again_and_counted_once() {
    let (_server, stage) = own_server().await;
    stage.batch(batch(vec![draft("A", "0"), draft("B", "0")], 1)).await;
    let mut holder = stage.hold(begin("s", 1)).await;
    let write = async move {
        let outcomes = holder.page(vec![item("b", "B", "1"), item("c", "C", "1"), item("a", "A", "1")]).await;
        (outcomes, holder.run)
    };
    let (outcomes, run) = with_a_deadlock(&stage, write).await;
    assert_eq!(outcomes, [ItemOutcome::Updated, ItemOutcome::Created, ItemOutcome::Updated]);
    let counts = RunCounts { read: 3, created: 1, updated: 2, pages: 1, ..RunCounts::default() };
    assert_eq!((run.counts, stage.source("s").await.run), (counts, Some(run.clone())));
    assert_eq!((stage.items_of("s").await.len(), stage.changes().await.len()), (3, 5));
    assert_eq!(stage.sources.seen("s", run.id).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stays_locked_is_contention_not_a_hang() {
    let (_server, stage) = own_server().await;
    stage.done(create(draft("A", "a"), 1)).await;
    let StoreOptions::MySql(options) = &stage.options else { unreachable!() };
    // The server gives up on a lock after a second here.
    let patient = MySqlOptions { query_timeout: Duration::from_secs(3), ..options.clone() };
    let store = open(&StoreOptions::MySql(patient)).await.unwrap();
    let mut rival = rival(&stage).await;
    run(&mut rival, "BEGIN").await;
    run(&mut rival, "SELECT * FROM products WHERE sku = 'A' FOR UPDATE").await;
    let error = store.write(patch("A", json!({"stock": 1}))).await.unwrap_err();
    let told = matches!(error, WriteError::Store(StoreError::Contention(_) | StoreError::Timeout(_)));
    assert!(told, "{error}");
    run(&mut rival, "ROLLBACK").await;
    store.write(patch("A", json!({"stock": 1}))).await.unwrap();
    assert_eq!(stage.product("A").await.unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_wait_for_a_lock_leave_reads_and_health_their_connections() {
    let (_server, stage) = own_server().await;
    stage.done(create(draft("A", "a"), 1)).await;
    let StoreOptions::MySql(options) = &stage.options else { unreachable!() };
    let few = MySqlOptions { max_connections: 4, ..options.clone() };
    let store = open(&StoreOptions::MySql(few)).await.unwrap();
    let mut rival = rival(&stage).await;
    run(&mut rival, "BEGIN").await;
    run(&mut rival, "SELECT * FROM change_seq FOR UPDATE").await;
    let mut writers = JoinSet::new();
    for n in 2..12 {
        let store = store.clone();
        writers.spawn(async move { store.write(create(draft(&format!("S{n}"), "x"), n)).await });
    }
    until_someone_waits(&mut rival).await;
    for _ in 0..10 {
        let answer = tokio::time::timeout(Duration::from_secs(5), store.count()).await;
        assert_eq!(answer.expect("reads do not wait for writers").unwrap(), 1);
        store.check().await.unwrap();
    }
    run(&mut rival, "ROLLBACK").await;
    assert!(writers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.count().await.unwrap(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_sqlite_file_is_waited_for() {
    let stage = stage::sqlite().await;
    let StoreOptions::Sqlite(options) = &stage.options else { unreachable!() };
    // Another process, as the command line beside a server.
    let mut rival = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&options.path)).await.unwrap();
    rival.execute("BEGIN IMMEDIATE").await.unwrap();
    let hasty = SqliteOptions {
        query_timeout: Duration::from_millis(500),
        acquire_timeout: Duration::from_secs(5),
        ..options.clone()
    };
    let store = open(&StoreOptions::Sqlite(hasty)).await.unwrap();
    let error = store.write(create(draft("A", "a"), 1)).await.unwrap_err();
    let told = matches!(error, WriteError::Store(StoreError::Contention(_) | StoreError::Timeout(_)));
    assert!(told, "{error}");
    // Reading goes on meanwhile.
    assert_eq!(store.count().await.unwrap(), 0);
    let writer = stage.subject.writer.clone();
    let mut waiting = tokio::spawn(async move { writer.write(create(draft("A", "a"), 1)).await });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "the write did not wait for the lock: {early:?}");
    rival.execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(store.write(create(draft("B", "b"), 2)).await.is_ok(), "the hasty store has recovered");
}
