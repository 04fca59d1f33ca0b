//! A text query in one segment.

use std::io;

use tantivy::fastfield::AliveBitSet;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::schema::Schema;
use tantivy::{BitSet, DocId, SegmentReader, TERMINATED};

use super::TextQuery;
use super::cursor::Cursor;
use super::expand::Variants;
use super::fields::hash;
use super::lists::{List, Pair, WINDOW};
use super::score::{MAX_WORDS, SKU, Score};
use super::sequence::{ADJACENT, Hashes, Place, Sequence};

/// A text query in one segment. Made for one thread; reads postings when they are needed.
pub struct SegmentText<'a> {
    pub(super) query: &'a TextQuery,
    pub(super) words: Vec<WordLists>,
    pub(super) sequence: Sequence,
    pub(super) alive: Option<AliveBitSet>,
    pub(super) max_doc: u32,
    norms: Option<FieldNormReader>,
    /// The documents that have the whole text as a sku, in order.
    pub(super) skus: Vec<DocId>,
    /// By which list each word was found in the document that was looked at last.
    pub(super) found: [Option<usize>; MAX_WORDS],
    /// The last document that [`Self::score`] looked at.
    last: Option<DocId>,
}

/// The lists of a word, best first.
pub(super) struct WordLists {
    pub lists: Vec<List>,
    /// How many of them can still bring a document onto the page: the first ones.
    pub active: usize,
}

impl WordLists {
    /// The most that a match of the word can be worth.
    pub(super) fn best(&self) -> u32 {
        self.lists.first().map_or(0, |list| list.points)
    }

    /// How many documents its active lists have, at most.
    pub(super) fn cost(&self) -> u64 {
        self.lists.iter().take(self.active).map(List::docs).sum()
    }
}

impl<'a> SegmentText<'a> {
    pub(super) fn open(query: &'a TextQuery, reader: &SegmentReader) -> tantivy::Result<Self> {
        let schema: &Schema = reader.schema();
        let mut words = Vec::new();
        for word in &query.words {
            let mut lists = Vec::new();
            for variants in &word.variants {
                for text in &query.texts {
                    lists.extend(open_list(query, reader, variants, *text)?);
                }
            }
            let active = lists.len();
            words.push(WordLists { lists, active });
        }
        Ok(Self {
            query,
            words,
            skus: docs_with_sku(query, reader)?,
            sequence: Sequence::open(reader, schema.get_field_name(query.fields.sequence))?,
            alive: reader.alive_bitset().cloned(),
            max_doc: reader.max_doc(),
            norms: reader.fieldnorms_readers().get_field(query.fields.name)?,
            found: [None; MAX_WORDS],
            last: None,
        })
    }

