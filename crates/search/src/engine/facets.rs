//! Facets: how often each value occurs among the products that match everything but the facet's own filter.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use haat_catalog::product::CATEGORY_SEPARATOR;
use haat_catalog::query::price_step;
use haat_catalog::{FacetCount, FacetField, FacetResult, FacetValue, SortField};
use tantivy::DocId;
use tantivy::columnar::ColumnIndex;
use tantivy::fastfield::Column;
use tantivy::{u64_to_f64, u64_to_i64};

use super::columns::TextColumn;
use super::docset::{BLOCK, DocSet};
use super::filters::attribute_ords;
use super::ordinals::{Counted, Occurring, Shared};
use super::plan::Search;
use super::view::{SegmentView, View};
use crate::schema::{ATTRIBUTE_SEPARATOR, LEVEL_SEPARATOR};

/// Counts `field`.
///
/// # Errors
/// When the index's files cannot be read.
pub fn count(view: &View, search: &Search<'_>, field: &FacetField, limit: usize) -> tantivy::Result<FacetResult> {
    let own = search.sets_for(field)?;
    let sets = match &own {
        Some(sets) => sets.as_slice(),
        None => search.sets()?,
    };
    let mut counts = match field {
        FacetField::Brand => texts(view, sets, Counted::Brand)?,
        FacetField::Seller => texts(view, sets, Counted::Seller)?,
        FacetField::Tag => texts(view, sets, Counted::Tag)?,
        FacetField::Status => texts(view, sets, Counted::Status)?,
        FacetField::Currency => texts(view, sets, Counted::Currency)?,
        FacetField::InStock => texts(view, sets, Counted::InStock)?.into_iter().map(boolean).collect(),
        FacetField::Category => categories(texts(view, sets, Counted::Category)?),
        FacetField::Attribute(name) => attribute(view, sets, name)?,
        FacetField::Price => numbers(view, sets, SortField::Price, |v| FacetValue::Integer(u64_to_i64(v)))?,
        FacetField::Rating => numbers(view, sets, SortField::Rating, |v| FacetValue::Float(u64_to_f64(v)))?,
        FacetField::PriceRange => steps(numbers(view, sets, SortField::Price, |v| FacetValue::Integer(u64_to_i64(v)))?),
    };
    let order = |a: &FacetCount, b: &FacetCount| b.count.cmp(&a.count).then_with(|| by_value(&a.value, &b.value));
    if counts.len() > limit {
        counts.select_nth_unstable_by(limit, order);
        counts.truncate(limit);
    }
    counts.sort_by(order);
    if *field == FacetField::PriceRange {
        counts.iter_mut().for_each(|c| c.value = step_name(&c.value));
    }
    Ok(FacetResult { field: field.clone(), counts })
}

fn by_value(a: &FacetValue, b: &FacetValue) -> Ordering {
    match (a, b) {
        (FacetValue::Text(a), FacetValue::Text(b)) => a.cmp(b),
        (FacetValue::Integer(a), FacetValue::Integer(b)) => a.cmp(b),
        (FacetValue::Float(a), FacetValue::Float(b)) => a.total_cmp(b),
        (FacetValue::Bool(a), FacetValue::Bool(b)) => a.cmp(b),
        // The values of one facet are of one kind.
        _ => Ordering::Equal,
    }
}

fn boolean(counted: FacetCount) -> FacetCount {
    FacetCount { value: FacetValue::Bool(counted.value == FacetValue::Text("true".to_owned())), ..counted }
}

fn texts(view: &View, sets: &[DocSet], counted: Counted) -> tantivy::Result<Vec<FacetCount>> {
    match view.ordinals.get(counted, &view.segments)? {
        Some(shared) => Ok(added_up(view, sets, &shared, counted)),
        None => occurring(view, sets, |segment| {
            let column = counted.column(&segment.columns);
            Ok((column, 0..column.len()))
        }),
    }
}

