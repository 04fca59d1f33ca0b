//! How a page is found: by relevance, by an ordered walk or by a scan, whichever is expected to cost least.
//!
//! - By relevance: the text search hands out documents best first as far as it can tell, the filters are tested on
//!   those only.
//! - The ordered walk ([`super::walk`]): broad listings. Its cost grows with how rare matches are along the way, so
//!   that share is estimated on a sample, and the walk is given up when it costs more than the scan would.
//! - The scan: the documents that meet the filters are determined ([`super::docset`]) and the first few picked.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use haat_catalog::{CountMode, Cursor, FacetField, Query, SortField};
use tantivy::{DocId, u64_to_i64};

use super::bits::Bits;
use super::columns::value;
use super::docset::{BLOCK, DocSet, resolve};
use super::filters::{Clause, Condition, Kind, conditions};
use super::keys::{Order, Place, Score, SegmentOrder};
use super::topk::{Best, Found};
use super::view::{SegmentView, View};
use super::walk::{Budget, DOC_COST, TERM_COST, Walk};
use crate::text::{SegmentText, TextQuery};

/// How to find a page. Everything but `Cheapest` is for tests, which hold the ways against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// As the estimates say.
    #[default]
    Cheapest,
    /// The ordered walk wherever the order allows one, however long it takes.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    Walk,
    /// The scan, always.
    Scan,
}

/// A query over one state of the index.
pub struct Search<'a> {
    view: &'a View,
    text: Option<&'a TextQuery>,
    conditions: Vec<Condition>,
    /// By segment; one per condition and, last, the documents that match the text where they are needed.
    clauses: Vec<Vec<Clause<'a>>>,
    sets: OnceCell<Vec<DocSet>>,
    strategy: Strategy,
}

/// What was found for a page.
#[derive(Debug, Default)]
pub struct Picked {
    /// The documents, in order.
    pub found: Vec<Found>,
    /// Whether there are documents on the other side of the place.
    pub passed: bool,
}

/// Estimated nanoseconds.
mod cost {
    /// Testing one value of a column in bulk.
    pub const SCANNED: f64 = 1.3;
    /// Decoding one posting in bulk.
    pub const POSTING: f64 = 1.5;
    /// Testing one document after another.
    pub const TESTED: f64 = 12.0;
    /// Comparing one matching document with the page so far.
    pub const COMPARED: f64 = 6.0;
    /// Finding the beginning of a walk in one segment.
    pub const SEGMENT: f64 = 4_000.0;
}

/// Of a segment of which more than this part is deleted, values say too little.
const MOST_DELETED: u32 = 20;

/// How many documents a sample has.
const SAMPLE: u32 = 256;

