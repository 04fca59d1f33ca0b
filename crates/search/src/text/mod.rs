//! Text search: words, their variants, matching, a score that stays, highlights.
//!
//! [`analyze`] makes words and stems of texts; [`fields`] writes them. [`TextQuery`] is a text to look for, prepared for
//! one searcher: each of its words with all that it may stand for ([`expand`]). [`SegmentText`] finds and scores the
//! products of one segment; what a score is made of is told in [`score`].
//!
//! A product matches a query when it matches at least half of its words, rounded up.

pub mod analyze;
mod cursor;
mod dictionary;
pub mod expand;
pub mod fields;
mod highlight;
mod lists;
mod query;
pub mod score;
mod segment;
pub mod sequence;
mod top;

pub use dictionary::MAX_VARIANTS;
pub use fields::{TextFields, Texts};
pub use highlight::highlight;
pub use query::{Scope, TextQuery};
pub use segment::SegmentText;

/// Separates the tokens of a text field's value: tokens are made once, by [`analyze`], and only split by the tokenizer.
pub const TOKEN_SEPARATOR: char = '\u{1f}';
/// [`TOKEN_SEPARATOR`] as a text.
const SEPARATOR_TEXT: &str = "\u{1f}";
