//! Writing into a generation: products in, changes applied, commits that carry how far they go.

use std::collections::HashMap;

use haat_catalog::ports::StoredProduct;
use haat_catalog::{Change, ProductId};
use tantivy::indexer::{IndexWriterOptions, MergePolicy};
use tantivy::schema::IndexRecordOption;
use tantivy::{IndexWriter, TantivyDocument, TantivyError};

use super::generation::{Generation, Payload};
use crate::document::{Documents, id_term};
use crate::engine::view::View;
use crate::schema::Fields;

/// The writer of a generation.
pub struct Writer {
    writer: IndexWriter<TantivyDocument>,
    /// One per thread.
    documents: Vec<Documents>,
    fields: Fields,
}

/// Threads and memory of a writer.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Threads that make segments.
    pub threads: usize,
    /// Memory for all of them, in bytes: as much as they gather before they write a segment.
    pub memory: usize,
}

/// Tantivy takes no less per thread.
const LEAST_MEMORY: usize = 15_000_000;
/// Nor more.
const MOST_MEMORY: usize = 4_000_000_000;

impl Writer {
    /// Opens the writer of `generation`.
    ///
    /// # Errors
    /// When the generation has a writer already or cannot be written.
    pub fn open(generation: &Generation, effort: Effort, merging: Box<dyn MergePolicy>) -> tantivy::Result<Self> {
        let threads = effort.threads.clamp(1, 8);
        let options = IndexWriterOptions::builder()
            .num_worker_threads(threads)
            .memory_budget_per_thread((effort.memory / threads).clamp(LEAST_MEMORY, MOST_MEMORY))
            .num_merge_threads(1)
            .build();
        let writer = generation.index.writer_with_options(options)?;
        writer.set_merge_policy(merging);
        let documents = (0..threads).map(|_| Documents::new(generation.fields)).collect();
        Ok(Self { writer, documents, fields: generation.fields })
    }

    /// Adds products that the index does not have, with as many threads as the writer has.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn add(&mut self, products: &[StoredProduct]) -> tantivy::Result<()> {
        let share = products.len().div_ceil(self.documents.len().max(1)).max(1);
        let writer = &self.writer;
        std::thread::scope(|scope| {
            let shares = self.documents.iter_mut().zip(products.chunks(share));
            let running: Vec<_> = shares
                .map(|(documents, products)| {
                    scope.spawn(move || products.iter().try_for_each(|p| add(writer, documents, p.id, &p.document)))
                })
                .collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err(TantivyError::ErrorInThread("a product's texts".to_owned())))
            })
        })
    }

    /// Applies changes; `view` is the state that the last commit left. Of a product that changed several times only
    /// the last change counts: every row has the product as it is now.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn apply(&mut self, changes: &[Change], view: &View) -> tantivy::Result<()> {
        let newest: HashMap<ProductId, usize> = changes.iter().enumerate().map(|(i, c)| (c.id, i)).collect();
        for (i, change) in changes.iter().enumerate() {
            if newest.get(&change.id) != Some(&i) {
                continue;
            }
            // Deleting what is not there costs every commit a look into every segment.
            if locate(view, change.id)?.is_some() {
                self.writer.delete_term(id_term(&self.fields, change.id));
            }
            if let (Some(json), Some(documents)) = (&change.document, self.documents.first_mut()) {
                add(&self.writer, documents, change.id, json)?;
            }
        }
        Ok(())
    }

    /// Makes everything so far visible and durable, together with `payload`.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn commit(&mut self, payload: Payload) -> tantivy::Result<()> {
        let text = serde_json::to_string(&payload).map_err(|e| TantivyError::InternalError(e.to_string()))?;
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&text);
        prepared.commit()?;
        Ok(())
    }
}

/// Adds a product. One whose JSON cannot be read is left out and reported: it must not keep the others waiting.
fn add(
    writer: &IndexWriter<TantivyDocument>,
    documents: &mut Documents,
    id: ProductId,
    json: &[u8],
) -> tantivy::Result<()> {
    match documents.read(json) {
        Ok(document) => {
            writer.add_document(document)?;
        }
        Err(e) => tracing::error!(%id, error = %e, "a stored product cannot be read and is missing from the index"),
    }
    Ok(())
}

/// The segment (its place in the view) and the document of a product.
///
/// # Errors
/// When the files cannot be read.
pub fn locate(view: &View, id: ProductId) -> tantivy::Result<Option<(usize, u32)>> {
    for (i, segment) in view.segments.iter().enumerate() {
        let ids = segment.reader.inverted_index(view.fields.id)?;
        let Some(info) = ids.terms().get(id.as_bytes())? else { continue };
        let mut postings = ids.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
        while !postings.docs().is_empty() {
            if let Some(doc) = postings.docs().iter().find(|&&doc| segment.is_alive(doc)) {
                return Ok(Some((i, *doc)));
            }
            postings.advance();
        }
    }
    Ok(None)
}
