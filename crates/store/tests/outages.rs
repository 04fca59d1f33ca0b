//! A database that hangs, dies and comes back: every call ends in time, and the store recovers by itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haat_catalog::ports::StoreError;
use haat_catalog::write::{Effect, WriteError, WriteRequest};
use haat_store::{MySqlOptions, SqliteOptions, StoreOptions, open};
use haat_testkit::conformance::{after_noon, create, draft, key, put};
use haat_testkit::servers::MariaDb;
use stage::proxy::Proxy;
use stage::{Stage, mysql_options, sqlite_options};
use tokio::task::JoinSet;

/// A store with short limits on a server of its own.
async fn own_stage() -> (MariaDb, Stage) {
    let server = MariaDb::start();
    let database = server.create_database();
    let options = MySqlOptions {
        max_connections: 4,
        acquire_timeout: Duration::from_secs(1),
        query_timeout: Duration::from_secs(2),
        ..mysql_options(&database)
    };
    let stage = Stage::over(StoreOptions::MySql(options), None).await;
    (server, Stage { database: Some(database), ..stage })
}

/// Asks until there is an answer.
async fn until_it_answers(stage: &Stage) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = stage.reader.count().await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_told_in_time_and_used_again_afterwards() {
    let (server, stage) = own_stage().await;
    stage.done(create(draft("A", "a"), 1)).await;
    server.pause();
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let reader = stage.subject.reader.clone();
        calls.spawn(async move {
            let asked = Instant::now();
            (reader.scan(None, 1).await.map(|_| ()), asked.elapsed())
        });
    }
    let health = stage.store.check();
    assert!(health.await.is_err());
    let limit = Duration::from_secs(1) + Duration::from_secs(2) * haat_store::BATCH_FACTOR + Duration::from_secs(2);
    for (result, took) in calls.join_all().await {
        let error = result.expect_err("the server hangs");
        assert!(matches!(error, StoreError::Timeout(_) | StoreError::Unavailable(_)), "{error}");
        assert!(took < limit, "took {took:?}");
    }
    server.resume();
    until_it_answers(&stage).await;
    stage.done(create(draft("B", "b"), 2)).await;
    assert!(stage.store.check().await.is_ok());
}

