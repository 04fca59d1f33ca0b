//! Keyset cursors: where a walk through a listing goes on, bound to the query that it walks.
//!
//! A cursor holds the sort values and the id of the product at a page's edge. The next page is what comes strictly
//! after them in the query's order, so a product whose sort values do not change is neither skipped nor repeated
//! however much is written meanwhile, and a deep page costs what the first one costs.
//!
//! On the wire it is base64url (RFC 4648 §5) of: format version (1 byte), flags (1 byte, bit 0 = backward), the
//! query's [fingerprint](crate::Query::fingerprint) (8 bytes), the sort values, the id (16 bytes), and a checksum of
//! all that (4 bytes) so that a damaged cursor is told from a foreign one. It is not secret and needs no signature:
//! a forged one can only name another place in the same listing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

use crate::product::ProductId;
use crate::query::{Query, SortField};

/// The value of one sort key at a page's edge.
#[derive(Debug, Clone, PartialEq)]
pub enum SortValue {
    /// The product has none: it comes last in both directions.
    Missing,
    /// Amounts, counts, milliseconds, scores.
    Integer(i64),
    /// Ratings, and distances in metres.
    Float(f64),
    /// Names, as [`crate::query::name_sort_key`] gives them.
    Text(String),
}

/// A place in the order of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// Whether the page wanted lies before this place rather than after it.
    pub backward: bool,
    /// One value per sort key of the query.
    pub values: Vec<SortValue>,
    /// Breaks ties.
    pub id: ProductId,
}

/// Why a cursor was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor that Haat gave out, or damaged on the way.
    #[error("the cursor is damaged; take it unchanged from page.next or page.prev, or start without one")]
    Invalid,
    /// A cursor of another query.
    #[error("the cursor belongs to another query; words, filters and sort must stay the same from page to page")]
    Mismatch,
}

const FORMAT: u8 = 1;
const MAX_TEXT: usize = 8_192;

impl Cursor {
    /// The cursor's text for `query`.
    pub fn encode_for(&self, query: &Query) -> String {
        let mut bytes = vec![FORMAT, u8::from(self.backward)];
        bytes.extend(query.fingerprint().to_be_bytes());
        for value in &self.values {
            match value {
                SortValue::Missing => bytes.push(0),
                SortValue::Integer(i) => {
                    bytes.push(1);
                    bytes.extend(i.to_be_bytes());
                }
                SortValue::Float(f) => {
                    bytes.push(2);
                    bytes.extend(f.to_bits().to_be_bytes());
                }
                SortValue::Text(text) => {
                    bytes.push(3);
                    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
                    bytes.extend(text.as_bytes().iter().take(usize::from(u16::MAX)));
                }
            }
        }
        bytes.extend(self.id.as_bytes());
        bytes.extend(checksum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor for `query`.
    ///
    /// # Errors
    /// [`CursorError::Invalid`] for what is no cursor, [`CursorError::Mismatch`] for one of another query.
    pub fn decode_for(text: &str, query: &Query) -> Result<Self, CursorError> {
        if text.len() > MAX_TEXT {
            return Err(CursorError::Invalid);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Invalid)?;
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(CursorError::Invalid)?;
        if checksum(body) != *sum {
            return Err(CursorError::Invalid);
        }
        let mut rest = Bytes(body);
        if rest.array()? != [FORMAT] {
            return Err(CursorError::Invalid);
        }
        let [flags] = rest.array()?;
        if u64::from_be_bytes(rest.array()?) != query.fingerprint() {
            return Err(CursorError::Mismatch);
        }
        let values = query.sort.iter().map(|key| rest.value(key.field)).collect::<Result<_, _>>()?;
        let id = ProductId::from_bytes(rest.array()?);
        if rest.0.is_empty() { Ok(Self { backward: flags & 1 == 1, values, id }) } else { Err(CursorError::Invalid) }
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    (xxh3_64(bytes) as u32).to_be_bytes()
}

/// What is left to read of a cursor.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(CursorError::Invalid)?;
        self.0 = rest;
        Ok(*head)
    }

    /// A value of the type that `field` has: the checksum keeps accidents out, this keeps forgeries out.
    fn value(&mut self, field: SortField) -> Result<SortValue, CursorError> {
        let [tag] = self.array()?;
        match (tag, field) {
            (0, _) => Ok(SortValue::Missing),
            (2, SortField::Rating | SortField::Distance) => {
                let f = f64::from_bits(u64::from_be_bytes(self.array()?));
                if f.is_finite() { Ok(SortValue::Float(f)) } else { Err(CursorError::Invalid) }
            }
            (3, SortField::Name) => {
                let len = usize::from(u16::from_be_bytes(self.array()?));
                let (text, rest) = self.0.split_at_checked(len).ok_or(CursorError::Invalid)?;
                self.0 = rest;
                String::from_utf8(text.to_vec()).map(SortValue::Text).map_err(|_| CursorError::Invalid)
            }
            (1, field) if !matches!(field, SortField::Rating | SortField::Distance | SortField::Name) => {
                Ok(SortValue::Integer(i64::from_be_bytes(self.array()?)))
            }
            _ => Err(CursorError::Invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::parse(pairs.iter().copied()).unwrap()
    }

    fn cursor() -> Cursor {
        let values = vec![SortValue::Text("basmati".into()), SortValue::Float(4.5), SortValue::Missing];
        Cursor { backward: true, values, id: ProductId::from_bytes([7; 16]) }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let q = query(&[("sort", "name,-rating,price")]);
        assert_eq!(Cursor::decode_for(&cursor().encode_for(&q), &q), Ok(cursor()));
    }

    #[test]
    fn a_cursor_of_another_query_is_a_mismatch_and_a_damaged_one_invalid() {
        let q = query(&[("sort", "name,-rating,price")]);
        let text = cursor().encode_for(&q);
        let other = query(&[("sort", "name,-rating,price"), ("brand", "x")]);
        assert_eq!(Cursor::decode_for(&text, &other), Err(CursorError::Mismatch));
        let page = query(&[("sort", "name,-rating,price"), ("limit", "5"), ("facets", "brand")]);
        assert!(Cursor::decode_for(&text, &page).is_ok());
        for i in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[i] = if damaged[i] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(Cursor::decode_for(&damaged, &q).is_err(), "byte {i}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,200}") {
            let _ = Cursor::decode_for(&text, &query(&[("sort", "name,-rating,price")]));
        }
    }
}
