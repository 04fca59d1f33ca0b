//! What a search looks at: one unchanging state of the index, its segments with their columns open.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tantivy::index::SegmentId;
use tantivy::{DocId, Searcher, SegmentReader};

use super::bits::Bits;
use super::columns::Columns;
use super::ordinals::Ordinals;
use crate::schema::Fields;

/// One state of the index.
pub struct View {
    /// Tantivy's side of it.
    pub searcher: Searcher,
    /// The schema's fields.
    pub fields: Fields,
    /// The segments, largest first: what they yield bounds what is worth looking for in the small ones.
    pub segments: Vec<SegmentView>,
    /// Which values facet columns share over all segments; made when first asked for.
    pub ordinals: Ordinals,
}

/// One segment of a state.
pub struct SegmentView {
    /// Tantivy's side of it.
    pub reader: SegmentReader,
    /// Its number in the searcher.
    pub number: u32,
    /// Its columns.
    pub columns: Arc<Columns>,
    alive: OnceLock<Option<Arc<Bits>>>,
}

impl View {
    /// Opens what `searcher` sees; what `previous` has open of the same segments is taken over.
    ///
    /// # Errors
    /// When a segment's files cannot be read.
    pub fn open(searcher: Searcher, fields: Fields, previous: Option<&View>) -> tantivy::Result<Self> {
        let before = previous.into_iter().flat_map(|view| &view.segments);
        let known: HashMap<SegmentId, &SegmentView> = before.map(|s| (s.reader.segment_id(), s)).collect();
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        for (number, reader) in (0_u32..).zip(searcher.segment_readers()) {
            let known = known.get(&reader.segment_id());
            let columns = match known {
                Some(same) => Arc::clone(&same.columns),
                None => Arc::new(Columns::open(reader, &fields)?),
            };
            let (mut reader, mut alive) = (reader.clone(), OnceLock::new());
            if let Some(same) = known.filter(|same| same.reader.delete_opstamp() == reader.delete_opstamp()) {
                // Nothing was deleted in between: what the old reader has opened need not be opened again.
                (reader, alive) = (same.reader.clone(), same.alive.clone());
            }
            segments.push(SegmentView { reader, number, columns, alive });
        }
        segments.sort_by_key(|s| std::cmp::Reverse(s.reader.num_docs()));
        Ok(Self { searcher, fields, segments, ordinals: Ordinals::default() })
    }

    /// Products in it.
    pub fn num_docs(&self) -> u64 {
        self.searcher.num_docs()
    }
}

impl SegmentView {
    /// Documents in the segment, deleted ones included.
    pub fn max_doc(&self) -> u32 {
        self.columns.max_doc
    }

    /// Whether the document is not deleted.
    #[inline]
    pub fn is_alive(&self, doc: DocId) -> bool {
        self.reader.alive_bitset().is_none_or(|alive| alive.is_alive(doc))
    }

    /// The documents that are deleted.
    pub fn deleted(&self) -> impl Iterator<Item = DocId> + '_ {
        self.alive().into_iter().flat_map(|alive| alive.iter_missing())
    }

    /// The documents that are not deleted; `None` when none is deleted.
    pub fn alive(&self) -> Option<&Bits> {
        let bits = || {
            self.reader
                .has_deletes()
                .then(|| self.reader.alive_bitset())
                .flatten()
                .map(|alive| Arc::new(Bits::from_fn(self.max_doc(), |doc| alive.is_alive(doc))))
        };
        self.alive.get_or_init(bits).as_deref()
    }
}
