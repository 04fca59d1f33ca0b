//! Idempotency keys.

use sqlx::{SqliteConnection, query, query_as};

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{Claim, KeyRow, KeySql};

impl KeySql for SqliteConnection {
    async fn find_key(&mut self, scope: &str, key: &str, lock: bool) -> Answer<Option<KeyRow>> {
        let sql = if lock { st::LOCK_KEY } else { st::FIND_KEY };
        Ok(query_as(sql).bind(scope).bind(key).fetch_optional(self).await?)
    }

    async fn insert_key(&mut self, claim: &Claim) -> Answer<()> {
        query(st::INSERT_KEY)
            .bind(claim.scope.as_str())
            .bind(claim.key.as_str())
            .bind(claim.request_hash.as_slice())
            .bind(claim.token)
            .bind(claim.lease_until)
            .bind(claim.now)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn take_over_key(&mut self, claim: &Claim) -> Answer<()> {
        query(st::TAKE_OVER_KEY)
            .bind(claim.request_hash.as_slice())
            .bind(claim.token)
            .bind(claim.lease_until)
            .bind(claim.now)
            .bind(claim.scope.as_str())
            .bind(claim.key.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn hold_key(&mut self, claim: &Claim, document: Option<&str>) -> Answer<bool> {
        let held = query(st::HOLD_KEY)
            .bind(document)
            .bind(claim.scope.as_str())
            .bind(claim.key.as_str())
            .bind(claim.token)
            .execute(self)
            .await?;
        Ok(held.rows_affected() == 1)
    }

    async fn finish_key(&mut self, claim: &Claim, receipt: &str) -> Answer<()> {
        query(st::FINISH_KEY).bind(receipt).bind(claim.scope.as_str()).bind(claim.key.as_str()).execute(self).await?;
        Ok(())
    }

    async fn release_key(&mut self, claim: &Claim) -> Answer<()> {
        query(st::RELEASE_KEY)
            .bind(claim.scope.as_str())
            .bind(claim.key.as_str())
            .bind(claim.token)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn prune_keys(&mut self, before: i64, limit: u32) -> Answer<u64> {
        Ok(query(st::PRUNE_KEYS).bind(before).bind(i64::from(limit)).execute(self).await?.rows_affected())
    }
}
