//! The best documents of a segment, without looking at those that cannot be among them.
//!
//! Documents are looked at in windows, in two passes: first those that match every word, then those that match fewer. As
//! the page fills, `push` answers with the score that is needed to get onto it, and that score tells
//!
//! - how many words must match: all candidates are then in the lists of the rarest words,
//! - which lists can contribute at all: the worst lists of a word (its occurrences in descriptions, its completions) are no
//!   longer read,
//! - how short the name must be, even of a document whose words stand as close as can be: most candidates are passed over
//!   after a look at one byte.

use tantivy::{DocId, TantivyError};

use super::lists::WINDOW;
use super::score::{MAX_WORDS, SKU, Score};
use super::segment::SegmentText;
use super::sequence::ADJACENT;

/// How many documents are looked at first, while nothing is known of what is needed. Twice as many the next time, up to
/// [`WINDOW`].
const FIRST_WINDOW: u32 = 2_048;
/// What it costs to seek a document in a list, counted in documents read from a list.
const SEEK_COST: u64 = 12;

/// Which documents a pass is about: those that match so many words.
#[derive(Clone, Copy)]
struct Pass {
    least: usize,
    most: usize,
}

/// What the caller answers to documents.
struct Page<'a> {
    accept: &'a mut dyn FnMut(DocId) -> bool,
    push: &'a mut dyn FnMut(DocId, i64) -> i64,
    threshold: i64,
}

/// How to look at the next window.
struct Plan {
    /// Of these words every document has one.
    drivers: Vec<usize>,
    /// The other words that have active lists, rarest first.
    others: Vec<usize>,
    /// The best score that a document with a name of no words could have.
    best: i64,
}

