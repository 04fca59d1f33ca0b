//! SQLite's own full-text search, for comparison: porter stemming, any of the words, ranked by bm25.

use std::collections::HashSet;

use anyhow::Context;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};

use crate::catalogue::Sample;

/// The names, indexed.
pub struct Fts5 {
    sql: SqliteConnection,
}

impl Fts5 {
    /// Indexes the names alone: brand, category and description would only distract from queries made of names.
    pub async fn new(samples: &[Sample]) -> anyhow::Result<Self> {
        let mut sql = SqliteConnectOptions::new().in_memory(true).connect().await?;
        sqlx::query("CREATE VIRTUAL TABLE product USING fts5(name, tokenize = 'porter unicode61')")
            .execute(&mut sql)
            .await
            .context("SQLite without FTS5")?;
        sqlx::query("BEGIN").execute(&mut sql).await?;
        let mut seen = HashSet::new();
        // A repeated name would only take the places of others among the first ten.
        for sample in samples.iter().filter(|s| seen.insert(s.name.as_str())) {
            sqlx::query("INSERT INTO product VALUES (?)").bind(&sample.name).execute(&mut sql).await?;
        }
        sqlx::query("COMMIT").execute(&mut sql).await?;
        Ok(Self { sql })
    }

    /// Whether the first ten for `typed` have `name`.
    pub async fn finds(&mut self, typed: &str, name: &str) -> anyhow::Result<bool> {
        let words: Vec<String> = typed.split(' ').map(|w| format!("\"{w}\"")).collect();
        let rows = sqlx::query("SELECT name FROM product WHERE product MATCH ? ORDER BY bm25(product) LIMIT 10")
            .bind(words.join(" OR "))
            .fetch_all(&mut self.sql)
            .await?;
        Ok(rows.iter().any(|row| row.try_get::<&str, _>(0).is_ok_and(|n| n == name)))
    }
}
