//! Machine clients, and how often everything of authorization was changed.

use haat_oauth::ports::SecretUse;
use haat_oauth::vault::SecretHash;
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::fault::Fault;
use crate::lane::Answer;
use crate::sql::{AuthPart, ClientRow, ClientSql, NewClient, RevisionRow, SecretUseRow, signed};
use crate::statement::{padded, split};

impl ClientSql for SqliteConnection {
    async fn revisions(&mut self) -> Answer<RevisionRow> {
        Ok(query_as(st::REVISIONS).fetch_one(self).await?)
    }

    async fn raise(&mut self, part: AuthPart) -> Answer<i64> {
        let sql = match part {
            AuthPart::Clients => st::RAISE_CLIENTS,
            AuthPart::SigningKeys => st::RAISE_SIGNING_KEYS,
            AuthPart::Revocations => st::RAISE_REVOCATIONS,
        };
        let count = query_scalar(sql).fetch_optional(self).await?;
        count.ok_or_else(|| Fault::corrupt("the counters of authorization are missing"))
    }

    async fn has_clients(&mut self) -> Answer<bool> {
        Ok(query_scalar::<_, i64>(st::HAS_CLIENTS).fetch_one(self).await? != 0)
    }

    async fn clients(&mut self) -> Answer<Vec<ClientRow>> {
        Ok(query_as(st::CLIENTS).fetch_all(self).await?)
    }

    async fn insert_client(&mut self, client: &NewClient) -> Answer<()> {
        query(st::INSERT_CLIENT)
            .bind(client.id.as_ref())
            .bind(signed(client.version))
            .bind(client.document.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn replace_client(&mut self, client: &NewClient) -> Answer<bool> {
        let replaced = query(st::REPLACE_CLIENT)
            .bind(signed(client.version))
            .bind(client.document.as_str())
            .bind(client.id.as_ref())
            .bind(signed(client.version.saturating_sub(1)))
            .execute(self)
            .await?;
        Ok(replaced.rows_affected() == 1)
    }

    async fn delete_client(&mut self, id: &str) -> Answer<bool> {
        Ok(query(st::DELETE_CLIENT).bind(id).execute(self).await?.rows_affected() == 1)
    }

    async fn secret_uses(&mut self) -> Answer<Vec<SecretUseRow>> {
        Ok(query_as(st::SECRET_USES).fetch_all(self).await?)
    }

    async fn note_secret_uses(&mut self, uses: &[SecretUse]) -> Answer<()> {
        for run in split(uses, |noted| noted.hash.len()) {
            let mut query = query(st::NOTE_SECRET_USES.text(run.len()));
            for noted in run {
                query = query.bind(noted.hash.as_slice()).bind(noted.at.as_millis());
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn old_secret_uses(&mut self, before: i64) -> Answer<Vec<Vec<u8>>> {
        Ok(query_scalar(st::OLD_SECRET_USES).bind(before).fetch_all(self).await?)
    }

    async fn forget_secret_uses(&mut self, hashes: &[SecretHash]) -> Answer<u64> {
        let mut forgotten = 0;
        for run in padded(hashes) {
            let mut query = query(st::FORGET_SECRET_USES.text(run.len()));
            for hash in &run {
                query = query.bind(hash.as_slice());
            }
            forgotten += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(forgotten)
    }
}
