//! Orders: every sort value as an unsigned number that is smaller the earlier the document comes.
//!
//! Products without a value get the largest number, descending keys are turned round below it, and a walk backward
//! turns every number and the id round, so that whoever pages only ever looks for the smallest keys after a place.
//! Names are numbers only within a segment (their ordinals); between segments they are compared as texts.

use std::cmp::Ordering;
use std::sync::Arc;

use haat_catalog::query::distance_m;
use haat_catalog::{Cursor, Near, ProductId, Query, SortField, SortKey, SortValue, Tolerance};
use tantivy::fastfield::Column;
use tantivy::{DocId, f64_to_u64, i64_to_u64, u64_to_f64, u64_to_i64};

use super::columns::{Columns, TextColumn, value};
use super::docset::damaged;
use super::view::SegmentView;

/// The most keys of an order.
pub const MAX_KEYS: usize = 3;

/// What products without a value have.
const MISSING: u64 = u64::MAX;
/// The largest number of a value.
const LARGEST: u64 = u64::MAX - 1;

/// The order of a query, in one direction.
#[derive(Debug, Clone)]
pub struct Order {
    keys: Vec<SortKey>,
    near: Option<Near>,
    backward: bool,
}

/// A key that documents of one segment are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalKey {
    /// The sort values; unused ones are 0.
    pub values: [u64; MAX_KEYS],
    /// The id.
    pub id: u128,
}

/// A key that documents of different segments are compared by.
#[derive(Debug, Clone)]
pub struct Key {
    values: Vec<KeyValue>,
    id: u128,
}

#[derive(Debug, Clone)]
enum KeyValue {
    Number(u64),
    Text(Arc<[u8]>),
}

/// A place in an order.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where.
    pub key: Key,
    /// Whether a product at exactly that place still counts as after it.
    pub inclusive: bool,
}

/// A place in the order of one segment's documents.
#[derive(Debug, Clone, Copy)]
pub struct LocalPlace {
    /// Where.
    pub key: LocalKey,
    /// Whether a document at exactly that place still counts as after it.
    pub inclusive: bool,
}

impl LocalPlace {
    /// Whether `key` comes after this place.
    #[inline]
    pub fn precedes(&self, key: &LocalKey) -> bool {
        if self.inclusive { *key >= self.key } else { *key > self.key }
    }
}

impl Order {
    /// The order of `query`; backward it runs from the last product to the first.
    pub fn new(query: &Query, backward: bool) -> Self {
        let mut keys = query.sort.clone();
        keys.truncate(MAX_KEYS);
        Self { keys, near: query.filters.near, backward }
    }

