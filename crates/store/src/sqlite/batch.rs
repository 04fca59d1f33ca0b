//! Products by the hundred.

use haat_catalog::{ProductId, Sku};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{BatchSql, KnownRow, NewRow, VersionRow, signed};
use crate::statement::{Shaped, padded, split};

impl BatchSql for SqliteConnection {
    async fn known(&mut self, skus: &[&Sku], lock: bool) -> Answer<Vec<KnownRow>> {
        let shaped = if lock { &st::LOCK_KNOWN } else { &st::KNOWN };
        let mut rows = Vec::with_capacity(skus.len());
        for run in padded(skus) {
            let mut query = query_as(shaped.text(run.len()));
            for sku in &run {
                query = query.bind(sku.as_str());
            }
            rows.extend(query.fetch_all(&mut *self).await?);
        }
        Ok(rows)
    }

    async fn taken_ids(&mut self, ids: &[ProductId]) -> Answer<Vec<Vec<u8>>> {
        let mut taken = Vec::new();
        for run in padded(ids) {
            let mut query = query_scalar(st::TAKEN_IDS.text(run.len()));
            for id in &run {
                query = query.bind(id.as_bytes().as_slice());
            }
            taken.extend(query.fetch_all(&mut *self).await?);
        }
        Ok(taken)
    }

    async fn last_versions(&mut self, ids: &[ProductId]) -> Answer<Vec<VersionRow>> {
        let mut rows = Vec::new();
        for run in padded(ids) {
            let mut query = query_as(st::LAST_VERSIONS.text(run.len()));
            for id in &run {
                query = query.bind(id.as_bytes().as_slice());
            }
            rows.extend(query.fetch_all(&mut *self).await?);
        }
        Ok(rows)
    }

    async fn insert(&mut self, rows: &[NewRow]) -> Answer<()> {
        write(self, &st::INSERT_PRODUCTS, rows).await
    }

    async fn replace(&mut self, rows: &[NewRow]) -> Answer<()> {
        write(self, &st::REPLACE_PRODUCTS, rows).await
    }

    async fn remove_products(&mut self, ids: &[ProductId]) -> Answer<()> {
        for run in padded(ids) {
            let mut query = query(st::DELETE_PRODUCTS.text(run.len()));
            for id in &run {
                query = query.bind(id.as_bytes().as_slice());
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }
}

async fn write(conn: &mut SqliteConnection, shaped: &'static Shaped, rows: &[NewRow]) -> Answer<()> {
    for run in split(rows, |row| row.document.len()) {
        let query = run.iter().fold(query(shaped.text(run.len())), bind);
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

fn bind<'q>(query: Query<'q, Sqlite, SqliteArguments>, row: &NewRow) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(row.id.as_bytes().as_slice())
        .bind(row.sku.as_str())
        .bind(signed(row.version))
        .bind(row.content_hash.as_slice())
        .bind(row.created_at.as_millis())
        .bind(row.updated_at.as_millis())
        .bind(row.document.as_str())
}
