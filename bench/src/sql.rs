//! The same questions straight on MariaDB: one table made for them, with the indexes that a careful team would give it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::load::{Latencies, latencies, ms, record};
use crate::mariadb::{MariaDb, SETTINGS};
use crate::report::Section;
use crate::workload::{Ask, Kind, Questions};
use crate::{Bench, catalogue};

const TABLE: &str = "CREATE TABLE product (
    id BIGINT UNSIGNED NOT NULL PRIMARY KEY, sku VARCHAR(128) NOT NULL, name VARCHAR(500) NOT NULL, description TEXT,
    brand VARCHAR(200), category VARCHAR(200), path VARCHAR(600), price BIGINT NOT NULL, rating DOUBLE,
    created_at DATETIME NOT NULL, document LONGTEXT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4";

const INDEXES: &str = "ALTER TABLE product
    ADD UNIQUE KEY (sku), ADD KEY (created_at, id), ADD KEY (price, id), ADD KEY (category, brand, price, id),
    ADD KEY (name, id), ADD KEY (brand), ADD KEY (rating)";

const FULLTEXT: &str = "ALTER TABLE product ADD FULLTEXT KEY (name, description)";

/// Runs the subcommand.
pub async fn run(bench: &Bench, requests: usize, seconds: u64) -> anyhow::Result<()> {
    let path = catalogue::make(bench, bench.products, 1).await?;
    let samples = catalogue::samples(&path)?;
    let server = MariaDb::start(bench, "mariadb-queries").await?;
    let options = MySqlConnectOptions::new().host("127.0.0.1").port(server.port).username("haat").password("haat");
    let mut sql = options.database("haat").connect().await?;
    load(bench, &path, &server, &mut sql).await?;

    let mut section = Section::begin("40-sql", "The same queries straight on MariaDB", "sql");
    let mut rows =
        String::from("| query | page p50 ms | page p99 ms | total p50 ms | queries |\n|---|---|---|---|---|\n");
    for kind in <Kind as clap::ValueEnum>::value_variants() {
        if *kind == Kind::OneTypo {
            writeln!(rows, "| {} | — | — | — | SQL has no such search |", kind.title())?;
            continue;
        }
        let statements = statements(*kind, &samples, bench.seed, requests);
        let budget = Duration::from_secs(seconds);
        let pages = time(&mut sql, statements.iter().map(|s| s.page.as_slice()), budget).await?;
        let totals =
            time(&mut sql, statements.iter().filter_map(|s| s.total.as_ref()).map(std::slice::from_ref), budget)
                .await?;
        let total = if totals.is_empty() { "—".to_owned() } else { ms(&totals, 0.5) };
        let line =
            format!("| {} | {} | {} | {total} | {} |", kind.title(), ms(&pages, 0.5), ms(&pages, 0.99), pages.len());
        println!("{line}");
        writeln!(rows, "{line}")?;
    }
    let deep = keyset(&mut sql, requests).await?;
    let title = "the same page by keyset on (price, id)";
    writeln!(rows, "| {title} | {} | {} | — | {} |", ms(&deep, 0.5), ms(&deep, 0.99), deep.len())?;
    section.table(&rows);
    section.note(format!("one connection, MariaDB with `{}`, all data in its buffers", SETTINGS.join(" ")));
    section.note("the deep page by `OFFSET`; facets are three `GROUP BY` and the page; search is `FULLTEXT` in boolean mode, all words".to_owned());
    drop(sql);
    server.stop().await?;
    section.write(bench)
}

/// What one question is in SQL.
struct Statements {
    page: Vec<String>,
    total: Option<String>,
}

fn statements(kind: Kind, samples: &[catalogue::Sample], seed: u64, n: usize) -> Vec<Statements> {
    if kind == Kind::DeepPage {
        let page =
            |i: usize| format!("SELECT document FROM product ORDER BY price, id LIMIT 20 OFFSET {}", 199_980 + 20 * i);
        return (0..n).map(|i| Statements { page: vec![page(i)], total: None }).collect();
    }
    Questions::new(samples, seed).draw(kind, n).iter().map(translate).collect()
}