fn attribute(view: &View, sets: &[DocSet], name: &str) -> tantivy::Result<Vec<FacetCount>> {
    let counts = occurring(view, sets, |segment| {
        let column = &segment.columns.attr;
        Ok((column, attribute_ords(column, name)?))
    })?;
    let value = |c: FacetCount| match c.value {
        FacetValue::Text(text) => {
            let value = text.split_once(ATTRIBUTE_SEPARATOR).map_or("", |(_, value)| value).to_owned();
            FacetCount { value: FacetValue::Text(value), count: c.count }
        }
        value => FacetCount { value, count: c.count },
    };
    Ok(counts.into_iter().map(value).collect())
}

/// Counts the ordinals of each segment and adds them up by value, of which the segments share the numbers.
pub(super) fn added_up(view: &View, sets: &[DocSet], shared: &Shared, counted: Counted) -> Vec<FacetCount> {
    let mut totals = vec![0_u64; shared.texts.len()];
    for ((segment, set), places) in view.segments.iter().zip(sets).zip(&shared.places) {
        let column = counted.column(&segment.columns);
        let counts = match column.dense(segment.max_doc()) {
            Some(dense) => dense.tally(segment, set, places.len()),
            None => {
                let mut counts = vec![0_u32; places.len()];
                each_value(segment, set, &column.ords, |ord| {
                    if let Some(count) = counts.get_mut(ord as usize) {
                        *count += 1;
                    }
                });
                counts
            }
        };
        for (count, place) in counts.iter().zip(places) {
            if let Some(total) = totals.get_mut(*place as usize) {
                *total += u64::from(*count);
            }
        }
    }
    let value = |text: &String| FacetValue::Text(text.clone());
    totals
        .iter()
        .zip(&shared.texts)
        .filter(|(count, _)| **count > 0)
        .map(|(&count, text)| FacetCount { value: value(text), count })
        .collect()
}

/// Counts the ordinals of each segment that lie in a range and adds those that occur up by their texts.
pub(super) fn occurring<'v>(
    view: &'v View,
    sets: &[DocSet],
    column: impl Fn(&'v SegmentView) -> tantivy::Result<(&'v TextColumn, Range<u64>)>,
) -> tantivy::Result<Vec<FacetCount>> {
    let mut totals: HashMap<Vec<u8>, u64> = HashMap::new();
    for (segment, set) in view.segments.iter().zip(sets) {
        let (column, range) = column(segment)?;
        let mut counts = Occurring::new(&range, set.count(segment));
        each_value(segment, set, &column.ords, |ord| counts.add(&range, ord));
        counts.each(column, |value, count| match totals.get_mut(value) {
            Some(total) => *total += u64::from(count),
            None => drop(totals.insert(value.to_vec(), u64::from(count))),
        })?;
    }
    let text = |value: Vec<u8>| FacetValue::Text(String::from_utf8_lossy(&value).into_owned());
    Ok(totals.into_iter().map(|(value, count)| FacetCount { value: text(value), count }).collect())
}

/// Calls `f` with every value of every document of the set.
fn each_value(segment: &SegmentView, set: &DocSet, column: &Column<u64>, mut f: impl FnMut(u64)) {
    match &column.index {
        ColumnIndex::Empty { .. } => {}
        ColumnIndex::Full => {
            let mut values = [0; BLOCK];
            set.blocks(segment, |docs: &[DocId]| {
                if let Some(values) = values.get_mut(..docs.len()) {
                    column.values.get_vals(docs, values);
                    values.iter().for_each(|&value| f(value));
                }
            });
        }
        _ => set.blocks(segment, |docs| docs.iter().flat_map(|&doc| column.values_for_doc(doc)).for_each(&mut f)),
    }
}

