//! What sources ask of the store beside the promises of their port that are told by the port alone: what is written and what
//! is not, seen by the database itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use haat_sources::ports::{BreakerReport, ItemOutcome, RunError};
use haat_store::StoreOptions;
use haat_testkit::conformance::upstream::{at, begin, item, many};
use haat_testkit::conformance::{after_noon, create, draft};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use stage::{Stage, past_the_store};

/// Runs a statement past the store.
async fn run(stage: &Stage, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    match &stage.options {
        StoreOptions::Sqlite(options) => {
            let options = SqliteConnectOptions::new().filename(&options.path);
            options.connect().await.unwrap().execute(sql).await.unwrap();
        }
        StoreOptions::MySql(_) => {
            let options = past_the_store(stage.database.as_ref().unwrap());
            options.connect().await.unwrap().execute(sql).await.unwrap();
        }
    }
}

/// From now on the database refuses whoever does that to that table.
async fn forbid(stage: &Stage, act: &str, table: &str) {
    let refuse = match &stage.options {
        StoreOptions::Sqlite(_) => "BEGIN SELECT RAISE(ABORT, 'forbidden'); END",
        StoreOptions::MySql(_) => "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'forbidden'",
    };
    run(stage, &format!("CREATE TRIGGER no_{act}_{table} BEFORE {act} ON {table} {refuse}")).await;
}

async fn allow(stage: &Stage, act: &str, table: &str) {
    run(stage, &format!("DROP TRIGGER no_{act}_{table}")).await;
}

/// The change-log rows are the last thing before the commit.
async fn a_page_that_fails_at_its_end_leaves_nothing(stage: Stage) {
    stage.done(create(draft("A", "before"), 1)).await;
    let mut holder = stage.hold(begin("s", 1)).await;
    holder.page(vec![item("z", "Z", "z")]).await;
    let before = (stage.source("s").await, stage.products().await, stage.items_of("s").await);
    forbid(&stage, "INSERT", "change_log").await;
    let page = || vec![item("a", "A", "after"), item("b", "B", "new"), item("z", "RENAMED", "z")];
    let failed = holder.try_page(page()).await;
    assert!(matches!(failed, Err(RunError::Store(_))), "{failed:?}");
    let removed = holder.clone().try_remove(before.2.clone()).await;
    assert!(matches!(removed, Err(RunError::Store(_))), "{removed:?}");
    assert_eq!((stage.source("s").await, stage.products().await, stage.items_of("s").await), before);
    assert_eq!(stage.sources.seen("s", holder.run.id).await.unwrap().len(), 1);
    allow(&stage, "INSERT", "change_log").await;
    assert_eq!(holder.page(page()).await, [ItemOutcome::Updated, ItemOutcome::Created, ItemOutcome::Created]);
    assert_eq!((holder.run.counts.created, holder.run.counts.pages), (3, 2));
}

/// But how the run stands, and one row for what was seen.
async fn a_page_over_unchanged_products_writes_no_other_row(stage: Stage) {
    let page = || many(0..300, "x").into_iter().map(|of| at(7, of)).collect::<Vec<_>>();
    stage.synced("s", 1, page()).await;
    let mut holder = stage.hold(begin("s", 2)).await;
    for table in ["products", "change_log", "change_seq", "source_items"] {
        for act in ["INSERT", "UPDATE", "DELETE"] {
            forbid(&stage, act, table).await;
        }
    }
    assert!(holder.page(page()).await.iter().all(|outcome| *outcome == ItemOutcome::Unchanged));
    assert_eq!(stage.sources.seen("s", holder.run.id).await.unwrap().len(), 300);
    let older = many(0..300, "y").into_iter().map(|of| at(6, of)).collect();
    assert!(holder.page(older).await.iter().all(|outcome| *outcome == ItemOutcome::Stale));
    assert!(holder.try_page(vec![at(8, item("k00007", "S00007", "x"))]).await.is_err(), "the database does refuse");
    holder.done().await;
}

