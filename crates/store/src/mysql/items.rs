//! Whose products are whose, and what full runs have seen.

use haat_catalog::Sku;
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{MySql, MySqlConnection, query, query_as, query_scalar};
use uuid::Uuid;

use super::statements as st;
use crate::lane::Answer;
use crate::sources::sql::{ItemRow, ItemSql, StoredItem};
use crate::statement::{Shaped, padded, split};

impl ItemSql for MySqlConnection {
    async fn items_after(&mut self, source: &str, after: &[u8], limit: u32) -> Answer<Vec<StoredItem>> {
        let query = query_as(st::ITEMS_AFTER).bind(source).bind(after).bind(i64::from(limit));
        Ok(query.fetch_all(self).await?)
    }

    async fn items_of_skus(&mut self, skus: &[&Sku]) -> Answer<Vec<StoredItem>> {
        let mut rows = Vec::with_capacity(skus.len());
        for run in padded(skus) {
            let mut query = query_as(st::ITEMS_OF_SKUS.text(run.len()));
            for sku in &run {
                query = query.bind(sku.as_str());
            }
            rows.extend(query.fetch_all(&mut *self).await?);
        }
        Ok(rows)
    }

    async fn items_of_keys(&mut self, source: &str, keys: &[&str]) -> Answer<Vec<StoredItem>> {
        let mut rows = Vec::with_capacity(keys.len());
        for run in padded(keys) {
            let mut query = query_as(st::ITEMS_OF_KEYS.text(run.len())).bind(source);
            for key in &run {
                query = query.bind(*key);
            }
            rows.extend(query.fetch_all(&mut *self).await?);
        }
        Ok(rows)
    }

    async fn insert_items(&mut self, source: &str, rows: &[ItemRow]) -> Answer<()> {
        write(self, &st::INSERT_ITEMS, source, rows).await
    }

    async fn replace_items(&mut self, source: &str, rows: &[ItemRow]) -> Answer<()> {
        write(self, &st::REPLACE_ITEMS, source, rows).await
    }

    async fn miss_items(&mut self, skus: &[&Sku], run: Uuid) -> Answer<()> {
        for part in padded(skus) {
            let mut query = query(st::MISS_ITEMS.text(part.len())).bind(run.as_bytes().as_slice());
            for sku in &part {
                query = query.bind(sku.as_str());
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn delete_items(&mut self, skus: &[&Sku]) -> Answer<()> {
        for run in padded(skus) {
            let mut query = query(st::DELETE_ITEMS.text(run.len()));
            for sku in &run {
                query = query.bind(sku.as_str());
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn release_items(&mut self, source: &str) -> Answer<u64> {
        Ok(query(st::RELEASE_ITEMS).bind(source).execute(self).await?.rows_affected())
    }

    async fn retire_taken_items(&mut self, source: &str, heir: &str) -> Answer<()> {
        query(st::RETIRE_TAKEN_ITEMS).bind(heir).bind(source).execute(self).await?;
        Ok(())
    }

    async fn give_items(&mut self, source: &str, heir: &str) -> Answer<u64> {
        Ok(query(st::GIVE_ITEMS).bind(heir).bind(source).execute(self).await?.rows_affected())
    }

    async fn seen_hashes(&mut self, source: &str, run: Uuid) -> Answer<Vec<Vec<u8>>> {
        Ok(query_scalar(st::SEEN_HASHES).bind(source).bind(run.as_bytes().as_slice()).fetch_all(self).await?)
    }

    async fn last_seen_page(&mut self, source: &str, run: Uuid) -> Answer<Option<i64>> {
        Ok(query_scalar(st::LAST_SEEN_PAGE).bind(source).bind(run.as_bytes().as_slice()).fetch_one(self).await?)
    }

    async fn insert_seen(&mut self, source: &str, run: Uuid, page: i64, hashes: &[u8]) -> Answer<()> {
        let query = query(st::INSERT_SEEN).bind(source).bind(run.as_bytes().as_slice()).bind(page).bind(hashes);
        query.execute(self).await?;
        Ok(())
    }

    async fn forget_seen(&mut self, source: &str, keep: Uuid, limit: u32) -> Answer<u64> {
        let query = query(st::FORGET_SEEN).bind(source).bind(keep.as_bytes().as_slice()).bind(i64::from(limit));
        Ok(query.execute(self).await?.rows_affected())
    }
}

async fn write(conn: &mut MySqlConnection, shaped: &'static Shaped, source: &str, rows: &[ItemRow]) -> Answer<()> {
    for run in split(rows, ItemRow::bytes) {
        let query = run.iter().fold(query(shaped.text(run.len())), |query, row| bind(query, source, row));
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

fn bind<'q>(query: Query<'q, MySql, MySqlArguments>, source: &str, row: &ItemRow) -> Query<'q, MySql, MySqlArguments> {
    query.bind(row.sku.as_str()).bind(source).bind(row.key.as_str()).bind(row.order)
}