/// Counts distinct numbers.
fn numbers(
    view: &View,
    sets: &[DocSet],
    field: SortField,
    value: impl Fn(u64) -> FacetValue,
) -> tantivy::Result<Vec<FacetCount>> {
    let mut totals: HashMap<u64, u64> = HashMap::new();
    let Some(indexed) = view.fields.sort(field) else { return Ok(Vec::new()) };
    let mut add = |number: u64, count: u64| *totals.entry(number).or_default() += count;
    for (segment, set) in view.segments.iter().zip(sets) {
        let Some(column) = segment.columns.number(field) else { continue };
        match segment.columns.dense(field, || segment.reader.inverted_index(indexed))? {
            Some((values, dense)) => {
                let counts = dense.tally(segment, set, values.len());
                let occurring = values.iter().zip(counts).filter(|(_, count)| *count > 0);
                occurring.for_each(|(number, count)| add(*number, u64::from(count)));
            }
            None => {
                let mut tally = Tally::new(column);
                each_value(segment, set, column, |number| tally.add(number));
                tally.each(&mut add);
            }
        }
    }
    Ok(totals.into_iter().map(|(number, count)| FacetCount { value: value(number), count }).collect())
}

/// Counts numbers of one segment: in an array where they lie close together, else in a map.
enum Tally {
    Array { least: u64, counts: Vec<u32> },
    Map(HashMap<u64, u32>),
}

/// The longest array of counts: 4 MB.
const MAX_ARRAY: u64 = 1 << 20;

impl Tally {
    fn new(column: &Column<u64>) -> Self {
        let (least, greatest) = (column.min_value(), column.max_value());
        match greatest.checked_sub(least) {
            Some(width) if width < MAX_ARRAY => Self::Array { least, counts: vec![0; width as usize + 1] },
            _ => Self::Map(HashMap::new()),
        }
    }

    #[inline]
    fn add(&mut self, number: u64) {
        match self {
            Self::Array { least, counts } => {
                if let Some(count) = counts.get_mut((number - *least) as usize) {
                    *count += 1;
                }
            }
            Self::Map(counts) => *counts.entry(number).or_default() += 1,
        }
    }

    fn each(self, mut f: impl FnMut(u64, u64)) {
        match self {
            Self::Array { least, counts } => {
                let filled = (least..).zip(counts).filter(|(_, count)| *count > 0);
                filled.for_each(|(number, count)| f(number, u64::from(count)));
            }
            Self::Map(counts) => counts.into_iter().for_each(|(number, count)| f(number, u64::from(count))),
        }
    }
}

/// From whole paths to all their prefixes, written as texts.
fn categories(paths: Vec<FacetCount>) -> Vec<FacetCount> {
    let mut totals: HashMap<String, u64> = HashMap::new();
    for path in paths {
        let FacetValue::Text(text) = path.value else { continue };
        let mut prefix = String::with_capacity(text.len() + 16);
        for level in text.split(LEVEL_SEPARATOR) {
            if !prefix.is_empty() {
                prefix.push_str(CATEGORY_SEPARATOR);
            }
            prefix.push_str(level);
            match totals.get_mut(&prefix) {
                Some(total) => *total += path.count,
                None => {
                    totals.insert(prefix.clone(), path.count);
                }
            }
        }
    }
    totals.into_iter().map(|(text, count)| FacetCount { value: FacetValue::Text(text), count }).collect()
}

/// From amounts to the lower ends of the steps they lie in.
fn steps(amounts: Vec<FacetCount>) -> Vec<FacetCount> {
    let mut totals: HashMap<i64, u64> = HashMap::new();
    for amount in amounts {
        if let FacetValue::Integer(value) = amount.value {
            *totals.entry(price_step(value).0).or_default() += amount.count;
        }
    }
    totals.into_iter().map(|(from, count)| FacetCount { value: FacetValue::Integer(from), count }).collect()
}

fn step_name(from: &FacetValue) -> FacetValue {
    match from {
        FacetValue::Integer(amount) => {
            let (from, to) = price_step(*amount);
            FacetValue::Text(format!("{from}-{to}"))
        }
        other => other.clone(),
    }
}
