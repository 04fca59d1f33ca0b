//! Columns of few values as one small number per document: what facets count a million times.
//!
//! A column with missing values is looked up through a rank structure, some ten times slower than an array. The array
//! costs two bytes a document where there are fewer than 65,535 values, is made when a facet is first asked for, and
//! lives as long as the segment.

use tantivy::DocId;
use tantivy::columnar::ColumnIndex;
use tantivy::fastfield::Column;

use super::columns::value;
use super::docset::DocSet;
use super::view::SegmentView;

/// More values than this are not worth an array of counts per search.
const MOST_VALUES: u32 = 1 << 20;

/// For each document 0, or one more than the place of its value.
#[derive(Debug)]
pub enum Dense {
    /// Up to 65,534 values.
    Short(Vec<u16>),
    /// More.
    Long(Vec<u32>),
}

impl Dense {
    /// The values of a column of `values` different ones, which `place` numbers from 0 on; `None` where documents have
    /// several values, or there are too many.
    pub fn of(max_doc: u32, column: &Column<u64>, values: u32, place: impl Fn(u64) -> Option<u32>) -> Option<Self> {
        if values > MOST_VALUES || matches!(column.index, ColumnIndex::Multivalued(_)) {
            return None;
        }
        let code = |doc: DocId| value(column, doc).and_then(&place).map_or(0, |place| place + 1);
        Some(match u16::try_from(values + 1) {
            Ok(_) => Self::Short((0..max_doc).map(|doc| u16::try_from(code(doc)).unwrap_or(0)).collect()),
            Err(_) => Self::Long((0..max_doc).map(code).collect()),
        })
    }

    /// How many documents of the set have each value.
    pub fn tally(&self, segment: &SegmentView, set: &DocSet, values: usize) -> Vec<u32> {
        let mut counts = vec![0_u32; values + 1];
        match self {
            Self::Short(codes) => tally(codes, segment, set, &mut counts),
            Self::Long(codes) => tally(codes, segment, set, &mut counts),
        }
        counts.remove(0);
        counts
    }
}

fn tally<T: Copy + Into<u32>>(codes: &[T], segment: &SegmentView, set: &DocSet, counts: &mut [u32]) {
    set.blocks(segment, |docs| {
        for &doc in docs {
            let code: u32 = codes.get(doc as usize).map_or(0, |&code| code.into());
            if let Some(count) = counts.get_mut(code as usize) {
                *count += 1;
            }
        }
    });
}
