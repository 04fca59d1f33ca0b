//! Every statement that the store issues uses an index: both databases are asked for the plan of each, with 100,000
//! rows in every table. A statement that is not declared in `statements.rs` would escape, so there may be none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use haat_store::StoreOptions;
use haat_store::testing::{Sample, Statement, statements};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row, SqliteConnection};
use stage::past_the_store;

const ROWS: u64 = 100_000;
/// The tables whose plans count.
const TABLES: [&str; 14] = [
    "products",
    "change_log",
    "change_followers",
    "idempotency_keys",
    "import_jobs",
    "clients",
    "secret_uses",
    "signing_keys",
    "revoked_tokens",
    "used_once",
    "sources",
    "source_items",
    "source_seen",
    "source_breakers",
];
/// The others, by their names or what statements call them, have one row each.
const ONE_ROW: [&str; 5] = ["change_seq", "change_log_state", "counter", "state", "auth_revisions"];
/// These read a table from end to end because they want all of it, what every replica keeps in memory or what is few (the
/// sources of a configuration); or its first row, whichever that is.
const WHOLE: [&str; 5] = ["CLIENTS", "HAS_CLIENTS", "SECRET_USES", "SIGNING_KEYS", "SOURCES"];

/// 100,000 rows in each table, made by the database itself out of a sequence of numbers `n`.
fn fill(n: &str, hex: fn(&str) -> String, text: fn(&str) -> String) -> Vec<String> {
    let id = hex(n);
    // Some of the sources that samples name, each with a good part of the rows.
    let source = text(&format!("(500 + {n} % 74)"));
    vec![
        format!("INSERT INTO products SELECT {id}, {}, 1, {id}, {n}, {n}, '{{}}' FROM numbers", text(n)),
        format!("INSERT INTO change_log SELECT {n}, {id}, 1 + ({n} % 50 = 0) * 2, {}, 1, {n} FROM numbers", text(n)),
        format!("INSERT INTO change_followers SELECT {}, {n}, {n} FROM numbers", text(n)),
        format!("INSERT INTO idempotency_keys SELECT {0}, {0}, {id}, {n}, {n}, {n}, NULL, NULL FROM numbers", text(n)),
        format!(
            "INSERT INTO import_jobs SELECT {id}, {}, 2 + ({n} % 2), '{{}}', 0, 0, 0, 0, 0, '[]', NULL, {n}, {n}
             FROM numbers",
            text(n)
        ),
        format!("INSERT INTO clients SELECT {}, 1, '{{}}' FROM numbers", text(n)),
        format!("INSERT INTO secret_uses SELECT {id}, {n} FROM numbers"),
        format!("INSERT INTO signing_keys SELECT {}, {id}, {n}, {n}, {n} FROM numbers", text(n)),
        format!("INSERT INTO revoked_tokens SELECT {id}, {n}, {n} FROM numbers"),
        format!("INSERT INTO used_once SELECT {id}, {n} FROM numbers"),
        format!("INSERT INTO sources SELECT {}, {n}, {n}, {n}, 0, {n}, NULL, NULL, NULL FROM numbers", text(n)),
        format!("INSERT INTO source_items SELECT {0}, {source}, {0}, {n}, NULL FROM numbers", text(n)),
        format!("INSERT INTO source_seen SELECT {source}, {}, {n}, {id} FROM numbers", hex(&format!("({n} % 700)"))),
        format!("INSERT INTO source_breakers SELECT {0}, {0}, {n}, '{{}}' FROM numbers", text(n)),
        "UPDATE change_seq SET value = 100000, products = 100000".to_owned(),
    ]
}

/// The statement with likely values in place of its placeholders.
fn with_samples(statement: &Statement) -> String {
    let mut sql = String::new();
    let mut samples = statement.samples.iter().cycle();
    let mut n = 500;
    for part in statement.sql.split_inclusive('?') {
        let Some(text) = part.strip_suffix('?') else {
            sql.push_str(part);
            continue;
        };
        n += 37;
        sql.push_str(text);
        sql.push_str(&match samples.next().expect("a sample for each placeholder") {
            Sample::Id | Sample::Hash => format!("X'{n:032x}'"),
            Sample::Sku | Sample::Text => format!("'S{n:08}'"),
            Sample::Seq | Sample::Number => n.to_string(),
            // So that a range over times takes in a small part of the rows, as pruning does.
            Sample::Millis => "300".to_owned(),
            Sample::Limit => "100".to_owned(),
        });
    }
    // A follower is heard of recently, and so is a breaker; keys and jobs are pruned when old.
    let is_recent = ["SLOWEST_FOLLOWER", "BREAKER_REPORTS"].contains(&statement.name);
    if is_recent { sql.replace("300", "99700") } else { sql }
}