fn translate(ask: &Ask) -> Statements {
    let range = |(min, max): &(i64, i64)| format!("price BETWEEN {min} AND {max}");
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let (filter, order) = match ask {
        Ask::Newest { price_min } => (format!("price >= {price_min}"), "created_at DESC, id DESC"),
        Ask::Narrow { category, brand, prices } => {
            (format!("category = {} AND brand = {} AND {}", quote(category), quote(brand), range(prices)), "price, id")
        }
        Ask::ByName { prices } => (range(prices), "name, id"),
        Ask::Facets { prices } => (range(prices), "created_at DESC, id DESC"),
        Ask::Search { words: [a, b] } => {
            let matched = format!("MATCH (name, description) AGAINST ('+{a} +{b}' IN BOOLEAN MODE)");
            let page = format!("SELECT document FROM product WHERE {matched} ORDER BY {matched} DESC LIMIT 20");
            return Statements {
                page: vec![page],
                total: Some(format!("SELECT COUNT(*) FROM product WHERE {matched}")),
            };
        }
    };
    let mut page = vec![format!("SELECT document FROM product WHERE {filter} ORDER BY {order} LIMIT 20")];
    if matches!(ask, Ask::Facets { .. }) {
        for field in ["brand", "path", "rating"] {
            page.push(format!(
                "SELECT {field}, COUNT(*) n FROM product WHERE {filter} GROUP BY {field} ORDER BY n DESC LIMIT 100"
            ));
        }
    }
    Statements { page, total: Some(format!("SELECT COUNT(*) FROM product WHERE {filter}")) }
}

/// Pages around the ten-thousandth as a client would ask for them that kept the last price and id of the page before.
async fn keyset(sql: &mut MySqlConnection, n: usize) -> anyhow::Result<Latencies> {
    let edges = format!("SELECT price, id FROM product ORDER BY price, id LIMIT {n} OFFSET 199979");
    let rows = sqlx::raw_sql(AssertSqlSafe(edges)).fetch_all(&mut *sql).await?;
    let mut pages = Vec::new();
    for row in rows {
        let (price, id): (i64, u64) = (row.try_get(0)?, row.try_get(1)?);
        let after = format!("price >= {price} AND (price > {price} OR (price = {price} AND id > {id}))");
        pages.push(vec![format!("SELECT document FROM product WHERE {after} ORDER BY price, id LIMIT 20")]);
    }
    time(sql, pages.iter().map(Vec::as_slice), Duration::from_secs(30)).await
}

/// Times groups of statements, one group after the other, until the time is up.
async fn time<'a>(
    sql: &mut MySqlConnection,
    groups: impl Iterator<Item = &'a [String]>,
    budget: Duration,
) -> anyhow::Result<Latencies> {
    let mut all = latencies()?;
    let started = Instant::now();
    for group in groups {
        let begun = Instant::now();
        for statement in group {
            sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                .fetch_all(&mut *sql)
                .await
                .with_context(|| statement.clone())?;
        }
        record(&mut all, begun.elapsed());
        if started.elapsed() > budget {
            break;
        }
    }
    Ok(all)
}

/// Fills the table unless it is full already.
async fn load(bench: &Bench, path: &Path, server: &MariaDb, sql: &mut MySqlConnection) -> anyhow::Result<()> {
    let count = sqlx::query("SELECT COUNT(*) FROM product").fetch_one(&mut *sql).await;
    if count.is_ok_and(|row| row.try_get::<i64, _>(0).is_ok_and(|n| u64::try_from(n) == Ok(bench.products))) {
        return Ok(());
    }
    println!("loading {} products into MariaDB", bench.products);
    let rows = server.folder.join("rows.tsv");
    write_rows(path, &rows)?;
    let load = format!("LOAD DATA INFILE '{}' INTO TABLE product CHARACTER SET utf8mb4", rows.display());
    for statement in ["DROP TABLE IF EXISTS product", TABLE, &load, INDEXES, FULLTEXT, "ANALYZE TABLE product"] {
        let begun = Instant::now();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut *sql)
            .await
            .with_context(|| statement.to_owned())?;
        println!(
            "{:.1} s: {}",
            begun.elapsed().as_secs_f64(),
            statement.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
        );
    }
    std::fs::remove_file(&rows)?;
    Ok(())
}

/// The catalogue as `LOAD DATA` reads it.
fn write_rows(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(to)?);
    for (number, line) in BufReader::new(std::fs::File::open(from)?).lines().enumerate() {
        let line = line?;
        let product: Value = serde_json::from_str(&line)?;
        let text = |pointer: &str| match product.pointer(pointer) {
            Some(Value::String(s)) => escape(s),
            Some(Value::Number(n)) => n.to_string(),
            _ => "\\N".to_owned(),
        };
        let path: Vec<&str> = product
            .pointer("/category")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let created_at = text("/created_at").replace('T', " ").replace('Z', "");
        let columns = [
            number.to_string(),
            text("/sku"),
            text("/name"),
            text("/description"),
            text("/brand"),
            text("/category/0"),
            escape(&path.join(" > ")),
            text("/price/amount"),
            text("/rating"),
            created_at,
            escape(&line),
        ];
        writeln!(out, "{}", columns.join("\t"))?;
    }
    out.flush()?;
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}
