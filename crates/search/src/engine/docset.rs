//! The documents of a segment that meet all filters: gathered from the most selective filter when there is a
//! selective one, and as bits otherwise.

use tantivy::fastfield::Column;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, TantivyError};

use super::bits::Bits;
use super::filters::{Clause, Kind, TermsClause};
use super::view::SegmentView;

/// Documents of one segment, none of them deleted.
#[derive(Debug, Clone)]
pub enum DocSet {
    /// Every document that is not deleted.
    All,
    /// These, in order.
    List(Vec<DocId>),
    /// These.
    Bits(Bits),
}

/// Below this share of a segment a filter's documents are gathered one by one.
const SELECTIVE: u32 = 32;

impl DocSet {
    /// How many there are.
    pub fn count(&self, segment: &SegmentView) -> u32 {
        match self {
            Self::All => segment.reader.num_docs(),
            Self::List(docs) => u32::try_from(docs.len()).unwrap_or(u32::MAX),
            Self::Bits(bits) => bits.count(),
        }
    }

    /// Whether a document is among them.
    #[inline]
    pub fn contains(&self, segment: &SegmentView, doc: DocId) -> bool {
        match self {
            Self::All => segment.is_alive(doc),
            Self::List(docs) => docs.binary_search(&doc).is_ok(),
            Self::Bits(bits) => bits.contains(doc),
        }
    }

    /// Hands out the documents in order, in blocks.
    pub fn blocks(&self, segment: &SegmentView, mut f: impl FnMut(&[DocId])) {
        match self {
            Self::List(docs) => docs.chunks(BLOCK).for_each(f),
            Self::Bits(bits) => in_blocks(bits.iter(), f),
            Self::All => match segment.alive() {
                Some(alive) => in_blocks(alive.iter(), f),
                None => in_blocks(0..segment.max_doc(), &mut f),
            },
        }
    }
}

/// How many documents a block has.
pub const BLOCK: usize = 128;

fn in_blocks(docs: impl Iterator<Item = DocId>, mut f: impl FnMut(&[DocId])) {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    for doc in docs {
        if let Some(slot) = block.get_mut(filled) {
            *slot = doc;
            filled += 1;
        }
        if filled == BLOCK {
            f(&block);
            filled = 0;
        }
    }
    f(block.get(..filled).unwrap_or_default());
}

/// The documents that meet all of `clauses` and are not deleted.
///
/// # Errors
/// When the segment's files cannot be read.
pub fn resolve(segment: &SegmentView, clauses: &[&Clause<'_>]) -> tantivy::Result<DocSet> {
    let mut left: Vec<&Clause<'_>> = clauses.iter().copied().filter(|c| !matches!(c.kind, Kind::Everything)).collect();
    if left.iter().any(|c| matches!(c.kind, Kind::Nothing)) {
        return Ok(DocSet::List(Vec::new()));
    }
    // The most selective first; ranges and circles know nothing of their own selectivity and come last.
    left.sort_by_key(|c| c.most);
    let Some((first, rest)) = left.split_first() else { return Ok(DocSet::All) };
    if first.most <= segment.max_doc() / SELECTIVE {
        return gathered(segment, first, rest).map(DocSet::List);
    }
    let mut bits = materialised(segment, first)?;
    if let Some(alive) = segment.alive() {
        bits.intersect(alive);
    }
    for clause in rest {
        narrow(segment, &mut bits, clause)?;
    }
    Ok(DocSet::Bits(bits))
}

/// Removes from `bits` what does not meet `clause`: document by document when few are left, else as a whole.
fn narrow(segment: &SegmentView, bits: &mut Bits, clause: &Clause<'_>) -> tantivy::Result<()> {
    let few = bits.count() < segment.max_doc() / 8;
    match &clause.kind {
        Kind::Known(other) => bits.intersect(other),
        Kind::Terms(_) | Kind::Range { .. } if !few => bits.intersect(&materialised(segment, clause)?),
        _ => bits.retain(|doc| clause.test(doc)),
    }
    Ok(())
}

fn gathered(segment: &SegmentView, first: &Clause<'_>, rest: &[&Clause<'_>]) -> tantivy::Result<Vec<DocId>> {
    let mut docs: Vec<DocId> = match &first.kind {
        Kind::Terms(terms) => listed(terms)?,
        Kind::Known(bits) => bits.iter().collect(),
        _ => (0..segment.max_doc()).filter(|&doc| first.test(doc)).collect(),
    };
    if segment.reader.has_deletes() {
        docs.retain(|&doc| segment.is_alive(doc));
    }
    for clause in rest {
        docs.retain(|&doc| clause.test(doc));
    }
    Ok(docs)
}

/// The documents of the postings, in order, each once.
fn listed(terms: &TermsClause<'_>) -> tantivy::Result<Vec<DocId>> {
    let mut docs = Vec::with_capacity(terms.most() as usize);
    each_block(terms, |block| docs.extend_from_slice(block))?;
    if terms.infos.len() > 1 {
        docs.sort_unstable();
        docs.dedup();
    }
    Ok(docs)
}

fn each_block(terms: &TermsClause<'_>, mut f: impl FnMut(&[DocId])) -> tantivy::Result<()> {
    for info in &terms.infos {
        let mut postings = terms.postings.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        while !postings.docs().is_empty() {
            f(postings.docs());
            postings.advance();
        }
    }
    Ok(())
}

/// The documents of one clause as bits, deleted ones included.
fn materialised(segment: &SegmentView, clause: &Clause<'_>) -> tantivy::Result<Bits> {
    let max_doc = segment.max_doc();
    match &clause.kind {
        Kind::Everything => Ok(Bits::full(max_doc)),
        Kind::Nothing => Ok(Bits::empty(max_doc)),
        Kind::Terms(terms) => {
            let mut bits = Bits::empty(max_doc);
            each_block(terms, |block| block.iter().for_each(|&doc| bits.insert(doc)))?;
            Ok(bits)
        }
        Kind::Range { column, least, greatest } => Ok(scanned(column, max_doc, *least, *greatest)),
        Kind::Circle { .. } => Ok(Bits::from_fn(max_doc, |doc| clause.test(doc))),
        Kind::Known(bits) => Ok(Bits::clone(bits)),
    }
}

/// How many values of a column are looked at in one go: small enough for the processor's nearest cache.
const STRIDE: u32 = 4_096;

/// The documents whose value lies between the bounds.
fn scanned(column: &Column<u64>, max_doc: u32, least: u64, greatest: u64) -> Bits {
    let mut bits = Bits::empty(max_doc);
    // Outside of what the column holds the packed representation could not express the bounds.
    let (least, greatest) = (least.max(column.min_value()), greatest.min(column.max_value()));
    if least > greatest {
        return bits;
    }
    let mut found = Vec::with_capacity(STRIDE as usize);
    let mut from = 0;
    while from < max_doc {
        let to = (from + STRIDE).min(max_doc);
        found.clear();
        column.get_docids_for_value_range(least..=greatest, from..to, &mut found);
        found.iter().for_each(|&doc| bits.insert(doc));
        from = to;
    }
    bits
}

/// What a damaged file is reported as.
pub fn damaged(what: &str) -> TantivyError {
    TantivyError::InternalError(format!("the index is damaged: {what}"))
}