/// A run that cannot be read is none: the source begins anew, with a greater fence.
async fn a_source_that_cannot_be_read_begins_anew(stage: Stage) {
    let mut gone = stage.hold(begin("s", 1)).await;
    gone.page(many(0..3, "x")).await;
    gone.clone().done().await;
    let gone = stage.hold(begin("s", 2)).await;
    stage.hold(begin("t", 3)).await;
    run(&stage, "UPDATE sources SET run = '{\"id\":', breaker_order = 9 WHERE name = 's'").await;
    let rows = stage.sources.sources().await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.run.is_some(), row.last_full.is_some())).collect();
    assert_eq!(told, [("s", false, true), ("t", true, false)]);
    assert_eq!(rows[0].items, 3);
    assert!(matches!(gone.save().await, Err(RunError::Lost(_))));
    let anew = stage.hold(begin("s", 4)).await;
    assert!(anew.lease.fence > gone.lease.fence);
    assert_eq!(anew.run.id.as_u128(), 4);
}

/// Neither items nor reports nor products of others.
async fn what_cannot_be_read_hides_nothing_else(stage: Stage) {
    let mut holder = stage.hold(begin("s", 1)).await;
    holder.page(many(0..6, "x")).await;
    run(&stage, "UPDATE source_items SET sku = ' bad' WHERE sku = 'S00001'").await;
    run(&stage, "UPDATE source_items SET sku = 'bad\t' WHERE sku = 'S00002'").await;
    let next = stage.sources.items("s", Some("k00000"), 1).await.unwrap();
    assert_eq!(next.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["k00003"]);

    run(&stage, "UPDATE products SET document = '{}' WHERE sku = 'S00003'").await;
    let outcomes = holder.page(many(3..5, "y")).await;
    let [ItemOutcome::Refused(error), ItemOutcome::Updated] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((error.key.as_str(), error.pointer.as_str()), ("k00003", ""));

    run(&stage, "INSERT INTO source_breakers (source, replica, seen_at, report) VALUES ('s', 'r', 9999999999999, '7')")
        .await;
    let report = BreakerReport {
        replica: "q".into(),
        state: "open".into(),
        since: after_noon(0),
        failure_rate: 1.0,
        slow_rate: 0.0,
        calls: 20,
        seen_at: after_noon(1),
    };
    stage.sources.report_breaker("s", &report).await.unwrap();
    assert_eq!(stage.sources.breaker_reports(after_noon(0)).await.unwrap(), [("s".to_owned(), report)]);

    // But what was seen is read whole or not at all: what is missing there would be removed.
    assert_eq!(stage.sources.seen("s", holder.run.id).await.unwrap().len(), 8);
    run(&stage, "UPDATE source_seen SET hashes = X'0102' WHERE page = 2").await;
    assert!(stage.sources.seen("s", holder.run.id).await.is_err());
}

/// They are not shown, and stay until somebody may forget them.
async fn old_reports_that_cannot_be_forgotten_keep_nobody_from_the_new_ones(stage: Stage) {
    let report = |replica: &str, seconds| BreakerReport {
        replica: replica.into(),
        state: "open".into(),
        since: after_noon(0),
        failure_rate: 1.0,
        slow_rate: 0.0,
        calls: 20,
        seen_at: after_noon(seconds),
    };
    for of in [report("old", 1), report("new", 9)] {
        stage.sources.report_breaker("s", &of).await.unwrap();
    }
    forbid(&stage, "DELETE", "source_breakers").await;
    let shown = [("s".to_owned(), report("new", 9))];
    assert_eq!(stage.sources.breaker_reports(after_noon(5)).await.unwrap(), shown);
    assert_eq!(stage.sources.breaker_reports(after_noon(0)).await.unwrap().len(), 2, "they are still there");
    allow(&stage, "DELETE", "source_breakers").await;
    assert_eq!(stage.sources.breaker_reports(after_noon(5)).await.unwrap(), shown);
    assert_eq!(stage.sources.breaker_reports(after_noon(0)).await.unwrap(), shown);
}

macro_rules! on_both {
    ($($promise:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(super::stage::sqlite().await).await;
                }
            )*
        }

        mod on_mysql {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(super::stage::mysql().await).await;
                }
            )*
        }
    };
}

on_both! {
    a_page_that_fails_at_its_end_leaves_nothing,
    a_page_over_unchanged_products_writes_no_other_row,
    a_source_that_cannot_be_read_begins_anew,
    what_cannot_be_read_hides_nothing_else,
    old_reports_that_cannot_be_forgotten_keep_nobody_from_the_new_ones,
}
