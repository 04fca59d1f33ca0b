//! Text search: words, their variants, matching, a score that stays, highlights.
//!
//! [`analyze`] makes words and stems of texts; [`fields`] writes them. [`TextQuery`] is a text to look for, prepared for
//! one searcher: each of its words with all that it may stand for. [`SegmentText`] finds and scores the products of one
//! segment.

pub mod analyze;
pub mod fields;

use tantivy::schema::Field;
use tantivy::{BitSet, DocId, Searcher, SegmentReader};

pub use fields::{TextFields, Texts};

/// Separates the tokens of a text field's value: tokens are made once, by [`analyze`], and only split by the tokenizer.
pub const TOKEN_SEPARATOR: char = '\u{1f}';
/// [`TOKEN_SEPARATOR`] as a text.
const SEPARATOR_TEXT: &str = "\u{1f}";

/// Which fields a text is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// One of them.
    Only(Field),
}

/// A text to look for, prepared for one searcher.
#[derive(Debug)]
pub struct TextQuery;

impl TextQuery {
    /// Analyses the text and looks its words up in all segments.
    pub fn prepare(_: &Searcher, _: &TextFields, _: &str, _: Scope) -> tantivy::Result<Self> {
        Ok(Self)
    }

    /// The query in one segment.
    pub fn segment(&self, reader: &SegmentReader) -> tantivy::Result<SegmentText<'_>> {
        Ok(SegmentText { _query: self, max_doc: reader.max_doc() })
    }
}

/// A text query in one segment.
#[derive(Debug)]
pub struct SegmentText<'a> {
    _query: &'a TextQuery,
    max_doc: u32,
}

impl SegmentText<'_> {
    /// All matching documents, deleted ones possibly among them.
    pub fn matches(&mut self) -> tantivy::Result<BitSet> {
        Ok(BitSet::with_max_value(self.max_doc))
    }

    /// The score of a document, `None` when it does not match.
    pub fn score(&mut self, _: DocId) -> Option<i64> {
        None
    }

    /// Calls `push` for every accepted document whose score is at least what the last `push` returned.
    pub fn top(
        &mut self,
        _: &mut dyn FnMut(DocId) -> bool,
        _: &mut dyn FnMut(DocId, i64) -> i64,
    ) -> tantivy::Result<()> {
        Ok(())
    }
}

/// The text with the words found marked.
pub fn highlight(_: &TextQuery, _: &str) -> Option<String> {
    None
}
