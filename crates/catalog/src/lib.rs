//! The catalogue's own language: products, money, queries, cursors, pages, changes, and the rules for writing.
//!
//! Nothing here does I/O. What the catalogue needs from the outside it states as ports ([`ports`]); `haat-store`
//! and `haat-search` implement them, `haat-http` and the binary call the services built on top of them.
//!
//! | module | what |
//! |---|---|
//! | [`product`] | [`Product`], [`Draft`] (what a client may write), their validation and JSON form |
//! | [`money`] | integer minor units with an ISO 4217 code |
//! | [`time`] | [`Timestamp`], the [`Clock`] port and the source of ids: the only place that reads the global clock |
//! | [`query`] | listing parameters, validated and normalised: [`Query`], [`Filters`], [`SortKey`] |
//! | [`cursor`] | keyset cursors bound to their query |
//! | [`page`] | what a listing answers: [`Page`], facets, totals |
//! | [`change`] | the change log's vocabulary: [`Seq`], [`Change`] |
//! | [`mod@write`] | commands, preconditions and the pure decision what a write does |
//! | [`ports`] | what the catalogue needs: stores, the change log, the index |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod change;
pub mod cursor;
pub mod invalid;
pub mod money;
pub mod page;
pub mod ports;
pub mod product;
pub mod query;
pub mod time;
pub mod write;

pub use change::{Change, ChangeOp, ChangePage, Origin, Resume, Seq};
pub use cursor::{Cursor, CursorError, SortValue, Tolerance, Typos};
pub use invalid::{Invalid, Violation};
pub use money::{Currency, Money};
pub use page::{FacetCount, FacetResult, FacetValue, Hit, Page, Total};
pub use product::{Draft, Product, ProductId, Sku};
pub use query::{CountMode, FacetField, Filters, Limit, Near, Query, SortField, SortKey};
pub use time::{Clock, Ids, Timestamp};
