//! A text to look for, prepared.

use std::collections::{HashMap, HashSet};

use haat_catalog::Tolerance;
use tantivy::schema::Field;
use tantivy::{Searcher, SegmentReader};

use super::TextFields;
use super::dictionary::Dictionary;
use super::expand::{QueryWord, Variants, expand};
use super::fields::{hash, sku_text};
use super::score::{Class, needed};
use super::segment::SegmentText;
use super::sequence::Hashes;

/// Which fields a text is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// One of them: a `*_stem` field of [`TextFields`].
    Only(Field),
}

impl Scope {
    pub(super) fn has(self, field: Field) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == field,
        }
    }
}

/// A text to look for, prepared for one searcher: what its words may stand for was looked up over all segments, so that
/// a product has the same score in whichever segment it is.
#[derive(Debug)]
pub struct TextQuery {
    pub(super) fields: TextFields,
    tolerance: Tolerance,
    /// The text as a sku; `None` where skus are not looked for.
    pub(super) sku: Option<String>,
    /// The numbers of the texts that are searched.
    pub(super) texts: Vec<usize>,
    pub(super) words: Vec<QueryWord>,
    /// What each word may stand for in the column `sequence`, by class.
    pub(super) hashes: Vec<Vec<(Class, Hashes)>>,
    /// Stems that are found by themselves.
    pub(super) stems: HashSet<String>,
    /// Stems that are found when the other one follows.
    pub(super) pairs: HashMap<String, Vec<String>>,
}

impl TextQuery {
    /// Analyses the text and looks up in all segments what its words may stand for.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn prepare(searcher: &Searcher, fields: &TextFields, text: &str, scope: Scope) -> tantivy::Result<Self> {
        Self::resume(searcher, fields, text, scope, None)
    }

    /// The same; with a tolerance, the words are taken for misspelt or not as was decided earlier.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn resume(
        searcher: &Searcher,
        fields: &TextFields,
        text: &str,
        scope: Scope,
        tolerance: Option<Tolerance>,
    ) -> tantivy::Result<Self> {
        let dictionary = Dictionary::open(searcher, fields, scope)?;
        let (words, tolerance) = expand(text, &dictionary, tolerance)?;
        let mut query = Self {
            tolerance,
            sku: Some(sku_text(text)).filter(|sku| scope == Scope::All && !sku.is_empty()),
            fields: *fields,
            texts: dictionary.texts().to_vec(),
            hashes: words.iter().map(hashes).collect(),
            stems: HashSet::new(),
            pairs: HashMap::new(),
            words: Vec::new(),
        };
        for variants in words.iter().flat_map(|word| &word.variants) {
            query.stems.extend(variants.stems.iter().cloned());
            for (first, second) in &variants.pairs {
                query.pairs.entry(first.clone()).or_default().push(second.clone());
            }
        }
        query.words = words;
        Ok(query)
    }

    /// Which words were taken for misspelt.
    pub fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    /// The query in one segment of the searcher that it was prepared for.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn segment(&self, reader: &SegmentReader) -> tantivy::Result<SegmentText<'_>> {
        SegmentText::open(self, reader)
    }

    /// Whether the text has no word at all: such a query matches nothing but a sku.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words that are considered: folded, distinct, in the order of the text.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| word.text.as_str())
    }

    /// How many of the words a product has to match.
    pub fn needed(&self) -> usize {
        needed(self.words.len())
    }
}

fn hashes(word: &QueryWord) -> Vec<(Class, Hashes)> {
    let of_variants = |v: &Variants| {
        let mut stems: Vec<_> = v.stems.iter().map(|stem| hash(stem)).collect();
        stems.sort_unstable();
        (v.class, Hashes { stems, pairs: v.pairs.iter().map(|(a, b)| (hash(a), hash(b))).collect() })
    };
    word.variants.iter().map(of_variants).collect()
}
