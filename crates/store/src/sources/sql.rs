//! What the flows of sources ask of a database, as [`crate::sql`] says of the others.

use haat_catalog::{Sku, Timestamp};
use haat_sources::ports::{BreakerOrder, BreakerReport, Item, SourceRow};
use haat_sources::run::{Mode, Run, RunState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;
use uuid::Uuid;

use crate::fault::Fault;
use crate::lane::Answer;
use crate::sql::{sku, unsigned};

/// Everything that sources may ask of a connection.
pub(crate) trait SourcesSql: SourceSql + ItemSql {}
impl<C: SourceSql + ItemSql> SourcesSql for C {}

/// Sources and their runs, and what replicas say of their breakers.
pub(crate) trait SourceSql: Send {
    /// All sources, in order of name.
    fn sources(&mut self) -> impl Future<Output = Answer<Vec<StoredSource>>> + Send;
    /// The one of that name.
    fn source(&mut self, name: &str) -> impl Future<Output = Answer<Option<StoredSource>>> + Send;
    /// How its run stands, locked until the end of the transaction. Whoever writes anything of a source holds this.
    fn lock_source(&mut self, name: &str) -> impl Future<Output = Answer<Option<LockedSource>>> + Send;
    /// Keeps a new one without a run; [`Fault::Duplicate`] when it is there.
    fn insert_source(&mut self, name: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Writes who may write, until when, and the run.
    fn begin_run(
        &mut self,
        name: &str,
        fence: i64,
        lease_until: i64,
        run: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Writes the run and until when it is held, and counts `items` more (or fewer) products of the source.
    fn move_run(
        &mut self,
        name: &str,
        lease_until: i64,
        items: i64,
        run: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Writes a run that nobody holds any more.
    fn end_run(&mut self, name: &str, ended: &EndedRun) -> impl Future<Output = Answer<()>> + Send;
    /// Counts `items` more products of a source, and writes that nothing is known of what changed, that nobody holds it, and its
    /// run, if there is one.
    fn inherit(&mut self, name: &str, items: i64, run: Option<&str>) -> impl Future<Output = Answer<()>> + Send;
    /// Deletes its row, and what replicas say of its breaker.
    fn delete_source(&mut self, name: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Writes an order, of a source that may not be there yet.
    fn order_breaker(&mut self, name: &str, order: i64) -> impl Future<Output = Answer<()>> + Send;
    /// Writes a replica's report over the one before.
    fn report_breaker(&mut self, report: &NewReport) -> impl Future<Output = Answer<()>> + Send;
    /// Reports since a moment.
    fn breaker_reports(&mut self, since: i64) -> impl Future<Output = Answer<Vec<StoredReport>>> + Send;
    /// When the oldest report was made.
    fn oldest_report(&mut self) -> impl Future<Output = Answer<Option<i64>>> + Send;
    /// Forgets those made before a moment.
    fn forget_reports(&mut self, before: i64) -> impl Future<Output = Answer<()>> + Send;
}

/// Whose products are whose, and what full runs have seen.
pub(crate) trait ItemSql: Send {
    /// A source's items with greater keys, in order of key.
    fn items_after(
        &mut self,
        source: &str,
        after: &[u8],
        limit: u32,
    ) -> impl Future<Output = Answer<Vec<StoredItem>>> + Send;
    /// To whom products belong.
    fn items_of_skus(&mut self, skus: &[&Sku]) -> impl Future<Output = Answer<Vec<StoredItem>>> + Send;
    /// Which products a source calls by those keys.
    fn items_of_keys(&mut self, source: &str, keys: &[&str]) -> impl Future<Output = Answer<Vec<StoredItem>>> + Send;
    /// Gives products to a source; [`Fault::Duplicate`] when one belongs to any, or a key is taken.
    fn insert_items(&mut self, source: &str, rows: &[ItemRow]) -> impl Future<Output = Answer<()>> + Send;
    /// Writes key and order of products that are the source's.
    fn replace_items(&mut self, source: &str, rows: &[ItemRow]) -> impl Future<Output = Answer<()>> + Send;
    /// Notes that a full run did not list products.
    fn miss_items(&mut self, skus: &[&Sku], run: Uuid) -> impl Future<Output = Answer<()>> + Send;
    /// Takes products away from whoever has them.
    fn delete_items(&mut self, skus: &[&Sku]) -> impl Future<Output = Answer<()>> + Send;
    /// Takes all products away from a source; gives their number.
    fn release_items(&mut self, source: &str) -> impl Future<Output = Answer<u64>> + Send;
    /// Takes from a source's items the keys by which the heir calls products of its own: they retire.
    fn retire_taken_items(&mut self, source: &str, heir: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Gives all products of a source to the heir, without orders and notes; gives their number.
    fn give_items(&mut self, source: &str, heir: &str) -> impl Future<Output = Answer<u64>> + Send;
    /// The hashes that a run has seen, a row for each page.
    fn seen_hashes(&mut self, source: &str, run: Uuid) -> impl Future<Output = Answer<Vec<Vec<u8>>>> + Send;
    /// The greatest number of a page that it has seen.
    fn last_seen_page(&mut self, source: &str, run: Uuid) -> impl Future<Output = Answer<Option<i64>>> + Send;
    /// Keeps what it has seen on a page.
    fn insert_seen(
        &mut self,
        source: &str,
        run: Uuid,
        page: i64,
        hashes: &[u8],
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Forgets up to `limit` pages of all runs but one; gives their number.
    fn forget_seen(&mut self, source: &str, keep: Uuid, limit: u32) -> impl Future<Output = Answer<u64>> + Send;
}

/// A source as it is read.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct StoredSource {
    name: Vec<u8>,
    items: i64,
    breaker_order: i64,
    watermark: Option<i64>,
    run: Option<Vec<u8>>,
    last_full: Option<Vec<u8>>,
    last_done: Option<Vec<u8>>,
}

impl StoredSource {
    /// As the port gives it. What of it cannot be read is told to the operators and taken for absent: the source then
    /// begins anew, which beats one that never runs again.
    pub(crate) fn row(self) -> Answer<SourceRow> {
        let name = text("the name of a source", self.name)?;
        let read = |what: &str, json: Option<Vec<u8>>| readable(&name, what, json.as_deref());
        Ok(SourceRow {
            run: read("its newest run", self.run),
            last_full: read("its last full run", self.last_full),
            last_done: read("its last run", self.last_done),
            watermark: self.watermark.map(Timestamp::from_millis),
            items: unsigned(self.items)?,
            breaker_order: order_of(&name, self.breaker_order),
            name,
        })
    }
}

/// The sources of those rows that can be read at all. One that cannot is told to the operators and left out.
pub(crate) fn readable_sources(rows: Vec<StoredSource>) -> Vec<SourceRow> {
    rows.into_iter().filter_map(|row| told("a source", row.row())).collect()
}

/// A source about to be written.
#[derive(Debug, Clone, Default, FromRow)]
pub(crate) struct LockedSource {
    pub(crate) fence: i64,
    pub(crate) lease_until: i64,
    pub(crate) watermark: Option<i64>,
    run: Option<Vec<u8>>,
}

impl LockedSource {
    /// Its newest run; as with [`StoredSource::row`], one that cannot be read is none.
    pub(crate) fn run(&self, source: &str) -> Option<Run> {
        readable(source, "its newest run", self.run.as_deref())
    }
}

/// A run that nobody holds any more.
#[derive(Debug, Clone)]
pub(crate) struct EndedRun {
    /// As JSON.
    pub(crate) run: String,
    pub(crate) watermark: Option<i64>,
    is_done: bool,
    is_full: bool,
}

impl EndedRun {
    pub(crate) fn of(run: &Run, watermark: Option<i64>) -> Answer<Self> {
        let is_done = run.state == RunState::Done;
        Ok(Self { run: json(run)?, watermark, is_done, is_full: is_done && run.mode == Mode::Full })
    }

    /// What becomes the last run, if this one came to its end.
    pub(crate) fn last_done(&self) -> Option<&str> {
        self.is_done.then_some(&*self.run)
    }

    /// What becomes the last full run, if this is one that came to its end.
    pub(crate) fn last_full(&self) -> Option<&str> {
        self.is_full.then_some(&*self.run)
    }
}

/// Whose product that is, as it is read.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct StoredItem {
    pub(crate) sku: String,
    pub(crate) source: Vec<u8>,
    pub(crate) item_key: Vec<u8>,
    pub(crate) item_order: Option<i64>,
    pub(crate) missed_by: Option<Vec<u8>>,
}

impl StoredItem {
    /// As the port gives it, with the source.
    pub(crate) fn owned(self) -> Answer<(String, Item)> {
        let source = text("the source of an item", self.source)?;
        let key = text("the key of an item", self.item_key)?;
        Ok((source, Item { key, sku: sku(self.sku)?, order: self.item_order }))
    }

    /// The same, where one that cannot be read must not hide the others: it is told to the operators.
    pub(crate) fn readable(self) -> Option<Item> {
        told("an item of a source", self.owned()).map(|(_, item)| item)
    }
}

/// Whose product that is, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemRow {
    pub(crate) sku: String,
    pub(crate) key: String,
    pub(crate) order: Option<i64>,
}

impl ItemRow {
    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.sku.len() + self.key.len()
    }
}

/// A replica's report as it is read.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct StoredReport {
    source: Vec<u8>,
    replica: Vec<u8>,
    report: Vec<u8>,
}

impl StoredReport {
    /// As the port gives it; `None` where it cannot be read, which the operators are told.
    pub(crate) fn report(self) -> Option<(String, BreakerReport)> {
        let replica = String::from_utf8_lossy(&self.replica);
        let source = told("a report of a breaker", text("its source", self.source))?;
        let report = readable(&source, &format!("a report of its breaker by '{replica}'"), Some(&self.report))?;
        Some((source, report))
    }
}

/// A replica's report to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewReport {
    pub(crate) source: String,
    pub(crate) replica: String,
    pub(crate) seen_at: i64,
    pub(crate) document: String,
}

/// The number by which an order is kept.
pub(crate) fn code_of(order: BreakerOrder) -> i64 {
    match order {
        BreakerOrder::Auto => 0,
        BreakerOrder::ForceOpen => 1,
        BreakerOrder::ForceClosed => 2,
    }
}

fn order_of(source: &str, code: i64) -> BreakerOrder {
    match code {
        0 => BreakerOrder::Auto,
        1 => BreakerOrder::ForceOpen,
        2 => BreakerOrder::ForceClosed,
        _ => {
            tracing::error!(source, code, "an order to a breaker cannot be read and is left out");
            BreakerOrder::Auto
        }
    }
}

/// As the databases keep it.
pub(crate) fn json<T: Serialize>(value: &T) -> Answer<String> {
    serde_json::to_string(value).map_err(|e| Fault::internal(format!("what is kept of a source: {e}")))
}

fn readable<T: DeserializeOwned>(source: &str, what: &str, json: Option<&[u8]>) -> Option<T> {
    match serde_json::from_slice(json?) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(source, %error, "{what} cannot be read and is left out");
            None
        }
    }
}

