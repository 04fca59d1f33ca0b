//! The port of sources over any backend: which lane each call takes, and nothing else.
//!
//! ```text
//! lease.rs       who may write for a run, and which run goes on
//! page.rs        a page of a run: products, whose they are, what was seen, how the run stands
//!   ownership.rs     which products are whose, by sku and by key
//! removal.rs     products that vanished upstream
//! forgetting.rs  orders that mean nothing any more, and sources that nobody declares
//! sql.rs         what these ask of a database, and its rows
//! ```
//!
//! Whoever writes anything of a source holds the lock of its row, which is taken first. So nobody writes for two holders of a
//! lease at the same time, and what one source's products are called needs no locks of its own.

mod forgetting;
mod lease;
mod ownership;
mod page;
mod removal;
pub(crate) mod sql;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::ports::StoreError;
use haat_catalog::{Sku, Timestamp};
use haat_sources::ports::{
    Begin, Begun, BreakerOrder, BreakerReport, ForgetOrders, ForgetSource, Forgotten, Item, ItemOutcome, Lease,
    MissedItems, RemoveItems, RunError, SourceRow, SourceStore, WritePage,
};
use haat_sources::run::{Mode, Run, RunState};
use uuid::Uuid;

use self::sql::{EndedRun, ItemSql, NewReport, SourceSql, StoredItem, StoredReport, StoredSource};
use crate::auth::fits;
use crate::lane::{Answer, Verdict};
use crate::sql::Sql;
use crate::store::{Backend, SqlStore};

/// How many pages that were seen one step forgets: of a thousand items each, these are 1.6 MB.
const SEEN_STEP: u32 = 100;

