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
    alive: OnceLock<Option<Bits>>,
}

impl View {
    /// Opens what `searcher` sees; columns of segments that `previous` has are taken over.
    ///
    /// # Errors
    /// When a segment's files cannot be read.
    pub fn open(searcher: Searcher, fields: Fields, previous: Option<&View>) -> tantivy::Result<Self> {
        let known: HashMap<SegmentId, &Arc<Columns>> = previous
            .into_iter()
            .flat_map(|view| view.segments.iter().map(|s| (s.reader.segment_id(), &s.columns)))
            .collect();
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        for (number, reader) in (0_u32..).zip(searcher.segment_readers()) {
            let columns = match known.get(&reader.segment_id()) {
                Some(columns) => Arc::clone(columns),
                None => Arc::new(Columns::open(reader, &fields)?),
            };
            segments.push(SegmentView { reader: reader.clone(), number, columns, alive: OnceLock::new() });
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

    /// The documents that are not deleted; `None` when none is deleted.
    pub fn alive(&self) -> Option<&Bits> {
        let bits = || {
            self.reader
                .has_deletes()
                .then(|| self.reader.alive_bitset())
                .flatten()
                .map(|alive| Bits::from_fn(self.max_doc(), |doc| alive.is_alive(doc)))
        };
        self.alive.get_or_init(bits).as_ref()
    }
}