fn told<T>(what: &str, read: Answer<T>) -> Option<T> {
    read.inspect_err(|fault| tracing::error!(?fault, "{what} cannot be read and is left out")).ok()
}

fn text(what: &str, bytes: Vec<u8>) -> Answer<String> {
    String::from_utf8(bytes).map_err(|_| Fault::corrupt(format!("{what} is no text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str) -> StoredSource {
        let run = Run::new(Uuid::from_u128(1), Mode::Full, "r", None, Timestamp::from_millis(0));
        let run = json(&run).ok().map(String::into_bytes);
        StoredSource {
            name: name.into(),
            items: 3,
            breaker_order: 0,
            watermark: None,
            run: run.clone(),
            last_full: run.clone(),
            last_done: run,
        }
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let rows = vec![
            StoredSource { run: Some(b"{".to_vec()), ..stored("a") },
            StoredSource { name: b"\xff".to_vec(), ..stored("b") },
            StoredSource { breaker_order: 9, ..stored("c") },
        ];
        let read = readable_sources(rows);
        assert_eq!(read.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert!(read[0].run.is_none() && read[0].last_full.is_some());
        assert_eq!((read[0].items, read[1].breaker_order), (3, BreakerOrder::Auto));
    }

    #[test]
    fn every_order_has_its_own_number() {
        for (code, order) in (0..).zip([BreakerOrder::Auto, BreakerOrder::ForceOpen, BreakerOrder::ForceClosed]) {
            assert_eq!((code_of(order), order_of("s", code)), (code, order));
        }
    }
}
