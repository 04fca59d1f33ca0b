//! A posting list read forward.

use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, TERMINATED};

/// A position in a posting list.
pub struct Cursor {
    block: BlockSegmentPostings,
    at: usize,
}

impl Cursor {
    /// At the first document of a term.
    pub fn open(index: &InvertedIndexReader, term: &TermInfo) -> std::io::Result<Self> {
        let block = index.read_block_postings_from_terminfo(term, IndexRecordOption::Basic)?;
        Ok(Self { block, at: 0 })
    }

    /// The document it stands at; [`TERMINATED`] after the last one.
    #[inline]
    pub fn doc(&self) -> DocId {
        self.block.doc(self.at)
    }

    /// Goes on to the first document that is `target` or later.
    #[inline]
    pub fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() < target {
            self.at = self.block.seek(target);
        }
        self.doc()
    }

    /// Calls `each` for every document from here to `end`, exclusive, and stands after them.
    #[inline]
    pub fn for_each(&mut self, end: DocId, mut each: impl FnMut(DocId)) {
        // A block that is not full is the last one; behind its documents it is padded with TERMINATED.
        const FULL: usize = 128;
        loop {
            let docs = self.block.docs();
            let rest = docs.get(self.at..).unwrap_or_default();
            if rest.last().is_some_and(|last| *last < end) {
                rest.iter().for_each(|doc| each(*doc));
                if docs.len() < FULL {
                    self.at = docs.len();
                    return;
                }
                self.block.advance();
                self.at = 0;
                continue;
            }
            let before = rest.iter().take_while(|doc| **doc < end).inspect(|doc| each(**doc)).count();
            self.at += before;
            return;
        }
    }

    /// Whether it is past its end.
    pub fn ended(&self) -> bool {
        self.doc() == TERMINATED
    }
}
