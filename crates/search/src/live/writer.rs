//! Writing into a generation: products in, changes applied, commits that carry how far they go.

use std::collections::HashMap;

use haat_catalog::ports::StoredProduct;
use haat_catalog::{Change, ProductId};
use tantivy::indexer::{IndexWriterOptions, MergePolicy};
use tantivy::schema::IndexRecordOption;
use tantivy::{IndexWriter, TantivyDocument, TantivyError, Term};

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
        // What a crash left of an unfinished commit: tantivy names files of deletions after the number of the operation,
        // counts on from the last commit, and fails for ever at a name that is there already.
        writer.garbage_collect_files().wait()?;
        // And it gives the first operation the number that the last commit has. A merge that begins before the next
        // commit takes that operation for a committed one, for some of its segments, and a deletion can be lost. So the
        // first operation is one that may be lost: no id is empty.
        writer.delete_term(Term::from_field_bytes(generation.fields.id, b""));
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use haat_catalog::{ChangeOp, Origin, Seq, Timestamp};
    use haat_testkit::generate::Generator;
    use tantivy::index::SegmentMeta;
    use tantivy::indexer::{MergeCandidate, NoMergePolicy};

    const EFFORT: Effort = Effort { threads: 1, memory: 0 };

    fn id(n: u8) -> ProductId {
        ProductId::from_bytes([n; 16])
    }

    fn change(n: u8, stock: i64) -> Change {
        let mut product = Generator::new(1).products(1).remove(0);
        (product.id, product.stock) = (id(n), Some(stock));
        Change {
            seq: Seq(1),
            op: ChangeOp::Updated,
            id: id(n),
            sku: product.sku.clone(),
            version: 1,
            at: Timestamp::from_millis(0),
            document: Some(Bytes::from(product.to_json())),
        }
    }

    fn write(generation: &Generation, writer: &mut Writer, changes: &[Change], seq: u64) {
        writer.apply(changes, &generation.view(None).unwrap()).unwrap();
        writer.commit(Payload::new(Seq(seq), true, Origin::default(), None)).unwrap();
    }

    fn open(generation: &Generation, merging: impl MergePolicy + 'static) -> Writer {
        Writer::open(generation, EFFORT, Box::new(merging)).unwrap()
    }

    #[test]
    fn what_a_crash_left_of_a_commit_does_not_stop_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let generation = Generation::create(folder.path()).unwrap();
        let mut writer = open(&generation, NoMergePolicy);
        write(&generation, &mut writer, &[change(1, 1), change(2, 1)], 1);
        let meta = folder.path().join("meta.json");
        let before = std::fs::read(&meta).unwrap();
        drop(writer);
        // A commit whose files are written, and whose list of files is not.
        let mut writer = open(&generation, NoMergePolicy);
        write(&generation, &mut writer, &[change(1, 2)], 2);
        drop(writer);
        std::fs::write(&meta, before).unwrap();
        let (generation, payload) = Generation::open(folder.path()).unwrap();
        assert_eq!(payload.seq, Seq(1));
        let mut writer = open(&generation, NoMergePolicy);
        write(&generation, &mut writer, &[change(1, 2)], 2);
        assert_eq!(generation.view(None).unwrap().num_docs(), 2);
    }

    /// Merges all segments, those without deletions first.
    #[derive(Debug)]
    struct All;

    impl MergePolicy for All {
        fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
            let mut sorted: Vec<_> = segments.iter().collect();
            sorted.sort_by_key(|segment| segment.num_deleted_docs());
            if sorted.len() < 3 { vec![] } else { vec![MergeCandidate(sorted.iter().map(|s| s.id()).collect())] }
        }
    }

    #[test]
    fn a_merge_that_begins_before_the_first_commit_of_a_writer_loses_no_deletion() {
        let folder = tempfile::tempdir().unwrap();
        let generation = Generation::create(folder.path()).unwrap();
        let mut writer = open(&generation, NoMergePolicy);
        write(&generation, &mut writer, &[change(1, 1), change(2, 1), change(4, 1)], 1);
        write(&generation, &mut writer, &[change(3, 1)], 2);
        // The last commit deletes something in the first segment.
        write(&generation, &mut writer, &[change(2, 2)], 3);
        drop(writer);
        let mut writer = open(&generation, All);
        write(&generation, &mut writer, &[change(1, 2)], 4);
        writer.writer.wait_merging_threads().unwrap();
        assert_eq!(generation.view(None).unwrap().num_docs(), 4, "a product is in the index twice");
    }
}
