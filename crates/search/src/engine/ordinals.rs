//! Values that segments share: every segment numbers the values of a column for itself, facets add them up.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::columns::{Columns, TextColumn};
use super::view::SegmentView;

/// The columns of which facets are counted by value, attributes aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Brands.
    Brand,
    /// Sellers.
    Seller,
    /// Tags.
    Tag,
    /// Category paths.
    Category,
    /// Statuses.
    Status,
    /// Currencies.
    Currency,
    /// In stock or not.
    InStock,
}

impl Counted {
    /// The column in one segment.
    pub fn column(self, columns: &Columns) -> &TextColumn {
        match self {
            Self::Brand => &columns.brand,
            Self::Seller => &columns.seller,
            Self::Tag => &columns.tag,
            Self::Category => &columns.category,
            Self::Status => &columns.status,
            Self::Currency => &columns.currency,
            Self::InStock => &columns.in_stock,
        }
    }
}

/// The values of one column over all segments.
#[derive(Debug, Default)]
pub struct Shared {
    /// The values, as the index has them.
    pub texts: Vec<String>,
    /// By segment: from the segment's ordinal to the place in `texts`.
    pub places: Vec<Vec<u32>>,
}

impl Shared {
    /// Numbers the values of `columns`, one per segment.
    ///
    /// # Errors
    /// When a segment's files cannot be read.
    pub fn of<'a>(columns: impl Iterator<Item = &'a TextColumn>) -> tantivy::Result<Self> {
        let mut shared = Self::default();
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        for column in columns {
            let mut places = Vec::with_capacity(column.len() as usize);
            column.each(0..column.len(), |_, value| {
                let next = known.len() as u32;
                let place = match known.get(value) {
                    Some(place) => *place,
                    None => {
                        known.insert(value.to_vec(), next);
                        shared.texts.push(String::from_utf8_lossy(value).into_owned());
                        next
                    }
                };
                places.push(place);
            })?;
            shared.places.push(places);
        }
        Ok(shared)
    }
}

/// How often each ordinal of a column occurs, from one on: only those that occur have to become texts.
#[derive(Debug)]
pub struct Occurring {
    first: u64,
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    /// One number per ordinal.
    All(Vec<u32>),
    /// Where few documents are counted and there are many ordinals.
    Few(HashMap<u64, u32>),
}

/// How many times as many ordinals as documents there are when they are counted in a map.
const SPARSE: u64 = 16;
/// How many times dearer it is to look an ordinal up than to pass it in reading all of them.
const LOOK_UP: u64 = 16;

impl Occurring {
    /// Nothing yet, over these ordinals; about so many documents will be counted.
    pub fn new(range: &Range<u64>, docs: u32) -> Self {
        let values = range.end.saturating_sub(range.start);
        let counts = if u64::from(docs) * SPARSE < values {
            Counts::Few(HashMap::new())
        } else {
            Counts::All(vec![0; values as usize])
        };
        Self { first: range.start, counts }
    }

    /// Counts an ordinal; one before the first is left out, and so is one after the last.
    #[inline]
    pub fn add(&mut self, range: &Range<u64>, ord: u64) {
        match &mut self.counts {
            Counts::All(counts) => {
                if let Some(count) = ord.checked_sub(self.first).and_then(|i| counts.get_mut(i as usize)) {
                    *count += 1;
                }
            }
            Counts::Few(counts) if range.contains(&ord) => *counts.entry(ord).or_default() += 1,
            Counts::Few(_) => {}
        }
    }

    /// Calls `f` with every value of `column` that occurs, and how often.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn each(self, column: &TextColumn, mut f: impl FnMut(&[u8], u32)) -> tantivy::Result<()> {
        let counts = match self.counts {
            Counts::Few(counts) => {
                return counts.into_iter().try_for_each(|(ord, count)| {
                    f(&column.text(ord)?, count);
                    Ok(())
                });
            }
            Counts::All(counts) => counts,
        };
        let occurring = counts.iter().filter(|count| **count > 0).count() as u64;
        if occurring * LOOK_UP >= counts.len() as u64 {
            return column.each(self.first..self.first + counts.len() as u64, |ord, value| {
                match counts.get((ord - self.first) as usize) {
                    Some(count) if *count > 0 => f(value, *count),
                    _ => {}
                }
            });
        }
        for (ord, count) in (self.first..).zip(counts).filter(|(_, count)| *count > 0) {
            f(&column.text(ord)?, count);
        }
        Ok(())
    }
}

/// Remembers, for one state of the index, the shared values of the columns that were asked for.
#[derive(Debug, Default)]
pub struct Ordinals {
    slots: [OnceLock<Arc<Shared>>; 7],
}

/// The most values that columns may have, all segments together, to be numbered and kept in memory. Of more only those
/// that occur are looked at, by each request ([`Occurring`]).
const MAX_KEPT: u64 = 200_000;

impl Ordinals {
    /// The shared values of a column; `None` when there are too many.
    ///
    /// # Errors
    /// When a segment's files cannot be read.
    pub fn get(&self, counted: Counted, segments: &[SegmentView]) -> tantivy::Result<Option<Arc<Shared>>> {
        let Some(slot) = self.slots.get(counted as usize) else { return Ok(None) };
        if let Some(shared) = slot.get() {
            return Ok(Some(Arc::clone(shared)));
        }
        let columns = || segments.iter().map(|s| counted.column(&s.columns));
        if columns().map(TextColumn::len).sum::<u64>() > MAX_KEPT {
            return Ok(None);
        }
        let shared = Arc::new(Shared::of(columns())?);
        Ok(Some(Arc::clone(slot.get_or_init(|| shared))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_documents_of_a_column_of_many_values_cost_no_array_of_all_of_them() {
        let range = 0..1_000_000;
        assert!(matches!(Occurring::new(&range, 20).counts, Counts::Few(_)));
        assert!(matches!(Occurring::new(&range, 500_000).counts, Counts::All(_)));
    }
}
