//! The ordered walk: the terms of a sort field one after the other, in order, over all segments at once, from a
//! place on, until the page is full. A broad listing touches a few dozen documents this way instead of all.
//!
//! Documents with equal values are put in order by the remaining keys and the id, group by group. Products without
//! a value are one more group: the last one, or the first one of a walk backward that begins there.

use std::sync::Arc;

use haat_catalog::SortField;
use tantivy::DocId;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;
use tantivy::termdict::{TermDictionary, TermStreamer};

use super::keys::{Order, Place, SegmentOrder, first_term};
use super::topk::{Best, Found, Top};
use super::view::View;

/// What a walk may cost before it is given up, in nanoseconds as estimated.
#[derive(Debug, Clone, Copy)]
pub struct Budget(pub u64);

/// Going to a term and opening its postings.
pub const TERM_COST: u64 = 350;
/// Looking at a document of a group.
pub const DOC_COST: u64 = 25;

impl Budget {
    fn spend(&mut self, cost: u64) -> bool {
        let enough = self.0 >= cost;
        self.0 = self.0.saturating_sub(cost);
        enough
    }
}

/// What to walk for.
pub struct Walk<'a> {
    /// The state of the index.
    pub view: &'a View,
    /// The order in each segment.
    pub orders: &'a [SegmentOrder<'a>],
    /// The order.
    pub order: &'a Order,
    /// Where to begin.
    pub after: Option<&'a Place>,
    /// The least and the greatest value that the filters allow in the walked field.
    pub bounds: Option<(u64, u64)>,
    /// How many documents are wanted.
    pub limit: usize,
    /// Whether a document (by segment) meets the filters and is not deleted.
    pub accept: &'a dyn Fn(usize, DocId) -> bool,
}

/// One segment's dictionary, read in one direction.
struct Terms<'t> {
    stream: TermStreamer<'t>,
    /// Whether the stream stands at a term.
    live: bool,
}

impl Walk<'_> {
    /// The first documents after the place, in order; `None` when the budget did not suffice.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn run(&self, mut budget: Budget) -> tantivy::Result<Option<Vec<Found>>> {
        let field = self.order.first().field;
        let mut best = Best::new(self.order, self.limit);
        let backward = self.order.is_backward();
        let begins_missing = self.after.is_some_and(|p| first_term(self.order, &p.key).is_none());
        let has_missing = self.bounds.is_none() && matches!(field, SortField::Rating | SortField::Stock);
        if backward && begins_missing && has_missing && !self.missing(field, &mut best, &mut budget)? {
            return Ok(None);
        }
        if (backward || !begins_missing) && !self.terms(field, &mut best, &mut budget)? {
            return Ok(None);
        }
        let open = best.found.len() < self.limit;
        if !backward && has_missing && open && !self.missing(field, &mut best, &mut budget)? {
            return Ok(None);
        }
        Ok(Some(best.found))
    }

    /// Whether ordinals grow along the walk.
    fn ascending(&self) -> bool {
        self.order.first().descending == self.order.is_backward()
    }

    fn terms(&self, field: SortField, best: &mut Best<'_>, budget: &mut Budget) -> tantivy::Result<bool> {
        let Some(field) = self.view.fields.sort(field) else { return Ok(false) };
        let ascending = self.ascending();
        let mut readers = Vec::with_capacity(self.view.segments.len());
        for segment in &self.view.segments {
            readers.push(segment.reader.inverted_index(field)?);
        }
        let mut lists = Vec::with_capacity(readers.len());
        for reader in &readers {
            lists.push(self.opened(reader.terms())?);
        }
        let mut term = Vec::new();
        let mut group = Vec::new();
        while best.found.len() < self.limit {
            let current = lists.iter().filter(|t| t.live).map(|t| t.stream.key());
            let Some(next) = (if ascending { current.min() } else { current.max() }) else { break };
            term.clear();
            term.extend_from_slice(next);
            group.clear();
            for (i, (terms, reader)) in lists.iter_mut().zip(&readers).enumerate() {
                if terms.live && terms.stream.key() == term {
                    group.push((i, Arc::clone(reader), terms.stream.value().clone()));
                    terms.live = terms.stream.advance();
                }
            }
            if !self.group(&group, best, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The part of a dictionary that lies at or after the place and within the bounds.
    fn opened<'t>(&self, terms: &'t TermDictionary) -> tantivy::Result<Terms<'t>> {
        let bounds =
            self.bounds.map(|(least, greatest)| (least.to_be_bytes().to_vec(), greatest.to_be_bytes().to_vec()));
        let (mut from, mut to) = bounds.map_or((None, None), |(least, greatest)| (Some(least), Some(greatest)));
        if let Some(term) = self.after.and_then(|p| first_term(self.order, &p.key)) {
            if self.ascending() {
                from = Some(from.map_or(term.clone(), |from| from.max(term)));
            } else {
                to = Some(to.map_or(term.clone(), |to| to.min(term)));
            }
        }
        let mut range = terms.range();
        if let Some(from) = from {
            range = range.ge(from);
        }
        if let Some(to) = to {
            range = range.le(to);
        }
        let mut stream = if self.ascending() { range.into_stream()? } else { range.backward().into_stream()? };
        let live = stream.advance();
        Ok(Terms { stream, live })
    }

    fn missing(&self, field: SortField, best: &mut Best<'_>, budget: &mut Budget) -> tantivy::Result<bool> {
        let mut group = Vec::new();
        for (i, segment) in self.view.segments.iter().enumerate() {
            let postings = segment.reader.inverted_index(self.view.fields.missing)?;
            if let Some(info) = postings.terms().get(field.name())? {
                group.push((i, postings, info));
            }
        }
        self.group(&group, best, budget)
    }

    /// Puts the documents of equal first value in order and takes as many as are still wanted.
    fn group(
        &self,
        group: &[(usize, Arc<InvertedIndexReader>, TermInfo)],
        best: &mut Best<'_>,
        budget: &mut Budget,
    ) -> tantivy::Result<bool> {
        let mut equals = Best::new(self.order, self.limit - best.found.len());
        for (i, postings, info) in group {
            if !budget.spend(TERM_COST + DOC_COST * u64::from(info.doc_freq)) {
                return Ok(false);
            }
            let Some(order) = self.orders.get(*i) else { continue };
            let mut top: Option<Top> = None;
            let mut block = postings.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
            while !block.docs().is_empty() {
                for &doc in block.docs() {
                    if !(self.accept)(*i, doc) {
                        continue;
                    }
                    if top.is_none() {
                        top = Some(equals.top(order, self.after)?);
                    }
                    if let Some(top) = &mut top {
                        let first = order.number(0, doc, None);
                        top.offer(first, doc, || order.complete(first, doc, None));
                    }
                }
                block.advance();
            }
            if let Some(top) = top {
                equals.take(*i, order, top)?;
            }
        }
        best.found.append(&mut equals.found);
        Ok(true)
    }
}
