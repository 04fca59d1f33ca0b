//! A small index of texts for the tests of text search, and a naive model of what it should answer.
#![allow(dead_code)] // Each test binary uses its part.

pub mod model;

use haat_search::schema::{TOKENIZER, Tokens};
use haat_search::text::analyze::Stems;
use haat_search::text::{Scope, TextFields, TextQuery, Texts};
use tantivy::merge_policy::NoMergePolicy;
use tantivy::schema::{Field, INDEXED, STORED, Schema, Value};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{DocAddress, Index, IndexWriter, Searcher, TantivyDocument, Term};

/// A product's texts.
#[derive(Debug, Clone, Default)]
pub struct Product {
    pub name: String,
    pub brand: String,
    pub category: Vec<String>,
    pub description: String,
}

/// A product that has only a name.
pub fn named(name: &str) -> Product {
    Product { name: name.into(), ..Product::default() }
}

/// An index whose documents are numbered in the order of writing.
pub struct TextIndex {
    index: Index,
    writer: IndexWriter,
    pub fields: TextFields,
    id: Field,
    stems: Stems,
    written: u64,
}

impl TextIndex {
    pub fn new() -> Self {
        let mut b = Schema::builder();
        let fields = TextFields::add_to(&mut b, TOKENIZER);
        let id = b.add_u64_field("id", INDEXED | STORED);
        let index = Index::create_in_ram(b.build());
        index.tokenizers().register(TOKENIZER, TextAnalyzer::builder(Tokens::default()).build());
        let writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Self { index, writer, fields, id, stems: Stems::default(), written: 0 }
    }

    /// One of products with these names, in one segment.
    pub fn of_names(names: &[&str]) -> Self {
        Self::of(&names.iter().map(|name| named(name)).collect::<Vec<_>>())
    }

    /// One of these products, in one segment.
    pub fn of(products: &[Product]) -> Self {
        let mut index = Self::new();
        index.add(products);
        index
    }

    /// Writes products into a segment of their own.
    pub fn add(&mut self, products: &[Product]) {
        for product in products {
            let mut document = TantivyDocument::default();
            document.add_u64(self.id, self.written);
            let texts = Texts {
                name: &product.name,
                brand: &product.brand,
                category: &product.category,
                description: &product.description,
                ..Texts::default()
            };
            self.fields.write(&mut document, &texts, &mut self.stems);
            self.writer.add_document(document).unwrap();
            self.written += 1;
        }
        self.writer.commit().unwrap();
    }

    /// Deletes documents; their segments keep them.
    pub fn delete(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.writer.delete_term(Term::from_field_u64(self.id, *number));
        }
        self.writer.commit().unwrap();
    }

    /// Merges all segments, which drops deleted documents for good.
    pub fn merge(&mut self) {
        let segments = self.index.searchable_segment_ids().unwrap();
        self.writer.merge(&segments).wait().unwrap();
    }

    pub fn searcher(&self) -> Searcher {
        self.index.reader().unwrap().searcher()
    }

    pub fn query(&self, searcher: &Searcher, text: &str) -> TextQuery {
        TextQuery::prepare(searcher, &self.fields, text, Scope::All).unwrap()
    }

    /// The number of a document.
    pub fn number(&self, searcher: &Searcher, at: DocAddress) -> u64 {
        let document: TantivyDocument = searcher.doc(at).unwrap();
        document.get_first(self.id).and_then(|v| v.as_u64()).unwrap()
    }

    /// The numbers and scores of the best products, best first, ties by number.
    pub fn top(&self, text: &str, limit: usize) -> Vec<(u64, i64)> {
        self.top_of(text, limit, |_| true)
    }

    /// Of those that are accepted.
    pub fn top_of(&self, text: &str, limit: usize, accept: impl Fn(u64) -> bool) -> Vec<(u64, i64)> {
        let searcher = self.searcher();
        let query = self.query(&searcher, text);
        let mut best: Vec<(u64, i64)> = Vec::new();
        for (n, reader) in searcher.segment_readers().iter().enumerate() {
            let number = |doc| self.number(&searcher, DocAddress::new(n as u32, doc));
            let least = |best: &[(u64, i64)]| limit.checked_sub(1).and_then(|n| best.get(n)).map_or(i64::MIN, |b| b.1);
            let threshold = least(&best);
            let mut push = |doc, score: i64| {
                best.push((number(doc), score));
                best.sort_by_key(|(number, score)| (-score, *number));
                best.truncate(limit);
                least(&best)
            };
            let mut segment = query.segment(reader).unwrap();
            segment.top_from(threshold, &mut |doc| accept(number(doc)), &mut push).unwrap();
        }
        best
    }

    /// The numbers of the best products, best first.
    pub fn numbers(&self, text: &str) -> Vec<u64> {
        self.top(text, 100).into_iter().map(|(number, _)| number).collect()
    }

    /// How many products match.
    pub fn count(&self, text: &str) -> usize {
        let searcher = self.searcher();
        let query = self.query(&searcher, text);
        let in_segment = |reader: &tantivy::SegmentReader| {
            let matches = query.segment(reader).unwrap().matches().unwrap();
            reader.doc_ids_alive().filter(|doc| matches.contains(*doc)).count()
        };
        searcher.segment_readers().iter().map(in_segment).sum()
    }

    /// Every product that is there: its number, whether `matches` has it, and what `score` says.
    pub fn every(&self, text: &str) -> Vec<(u64, bool, Option<i64>)> {
        let searcher = self.searcher();
        let query = self.query(&searcher, text);
        let mut every = Vec::new();
        for (n, reader) in searcher.segment_readers().iter().enumerate() {
            let mut segment = query.segment(reader).unwrap();
            let matches = segment.matches().unwrap();
            let bits = segment.matching_words().unwrap();
            for doc in reader.doc_ids_alive() {
                assert_eq!(bits[(doc / 64) as usize] >> (doc % 64) & 1 == 1, matches.contains(doc));
                let number = self.number(&searcher, DocAddress::new(n as u32, doc));
                every.push((number, matches.contains(doc), segment.score(doc)));
            }
        }
        every.sort_unstable();
        every
    }
}
