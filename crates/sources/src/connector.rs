//! What a kind of source is: how its catalogue is asked for and read. Connectors do no I/O: they make calls for others to
//! send, and read what was answered.

use haat_catalog::product::overlay::Overlay;
use haat_catalog::{Sku, Timestamp};
use haat_outbound::{Answer, Call};
use serde_json::Value;

use crate::live::LiveField;
use crate::ports::Item;
use crate::run::{ItemError, Mode};

/// A page of an upstream's list.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemPage {
    /// The items, as they came.
    pub items: Vec<Value>,
    /// The place of the next page, in the connector's own words; `None` after the last.
    pub next: Option<Value>,
    /// How many items there are in all, where the upstream says so.
    pub total: Option<u64>,
}

/// Why an answer is no page, or no item. The text is for operators; it holds nothing of the body but names and types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The status is not one of success.
    #[error("it answers {0}")]
    Status(http::StatusCode),
    /// The body is not what the settings of the source say.
    #[error("{0}")]
    Malformed(String),
}

/// What an item says.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// Which one, of which product, and how new.
    pub item: Item,
    /// What its product becomes.
    pub overlay: Overlay,
    /// When it changed, in the upstream's own time.
    pub changed_at: Option<Timestamp>,
}

/// A kind of source with its settings.
pub trait Connector: Send + Sync {
    /// A number that is another when what is listed, in which order, by which pages, or under which keys may be another: a run
    /// that began under one must not go on under the other. It is the same in every process, and says nothing of credentials.
    fn fingerprint(&self) -> u64;
    /// A number that is another when [`Item::order`] may be of another kind, so that none may be compared with one of before: the
    /// time of change is greater than any version, and another upstream counts for itself.
    fn order_fingerprint(&self) -> u64;
    /// Whether [`Self::list`] heeds `since`.
    fn is_incremental(&self) -> bool;
    /// Whether a run of that mode brings every change of a live member. An incremental one may not: where a change of the member
    /// is no change of the item to the upstream.
    fn carries(&self, field: LiveField, mode: Mode) -> bool;
    /// Why a member can never be live with these settings, and what to write; `None` where it can.
    fn never_live(&self, field: LiveField) -> Option<&'static str>;
    /// Asks for a page: of everything, or of what changed since; the first, or the one at `position`.
    fn list(&self, since: Option<Timestamp>, position: Option<&Value>) -> Call;
    /// Reads the answer to [`Self::list`] with the same arguments.
    ///
    /// # Errors
    /// When it is no page. A position that does not move on is one: it would be read for ever.
    fn read_page(
        &self,
        since: Option<Timestamp>,
        position: Option<&Value>,
        answer: &Answer,
    ) -> Result<ItemPage, ReadError>;
    /// Asks for one item; `None` where the settings do not say how.
    fn item(&self, key: &str, sku: &Sku) -> Option<Call>;
    /// Reads the answer to [`Self::item`]; `None` when there is no such item (404, 410, or an empty result).
    ///
    /// # Errors
    /// When it is neither.
    fn read_item(&self, answer: &Answer) -> Result<Option<Value>, ReadError>;
    /// What the source calls an item; `None` where that cannot be read.
    fn key(&self, item: &Value) -> Option<String>;
    /// What an item says.
    ///
    /// # Errors
    /// Everything that keeps it from being understood (never empty). Whether the result is a valid product shows when it is
    /// laid over what is there.
    fn map(&self, item: &Value) -> Result<Mapped, Vec<ItemError>>;
}
