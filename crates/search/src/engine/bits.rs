//! Sets of documents as bits.

use tantivy::DocId;

/// A set of documents of one segment, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    max_doc: u32,
}

impl Bits {
    /// The empty set over documents 0 to `max_doc`, exclusive.
    pub fn empty(max_doc: u32) -> Self {
        Self { words: vec![0; max_doc.div_ceil(64) as usize], max_doc }
    }

    /// The set of all documents.
    pub fn full(max_doc: u32) -> Self {
        let mut bits = Self { words: vec![u64::MAX; max_doc.div_ceil(64) as usize], max_doc };
        if !max_doc.is_multiple_of(64)
            && let Some(last) = bits.words.last_mut()
        {
            *last = (1_u64 << (max_doc % 64)) - 1;
        }
        bits
    }

    /// From 64 documents to a number, the lowest first.
    pub fn from_words(mut words: Vec<u64>, max_doc: u32) -> Self {
        words.resize(max_doc.div_ceil(64) as usize, 0);
        Self { words, max_doc }
    }

    /// The documents for which `test` holds.
    pub fn from_fn(max_doc: u32, test: impl Fn(DocId) -> bool) -> Self {
        let mut bits = Self::empty(max_doc);
        for (i, word) in bits.words.iter_mut().enumerate() {
            let base = i as u32 * 64;
            for bit in 0..64.min(max_doc - base) {
                *word |= u64::from(test(base + bit)) << bit;
            }
        }
        bits
    }

    /// Adds a document; those from `max_doc` on are ignored.
    #[inline]
    pub fn insert(&mut self, doc: DocId) {
        if let Some(word) = self.words.get_mut((doc / 64) as usize) {
            *word |= 1 << (doc % 64);
        }
    }

    /// Whether the document is in the set.
    #[inline]
    pub fn contains(&self, doc: DocId) -> bool {
        self.words.get((doc / 64) as usize).is_some_and(|word| word & (1 << (doc % 64)) != 0)
    }

    /// Removes what is not in `other`.
    pub fn intersect(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    /// Removes the documents for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(DocId) -> bool) {
        for (i, word) in self.words.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !keep(i as u32 * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// How many documents there are.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|w| w.count_ones()).sum()
    }

    /// The documents that are not in the set, in order.
    pub fn iter_missing(&self) -> impl Iterator<Item = DocId> + '_ {
        // The last word has bits that are no documents.
        places(self.words.iter().map(|word| !word)).take_while(|doc| *doc < self.max_doc)
    }

    /// The documents in order.
    pub fn iter(&self) -> impl Iterator<Item = DocId> + '_ {
        places(self.words.iter().copied())
    }

    /// The bound of the documents.
    pub fn max_doc(&self) -> u32 {
        self.max_doc
    }
}

/// The places of the bits that are set.
fn places(words: impl Iterator<Item = u64>) -> impl Iterator<Item = DocId> {
    (0_u32..).step_by(64).zip(words).flat_map(|(base, word)| {
        let mut left = word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(base + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_has_every_document_and_no_other() {
        for max_doc in [0, 1, 63, 64, 65, 200] {
            let full = Bits::full(max_doc);
            assert_eq!(full.count(), max_doc);
            assert_eq!(full.iter().collect::<Vec<_>>(), (0..max_doc).collect::<Vec<_>>());
            assert!(!full.contains(max_doc));
            assert_eq!(full.iter_missing().next(), None);
            assert!(Bits::empty(max_doc).iter_missing().eq(0..max_doc));
        }
    }

    #[test]
    fn retaining_and_intersecting_leave_what_both_have() {
        let mut even = Bits::from_fn(150, |d| d % 2 == 0);
        let mut third = Bits::empty(150);
        (0..150).filter(|d| d % 3 == 0).for_each(|d| third.insert(d));
        even.intersect(&third);
        assert_eq!(even.iter().collect::<Vec<_>>(), (0..150).filter(|d| d % 6 == 0).collect::<Vec<_>>());
        even.retain(|d| d >= 60);
        assert_eq!(even.count(), 15);
    }
}
