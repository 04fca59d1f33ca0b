//! Sources and their runs, and what replicas say of their breakers.

use sqlx::{MySqlConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::lane::Answer;
use crate::sources::sql::{EndedRun, LockedSource, NewReport, SourceSql, StoredReport, StoredSource};

impl SourceSql for MySqlConnection {
    async fn sources(&mut self) -> Answer<Vec<StoredSource>> {
        Ok(query_as(st::SOURCES).fetch_all(self).await?)
    }

    async fn source(&mut self, name: &str) -> Answer<Option<StoredSource>> {
        Ok(query_as(st::SOURCE).bind(name).fetch_optional(self).await?)
    }

    async fn lock_source(&mut self, name: &str) -> Answer<Option<LockedSource>> {
        Ok(query_as(st::LOCK_SOURCE).bind(name).fetch_optional(self).await?)
    }

    async fn insert_source(&mut self, name: &str) -> Answer<()> {
        query(st::INSERT_SOURCE).bind(name).execute(self).await?;
        Ok(())
    }

    async fn begin_run(&mut self, name: &str, fence: i64, lease_until: i64, run: &str) -> Answer<()> {
        query(st::BEGIN_RUN).bind(fence).bind(lease_until).bind(run).bind(name).execute(self).await?;
        Ok(())
    }

    async fn move_run(&mut self, name: &str, lease_until: i64, items: i64, run: &str) -> Answer<()> {
        query(st::MOVE_RUN).bind(lease_until).bind(items).bind(run).bind(name).execute(self).await?;
        Ok(())
    }

    async fn end_run(&mut self, name: &str, ended: &EndedRun) -> Answer<()> {
        query(st::END_RUN)
            .bind(ended.run.as_str())
            .bind(ended.last_full())
            .bind(ended.last_done())
            .bind(ended.watermark)
            .bind(name)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn inherit(&mut self, name: &str, items: i64, run: Option<&str>) -> Answer<()> {
        query(st::INHERIT).bind(items).bind(run).bind(name).execute(self).await?;
        Ok(())
    }

    async fn delete_source(&mut self, name: &str) -> Answer<()> {
        query(st::DELETE_REPORTS).bind(name).execute(&mut *self).await?;
        query(st::DELETE_SOURCE).bind(name).execute(self).await?;
        Ok(())
    }

    async fn order_breaker(&mut self, name: &str, order: i64) -> Answer<()> {
        query(st::ORDER_BREAKER).bind(name).bind(order).execute(self).await?;
        Ok(())
    }

    async fn report_breaker(&mut self, report: &NewReport) -> Answer<()> {
        query(st::REPORT_BREAKER)
            .bind(report.source.as_str())
            .bind(report.replica.as_str())
            .bind(report.seen_at)
            .bind(report.document.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn breaker_reports(&mut self, since: i64) -> Answer<Vec<StoredReport>> {
        Ok(query_as(st::BREAKER_REPORTS).bind(since).fetch_all(self).await?)
    }

    async fn oldest_report(&mut self) -> Answer<Option<i64>> {
        Ok(query_scalar(st::OLDEST_REPORT).fetch_one(self).await?)
    }

    async fn forget_reports(&mut self, before: i64) -> Answer<()> {
        query(st::FORGET_REPORTS).bind(before).execute(self).await?;
        Ok(())
    }
}
