//! Import jobs.

use haat_catalog::ports::ImportCounts;
use sqlx::{SqliteConnection, query, query_as, query_scalar};
use uuid::Uuid;

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{JobRow, JobSql, signed};

impl JobSql for SqliteConnection {
    async fn insert_job(&mut self, job: &JobRow) -> Answer<()> {
        query(st::INSERT_JOB)
            .bind(job.id.as_slice())
            .bind(job.owner.as_str())
            .bind(job.state)
            .bind(job.options.as_str())
            .bind(job.records)
            .bind(job.created)
            .bind(job.updated)
            .bind(job.unchanged)
            .bind(job.failed)
            .bind(job.errors.as_str())
            .bind(job.message.as_deref())
            .bind(job.created_at)
            .bind(job.updated_at)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn find_job(&mut self, id: Uuid) -> Answer<Option<JobRow>> {
        Ok(query_as(st::FIND_JOB).bind(id.as_bytes().as_slice()).fetch_optional(self).await?)
    }

    async fn save_job(&mut self, job: &JobRow) -> Answer<bool> {
        let saved = query(st::SAVE_JOB)
            .bind(job.state)
            .bind(job.records)
            .bind(job.created)
            .bind(job.updated)
            .bind(job.unchanged)
            .bind(job.failed)
            .bind(job.errors.as_str())
            .bind(job.message.as_deref())
            .bind(job.updated_at)
            .bind(job.id.as_slice())
            .execute(self)
            .await?;
        Ok(saved.rows_affected() == 1)
    }

    async fn advance_job(&mut self, id: Uuid, from: u64, counts: ImportCounts, now: i64) -> Answer<bool> {
        let advanced = query(st::ADVANCE_JOB)
            .bind(signed(counts.records))
            .bind(signed(counts.created))
            .bind(signed(counts.updated))
            .bind(signed(counts.unchanged))
            .bind(signed(counts.failed))
            .bind(now)
            .bind(id.as_bytes().as_slice())
            .bind(signed(from))
            .execute(self)
            .await?;
        Ok(advanced.rows_affected() == 1)
    }

    async fn unfinished_jobs(&mut self, owner: &str) -> Answer<Vec<JobRow>> {
        Ok(query_as(st::UNFINISHED_JOBS).bind(owner).fetch_all(self).await?)
    }

    async fn cancel_job(&mut self, id: Uuid, now: i64) -> Answer<()> {
        query(st::CANCEL_JOB).bind(now).bind(id.as_bytes().as_slice()).execute(self).await?;
        Ok(())
    }

    async fn job_state(&mut self, id: Uuid) -> Answer<Option<i64>> {
        Ok(query_scalar(st::JOB_STATE).bind(id.as_bytes().as_slice()).fetch_optional(self).await?)
    }

    async fn fail_abandoned_jobs(&mut self, message: &str, since: i64, now: i64) -> Answer<u64> {
        let failed = query(st::FAIL_ABANDONED_JOBS).bind(message).bind(now).bind(since).bind(since);
        Ok(failed.execute(self).await?.rows_affected())
    }

    async fn prune_jobs(&mut self, before: i64) -> Answer<u64> {
        Ok(query(st::PRUNE_JOBS).bind(before).execute(self).await?.rows_affected())
    }
}