/// They wait in one line of groups; the groups must not wait for the database one after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_note_a_use_while_the_server_hangs_are_told_as_soon_as_the_first() {
    let (server, stage) = own_stage().await;
    server.pause();
    let mut calls = JoinSet::new();
    for n in 0..2_000_u64 {
        let auth = stage.subject.auth.clone();
        calls.spawn(async move {
            let asked = Instant::now();
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            (auth.first_use(hash, after_noon(9)).await, asked.elapsed())
        });
    }
    for (result, took) in calls.join_all().await {
        let error = result.expect_err("the server hangs");
        assert!(matches!(error, StoreError::Timeout(_) | StoreError::Unavailable(_)), "{error}");
        // A connection, a transaction, and some patience with the machine; there are eight groups.
        assert!(took < Duration::from_secs(6), "took {took:?}");
    }
    server.resume();
    until_it_answers(&stage).await;
    assert!(stage.subject.auth.first_use([255; 32], after_noon(9)).await.unwrap(), "the line moves again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_used_again_and_has_what_it_acknowledged() {
    let (server, stage) = own_stage().await;
    let mut acknowledged = 0_u64;
    for round in 0..3_u64 {
        let mut tasks = JoinSet::new();
        for n in 0..30 {
            let id = 1 + round * 100 + n;
            let (writer, request) = (stage.subject.writer.clone(), create(draft(&format!("S{id}"), "x"), id));
            tasks.spawn(async move { writer.write(request).await });
        }
        // In the middle of it.
        let first = tasks.join_next().await.unwrap().unwrap();
        server.kill();
        let results: Vec<_> = tasks.join_all().await.into_iter().chain([first]).collect();
        let unavailable =
            |e: &WriteError| matches!(e, WriteError::Store(StoreError::Unavailable(_) | StoreError::Timeout(_)));
        assert!(results.iter().all(|r| r.as_ref().err().is_none_or(unavailable)), "{results:?}");
        acknowledged += results.iter().filter(|r| r.is_ok()).count() as u64;
        let down = stage.reader.count().await.unwrap_err();
        assert!(matches!(down, StoreError::Unavailable(_)), "{down}");
        server.restart();
        until_it_answers(&stage).await;
        assert!(stage.reader.count().await.unwrap() >= acknowledged);
    }
    let head = stage.log.head().await.unwrap();
    assert_eq!(stage.changes().await.len() as u64, head.0, "products and log agree");
    assert_eq!(stage.products().await.len() as u64, head.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_not_even_noticed_by_the_next_call() {
    let (server, stage) = own_stage().await;
    let mut busy = JoinSet::new();
    for _ in 0..4 {
        // Fills the pool with connections that the restart breaks.
        let reader = stage.subject.reader.clone();
        busy.spawn(async move { reader.count().await });
    }
    busy.join_all().await;
    server.restart();
    stage.done(create(draft("A", "a"), 1)).await;
}

/// A store behind a proxy, on a database of the shared server.
async fn behind_a_proxy(options: MySqlOptions) -> (Proxy, Stage) {
    let database = MariaDb::shared().create_database();
    let proxy = Proxy::before(format!("{}:{}", database.host(), database.port())).await;
    let direct = mysql_options(&database);
    let options = MySqlOptions {
        max_connections: options.max_connections,
        acquire_timeout: options.acquire_timeout,
        query_timeout: options.query_timeout,
        host: "127.0.0.1".into(),
        port: proxy.address.port(),
        ..direct
    };
    let stage = Stage::over(StoreOptions::MySql(options), None).await;
    (proxy, Stage { database: Some(database), ..stage })
}

/// Firewalls forget connections that lie idle, and tell nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_cut_silently_cost_nobody_a_request() {
    let options = MySqlOptions { max_connections: 4, ..MySqlOptions::default() };
    let (proxy, stage) = behind_a_proxy(options).await;
    let at_once = async || {
        let calls = (0..4).map(|_| {
            let reader = stage.subject.reader.clone();
            async move { reader.scan(None, 1).await }
        });
        futures::future::join_all(calls).await
    };
    assert!(at_once().await.iter().all(Result::is_ok));
    // Longer than the pool trusts an idle connection.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    proxy.swallow_answers();
    let (made, asked) = (proxy.made.load(Ordering::SeqCst), Instant::now());
    let answers = at_once().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    assert!(proxy.made.load(Ordering::SeqCst) > made, "connections had been cut");
}

/// The claim was committed, and nobody was told: the key must not be blocked until the claim runs out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_was_lost_is_given_up() {
    let options = MySqlOptions { query_timeout: Duration::from_secs(2), ..MySqlOptions::default() };
    let (proxy, stage) = behind_a_proxy(options).await;
    let request = || WriteRequest { idempotency: key("k", 1), ..put(draft("A", "a"), 1) };
    stage.gate.close();
    let first = tokio::spawn({
        let (writer, request) = (stage.subject.writer.clone(), request());
        async move { writer.write(request).await }
    });
    stage.gate.someone_waits().await;
    proxy.swallow_answers();
    stage.gate.open();
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, WriteError::Store(StoreError::Timeout(_) | StoreError::Unavailable(_))), "{error}");
    let deadline = Instant::now() + Duration::from_secs(20);
    let receipt = loop {
        match stage.subject.writer.write(request()).await {
            Ok(receipt) => break receipt,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((receipt.effect, receipt.replayed), (Effect::Created, false));
}

/// Nobody knows whether it was committed, so it is not done again: that would take what it did itself for another's doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_committed_is_not_tried_again() {
    let (proxy, stage) = behind_a_proxy(MySqlOptions::default()).await;
    stage.gate.close();
    let first_use = tokio::spawn({
        let auth = stage.subject.auth.clone();
        async move { auth.first_use([1; 32], after_noon(9)).await }
    });
    stage.gate.someone_waits().await;
    proxy.hang_up_on_answers();
    stage.gate.open();
    let error = first_use.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!stage.auth.first_use([1; 32], after_noon(9)).await.unwrap(), "it was committed");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let options = MySqlOptions {
        port: haat_testkit::servers::free_port(),
        acquire_timeout: Duration::from_millis(300),
        ..MySqlOptions::default()
    };
    let asked = Instant::now();
    let Err(error) = open(&StoreOptions::MySql(options)).await else { panic!("connected") };
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(5));
}

/// A write with an idempotency key takes three transactions. They share what one may take, so that a slow database costs
/// such a write no more time than another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_with_a_key_has_one_deadline_for_all_its_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let (turn, limit) = (Duration::from_millis(200), Duration::from_millis(300));
    let options =
        SqliteOptions { acquire_timeout: turn, query_timeout: limit, ..sqlite_options(folder.path().join("haat.db")) };
    let stage = Stage::over(StoreOptions::Sqlite(options), None).await;
    stage.done(create(draft("A", "a"), 1)).await;
    let request = WriteRequest { idempotency: key("k", 1), ..put(draft("B", "b"), 2) };
    // It claims its key, and then nothing goes on until its time is up.
    stage.claimed.close();
    let (writer, first) = (stage.subject.writer.clone(), request.clone());
    let first = tokio::spawn(async move { writer.write(first).await });
    stage.claimed.have_come(1).await;
    tokio::time::sleep(turn + limit).await;
    stage.claimed.open();
    stage.claimed.let_first_go();
    let late = first.await.unwrap();
    assert!(matches!(late, Err(WriteError::Store(StoreError::Timeout(_)))), "{late:?}");
    // Nothing was written, and the claim is given up.
    let deadline = Instant::now() + Duration::from_secs(10);
    let receipt = loop {
        match stage.writer.write(request.clone()).await {
            Ok(receipt) => break receipt,
            Err(error) => assert!(matches!(error, WriteError::KeyInFlight) && Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!((receipt.effect, receipt.replayed), (Effect::Created, false));
}
