//! Values that segments share: every segment numbers the values of a column for itself, facets add them up.

use std::collections::HashMap;
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
    /// Numbers the values of `columns`, one per segment, that lie in `ranges`.
    ///
    /// # Errors
    /// When a segment's files cannot be read.
    pub fn of<'a>(columns: impl Iterator<Item = (&'a TextColumn, std::ops::Range<u64>)>) -> tantivy::Result<Self> {
        let mut shared = Self::default();
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        for (column, range) in columns {
            let mut places = Vec::with_capacity((range.end - range.start) as usize);
            column.each(range, |_, value| {
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

/// Remembers, for one state of the index, the shared values of the columns that were asked for.
#[derive(Debug, Default)]
pub struct Ordinals {
    slots: [OnceLock<Arc<Shared>>; 7],
}

/// Columns with more values than this are numbered anew by each request rather than kept in memory.
const MAX_KEPT: u64 = 200_000;

impl Ordinals {
    /// The shared values of a column.
    ///
    /// # Errors
    /// When a segment's files cannot be read.
    pub fn get(&self, counted: Counted, segments: &[SegmentView]) -> tantivy::Result<Arc<Shared>> {
        let slot = self.slots.get(counted as usize);
        if let Some(shared) = slot.and_then(OnceLock::get) {
            return Ok(Arc::clone(shared));
        }
        let columns = || segments.iter().map(|s| counted.column(&s.columns)).map(|c| (c, 0..c.len()));
        let shared = Arc::new(Shared::of(columns())?);
        let values: u64 = columns().map(|(_, range)| range.end).sum();
        match slot {
            Some(slot) if values <= MAX_KEPT => Ok(Arc::clone(slot.get_or_init(|| shared))),
            _ => Ok(shared),
        }
    }
}