impl<'a> Search<'a> {
    /// Prepares `query`; `text` is its text prepared for the same state. Pages are found as `strategy` says.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn new(
        view: &'a View,
        query: &'a Query,
        text: Option<&'a TextQuery>,
        strategy: Strategy,
    ) -> tantivy::Result<Self> {
        let conditions = conditions(query, &view.fields);
        let by_relevance = query.sort.first().is_some_and(|k| k.field == SortField::Relevance);
        let counted = query.count == CountMode::Exact || !query.facets.is_empty();
        let mut clauses = Vec::with_capacity(view.segments.len());
        for segment in &view.segments {
            let mut here = Vec::with_capacity(conditions.len() + 1);
            for condition in &conditions {
                here.push(condition.clause(segment)?);
            }
            if let Some(text) = text
                && (counted || !by_relevance || strategy == Strategy::Scan)
            {
                let matches = text.segment(&segment.reader)?.matching_words()?;
                here.push(Clause::known(Arc::new(Bits::from_words(matches, segment.max_doc()))));
            }
            clauses.push(here);
        }
        Ok(Self { view, text, conditions, clauses, sets: OnceCell::new(), strategy })
    }

    /// The segments and the documents of each that match.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn sets(&self) -> tantivy::Result<&[DocSet]> {
        if self.sets.get().is_none() {
            let sets = self.resolved(|_| true)?;
            return Ok(self.sets.get_or_init(|| sets));
        }
        Ok(self.sets.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// The documents that match everything but `facet`'s own filter; `None` when it has none and [`Self::sets`]
    /// will do.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn sets_for(&self, facet: &FacetField) -> tantivy::Result<Option<Vec<DocSet>>> {
        if !self.conditions.iter().any(|c| c.belongs_to(facet)) {
            return Ok(None);
        }
        self.resolved(|condition| !condition.belongs_to(facet)).map(Some)
    }

    fn resolved(&self, wanted: impl Fn(&Condition) -> bool) -> tantivy::Result<Vec<DocSet>> {
        let mut sets = Vec::with_capacity(self.clauses.len());
        for (segment, clauses) in self.view.segments.iter().zip(&self.clauses) {
            let kept: Vec<&Clause<'_>> = clauses
                .iter()
                .enumerate()
                .filter(|(i, _)| self.conditions.get(*i).is_none_or(&wanted))
                .map(|(_, clause)| clause)
                .collect();
            sets.push(resolve(segment, &kept)?);
        }
        Ok(sets)
    }

    /// How many products match.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn count(&self) -> tantivy::Result<u64> {
        if self.sets.get().is_none()
            && let Some(count) = self.count_of_range()?
        {
            return Ok(count);
        }
        let sets = self.sets()?;
        Ok(self.view.segments.iter().zip(sets).map(|(segment, set)| u64::from(set.count(segment))).sum())
    }

    /// The same where a range is all that is asked for and the values say how many documents have them; `None` where
    /// they do not, or where so much is deleted that looking at every document costs no more.
    fn count_of_range(&self) -> tantivy::Result<Option<u64>> {
        let (None, [only]) = (self.text, &self.conditions[..]) else { return Ok(None) };
        let Some((field, least, greatest)) = only.as_range() else { return Ok(None) };
        let mut count = 0;
        for segment in &self.view.segments {
            let Some(indexed) = self.view.fields.sort(field) else { return Ok(None) };
            let counts = segment.columns.counts(field, || segment.reader.inverted_index(indexed))?;
            let (Some(counts), Some(column)) = (counts, segment.columns.number(field)) else { return Ok(None) };
            count += u64::from(counts.between(least, greatest));
            if segment.reader.num_deleted_docs() > segment.max_doc() / MOST_DELETED {
                return Ok(None);
            }
            for doc in segment.deleted() {
                let gone = value(column, doc).is_some_and(|v| v >= least && v <= greatest);
                count = count.saturating_sub(u64::from(gone));
            }
        }
        Ok(Some(count))
    }

    /// The first `limit` products after `cursor` in the direction of `order`.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn pick(&self, order: &Order, cursor: Option<&Cursor>, limit: usize) -> tantivy::Result<Picked> {
        let after = cursor.map(|c| order.place(c, false));
        if order.first().field == SortField::Relevance && self.strategy != Strategy::Scan {
            return self.by_relevance(order, after.as_ref(), limit);
        }
        if let Some(budget) = self.walk_budget(order, limit)? {
            let walked = self.walk(order, after.as_ref(), limit, budget)?;
            if let Some(found) = walked {
                let passed = match cursor {
                    Some(cursor) => self.any_behind(order, cursor, budget)?,
                    None => false,
                };
                return Ok(Picked { found, passed });
            }
        }
        self.scan(order, after.as_ref(), limit)
    }

    /// Whether a product stands at the cursor or before it in the direction of `order`.
    fn any_behind(&self, order: &Order, cursor: &Cursor, budget: Budget) -> tantivy::Result<bool> {
        let back = order.reversed();
        let place = back.place(cursor, true);
        let found = match self.walk(&back, Some(&place), 1, budget)? {
            Some(found) => found,
            None => self.scan(&back, Some(&place), 1)?.found,
        };
        Ok(!found.is_empty())
    }

    /// Whether a document that is not known to be alive meets everything.
    fn accepts(&self, segment: &SegmentView, i: usize, doc: DocId) -> bool {
        if let Some(set) = self.sets.get().and_then(|sets| sets.get(i)) {
            return set.contains(segment, doc);
        }
        segment.is_alive(doc) && self.clauses.get(i).is_some_and(|clauses| clauses.iter().all(|c| c.test(doc)))
    }

    fn by_relevance(&self, order: &Order, after: Option<&Place>, limit: usize) -> tantivy::Result<Picked> {
        let Some(text) = self.text else { return Ok(Picked::default()) };
        let mut best = Best::new(order, limit);
        for (i, segment) in self.view.segments.iter().enumerate() {
            let keys = SegmentOrder::new(order, segment, None);
            let mut top = best.top(&keys, after)?;
            // Backward the worst score is wanted first: none is too low.
            let least = |reach| if order.is_backward() { i64::MIN } else { least_score(reach) };
            let threshold = least(top.reach());
            let mut push = |doc: DocId, score: i64| {
                let first = keys.number(0, doc, Some(score));
                top.offer(first, doc, || keys.complete(first, doc, Some(score)));
                least(top.reach())
            };
            let mut accept = |doc| self.accepts(segment, i, doc);
            text.segment(&segment.reader)?.top_from(threshold, &mut accept, &mut push)?;
            best.take(i, &keys, top)?;
        }
        Ok(Picked { found: best.found, passed: best.passed })
    }

    fn walk(
        &self,
        order: &Order,
        after: Option<&Place>,
        limit: usize,
        budget: Budget,
    ) -> tantivy::Result<Option<Vec<Found>>> {
        let orders: Vec<_> = self.view.segments.iter().map(|s| SegmentOrder::new(order, s, None)).collect();
        let accept =
            |i: usize, doc: DocId| self.view.segments.get(i).is_some_and(|segment| self.accepts(segment, i, doc));
        let bounds = self.bounds(order);
        let walk = Walk { view: self.view, orders: &orders, order, after, bounds, limit, accept: &accept };
        walk.run(budget)
    }

    fn bounds(&self, order: &Order) -> Option<(u64, u64)> {
        self.conditions.iter().find_map(|c| c.bounds(order.first().field))
    }

    fn scan(&self, order: &Order, after: Option<&Place>, limit: usize) -> tantivy::Result<Picked> {
        let sets = self.sets()?;
        let needs_score = order.keys().iter().any(|k| k.field == SortField::Relevance);
        let mut best = Best::new(order, limit);
        for (i, (segment, set)) in self.view.segments.iter().zip(sets).enumerate() {
            let scorer = match self.text {
                Some(text) if needs_score => Some(Scorer(RefCell::new(text.segment(&segment.reader)?))),
                _ => None,
            };
            let keys = SegmentOrder::new(order, segment, scorer.as_ref().map(|s| s as &dyn Score));
            let mut top = best.top(&keys, after)?;
            let (mut values, mut numbers) = ([None; BLOCK], [0; BLOCK]);
            set.blocks(segment, |docs| {
                let (Some(values), Some(numbers)) = (values.get_mut(..docs.len()), numbers.get_mut(..docs.len()))
                else {
                    return;
                };
                keys.first_numbers(docs, values, numbers);
                for (&doc, &mut first) in docs.iter().zip(numbers) {
                    top.offer(first, doc, || keys.complete(first, doc, None));
                }
            });
            best.take(i, &keys, top)?;
        }
        Ok(Picked { found: best.found, passed: best.passed })
    }

    /// What a walk may cost; `None` when a scan is expected to be cheaper, or no walk is possible.
    fn walk_budget(&self, order: &Order, limit: usize) -> tantivy::Result<Option<Budget>> {
        let possible = self.view.fields.sort(order.first().field).is_some()
            && order.keys().iter().all(|k| k.field != SortField::Relevance);
        match self.strategy {
            Strategy::Scan => return Ok(None),
            Strategy::Walk => return Ok(possible.then_some(Budget(u64::MAX))),
            Strategy::Cheapest if !possible => return Ok(None),
            Strategy::Cheapest => {}
        }
        let (along, all) = self.sample(order);
        let scan = self.scan_cost(all);
        let walk = self.walk_cost(order, along, limit)?;
        Ok((walk < scan).then_some(Budget(scan as u64)))
    }

    /// The share of the documents that meet the filters: those that a walk in `order` has to test on its way, and
    /// all of them.
    fn sample(&self, order: &Order) -> (f64, f64) {
        let walked = order.first().field;
        let total: u64 = self.view.segments.iter().map(|s| u64::from(s.max_doc())).sum();
        let step = (total / u64::from(SAMPLE)).max(1) as usize;
        let (mut looked, mut along, mut all) = (0_u32, 0_u32, 0_u32);
        for (i, (segment, clauses)) in self.view.segments.iter().zip(&self.clauses).enumerate() {
            // Segments of different size begin at different places, so that no rhythm in the data is met.
            for doc in (((i * 7) as u32)..segment.max_doc()).step_by(step) {
                looked += 1;
                let mut meets = (segment.is_alive(doc), segment.is_alive(doc));
                for (j, clause) in clauses.iter().enumerate() {
                    let met = clause.test(doc);
                    meets.1 &= met;
                    if self.conditions.get(j).and_then(|c| c.bounds(walked)).is_none() {
                        meets.0 &= met;
                    }
                }
                along += u32::from(meets.0);
                all += u32::from(meets.1);
            }
        }
        let share = |n: u32| (f64::from(n).max(0.5)) / f64::from(looked.max(1));
        (share(along), share(all))
    }

    fn scan_cost(&self, share: f64) -> f64 {
        let total = self.view.num_docs() as f64;
        if let Some(sets) = self.sets.get() {
            let matching: u64 = self.view.segments.iter().zip(sets).map(|(s, set)| u64::from(set.count(s))).sum();
            return matching as f64 * cost::COMPARED;
        }
        let mut sum = total * share * cost::COMPARED;
        for (segment, clauses) in self.view.segments.iter().zip(&self.clauses) {
            let docs = f64::from(segment.max_doc());
            let least = clauses.iter().map(|c| c.most).min().unwrap_or(0);
            if f64::from(least) * 32.0 <= docs {
                sum += f64::from(least) * (cost::POSTING + cost::TESTED * clauses.len() as f64);
                continue;
            }
            for clause in clauses {
                sum += match clause.kind {
                    Kind::Everything | Kind::Nothing | Kind::Known(_) => docs / 64.0,
                    Kind::Terms(_) => f64::from(clause.most) * cost::POSTING + docs / 64.0,
                    Kind::Range { .. } => docs * cost::SCANNED,
                    Kind::Circle { .. } => docs * cost::TESTED,
                };
            }
        }
        sum
    }

    fn walk_cost(&self, order: &Order, share: f64, limit: usize) -> tantivy::Result<f64> {
        let Some(field) = self.view.fields.sort(order.first().field) else { return Ok(f64::INFINITY) };
        let Some(largest) = self.view.segments.first() else { return Ok(0.0) };
        let terms = largest.reader.inverted_index(field)?.terms().num_terms().max(1) as f64;
        let docs_per_term = (f64::from(largest.max_doc()) / terms).max(1.0);
        let docs = limit as f64 / share;
        let groups = (docs / docs_per_term).max(1.0);
        let segments = self.view.segments.len() as f64;
        Ok(groups * (TERM_COST as f64 + docs_per_term * DOC_COST as f64) + segments * cost::SEGMENT)
    }
}

/// The lowest score whose number does not lie beyond `reach`.
fn least_score(reach: u64) -> i64 {
    u64_to_i64((u64::MAX - 1).saturating_sub(reach))
}

/// Scores documents one by one.
struct Scorer<'a>(RefCell<SegmentText<'a>>);

impl Score for Scorer<'_> {
    fn score(&self, doc: DocId) -> Option<i64> {
        self.0.try_borrow_mut().ok()?.score(doc)
    }
}
