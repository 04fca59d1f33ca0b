//! The fields that text search reads, and what is written into them.
//!
//! | field | holds | serves |
//! |---|---|---|
//! | `words` | every distinct folded word | completions, typos |
//! | `name_stem` … `description_stem` | the stems of one text's words, postings only | matching; the norms of `name_stem` are the name's length |
//! | `sku_text` | the product's and its variants' skus, lower case | a sku that is looked for as a whole |
//! | `sequence` | a 16-bit hash of every stem in its order, a column | closeness, split words |
//!
//! Positions are read from the column and not from postings: a column gives the whole sequence of a product in some 50
//! ns whatever number of words is looked for, where positions cost several times as much for each of them.

use std::collections::BTreeSet;

use tantivy::TantivyDocument;
use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, SchemaBuilder, TextFieldIndexing, TextOptions,
};
use xxhash_rust::xxh3::xxh3_64;

use super::analyze::{Stems, words};

/// The fields that are searched.
#[derive(Debug, Clone, Copy)]
pub struct TextFields {
    /// Every distinct folded word of the four texts.
    pub words: Field,
    /// Stems of the name.
    pub name: Field,
    /// Stems of the brand.
    pub brand: Field,
    /// Stems of the category path and of the tags.
    pub category: Field,
    /// Stems of the description.
    pub description: Field,
    /// Skus, whole and without regard to case.
    pub sku: Field,
    /// The hashed stems of all four texts in order (column).
    pub sequence: Field,
}

/// In `sequence`: between two texts.
pub(super) const TEXT_END: u16 = 0;
/// In `sequence`: between two levels of the category path.
pub(super) const LEVEL_END: u16 = 1;
/// How many words of a description `sequence` has: beyond them words match, but are close to none.
pub const SEQUENCE_DESCRIPTION_WORDS: usize = 64;

/// The texts of a product that are searched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its maker.
    pub brand: &'a str,
    /// Its place in the category tree, outermost level first.
    pub category: &'a [String],
    /// Labels; looked for like levels of the category path.
    pub tags: &'a [String],
    /// What it is.
    pub description: &'a str,
    /// Its sku and those of its variants.
    pub skus: &'a [&'a str],
}

impl TextFields {
    /// Adds the fields to a schema. `tokenizer` names one that splits a value at [`super::TOKEN_SEPARATOR`] and leaves
    /// the pieces as they are.
    pub fn add_to(b: &mut SchemaBuilder, tokenizer: &str) -> Self {
        let mut postings = |name: &str, norms: bool| {
            let indexing = TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_fieldnorms(norms)
                .set_index_option(IndexRecordOption::Basic);
            b.add_text_field(name, TextOptions::default().set_indexing_options(indexing))
        };
        Self {
            words: postings("words", false),
            name: postings("name_stem", true),
            brand: postings("brand_stem", false),
            category: postings("category_stem", false),
            description: postings("description_stem", false),
            sku: postings("sku_text", false),
            sequence: b.add_u64_field("sequence", NumericOptions::default().set_fast()),
        }
    }

    /// The fields of a schema that [`Self::add_to`] made; `None` when one is missing.
    pub fn of(schema: &Schema) -> Option<Self> {
        let field = |name| schema.get_field(name).ok();
        Some(Self {
            words: field("words")?,
            name: field("name_stem")?,
            brand: field("brand_stem")?,
            category: field("category_stem")?,
            description: field("description_stem")?,
            sku: field("sku_text")?,
            sequence: field("sequence")?,
        })
    }

    /// The four texts' fields, in the order of `sequence`.
    pub(super) fn stems(&self) -> [Field; 4] {
        [self.name, self.brand, self.category, self.description]
    }

    /// Writes a product's texts into its document. `stems` is kept from document to document.
    pub fn write(&self, document: &mut TantivyDocument, texts: &Texts<'_>, stems: &mut Stems) {
        let mut distinct = BTreeSet::new();
        let mut value = String::new();
        let category: Vec<&str> = texts.category.iter().chain(texts.tags).map(String::as_str).collect();
        let parts = [&[texts.name][..], &[texts.brand], &category, &[texts.description]];
        for (n, (field, levels)) in self.stems().into_iter().zip(parts).enumerate() {
            let limit = if field == self.description { SEQUENCE_DESCRIPTION_WORDS } else { usize::MAX };
            if n > 0 {
                document.add_u64(self.sequence, u64::from(TEXT_END));
            }
            value.clear();
            for (level, text) in levels.iter().enumerate() {
                if level > 0 {
                    document.add_u64(self.sequence, u64::from(LEVEL_END));
                }
                for word in words(text) {
                    let stem = stems.get(&word.text);
                    if !value.is_empty() {
                        value.push(super::TOKEN_SEPARATOR);
                    }
                    value.push_str(stem);
                    if word.position < limit {
                        document.add_u64(self.sequence, u64::from(hash(stem)));
                    }
                    distinct.insert(word.text);
                }
            }
            if !value.is_empty() {
                document.add_text(field, &value);
            }
        }
        let distinct: Vec<&str> = distinct.iter().map(String::as_str).collect();
        document.add_text(self.words, distinct.join(super::SEPARATOR_TEXT));
        let skus: BTreeSet<String> = texts.skus.iter().map(|sku| sku_text(sku)).collect();
        document.add_text(self.sku, skus.into_iter().collect::<Vec<_>>().join(super::SEPARATOR_TEXT));
    }
}

/// A sku, or a text that may be one, as they are compared: lower case, single spaces.
pub(super) fn sku_text(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.to_lowercase()
}

/// How a stem stands in `sequence`: 16 bits, never a separator.
pub(super) fn hash(stem: &str) -> u16 {
    // 2 to 65,535. The remainder of a 64-bit hash fits.
    (xxh3_64(stem.as_bytes()) % 65_534) as u16 + 2
}