    /// The same order in the other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { backward: !self.backward, ..self.clone() }
    }

    /// The key that comes first.
    pub fn first(&self) -> SortKey {
        self.keys.first().copied().unwrap_or(SortKey { field: SortField::CreatedAt, descending: true })
    }

    /// All keys.
    pub fn keys(&self) -> &[SortKey] {
        &self.keys
    }

    /// Whether it runs from the last product to the first.
    pub fn is_backward(&self) -> bool {
        self.backward
    }

    /// Which of two keys comes first.
    pub fn compare(&self, a: &Key, b: &Key) -> Ordering {
        for ((key, x), y) in self.keys.iter().zip(&a.values).zip(&b.values) {
            let order = match (x, y) {
                (KeyValue::Number(x), KeyValue::Number(y)) => x.cmp(y),
                (KeyValue::Text(x), KeyValue::Text(y)) if key.descending != self.backward => y.cmp(x),
                (KeyValue::Text(x), KeyValue::Text(y)) => x.cmp(y),
                // A name that is missing, which only a cursor can have.
                (KeyValue::Text(_), KeyValue::Number(n)) => MISSING.cmp(n).then(Ordering::Less),
                (KeyValue::Number(n), KeyValue::Text(_)) => n.cmp(&MISSING).then(Ordering::Greater),
            };
            if order.is_ne() {
                return order;
            }
        }
        a.id.cmp(&b.id)
    }

    /// A cursor's place in this order.
    pub fn place(&self, cursor: &Cursor, inclusive: bool) -> Place {
        let values = self.keys.iter().zip(&cursor.values).map(|(key, value)| self.key_value(*key, value)).collect();
        Place { key: Key { values, id: self.turned_id(cursor.id.as_u128()) }, inclusive }
    }

    fn key_value(&self, key: SortKey, value: &SortValue) -> KeyValue {
        let number = match value {
            SortValue::Missing => return KeyValue::Number(self.turned(MISSING)),
            SortValue::Text(text) => return KeyValue::Text(text.as_bytes().into()),
            SortValue::Float(f) => f64_to_u64(*f),
            SortValue::Integer(i) if key.field == SortField::Relevance => score_number(*i),
            SortValue::Integer(i) => i64_to_u64(*i),
        };
        KeyValue::Number(self.numbered(key, number))
    }

    /// The cursor that stands at `key`.
    pub fn cursor(&self, key: &Key, backward: bool) -> Cursor {
        let values = self.keys.iter().zip(&key.values).map(|(k, v)| self.sort_value(*k, v)).collect();
        let id = ProductId::from_bytes(self.turned_id(key.id).to_be_bytes());
        Cursor { backward, tolerance: Tolerance::default(), values, id }
    }

    fn sort_value(&self, key: SortKey, value: &KeyValue) -> SortValue {
        let number = match value {
            KeyValue::Text(text) => return SortValue::Text(String::from_utf8_lossy(text).into_owned()),
            KeyValue::Number(number) => self.turned(*number),
        };
        if number == MISSING {
            return SortValue::Missing;
        }
        let number = if key.descending { LARGEST - number } else { number };
        match key.field {
            SortField::Rating | SortField::Distance => SortValue::Float(u64_to_f64(number)),
            SortField::Relevance => SortValue::Integer(score_of(number)),
            _ => SortValue::Integer(u64_to_i64(number)),
        }
    }

    /// An order-preserving number as this order has it.
    #[inline]
    fn numbered(&self, key: SortKey, number: u64) -> u64 {
        let number = number.min(LARGEST);
        self.turned(if key.descending { LARGEST - number } else { number })
    }

    #[inline]
    fn turned(&self, number: u64) -> u64 {
        if self.backward { !number } else { number }
    }

    #[inline]
    fn turned_id(&self, id: u128) -> u128 {
        if self.backward { !id } else { id }
    }
}

/// Scores turned round: the best comes first.
fn score_number(score: i64) -> u64 {
    LARGEST - i64_to_u64(score).min(LARGEST)
}

fn score_of(number: u64) -> i64 {
    u64_to_i64(LARGEST - number)
}

/// Says how well a document matches the text.
pub trait Score {
    /// The score; `None` when it does not match.
    fn score(&self, doc: DocId) -> Option<i64>;
}

/// An order in one segment.
pub struct SegmentOrder<'a> {
    order: &'a Order,
    columns: &'a Columns,
    sources: Vec<Source<'a>>,
}

enum Source<'a> {
    Number(&'a Column<u64>),
    Text(&'a TextColumn),
    Distance(Near),
    /// Known beforehand, or asked for where there is somebody to ask.
    Score(Option<&'a (dyn Score + 'a)>),
    Nothing,
}

