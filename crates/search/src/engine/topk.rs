//! The first so many documents after a place, over all segments.

use std::collections::BinaryHeap;

use tantivy::DocId;

use super::keys::{Key, LocalKey, LocalPlace, Order, Place, SegmentOrder};

/// A document that was found, with its key.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it stands in the order.
    pub key: Key,
    /// The segment's number in the view.
    pub segment: usize,
    /// The document in the segment.
    pub doc: DocId,
}

/// The first documents of one segment.
pub struct Top {
    limit: usize,
    after: Option<LocalPlace>,
    /// Keys from here on are beyond what other segments have found already.
    bound: Option<LocalKey>,
    /// The greatest first number that may still get in.
    reach: u64,
    heap: BinaryHeap<(LocalKey, DocId)>,
    /// Whether a document stands at or before the place.
    pub passed: bool,
}

impl Top {
    /// Room for `limit` documents after `after` and before `bound`.
    pub fn new(limit: usize, after: Option<LocalPlace>, bound: Option<LocalKey>) -> Self {
        let reach = bound.map_or(u64::MAX, |b| first_of(&b));
        Self { limit, after, bound, reach, heap: BinaryHeap::with_capacity(limit + 1), passed: false }
    }

    /// The greatest first number that may still get in: a greater one need not be offered.
    #[inline]
    pub fn reach(&self) -> u64 {
        self.reach
    }

    /// Offers a document by its first number; the rest of its key is made only if that does not rule it out.
    #[inline]
    pub fn offer(&mut self, first: u64, doc: DocId, complete: impl FnOnce() -> LocalKey) {
        if first > self.reach {
            return;
        }
        if let Some(after) = &self.after
            && first < first_of(&after.key)
        {
            self.passed = true;
            return;
        }
        self.insert(complete(), doc);
    }

    fn insert(&mut self, key: LocalKey, doc: DocId) {
        if self.after.is_some_and(|after| !after.precedes(&key)) {
            self.passed = true;
            return;
        }
        if self.limit == 0 || self.bound.is_some_and(|bound| key >= bound) {
            return;
        }
        if self.heap.len() >= self.limit {
            if self.heap.peek().is_some_and(|(worst, _)| *worst <= key) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push((key, doc));
        if self.heap.len() >= self.limit
            && let Some((worst, _)) = self.heap.peek()
        {
            self.reach = first_of(worst);
        }
    }

    /// What was found, in order.
    pub fn into_sorted(self) -> Vec<(LocalKey, DocId)> {
        self.heap.into_sorted_vec()
    }
}

#[inline]
fn first_of(key: &LocalKey) -> u64 {
    let [first, ..] = key.values;
    first
}

/// The first documents of all segments looked at so far.
pub struct Best<'o> {
    order: &'o Order,
    limit: usize,
    /// In order.
    pub found: Vec<Found>,
    /// Whether a document stands at or before the place.
    pub passed: bool,
}

impl<'o> Best<'o> {
    /// Room for `limit` documents.
    pub fn new(order: &'o Order, limit: usize) -> Self {
        Self { order, limit, found: Vec::new(), passed: false }
    }

    /// An empty collection for the next segment, bounded by what is there already.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn top(&self, order: &SegmentOrder<'_>, after: Option<&Place>) -> tantivy::Result<Top> {
        let after = after.map(|place| local_place(order, place)).transpose()?;
        let bound = match self.found.last() {
            Some(worst) if self.found.len() >= self.limit => Some(order.to_local(&worst.key)?),
            _ => None,
        };
        Ok(Top::new(self.limit, after, bound))
    }

    /// Takes over what was found in a segment.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn take(&mut self, segment: usize, order: &SegmentOrder<'_>, top: Top) -> tantivy::Result<()> {
        self.passed |= top.passed;
        let before = self.found.len();
        for (key, doc) in top.into_sorted() {
            self.found.push(Found { key: order.to_key(&key)?, segment, doc });
        }
        if before > 0 && self.found.len() > before {
            self.found.sort_by(|a, b| self.order.compare(&a.key, &b.key));
        }
        self.found.truncate(self.limit);
        Ok(())
    }
}

/// A place as one segment's documents compare with it.
///
/// # Errors
/// When the segment's files cannot be read.
pub fn local_place(order: &SegmentOrder<'_>, place: &Place) -> tantivy::Result<LocalPlace> {
    Ok(LocalPlace { key: order.to_local(&place.key)?, inclusive: place.inclusive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u64, id: u128) -> LocalKey {
        LocalKey { values: [first, 0, 0], id }
    }

    fn top_of(top: &mut Top, keys: &[(u64, u128)]) {
        for (doc, &(first, id)) in (0..).zip(keys) {
            top.offer(first, doc, || key(first, id));
        }
    }

    #[test]
    fn the_smallest_after_the_place_are_kept_in_order() {
        let after = LocalPlace { key: key(2, 5), inclusive: false };
        let mut top = Top::new(3, Some(after), None);
        top_of(&mut top, &[(9, 1), (2, 5), (2, 6), (1, 9), (2, 7), (4, 0), (3, 1)]);
        assert!(top.passed);
        let found: Vec<u32> = top.into_sorted().into_iter().map(|(_, doc)| doc).collect();
        assert_eq!(found, [2, 4, 6]);
    }

    #[test]
    fn an_inclusive_place_counts_itself_and_nothing_before() {
        let after = LocalPlace { key: key(2, 5), inclusive: true };
        let mut top = Top::new(3, Some(after), None);
        top_of(&mut top, &[(2, 5), (2, 6)]);
        assert!(!top.passed);
        assert_eq!(top.into_sorted().len(), 2);
    }

    #[test]
    fn nothing_at_or_beyond_the_bound_is_kept() {
        let mut top = Top::new(3, None, Some(key(5, 5)));
        top_of(&mut top, &[(5, 5), (5, 6), (6, 0), (5, 4)]);
        assert_eq!(top.into_sorted(), [(key(5, 4), 3)]);
    }
}
