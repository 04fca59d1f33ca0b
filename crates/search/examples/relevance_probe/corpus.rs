//! An index of text fields, and searching it as the engine does.

use std::path::Path;

use haat_search::schema::{TOKENIZER, Tokens};
use haat_search::text::analyze::Stems;
use haat_search::text::{Scope, TextFields, TextQuery, Texts};
use tantivy::collector::Count;
use tantivy::query::AllQuery;
use tantivy::schema::{Field, STORED, Schema};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{DocAddress, Index, IndexWriter, Searcher, TantivyDocument};

/// A product's texts.
#[derive(Debug, Clone, Default)]
pub struct Product {
    pub name: String,
    pub brand: String,
    pub category: Vec<String>,
    pub description: String,
}

pub struct Corpus {
    pub searcher: Searcher,
    pub fields: TextFields,
    pub name: Field,
}

impl Corpus {
    /// Opens the index in a folder, or builds it from products when there is none.
    pub fn open(dir: &Path, products: impl FnOnce() -> Box<dyn Iterator<Item = Product>>) -> Self {
        let mut b = Schema::builder();
        let fields = TextFields::add_to(&mut b, TOKENIZER);
        let name = b.add_text_field("name", STORED);
        let schema = b.build();
        let directory = tantivy::directory::MmapDirectory::open(dir).unwrap();
        let index = Index::open_or_create(directory, schema).unwrap();
        index.tokenizers().register(TOKENIZER, TextAnalyzer::builder(Tokens::default()).build());
        let searcher = index.reader().unwrap().searcher();
        if searcher.search(&AllQuery, &Count).unwrap() > 0 {
            return Self { searcher, fields, name };
        }
        let mut writer: IndexWriter = index.writer_with_num_threads(2, 200_000_000).unwrap();
        let mut stems = Stems::default();
        for product in products() {
            let mut document = TantivyDocument::default();
            document.add_text(name, &product.name);
            let texts = Texts {
                name: &product.name,
                brand: &product.brand,
                category: &product.category,
                description: &product.description,
                ..Texts::default()
            };
            fields.write(&mut document, &texts, &mut stems);
            writer.add_document(document).unwrap();
        }
        writer.commit().unwrap();
        writer.wait_merging_threads().unwrap();
        let searcher = index.reader().unwrap().searcher();
        Self { searcher, fields, name }
    }

    /// The best documents, best first.
    pub fn top(&self, text: &str, limit: usize) -> Vec<(i64, DocAddress)> {
        let query = TextQuery::prepare(&self.searcher, &self.fields, text, Scope::All).unwrap();
        self.top_of(&query, limit)
    }

    pub fn top_of(&self, query: &TextQuery, limit: usize) -> Vec<(i64, DocAddress)> {
        let mut best: Vec<(i64, DocAddress)> = Vec::new();
        let mut segments: Vec<_> = self.searcher.segment_readers().iter().enumerate().collect();
        segments.sort_by_key(|(_, reader)| std::cmp::Reverse(reader.max_doc()));
        for (n, reader) in segments {
            let mut segment = query.segment(reader).unwrap();
            let threshold = best.get(limit - 1).map_or(i64::MIN, |(score, _)| *score);
            let mut push = |doc, score: i64| {
                let entry = (score, DocAddress::new(n as u32, doc));
                let at = best.partition_point(|(s, a)| (-s, *a) < (-entry.0, entry.1));
                best.insert(at, entry);
                best.truncate(limit);
                best.get(limit - 1).map_or(i64::MIN, |(score, _)| *score)
            };
            segment.top_from(threshold, &mut |_| true, &mut push).unwrap();
        }
        best
    }

    /// How many documents match.
    pub fn count(&self, query: &TextQuery) -> u64 {
        let segments = self.searcher.segment_readers().iter();
        segments
            .flat_map(|r| query.segment(r).unwrap().matching_words().unwrap())
            .map(|w| u64::from(w.count_ones()))
            .sum()
    }

    /// The name of a document.
    pub fn name(&self, at: DocAddress) -> String {
        use tantivy::schema::Value;
        let document: TantivyDocument = self.searcher.doc(at).unwrap();
        document.get_first(self.name).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    }
}
