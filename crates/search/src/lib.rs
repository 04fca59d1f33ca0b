//! The index: listings, searches, facets and suggestions, derived from SQL and always able to come back from it.
//!
//! | part | what |
//! |---|---|
//! | [`schema`], `document` | what the index holds of a product |
//! | [`text`] | words, stems, typos, relevance, highlights |
//! | `engine` | answers a query from one state of the index |
//! | `live` | follows the change log, builds the index anew, admits searches, verifies |
//!
//! [`Index`] is the [`haat_catalog::ports::ListingIndex`]; [`rebuild`] and [`verify`] serve the command line.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod document;
mod engine;
mod live;
pub mod schema;
mod suggest;
pub mod text;

pub use live::build::Progress;
pub use live::index::{Index, IndexOptions};
pub use live::rebuild::{RebuildReport, rebuild};
pub use live::verify::{VerifyReport, verify};