impl SegmentText<'_> {
    /// Calls `push` for every document that matches, is not deleted, is accepted, and whose score is at least what the
    /// last `push` returned (`i64::MIN`: any score); of documents with a lower score for some or none. In no order.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn top(
        &mut self,
        accept: &mut dyn FnMut(DocId) -> bool,
        push: &mut dyn FnMut(DocId, i64) -> i64,
    ) -> tantivy::Result<()> {
        self.top_from(i64::MIN, accept, push)
    }

    /// [`Self::top`] with a score that is needed from the start, known from other segments: they are best searched from
    /// the largest to the smallest.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn top_from(
        &mut self,
        threshold: i64,
        accept: &mut dyn FnMut(DocId) -> bool,
        push: &mut dyn FnMut(DocId, i64) -> i64,
    ) -> tantivy::Result<()> {
        let (words, needed) = (self.words.len(), self.query.needed());
        let mut page = Page { accept, push, threshold };
        for doc in &self.skus {
            let alive = self.alive.as_ref().is_none_or(|alive| alive.is_alive(*doc));
            if alive && SKU >= page.threshold && (page.accept)(*doc) {
                page.threshold = (page.push)(*doc, SKU);
            }
        }
        if words == 0 {
            return Ok(());
        }
        self.pass(Pass { least: words, most: words }, &mut page)?;
        if needed < words {
            self.pass(Pass { least: needed, most: words - 1 }, &mut page)?;
        }
        Ok(())
    }

    fn pass(&mut self, pass: Pass, page: &mut Page<'_>) -> tantivy::Result<()> {
        self.rewind();
        let (mut start, mut size) = (0, FIRST_WINDOW);
        while start < self.max_doc {
            let Some(plan) = self.plan(pass, page.threshold) else { return Ok(()) };
            let end = self.max_doc.min(start.saturating_add(size));
            self.window(pass, &plan, (start, end), page)?;
            start = end;
            size = WINDOW.min(size * 2);
        }
        Ok(())
    }

    /// Sets which lists are active; `None` when no document of the pass can have the score that is needed.
    fn plan(&mut self, pass: Pass, threshold: i64) -> Option<Plan> {
        let needed = Score::unpack(threshold);
        if needed.matched as usize > pass.most {
            return None;
        }
        let bests: Vec<u32> = self.words.iter().map(|w| w.best()).collect();
        for (n, word) in self.words.iter_mut().enumerate() {
            let least = if threshold >= 0 && needed.matched as usize == pass.most {
                let others = bests.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, best)| *best);
                needed.points.saturating_sub(largest(others, pass.most - 1))
            } else {
                0
            };
            word.active = word.lists.partition_point(|list| list.points >= least);
        }
        let mut words: Vec<usize> = (0..self.words.len()).filter(|n| self.words[*n].active > 0).collect();
        let least = pass.least.max(needed.matched as usize);
        if words.len() < least {
            return None;
        }
        let matched = words.len().min(pass.most) as u32;
        let points = largest(words.iter().map(|n| bests[*n]), pass.most);
        let best = Score { matched, points, closeness: (matched - 1) * ADJACENT, brevity: 0 };
        if (Score { brevity: 255, ..best }).pack() < threshold {
            return None;
        }
        words.sort_by_key(|n| self.words[*n].cost());
        let others = words.split_off(words.len() - least + 1);
        Some(Plan { drivers: words, others, best: best.pack() })
    }

    fn window(&mut self, pass: Pass, plan: &Plan, range: (DocId, DocId), page: &mut Page<'_>) -> tantivy::Result<()> {
        let mut candidates = vec![0; (range.1 - range.0).div_ceil(64) as usize];
        for word in &mut self.words {
            word.lists.iter_mut().for_each(|list| list.leave_window());
        }
        for word in &plan.drivers {
            let word = &mut self.words[*word];
            for list in word.lists.iter_mut().take(word.active) {
                list.read_window(range, &mut candidates, &self.sequence)?;
            }
        }
        let mut left: u64 = candidates.iter().map(|bits| u64::from(bits.count_ones())).sum();
        for word in &plan.others {
            if left == 0 {
                return Ok(());
            }
            let read = self.read_if_cheaper(*word, left, range)?;
            if let Some(union) = read.filter(|_| pass.least == self.words.len()) {
                candidates.iter_mut().zip(&union).for_each(|(a, b)| *a &= b);
                left = candidates.iter().map(|bits| u64::from(bits.count_ones())).sum();
            }
        }
        for (n, bits) in candidates.into_iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let doc = range.0 + n as u32 * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                if plan.best + i64::from(self.brevity(doc)) >= page.threshold {
                    self.look_at(doc, pass, page)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the lists of a word for which that costs less than seeking the candidates that are left. The union of them
    /// all, when all were read.
    fn read_if_cheaper(&mut self, word: usize, left: u64, range: (DocId, DocId)) -> tantivy::Result<Option<Vec<u64>>> {
        let word = &mut self.words[word];
        let mut union = vec![0; (range.1 - range.0).div_ceil(64) as usize];
        let share = |docs: u64| docs * u64::from(range.1 - range.0) / u64::from(self.max_doc.max(1));
        let mut all = true;
        for list in word.lists.iter_mut().take(word.active) {
            // What there is to read in the window is guessed from the whole list; a window's overhead comes with it.
            if left * list.sources() * SEEK_COST > share(list.docs()) + 64 {
                list.read_window(range, &mut union, &self.sequence)?;
            }
            all &= list.is_read();
        }
        Ok(all.then_some(union))
    }

    /// Pushes a candidate, if it is good enough and of this pass.
    fn look_at(&mut self, doc: DocId, pass: Pass, page: &mut Page<'_>) -> tantivy::Result<()> {
        if self.alive.as_ref().is_some_and(|alive| alive.is_deleted(doc)) || self.has_sku(doc) || !(page.accept)(doc) {
            return Ok(());
        }
        let mut score = self.evaluate(doc)?;
        if (score.matched as usize) < pass.least || score.pack() < page.threshold {
            return Ok(());
        }
        if pass.most < self.words.len() {
            // Inactive lists may add a match, which may make it a document of the first pass.
            score = self.evaluate_all(doc)?;
            if score.matched as usize > pass.most {
                return Ok(());
            }
        }
        let score = self.complete(doc, score).pack();
        if score >= page.threshold {
            page.threshold = (page.push)(doc, score);
        }
        Ok(())
    }

    /// [`Self::evaluate`] by all lists.
    fn evaluate_all(&mut self, doc: DocId) -> Result<Score, TantivyError> {
        let mut active = [0; MAX_WORDS];
        for (word, active) in self.words.iter_mut().zip(&mut active) {
            *active = std::mem::replace(&mut word.active, word.lists.len());
        }
        let score = self.evaluate(doc);
        for (word, active) in self.words.iter_mut().zip(active) {
            word.active = active;
        }
        Ok(score?)
    }
}

/// The sum of the `n` largest.
fn largest(values: impl Iterator<Item = u32>, n: usize) -> u32 {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.iter().take(n).sum()
}