fn inserts_values(statement: &Statement) -> bool {
    statement.sql.starts_with("INSERT INTO")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_on_mysql_uses_an_index() {
    let stage = stage::mysql().await;
    let options = past_the_store(stage.database.as_ref().unwrap());
    let mut conn = MySqlConnection::connect_with(&options).await.unwrap();
    let numbers = format!(
        "CREATE TABLE numbers (n INT PRIMARY KEY) AS
         WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n FROM s"
    );
    conn.execute("SET SESSION max_recursive_iterations = 200000").await.unwrap();
    conn.execute(AssertSqlSafe(numbers)).await.unwrap();
    let hex = |n: &str| format!("UNHEX(LPAD(HEX({n}), 32, '0'))");
    let text = |n: &str| format!("CONCAT('S', LPAD({n}, 8, '0'))");
    for sql in fill("n", hex, text) {
        conn.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    for table in TABLES {
        conn.execute(AssertSqlSafe(format!("ANALYZE TABLE {table}"))).await.unwrap();
    }
    let mut scans = Vec::new();
    for statement in statements("mysql") {
        let sql = with_samples(&statement);
        let plan = conn.fetch_all(AssertSqlSafe(format!("EXPLAIN {sql}"))).await;
        let plan = plan.unwrap_or_else(|e| panic!("{}: {e}\n{sql}", statement.name));
        for row in plan {
            let table: Option<String> = row.try_get("table").unwrap();
            let access: Option<String> = row.try_get("type").unwrap();
            let key: Option<String> = row.try_get("key").unwrap();
            let Some(table) = table.filter(|table| !table.starts_with('<')) else { continue };
            let harmless = ONE_ROW.contains(&table.as_str()) || WHOLE.contains(&statement.name);
            // "index" reads an index from end to end, which is no better than reading the table.
            let scan = matches!(access.as_deref(), Some("ALL" | "index")) || key.is_none();
            if !harmless && !inserts_values(&statement) && scan {
                scans.push(format!("{}: {table} by {access:?} with {key:?}\n  {sql:.500}", statement.name));
            }
        }
    }
    assert!(scans.is_empty(), "{}", scans.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_on_sqlite_uses_an_index() {
    let stage = stage::sqlite().await;
    let StoreOptions::Sqlite(options) = &stage.options else { unreachable!() };
    let mut conn = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&options.path)).await.unwrap();
    let numbers = format!(
        "CREATE TEMP TABLE numbers AS
         WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n FROM s"
    );
    conn.execute(AssertSqlSafe(numbers)).await.unwrap();
    let hex = |n: &str| format!("unhex(printf('%032x', {n}))");
    let text = |n: &str| format!("printf('S%08d', {n})");
    for sql in fill("n", hex, text) {
        conn.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    // Not analysed: a new installation has no statistics either.
    let mut scans = Vec::new();
    for statement in statements("sqlite") {
        let sql = with_samples(&statement);
        let plan = conn.fetch_all(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).await;
        let plan = plan.unwrap_or_else(|e| panic!("{}: {e}\n{sql}", statement.name));
        for row in plan {
            let step: String = row.try_get("detail").unwrap();
            // "SCAN page": the rows of the change log that the inner selection has found by its index already.
            let harmless = step == "SCAN page" || step == "SCAN page LEFT-JOIN" || WHOLE.contains(&statement.name);
            if step.starts_with("SCAN")
                && !step.contains("CONSTANT ROW")
                && !step.ends_with("VALUES CLAUSE")
                && !harmless
            {
                scans.push(format!("{}: {step}\n  {sql:.500}", statement.name));
            }
        }
    }
    assert!(scans.is_empty(), "{}", scans.join("\n"));
}

/// SQL anywhere else in a backend would escape the tests above. (Migrations, their lock and the session's settings are
/// in `mod.rs`, what `haat doctor` asks the server about itself in `diagnosis.rs`; they run once and read no table.)
#[test]
fn statements_are_declared_in_one_place() {
    for folder in ["src/sqlite", "src/mysql", "src/sources", "src"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let declares = ["statements.rs", "mod.rs", "statement.rs", "diagnosis.rs"];
            if path.is_dir() || declares.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for word in ["SELECT ", "INSERT ", "UPDATE ", "DELETE "] {
                let found = source.lines().find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
                assert!(found.is_none(), "{}: {found:?}", path.display());
            }
        }
    }
}
