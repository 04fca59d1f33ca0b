//! Pages are bounded by rows and by bytes: 5,000 products may be a megabyte or five gigabytes.

/// How many bytes of documents a page has. One document always fits, and the last few may go beyond.
const PAGE_BYTES: usize = 16 << 20;
/// How many documents are asked for first, while nothing is known of their size.
const FIRST: usize = 16;
/// The most that are asked for at once: what they are at worst must fit into memory.
const MOST: usize = 128;

/// What a page may still hold.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    bytes: usize,
    documents: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { left: PAGE_BYTES, bytes: 0, documents: 0 }
    }

    /// How many documents to ask for next, judged by those before: at least one.
    pub(crate) fn documents(&self) -> usize {
        self.documents_in(self.left)
    }

    /// How many may be in memory at once, where those before are gone when the next come: at least one.
    pub(crate) fn at_once(&self) -> usize {
        self.documents_in(PAGE_BYTES)
    }

    fn documents_in(&self, bytes: usize) -> usize {
        if self.documents == 0 {
            return FIRST;
        }
        let average = (self.bytes / self.documents).max(1);
        (bytes / average).clamp(1, MOST)
    }

    /// Counts documents that were fetched.
    pub(crate) fn spend(&mut self, documents: usize, bytes: usize) {
        self.documents += documents;
        self.bytes += bytes;
        self.left = self.left.saturating_sub(bytes);
    }

    /// Whether the page is full.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_are_asked_for_the_larger_they_are() {
        let mut small = Budget::new();
        small.spend(16, 16 * 500);
        assert_eq!(small.documents(), MOST);
        let mut large = Budget::new();
        large.spend(16, 12 << 20);
        assert_eq!(large.documents(), 5);
        large.spend(5, 4 << 20);
        assert!(large.is_spent());
        assert_eq!((large.documents(), large.at_once()), (1, 21));
    }
}
