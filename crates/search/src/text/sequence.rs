//! The words of a product in their order, and how close those looked for stand in it.
//!
//! Closeness is summed over the words matched, each with the next one of the query that is matched: nothing unless both
//! have their best match in the same text; there, 7 when the second directly follows the first (or both are one word),
//! 6 with a word between or when it directly precedes it, one less for every further word, nothing from 8 words on. The
//! nearest pair of places counts. A level of the category path is far from the next.

use tantivy::DocId;
use tantivy::SegmentReader;
use tantivy::columnar::Column;

use super::fields::{LEVEL_END, TEXT_END};
use super::score::MAX_WORDS;

/// The closeness of a pair of words that cannot be closer.
pub const ADJACENT: u32 = 7;
/// The distance from which on words are not close.
const FAR: u32 = ADJACENT + 1;

/// How a stem stands in a sequence.
type Hash = u16;

/// What a word may stand for in one class: hashed stems, sorted, and hashed stems that must follow each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Hashes {
    pub stems: Vec<Hash>,
    pub pairs: Vec<(Hash, Hash)>,
}

/// A word matched in a text: which text, and what it is matched by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub text: usize,
    pub by: &'a Hashes,
}

impl Place<'_> {
    fn has(&self, stem: Hash) -> bool {
        match self.by.stems[..] {
            [only] => only == stem,
            ref many => many.binary_search(&stem).is_ok(),
        }
    }

    fn has_pair(&self, first: Hash, second: Hash) -> bool {
        !self.by.pairs.is_empty() && self.by.pairs.contains(&(first, second))
    }
}

/// The column `sequence` of a segment.
pub(super) struct Sequence {
    column: Column<u64>,
}

impl Sequence {
    pub(super) fn open(reader: &SegmentReader, name: &str) -> tantivy::Result<Self> {
        // A segment in which no product has a word has no such column either.
        let column = reader.fast_fields().column_opt(name)?;
        let column = column.unwrap_or_else(|| Column::build_empty_column(reader.max_doc()));
        Ok(Self { column })
    }

    /// The hashed words of one text; [`LEVEL_END`]s are among them.
    fn text(&self, doc: DocId, text: usize) -> impl Iterator<Item = Hash> + '_ {
        let mut before = text;
        let values = self.column.values_for_doc(doc).map(|v| v as Hash);
        let from_text = values.skip_while(move |v| {
            let skip = before > 0;
            before -= usize::from(skip && *v == TEXT_END);
            skip
        });
        from_text.take_while(|v| *v != TEXT_END)
    }

    /// Whether `b` directly follows `a` in a text.
    pub(super) fn follows(&self, doc: DocId, text: usize, (a, b): (Hash, Hash)) -> bool {
        let mut last = TEXT_END;
        self.text(doc, text).any(|word| std::mem::replace(&mut last, word) == a && word == b)
    }

    /// The closeness of the words matched, in the order of the query.
    pub(super) fn closeness(&self, doc: DocId, places: &[Place<'_>]) -> u32 {
        let mut nearest = [FAR; MAX_WORDS];
        for text in 0..4 {
            if places.windows(2).any(|pair| pair[0].text == text && pair[1].text == text) {
                self.measure(doc, text, places, &mut nearest);
            }
        }
        nearest.iter().map(|distance| FAR - distance).sum()
    }

    /// Lowers `nearest[n]` to the distance of word n from word n + 1 where both are matched in this text.
    fn measure(&self, doc: DocId, text: usize, places: &[Place<'_>], nearest: &mut [u32; MAX_WORDS]) {
        let mut seen = [None; MAX_WORDS];
        let (mut at, mut before) = (1, TEXT_END);
        for word in self.text(doc, text) {
            at += if word == LEVEL_END { FAR } else { 1 };
            let before = std::mem::replace(&mut before, word);
            for (n, place) in places.iter().enumerate().take(MAX_WORDS) {
                if place.text != text {
                    continue;
                }
                // A word that is two in the text begins at the first and ends at the second.
                let begins = if place.has_pair(before, word) {
                    at - 1
                } else if place.has(word) {
                    at
                } else {
                    continue;
                };
                if let Some(last) = n.checked_sub(1).and_then(|previous| seen[previous]) {
                    nearest[n - 1] = nearest[n - 1].min(distance(last, begins, 0));
                }
                if let Some(last) = seen.get(n + 1).copied().flatten() {
                    nearest[n] = nearest[n].min(distance(last, begins, 1));
                }
                seen[n] = Some(at);
            }
        }
    }
}

/// From the end of one word to the beginning of a later one, at least 1.
fn distance(from: u32, to: u32, extra: u32) -> u32 {
    (to.saturating_sub(from) + extra).clamp(1, FAR)
}
