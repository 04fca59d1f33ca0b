//! The change log.

use haat_catalog::ProductId;
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{MySql, MySqlConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::fault::Fault;
use crate::lane::Answer;
use crate::sql::{ChangeSql, DocumentRow, LogRow, ReadRow, signed};
use crate::statement::{padded, split};

impl ChangeSql for MySqlConnection {
    async fn advance(&mut self, places: i64, products: i64) -> Answer<i64> {
        // The session's last insert id carries the sum out of the update: no second statement, no RETURNING.
        let done = query(st::ADVANCE).bind(places).bind(products).execute(self).await?;
        i64::try_from(done.last_insert_id()).map_err(|_| Fault::corrupt("the change log's counter ran over"))
    }

    async fn append(&mut self, rows: &[LogRow]) -> Answer<()> {
        for run in split(rows, |row| row.sku.as_str().len()) {
            let query = run.iter().fold(query(st::APPEND.text(run.len())), bind);
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn head(&mut self) -> Answer<i64> {
        Ok(query_scalar(st::HEAD).fetch_one(self).await?)
    }

    async fn origin(&mut self) -> Answer<Vec<u8>> {
        Ok(query_scalar(st::ORIGIN).fetch_one(self).await?)
    }

    async fn newest_of(&mut self, id: ProductId) -> Answer<Option<i64>> {
        Ok(query_scalar(st::NEWEST_OF).bind(id.as_bytes().as_slice()).fetch_one(self).await?)
    }

    async fn changes_after(&mut self, after: i64, limit: u32) -> Answer<Vec<ReadRow>> {
        Ok(query_as(st::CHANGES_AFTER).bind(after).bind(i64::from(limit)).fetch_all(self).await?)
    }

    async fn documents(&mut self, ids: &[ProductId]) -> Answer<Vec<DocumentRow>> {
        let mut rows = Vec::with_capacity(ids.len());
        for run in padded(ids) {
            let mut query = query_as(st::DOCUMENTS.text(run.len()));
            for id in &run {
                query = query.bind(id.as_bytes().as_slice());
            }
            rows.extend(query.fetch_all(&mut *self).await?);
        }
        Ok(rows)
    }

    async fn note_follower(&mut self, name: &str, seq: i64, now: i64) -> Answer<()> {
        query(st::NOTE_FOLLOWER).bind(name).bind(seq).bind(now).execute(self).await?;
        Ok(())
    }
}

fn bind<'q>(query: Query<'q, MySql, MySqlArguments>, row: &LogRow) -> Query<'q, MySql, MySqlArguments> {
    query
        .bind(row.seq)
        .bind(row.product_id.as_bytes().as_slice())
        .bind(i64::from(row.op.code()))
        .bind(row.sku.as_str())
        .bind(signed(row.version))
        .bind(row.changed_at.as_millis())
}
