//! Revoked tokens, and what was used of that which may be used once.

use haat_oauth::ports::Revocation;
use sqlx::{MySqlConnection, query, query_as};

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{RevocationRow, RevocationSql};

impl RevocationSql for MySqlConnection {
    async fn insert_revocation(&mut self, token: Revocation, revision: i64) -> Answer<()> {
        query(st::INSERT_REVOCATION)
            .bind(token.jti.as_bytes().as_slice())
            .bind(revision)
            .bind(token.expires_at.as_millis())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn revoked_since(&mut self, revision: i64) -> Answer<Vec<RevocationRow>> {
        Ok(query_as(st::REVOKED_SINCE).bind(revision).fetch_all(self).await?)
    }

    async fn insert_use(&mut self, hash: &[u8; 32], expires_at: i64) -> Answer<()> {
        query(st::INSERT_USE).bind(hash.as_slice()).bind(expires_at).execute(self).await?;
        Ok(())
    }

    async fn prune_revocations(&mut self, before: i64, limit: u32) -> Answer<u64> {
        Ok(query(st::PRUNE_REVOCATIONS).bind(before).bind(i64::from(limit)).execute(self).await?.rows_affected())
    }

    async fn prune_uses(&mut self, before: i64, limit: u32) -> Answer<u64> {
        Ok(query(st::PRUNE_USES).bind(before).bind(i64::from(limit)).execute(self).await?.rows_affected())
    }
}