impl<'a> SegmentOrder<'a> {
    /// The order in `segment`; `text` scores documents where the order needs it.
    pub fn new(order: &'a Order, segment: &'a SegmentView, text: Option<&'a (dyn Score + 'a)>) -> Self {
        let columns: &'a Columns = &segment.columns;
        let source = |key: &SortKey| match key.field {
            SortField::Name => Source::Text(&columns.name),
            SortField::Relevance => Source::Score(text),
            SortField::Distance => order.near.map_or(Source::Nothing, Source::Distance),
            field => columns.number(field).map_or(Source::Nothing, Source::Number),
        };
        Self { order, columns, sources: order.keys.iter().map(source).collect() }
    }

    /// The number of a document under the `i`-th key; `score` where it is known already.
    #[inline]
    pub fn number(&self, i: usize, doc: DocId, score: Option<i64>) -> u64 {
        let (Some(source), Some(key)) = (self.sources.get(i), self.order.keys.get(i)) else { return 0 };
        let number = match source {
            Source::Number(column) => value(column, doc),
            Source::Text(column) => value(&column.ords, doc).map(|ord| 2 * ord + 1),
            Source::Distance(near) => self.distance(near, doc).map(f64_to_u64),
            Source::Score(text) => score.or_else(|| text.and_then(|text| text.score(doc))).map(score_number),
            Source::Nothing => None,
        };
        match number {
            Some(number) => self.order.numbered(*key, number),
            None => self.order.turned(MISSING),
        }
    }

    /// The numbers of a block of documents under the first key.
    pub fn first_numbers(&self, docs: &[DocId], values: &mut [Option<u64>], numbers: &mut [u64]) {
        let column = match self.sources.first() {
            Some(Source::Number(column)) => *column,
            Some(Source::Text(column)) => &column.ords,
            _ => {
                docs.iter().zip(numbers).for_each(|(&doc, number)| *number = self.number(0, doc, None));
                return;
            }
        };
        let is_text = matches!(self.sources.first(), Some(Source::Text(_)));
        values.fill(None);
        column.first_vals(docs, values);
        let key = self.order.first();
        for (number, value) in numbers.iter_mut().zip(values) {
            *number = match value {
                Some(v) => self.order.numbered(key, if is_text { 2 * *v + 1 } else { *v }),
                None => self.order.turned(MISSING),
            };
        }
    }

    /// The whole key of a document of which the first number is known.
    pub fn complete(&self, first: u64, doc: DocId, score: Option<i64>) -> LocalKey {
        let mut values = [first, 0, 0];
        for (i, slot) in values.iter_mut().enumerate().skip(1).take(self.sources.len().saturating_sub(1)) {
            *slot = self.number(i, doc, score);
        }
        LocalKey { values, id: self.order.turned_id(self.columns.id(doc)) }
    }

    fn distance(&self, near: &Near, doc: DocId) -> Option<f64> {
        let (lat, lon) = (value(&self.columns.lat, doc)?, value(&self.columns.lon, doc)?);
        Some(distance_m(near.lat, near.lon, lat, lon))
    }

    /// A key of this segment as it compares with those of others.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn to_key(&self, local: &LocalKey) -> tantivy::Result<Key> {
        let mut values = Vec::with_capacity(self.sources.len());
        for ((source, number), key) in self.sources.iter().zip(local.values).zip(&self.order.keys) {
            values.push(match source {
                Source::Text(column) if self.order.turned(number) != MISSING => {
                    let number = self.order.turned(number);
                    let number = if key.descending { LARGEST - number } else { number };
                    KeyValue::Text(column.text(number / 2)?.into())
                }
                _ => KeyValue::Number(number),
            });
        }
        Ok(Key { values, id: local.id })
    }

    /// A place as it compares with this segment's documents.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn to_local(&self, key: &Key) -> tantivy::Result<LocalKey> {
        let mut values = [0; MAX_KEYS];
        for (((slot, value), source), sort) in
            values.iter_mut().zip(&key.values).zip(&self.sources).zip(&self.order.keys)
        {
            *slot = match (value, source) {
                (KeyValue::Number(number), _) => *number,
                (KeyValue::Text(text), Source::Text(column)) => {
                    let number = match column.ord(text)? {
                        Some(ord) => 2 * ord + 1,
                        None => 2 * column.ord_ge(text)?,
                    };
                    self.order.numbered(*sort, number)
                }
                (KeyValue::Text(_), _) => return Err(damaged("a text where a number is sorted by")),
            };
        }
        Ok(LocalKey { values, id: key.id })
    }
}

/// The number or text that a place has under its first key, as terms of the sort field's dictionary are written;
/// `None` for the place of products without a value.
pub fn first_term(order: &Order, key: &Key) -> Option<Vec<u8>> {
    match key.values.first()? {
        KeyValue::Text(text) => Some(text.to_vec()),
        KeyValue::Number(number) => {
            let number = order.turned(*number);
            let first = order.first();
            (number != MISSING)
                .then(|| (if first.descending { LARGEST - number } else { number }).to_be_bytes().to_vec())
        }
    }
}
