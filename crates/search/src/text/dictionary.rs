//! The dictionaries of all segments as one: which words and stems the products that are there have.
//!
//! A deleted product stays in its segment until the segment is merged. Whatever is asked here looks past it, so that an
//! answer never depends on when merging happens.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use tantivy::fastfield::AliveBitSet;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::query::FuzzyTermQuery;
use tantivy::{Searcher, Term};

use super::cursor::Cursor;
use super::{Scope, TextFields, analyze};

/// How many words a prefix or a word with typos stands for at most: the ones that most products have. Each costs a look
/// into four dictionaries of every segment; a word of the catalogue has seldom more completions, a letter or two have.
pub const MAX_VARIANTS: usize = 256;

/// The dictionaries of all segments.
pub(super) struct Dictionary<'a> {
    fields: &'a TextFields,
    segments: Vec<Segment<'a>>,
    /// The numbers of the texts that are searched.
    texts: Vec<usize>,
}

/// Words that a prefix or a word with typos stands for.
pub(super) struct Words {
    /// Their stems, sorted.
    pub stems: Vec<String>,
    /// How many products have the one that most products have.
    pub greatest: u64,
}

struct Segment<'a> {
    words: Arc<InvertedIndexReader>,
    stems: Vec<Arc<InvertedIndexReader>>,
    alive: Option<&'a AliveBitSet>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn open(searcher: &'a Searcher, fields: &'a TextFields, scope: Scope) -> tantivy::Result<Self> {
        let texts: Vec<usize> = (0..4).filter(|n| scope.has(fields.stems()[*n])).collect();
        let mut segments = Vec::new();
        for reader in searcher.segment_readers() {
            let stems = texts.iter().map(|n| reader.inverted_index(fields.stems()[*n])).collect::<Result<_, _>>()?;
            segments.push(Segment { words: reader.inverted_index(fields.words)?, stems, alive: reader.alive_bitset() });
        }
        Ok(Self { fields, segments, texts })
    }

    /// The numbers of the texts that are searched.
    pub(super) fn texts(&self) -> &[usize] {
        &self.texts
    }

    /// How many products have a word of one of these stems in the texts searched; counted no further than `most`.
    pub(super) fn count(&self, stems: &[String], most: usize) -> io::Result<usize> {
        let mut counted = 0;
        let mut docs = HashSet::new();
        for segment in &self.segments {
            docs.clear();
            for (index, stem) in segment.stems.iter().flat_map(|index| stems.iter().map(move |stem| (index, stem))) {
                let Some(info) = index.terms().get(stem)? else { continue };
                let mut cursor = Cursor::open(index, &info)?;
                while !cursor.ended() {
                    if segment.alive.is_none_or(|alive| alive.is_alive(cursor.doc())) {
                        docs.insert(cursor.doc());
                    }
                    if counted + docs.len() >= most {
                        return Ok(most);
                    }
                    cursor.seek(cursor.doc() + 1);
                }
            }
            counted += docs.len();
        }
        Ok(counted)
    }

    /// Whether a product has a word of this stem in the texts searched.
    pub(super) fn has_stem(&self, stem: &str) -> io::Result<bool> {
        for segment in &self.segments {
            for index in &segment.stems {
                if segment.has_live(index, stem.as_bytes())? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether a segment has both stems in the same text; deleted products count.
    pub(super) fn may_have_both(&self, a: &str, b: &str) -> io::Result<bool> {
        for index in self.segments.iter().flat_map(|s| &s.stems) {
            if index.terms().get(a)?.is_some() && index.terms().get(b)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The words that begin with `prefix`.
    pub(super) fn completions(&self, prefix: &str) -> io::Result<Words> {
        let mut found = HashMap::new();
        for segment in &self.segments {
            let mut stream = segment.words.terms().range().ge(prefix).into_stream()?;
            while let Some((word, info)) = stream.next() {
                if !word.starts_with(prefix.as_bytes()) {
                    break;
                }
                count(&mut found, word, info);
            }
        }
        self.most_frequent(found)
    }

    /// The words within this distance (a transposition is one step), without words that have digits.
    pub(super) fn misspelt(&self, word: &str, distance: u8) -> tantivy::Result<Words> {
        self.like(FuzzyTermQuery::new(Term::from_field_text(self.fields.words, word), distance, true))
    }

    /// The words of which a beginning is within a distance of one, without words that have digits.
    pub(super) fn misspelt_beginning(&self, word: &str) -> tantivy::Result<Words> {
        self.like(FuzzyTermQuery::new_prefix(Term::from_field_text(self.fields.words, word), 1, true))
    }

    fn like(&self, query: FuzzyTermQuery) -> tantivy::Result<Words> {
        let mut found = HashMap::new();
        for segment in &self.segments {
            let mut stream = segment.words.terms().search(query.automaton()?).into_stream()?;
            while let Some((other, info)) = stream.next() {
                if !other.iter().any(u8::is_ascii_digit) {
                    count(&mut found, other, info);
                }
            }
        }
        Ok(self.most_frequent(found)?)
    }

    /// The [`MAX_VARIANTS`] words that most products have, ties by text.
    fn most_frequent(&self, found: HashMap<Vec<u8>, u64>) -> io::Result<Words> {
        let mut candidates: Vec<(u64, Vec<u8>)> = found.into_iter().map(|(word, docs)| (docs, word)).collect();
        candidates.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut chosen: Vec<(Reverse<u64>, Vec<u8>)> = Vec::new();
        for (docs, word) in candidates {
            // `docs` counts deleted products too: an upper bound of what counts. Those that follow have no more, and
            // among equals come later: what does not get in now ends the search.
            if chosen.len() >= MAX_VARIANTS
                && chosen.last().is_some_and(|last| (Reverse(docs), &word) >= (last.0, &last.1))
            {
                break;
            }
            let live = self.live_docs(&word, docs)?;
            if live > 0 && self.in_scope(&word)? {
                let entry = (Reverse(live), word);
                let at = chosen.partition_point(|other| *other < entry);
                chosen.insert(at, entry);
                chosen.truncate(MAX_VARIANTS);
            }
        }
        let greatest = chosen.first().map_or(0, |(Reverse(docs), _)| *docs);
        let stem = |word: &[u8]| analyze::stem(&String::from_utf8_lossy(word)).into_owned();
        let mut stems: Vec<String> = chosen.iter().map(|(_, word)| stem(word)).collect();
        stems.sort_unstable();
        stems.dedup();
        Ok(Words { stems, greatest })
    }

    /// How many products have this word, of which `docs` counts deleted ones too.
    fn live_docs(&self, word: &[u8], docs: u64) -> io::Result<u64> {
        if self.segments.iter().all(|s| s.alive.is_none()) {
            return Ok(docs);
        }
        let mut live = 0;
        for segment in &self.segments {
            if let Some(info) = segment.words.terms().get(word)? {
                live += segment.live_docs(&info)?;
            }
        }
        Ok(live)
    }

    /// Whether the texts searched have the word: `words` is of all four.
    fn in_scope(&self, word: &[u8]) -> io::Result<bool> {
        if self.texts.len() == 4 {
            return Ok(true);
        }
        self.has_stem(&analyze::stem(&String::from_utf8_lossy(word)))
    }
}

impl Segment<'_> {
    fn has_live(&self, index: &InvertedIndexReader, term: &[u8]) -> io::Result<bool> {
        let Some(info) = index.terms().get(term)? else { return Ok(false) };
        let Some(alive) = self.alive else { return Ok(true) };
        let mut cursor = Cursor::open(index, &info)?;
        while !cursor.ended() {
            if alive.is_alive(cursor.doc()) {
                return Ok(true);
            }
            cursor.seek(cursor.doc() + 1);
        }
        Ok(false)
    }

    fn live_docs(&self, info: &TermInfo) -> io::Result<u64> {
        let Some(alive) = self.alive else { return Ok(u64::from(info.doc_freq)) };
        let mut live = 0;
        Cursor::open(&self.words, info)?.for_each(tantivy::TERMINATED, |doc| live += u64::from(alive.is_alive(doc)));
        Ok(live)
    }
}

fn count(found: &mut HashMap<Vec<u8>, u64>, word: &[u8], info: &TermInfo) {
    match found.get_mut(word) {
        Some(docs) => *docs += u64::from(info.doc_freq),
        None => {
            found.insert(word.to_vec(), u64::from(info.doc_freq));
        }
    }
}
