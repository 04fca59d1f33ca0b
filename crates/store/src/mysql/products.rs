//! Products one by one.

use haat_catalog::ProductId;
use haat_catalog::product::ProductKey;
use sqlx::{MySqlConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{LockedRow, ProductRow, ProductSql};

impl ProductSql for MySqlConnection {
    async fn find(&mut self, key: &ProductKey) -> Answer<Option<ProductRow>> {
        let query = match key {
            ProductKey::Id(id) => query_as(st::PRODUCT_BY_ID).bind(id.as_bytes().as_slice()),
            ProductKey::Sku(sku) => query_as(st::PRODUCT_BY_SKU).bind(sku.as_str()),
        };
        Ok(query.fetch_optional(self).await?)
    }

    async fn find_locked(&mut self, key: &ProductKey) -> Answer<Option<LockedRow>> {
        let query = match key {
            ProductKey::Id(id) => query_as(st::LOCK_BY_ID).bind(id.as_bytes().as_slice()),
            ProductKey::Sku(sku) => query_as(st::LOCK_BY_SKU).bind(sku.as_str()),
        };
        Ok(query.fetch_optional(self).await?)
    }

    async fn scan(&mut self, after: &[u8], limit: u32) -> Answer<Vec<ProductRow>> {
        Ok(query_as(st::SCAN).bind(after).bind(i64::from(limit)).fetch_all(self).await?)
    }

    async fn count(&mut self) -> Answer<i64> {
        Ok(query_scalar(st::COUNT).fetch_one(self).await?)
    }

    async fn delete(&mut self, id: ProductId) -> Answer<()> {
        query(st::DELETE_PRODUCT).bind(id.as_bytes().as_slice()).execute(self).await?;
        Ok(())
    }
}
