//! Compaction of the change log.

use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::statements as st;
use crate::lane::Answer;
use crate::sql::{CompactionSql, StateRow};
use crate::statement::padded;

impl CompactionSql for SqliteConnection {
    async fn lock_state(&mut self) -> Answer<StateRow> {
        Ok(query_as(st::LOCK_STATE).fetch_one(self).await?)
    }

    async fn save_state(&mut self, state: StateRow) -> Answer<()> {
        query(st::SAVE_STATE).bind(state.floor_seq).bind(state.compacted_seq).execute(self).await?;
        Ok(())
    }

    async fn slowest_follower(&mut self, since: i64) -> Answer<Option<i64>> {
        Ok(query_scalar(st::SLOWEST_FOLLOWER).bind(since).fetch_one(self).await?)
    }

    async fn forget_followers(&mut self, before: i64) -> Answer<()> {
        query(st::FORGET_FOLLOWERS).bind(before).execute(self).await?;
        Ok(())
    }

    async fn predecessors(&mut self, from: i64, to: i64) -> Answer<Vec<i64>> {
        let rows: Vec<Option<i64>> = query_scalar(st::PREDECESSORS).bind(from).bind(to).fetch_all(self).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn old_deletions(&mut self, to: i64, before: i64, limit: u32) -> Answer<Vec<i64>> {
        Ok(query_scalar(st::OLD_DELETIONS).bind(to).bind(before).bind(i64::from(limit)).fetch_all(self).await?)
    }

    async fn forget(&mut self, places: &[i64]) -> Answer<u64> {
        let mut removed = 0;
        for run in padded(places) {
            let mut query = query(st::FORGET.text(run.len()));
            for place in &run {
                query = query.bind(*place);
            }
            removed += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(removed)
    }
}
