//! The index: listings, searches, facets and suggestions, derived from SQL and always able to come back from it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod document;
mod engine;
pub mod schema;
pub mod text;