#[async_trait]
impl<B: Backend> SourceStore for SqlStore<B> {
    async fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        self.0
            .readers()
            .run(self.0.limit(), |conn| Box::pin(async move { Ok(sql::readable_sources(conn.sources().await?)) }))
            .await
    }

    async fn source(&self, name: &str) -> Result<Option<SourceRow>, StoreError> {
        let name: Arc<str> = name.into();
        self.0
            .readers()
            .run(self.0.limit(), move |conn| {
                let name = Arc::clone(&name);
                Box::pin(async move { conn.source(&name).await?.map(StoredSource::row).transpose() })
            })
            .await
    }

    async fn begin_run(&self, begin: Begin) -> Result<Begun, StoreError> {
        fits("the name of a source", &begin.source)?;
        let begin = Arc::new(begin);
        let begun = self
            .0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let begin = Arc::clone(&begin);
                Box::pin(async move { lease::begin(conn, &begin).await })
            })
            .await?;
        if let Begun::Mine(lease, run) = &begun {
            self.forget_seen(lease, run.id).await;
        }
        Ok(begun)
    }

    async fn save_run(&self, lease: &Lease, run: &Run, hold: Duration, now: Timestamp) -> Result<(), RunError> {
        let (lease, id, json) = (Arc::new(lease.clone()), run.id, Arc::new(sql::json(run).map_err(StoreError::from)?));
        let until = now.plus(hold).as_millis();
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let (lease, json) = (Arc::clone(&lease), Arc::clone(&json));
                Box::pin(async move {
                    if lease::held(conn, &lease, id).await?.is_none() {
                        return Ok(lease::lost(&lease));
                    }
                    conn.move_run(&lease.source, until, 0, &json).await?;
                    Ok(Verdict::Commit(Ok(())))
                })
            })
            .await?
    }

    async fn write_page(&self, page: WritePage) -> Result<(Run, Vec<ItemOutcome>), RunError> {
        let page = Arc::new(page);
        self.0
            .writers()
            .transact(self.batch_limit(), move |conn| {
                let page = Arc::clone(&page);
                Box::pin(async move { page::in_transaction(conn, &page).await })
            })
            .await?
    }

    async fn items(&self, source: &str, after: Option<&str>, limit: u32) -> Result<Vec<Item>, StoreError> {
        let (source, after): (Arc<str>, Arc<[u8]>) = (source.into(), after.unwrap_or_default().as_bytes().into());
        self.0
            .readers()
            .run(self.batch_limit(), move |conn| {
                let (source, after) = (Arc::clone(&source), Arc::clone(&after));
                Box::pin(async move { items(conn, &source, &after, limit).await })
            })
            .await
    }

    async fn seen(&self, source: &str, run: Uuid) -> Result<Vec<[u8; 16]>, StoreError> {
        let source: Arc<str> = source.into();
        self.0
            .readers()
            .run(self.batch_limit(), move |conn| {
                let source = Arc::clone(&source);
                Box::pin(async move { page::hashes(&conn.seen_hashes(&source, run).await?) })
            })
            .await
    }

    async fn miss_items(&self, missed: MissedItems) -> Result<Vec<Item>, RunError> {
        let missed = Arc::new(missed);
        self.0
            .writers()
            .transact(self.batch_limit(), move |conn| {
                let missed = Arc::clone(&missed);
                Box::pin(async move { removal::miss_in_transaction(conn, &missed).await })
            })
            .await?
    }

    async fn remove_items(&self, removal: RemoveItems) -> Result<Run, RunError> {
        let removal = Arc::new(removal);
        self.0
            .writers()
            .transact(self.batch_limit(), move |conn| {
                let removal = Arc::clone(&removal);
                Box::pin(async move { removal::in_transaction(conn, &removal).await })
            })
            .await?
    }

    async fn end_run(&self, lease: &Lease, run: &Run, watermark: Option<Timestamp>) -> Result<(), RunError> {
        if run.state.is_unfinished() {
            return Err(StoreError::Internal("a run ends in a state that is no end".into()).into());
        }
        let held = Arc::new((lease.clone(), run.clone()));
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let held = Arc::clone(&held);
                Box::pin(async move { end(conn, &held.0, &held.1, watermark).await })
            })
            .await??;
        if run.state != RunState::AwaitingConfirmation {
            self.forget_seen(lease, Uuid::nil()).await;
        }
        Ok(())
    }

    async fn cancel_run(&self, source: &str, now: Timestamp) -> Result<Option<Run>, StoreError> {
        let source: Arc<str> = source.into();
        self.0
            .writers()
            .transact(self.0.limit(), move |conn| {
                let source = Arc::clone(&source);
                Box::pin(async move { lease::cancel(conn, &source, now).await })
            })
            .await
    }

    async fn forget_orders(&self, forget: ForgetOrders) -> Result<Option<String>, RunError> {
        let forget = Arc::new(forget);
        self.0
            .writers()
            .transact(self.batch_limit(), move |conn| {
                let forget = Arc::clone(&forget);
                Box::pin(async move { forgetting::orders(conn, &forget).await })
            })
            .await?
    }

    async fn forget_source(&self, forget: ForgetSource) -> Result<Forgotten, StoreError> {
        if let Some(heir) = &forget.heir {
            fits("the name of a source", heir)?;
        }
        let forget = Arc::new(forget);
        self.0
            .writers()
            .transact(self.batch_limit(), move |conn| {
                let forget = Arc::clone(&forget);
                Box::pin(async move { forgetting::source(conn, &forget).await })
            })
            .await
    }

    async fn owner_of(&self, sku: &Sku) -> Result<Option<(String, Item)>, StoreError> {
        let sku = sku.clone();
        self.0
            .readers()
            .run(self.0.limit(), move |conn| {
                let sku = sku.clone();
                Box::pin(async move { conn.items_of_skus(&[&sku]).await?.pop().map(StoredItem::owned).transpose() })
            })
            .await
    }

    async fn order_breaker(&self, source: &str, order: BreakerOrder) -> Result<(), StoreError> {
        fits("the name of a source", source)?;
        let (source, order): (Arc<str>, _) = (source.into(), sql::code_of(order));
        self.0
            .writers()
            .run(self.0.limit(), move |conn| {
                let source = Arc::clone(&source);
                Box::pin(async move { conn.order_breaker(&source, order).await })
            })
            .await
    }

    async fn report_breaker(&self, source: &str, report: &BreakerReport) -> Result<(), StoreError> {
        fits("the name of a source", source)?;
        fits("the name of a replica", &report.replica)?;
        let report = Arc::new(NewReport {
            source: source.to_owned(),
            replica: report.replica.clone(),
            seen_at: report.seen_at.as_millis(),
            document: sql::json(report)?,
        });
        self.0
            .writers()
            .run(self.0.limit(), move |conn| {
                let report = Arc::clone(&report);
                Box::pin(async move { conn.report_breaker(&report).await })
            })
            .await
    }

    async fn breaker_reports(&self, since: Timestamp) -> Result<Vec<(String, BreakerReport)>, StoreError> {
        let since = since.as_millis();
        let (rows, oldest) = self
            .0
            .readers()
            .run(self.0.limit(), move |conn| {
                Box::pin(async move { Ok((conn.breaker_reports(since).await?, conn.oldest_report().await?)) })
            })
            .await?;
        // Only where there is something to forget: whoever merely looks never waits behind those who write.
        if oldest.is_some_and(|oldest| oldest < since) {
            let writers = self.0.writers();
            let forgotten =
                writers.run(self.0.limit(), move |conn| Box::pin(async move { conn.forget_reports(since).await }));
            // Who comes next forgets them; what is to be shown is there already.
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "old reports of breakers are not forgotten yet");
            }
        }
        let mut reports: Vec<_> = rows.into_iter().filter_map(StoredReport::report).collect();
        reports.sort_by(|(a, of_a), (b, of_b)| (a, &of_a.replica).cmp(&(b, &of_b.replica)));
        Ok(reports)
    }
}