    /// All matching documents, deleted ones possibly among them.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn matches(&mut self) -> tantivy::Result<BitSet> {
        let mut set = BitSet::with_max_value(self.max_doc);
        for (n, word) in self.matching_words()?.into_iter().enumerate() {
            let mut left = word;
            while left != 0 {
                set.insert(n as u32 * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        Ok(set)
    }

    /// All matching documents as bits, 64 to a number, the lowest first; deleted documents possibly among them.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn matching_words(&mut self) -> tantivy::Result<Vec<u64>> {
        self.rewind();
        let mut all = Vec::with_capacity(self.max_doc.div_ceil(64) as usize);
        let needed = self.query.needed();
        let mut union = Vec::new();
        let mut start = 0;
        while start < self.max_doc && !self.words.is_empty() {
            let end = self.max_doc.min(start.saturating_add(WINDOW));
            let length = (end - start).div_ceil(64) as usize;
            // How many words match each document, as four-digit binary numbers: one vector of bits for each digit.
            let mut digits = [vec![0; length], vec![0; length], vec![0; length], vec![0; length]];
            for word in &mut self.words {
                union.clear();
                union.resize(length, 0);
                for list in &mut word.lists {
                    list.leave_window();
                    list.read_window((start, end), &mut union, &self.sequence)?;
                }
                count_up(&mut digits, &union);
            }
            all.extend((0..length).map(|n| at_least(digits.each_ref().map(|d| d[n]), needed)));
            start = end;
        }
        all.resize(self.max_doc.div_ceil(64) as usize, 0);
        for doc in &self.skus {
            if let Some(word) = all.get_mut((doc / 64) as usize) {
                *word |= 1 << (doc % 64);
            }
        }
        Ok(all)
    }

    /// The score of a document, `None` when it does not match (or the index cannot be read). Costs some seeks when
    /// documents are asked for in ascending order, and starts anew when one is not.
    pub fn score(&mut self, doc: DocId) -> Option<i64> {
        if doc >= self.max_doc {
            return None;
        }
        if self.has_sku(doc) {
            return Some(SKU);
        }
        if self.last.is_none_or(|last| last > doc) {
            self.rewind();
        }
        self.last = Some(doc);
        let score = self.evaluate(doc).ok()?;
        (score.matched as usize >= self.query.needed().max(1)).then(|| self.complete(doc, score).pack())
    }

    /// Whether the document has the whole text as a sku.
    pub(super) fn has_sku(&self, doc: DocId) -> bool {
        !self.skus.is_empty() && self.skus.binary_search(&doc).is_ok()
    }

    /// Goes back to the first document.
    pub(super) fn rewind(&mut self) {
        self.last = None;
        for word in &mut self.words {
            word.active = word.lists.len();
            word.lists.iter_mut().for_each(List::rewind);
        }
    }

    /// What the active lists say of a document; the closeness is the most that it can be.
    pub(super) fn evaluate(&mut self, doc: DocId) -> io::Result<Score> {
        let mut score = Score { matched: 0, points: 0, closeness: 0, brevity: self.brevity(doc) };
        let mut last_text = None;
        for (word, found) in self.words.iter_mut().zip(&mut self.found) {
            *found = None;
            for (n, list) in word.lists.iter_mut().take(word.active).enumerate() {
                if list.contains(doc, &self.sequence)? {
                    *found = Some(n);
                    score.matched += 1;
                    score.points += list.points;
                    score.closeness += if last_text == Some(list.text) { ADJACENT } else { 0 };
                    last_text = Some(list.text);
                    break;
                }
            }
        }
        Ok(score)
    }

    /// The same score with the closeness that the document really has. To be called after [`Self::evaluate`].
    pub(super) fn complete(&self, doc: DocId, mut score: Score) -> Score {
        if score.closeness == 0 {
            return score;
        }
        let nowhere = Hashes::default();
        let mut places = [Place { text: 0, by: &nowhere }; MAX_WORDS];
        let mut length = 0;
        for ((word, found), hashes) in self.words.iter().zip(self.found).zip(&self.query.hashes) {
            if let Some(list) = found.and_then(|n| word.lists.get(n))
                && let Some((_, by)) = hashes.iter().find(|(class, _)| *class == list.class)
            {
                places[length] = Place { text: list.text, by };
                length += 1;
            }
        }
        score.closeness = self.sequence.closeness(doc, &places[..length]);
        score
    }

    /// 255 less the length of the document's name.
    #[inline]
    pub(super) fn brevity(&self, doc: DocId) -> u32 {
        255 - self.norms.as_ref().map_or(0, |norms| u32::from(norms.fieldnorm_id(doc)))
    }
}

fn docs_with_sku(query: &TextQuery, reader: &SegmentReader) -> tantivy::Result<Vec<DocId>> {
    let mut docs = Vec::new();
    let Some(sku) = &query.sku else { return Ok(docs) };
    let index = reader.inverted_index(query.fields.sku)?;
    if let Some(info) = index.terms().get(sku)? {
        Cursor::open(&index, &info)?.for_each(TERMINATED, |doc| docs.push(doc));
    }
    Ok(docs)
}

fn open_list(
    query: &TextQuery,
    reader: &SegmentReader,
    variants: &Variants,
    text: usize,
) -> tantivy::Result<Option<List>> {
    let index = reader.inverted_index(query.fields.stems()[text])?;
    let mut terms = Vec::new();
    for stem in &variants.stems {
        terms.extend(index.terms().get(stem)?);
    }
    let mut pairs = Vec::new();
    for (a, b) in &variants.pairs {
        if let (Some(first), Some(second)) = (index.terms().get(a)?, index.terms().get(b)?) {
            pairs.push(Pair { first, second, hashes: (hash(a), hash(b)) });
        }
    }
    Ok(List::new((variants.class, text), index, terms, pairs, reader.max_doc()))
}

/// Adds one to the numbers whose bit is set.
fn count_up(digits: &mut [Vec<u64>; 4], bits: &[u64]) {
    for (n, bits) in bits.iter().enumerate() {
        let mut carry = *bits;
        for digit in digits.iter_mut() {
            let sum = digit[n] ^ carry;
            carry &= digit[n];
            digit[n] = sum;
        }
    }
}

/// The bits whose number is `least` or more.
fn at_least(digits: [u64; 4], least: usize) -> u64 {
    let (mut greater, mut equal) = (0, u64::MAX);
    for (n, digit) in digits.iter().enumerate().rev() {
        if least >> n & 1 == 0 {
            greater |= equal & digit;
            equal &= !digit;
        } else {
            equal &= digit;
        }
    }
    greater | equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bits_are_counted_and_compared() {
        // Document n is matched by n of ten words.
        let rows: Vec<u64> =
            (1..=10).map(|word| (0..64).filter(|doc| *doc >= word).map(|doc| 1 << doc).sum()).collect();
        let mut digits = [vec![0], vec![0], vec![0], vec![0]];
        rows.iter().for_each(|row| count_up(&mut digits, &[*row]));
        for least in 1..=10 {
            let bits = at_least(digits.each_ref().map(|d| d[0]), least);
            assert_eq!(bits.trailing_zeros() as usize, least, "at least {least}");
            assert_eq!(bits.count_ones() as usize, 64 - least);
        }
    }
}
