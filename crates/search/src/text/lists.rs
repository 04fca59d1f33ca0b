//! The documents of a segment that match one word in one class and one text.

use std::sync::Arc;

use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::{DocId, TERMINATED};

use super::cursor::Cursor;
use super::score::Class;
use super::sequence::Sequence;

/// How many documents are looked at together at most: their bits and those of all lists stay in the cache.
pub(super) const WINDOW: u32 = 1 << 16;

/// Two words that must follow each other.
pub(super) struct Pair {
    pub first: TermInfo,
    pub second: TermInfo,
    pub hashes: (u16, u16),
}

/// See the module. Read forward only; [`Self::rewind`] starts again.
pub(super) struct List {
    pub class: Class,
    pub text: usize,
    pub points: u32,
    index: Arc<InvertedIndexReader>,
    terms: Vec<TermInfo>,
    pairs: Vec<Pair>,
    /// An upper bound of how many documents there are.
    docs: u64,
    everything: bool,
    /// The postings of `terms`; empty until they are needed.
    cursors: Vec<Cursor>,
    open: bool,
    /// The documents of `pairs`; found when they are needed, and only once.
    adjacent: Option<Vec<DocId>>,
    adjacent_at: usize,
    window: Window,
    bits: Vec<u64>,
}

/// What is known of a list's documents in the window that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    /// Nothing: they must be sought.
    Unread,
    /// There are none.
    Empty,
    /// All: they are in `bits`, which begins with this document.
    Read(DocId),
}

impl List {
    /// `None` when the list is empty.
    pub(super) fn new(
        (class, text): (Class, usize),
        index: Arc<InvertedIndexReader>,
        terms: Vec<TermInfo>,
        pairs: Vec<Pair>,
        max_doc: u32,
    ) -> Option<Self> {
        if terms.is_empty() && pairs.is_empty() {
            return None;
        }
        let of_terms: u64 = terms.iter().map(|t| u64::from(t.doc_freq)).sum();
        let of_pairs: u64 = pairs.iter().map(|p| u64::from(p.first.doc_freq.min(p.second.doc_freq))).sum();
        Some(Self {
            class,
            text,
            points: super::score::points(class, text),
            index,
            docs: of_terms + of_pairs,
            everything: terms.iter().any(|t| t.doc_freq == max_doc),
            terms,
            pairs,
            cursors: Vec::new(),
            open: false,
            adjacent: None,
            adjacent_at: 0,
            window: Window::Unread,
            bits: Vec::new(),
        })
    }

    /// An upper bound of how many documents there are.
    pub(super) fn docs(&self) -> u64 {
        self.docs
    }

    /// How many places a document is sought in.
    pub(super) fn sources(&self) -> u64 {
        self.terms.len() as u64 + u64::from(!self.pairs.is_empty())
    }

    /// Goes back to the first document.
    pub(super) fn rewind(&mut self) {
        self.cursors.clear();
        self.open = false;
        self.adjacent_at = 0;
        self.window = Window::Unread;
    }

    /// Forgets the window.
    pub(super) fn leave_window(&mut self) {
        self.window = Window::Unread;
    }

    /// Whether the window's documents are known.
    pub(super) fn is_read(&self) -> bool {
        self.window != Window::Unread
    }

    fn open(&mut self, sequence: &Sequence) -> std::io::Result<()> {
        if self.open {
            return Ok(());
        }
        if !self.everything {
            self.cursors = self.terms.iter().map(|t| Cursor::open(&self.index, t)).collect::<Result<_, _>>()?;
        }
        if self.adjacent.is_none() && !self.pairs.is_empty() {
            self.adjacent = Some(self.find_adjacent(sequence)?);
        }
        self.open = true;
        Ok(())
    }

    /// The documents in which the words of a pair follow each other.
    fn find_adjacent(&self, sequence: &Sequence) -> std::io::Result<Vec<DocId>> {
        let mut found = Vec::new();
        for pair in &self.pairs {
            let mut first = Cursor::open(&self.index, &pair.first)?;
            let mut second = Cursor::open(&self.index, &pair.second)?;
            while !first.ended() && !second.ended() {
                let doc = second.seek(first.doc());
                if doc != TERMINATED && first.seek(doc) == doc {
                    if sequence.follows(doc, self.text, pair.hashes) {
                        found.push(doc);
                    }
                    first.seek(doc + 1);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether the document is in the list. Documents must be asked for in ascending order.
    pub(super) fn contains(&mut self, doc: DocId, sequence: &Sequence) -> std::io::Result<bool> {
        match self.window {
            _ if self.everything => return Ok(true),
            Window::Empty => return Ok(false),
            Window::Read(start) => return Ok(bit(&self.bits, doc.wrapping_sub(start))),
            Window::Unread => self.open(sequence)?,
        }
        if self.cursors.iter_mut().any(|cursor| cursor.seek(doc) == doc) {
            return Ok(true);
        }
        let adjacent = self.adjacent.as_deref().unwrap_or_default();
        let rest = adjacent.get(self.adjacent_at..).unwrap_or_default();
        self.adjacent_at += rest.partition_point(|d| *d < doc);
        Ok(adjacent.get(self.adjacent_at) == Some(&doc))
    }

    /// Reads all documents from `start` to `end`, exclusive, which must be at most [`WINDOW`] later, and adds them to
    /// `union`, whose first bit is `start`.
    pub(super) fn read_window(
        &mut self,
        (start, end): (DocId, DocId),
        union: &mut [u64],
        sequence: &Sequence,
    ) -> std::io::Result<()> {
        if self.window == Window::Unread {
            self.fill(start, end, sequence)?;
        }
        if self.window != Window::Empty {
            union.iter_mut().zip(&self.bits).for_each(|(a, b)| *a |= b);
        }
        Ok(())
    }

    fn fill(&mut self, start: DocId, end: DocId, sequence: &Sequence) -> std::io::Result<()> {
        self.open(sequence)?;
        let length = (end - start).div_ceil(64) as usize;
        self.bits.clear();
        if self.everything {
            self.bits.resize(length, u64::MAX);
            if let Some(last) = self.bits.last_mut()
                && !(end - start).is_multiple_of(64)
            {
                *last = (1 << ((end - start) % 64)) - 1;
            }
            self.window = Window::Read(start);
            return Ok(());
        }
        self.bits.resize(length, 0);
        let (bits, mut any) = (&mut self.bits, false);
        let mut set = |doc: DocId| {
            if let Some(word) = bits.get_mut(((doc - start) / 64) as usize) {
                *word |= 1 << ((doc - start) % 64);
                any = true;
            }
        };
        for cursor in &mut self.cursors {
            if cursor.seek(start) < end {
                cursor.for_each(end, &mut set);
            }
        }
        let adjacent = self.adjacent.as_deref().unwrap_or_default();
        let from = adjacent.partition_point(|d| *d < start);
        adjacent.iter().skip(from).take_while(|d| **d < end).for_each(|d| set(*d));
        self.window = if any { Window::Read(start) } else { Window::Empty };
        Ok(())
    }
}

/// Whether the bit is set; false beyond the end.
pub(super) fn bit(bits: &[u64], n: u32) -> bool {
    bits.get((n / 64) as usize).is_some_and(|word| word >> (n % 64) & 1 == 1)
}