impl<B: Backend> SqlStore<B> {
    /// Forgets what all runs of a source but one have seen, in small steps, as long as the lease is the newest: the runs of
    /// later ones are not this one's to judge. A failure is told to the operators only, for the next run forgets it too.
    async fn forget_seen(&self, lease: &Lease, keep: Uuid) {
        let held = Arc::new(lease.clone());
        loop {
            let held = Arc::clone(&held);
            let step = self.0.writers().transact(self.0.limit(), move |conn| {
                let held = Arc::clone(&held);
                Box::pin(async move {
                    if !lease::is_newest(conn, &held).await? {
                        return Ok(Verdict::Discard(0));
                    }
                    conn.forget_seen(&held.source, keep, SEEN_STEP).await.map(Verdict::Commit)
                })
            });
            match step.await {
                Ok(pages) if pages < u64::from(SEEN_STEP) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(source = lease.source, %error, "what earlier runs have seen is not forgotten yet");
                    return;
                }
            }
        }
    }
}

/// Ends a run that is still the lease's.
async fn end<C: Sql>(
    conn: &mut C,
    lease: &Lease,
    run: &Run,
    watermark: Option<Timestamp>,
) -> Answer<Verdict<Result<(), RunError>>> {
    let Some(row) = lease::held(conn, lease, run.id).await? else { return Ok(lease::lost(lease)) };
    let watermark = watermark.map(Timestamp::as_millis);
    let watermark = match run.mode {
        // It has read everything, so it knows better than any before it.
        Mode::Full => watermark.or(row.watermark),
        Mode::Incremental => watermark.max(row.watermark),
    };
    conn.end_run(&lease.source, &EndedRun::of(run, watermark)?).await?;
    Ok(Verdict::Commit(Ok(())))
}

/// The next items that can be read; none only at the end.
async fn items<C: Sql>(conn: &mut C, source: &str, after: &[u8], limit: u32) -> Answer<Vec<Item>> {
    let mut after = after.to_vec();
    loop {
        let rows = conn.items_after(source, &after, limit).await?;
        let Some(last) = rows.last() else { return Ok(Vec::new()) };
        after.clone_from(&last.item_key);
        let items: Vec<Item> = rows.into_iter().filter_map(StoredItem::readable).collect();
        if !items.is_empty() {
            return Ok(items);
        }
    }
}
