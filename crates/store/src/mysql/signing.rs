//! Keys that sign tokens.

use haat_oauth::ports::StoredKey;
use sqlx::{MySqlConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{SigningKeyRow, SigningSql, millis};
use crate::statement::padded;

impl SigningSql for MySqlConnection {
    async fn signing_keys(&mut self) -> Answer<Vec<SigningKeyRow>> {
        Ok(query_as(st::SIGNING_KEYS).fetch_all(self).await?)
    }

    async fn newest_signing_key(&mut self) -> Answer<Option<Vec<u8>>> {
        Ok(query_scalar(st::NEWEST_SIGNING_KEY).fetch_one(self).await?)
    }

    async fn insert_signing_key(&mut self, key: &StoredKey) -> Answer<()> {
        query(st::INSERT_SIGNING_KEY)
            .bind(key.kid.as_bytes())
            .bind(key.sealed.as_slice())
            .bind(key.created_at.as_millis())
            .bind(key.signs_from.as_millis())
            .bind(millis(key.longest_token))
            .execute(self)
            .await?;
        Ok(())
    }

    async fn raise_longest_token(&mut self, kids: &[String], longest_token: i64) -> Answer<u64> {
        let mut raised = 0;
        for kid in kids {
            let query = query(st::RAISE_LONGEST_TOKEN).bind(longest_token).bind(kid.as_bytes()).bind(longest_token);
            raised += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(raised)
    }

    async fn delete_signing_keys(&mut self, kids: &[String]) -> Answer<u64> {
        let mut removed = 0;
        for run in padded(kids) {
            let mut query = query(st::DELETE_SIGNING_KEYS.text(run.len()));
            for kid in &run {
                query = query.bind(kid.as_bytes());
            }
            removed += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(removed)
    }
}
