//! Keyset cursors: where a walk through a listing goes on, bound to the query that it walks.
//!
//! A cursor holds the sort values and the id of the product at a page's edge. The next page is what comes strictly
//! after them in the query's order, so a product whose sort values do not change is neither skipped nor repeated
//! however much is written meanwhile, and a deep page costs what the first one costs (by relevance and distance: up to what all of them cost).
//!
//! On the wire it is base64url (RFC 4648 §5) of: format version (1 byte), flags (1 byte, bit 0 = backward), the
//! query's [fingerprint](crate::Query::fingerprint) (8 bytes), for a search its [`Tolerance`] (4 bytes), the sort values, the id (16 bytes), and a checksum of
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

/// What each word of the query's text is taken for. Whether a word is taken for misspelt depends on what words
/// the catalogue has; it is decided on a walk's first page and stays so, whatever is written meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerance(u32);

impl Tolerance {
    /// How many words it tells of: two bits for each.
    const WORDS: usize = 10;

    /// What the `word`-th word is taken for.
    pub fn of(self, word: usize) -> Typos {
        if word >= Self::WORDS {
            return Typos::None;
        }
        match self.0 >> (2 * word) & 3 {
            0 => Typos::None,
            1 => Typos::One,
            2 => Typos::Two,
            _ => Typos::Beginning,
        }
    }

    /// The same with `typos` for the `word`-th word.
    #[must_use]
    pub fn with(self, word: usize, typos: Typos) -> Self {
        if word >= Self::WORDS {
            return self;
        }
        let bits = match typos {
            Typos::None => 0,
            Typos::One => 1,
            Typos::Two => 2,
            Typos::Beginning => 3,
        };
        Self(self.0 & !(3 << (2 * word)) | bits << (2 * word))
    }

    fn from_bits(bits: u32) -> Option<Self> {
        (bits >> (2 * Self::WORDS) == 0).then_some(Self(bits))
    }
}

/// How a word of a text may be misspelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Typos {
    /// It is taken as it is.
    #[default]
    None,
    /// With one typo.
    One,
    /// With up to two.
    Two,
    /// It is the beginning of a word, with one typo.
    Beginning,
}

/// A place in the order of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// Whether the page wanted lies before this place rather than after it.
    pub backward: bool,
    /// Which words of the query's text are taken for misspelt.
    pub tolerance: Tolerance,
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

const FORMAT: u8 = 2;
const MAX_TEXT: usize = 8_192;

impl Cursor {
    /// The cursor's text for `query`.
    pub fn encode_for(&self, query: &Query) -> String {
        let mut bytes = vec![FORMAT, u8::from(self.backward)];
        bytes.extend(query.fingerprint().to_be_bytes());
        if query.text.is_some() {
            bytes.extend(self.tolerance.0.to_be_bytes());
        }
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
        let tolerance = match query.text {
            Some(_) => Tolerance::from_bits(u32::from_be_bytes(rest.array()?)).ok_or(CursorError::Invalid)?,
            None => Tolerance::default(),
        };
        let values = query.sort.iter().map(|key| rest.value(key.field)).collect::<Result<_, _>>()?;
        let id = ProductId::from_bytes(rest.array()?);
        if !rest.0.is_empty() {
            return Err(CursorError::Invalid);
        }
        Ok(Self { backward: flags & 1 == 1, tolerance, values, id })
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
        let tolerance = Tolerance::default().with(0, Typos::One).with(9, Typos::Beginning);
        Cursor { backward: true, tolerance, values, id: ProductId::from_bytes([7; 16]) }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let q = query(&[("q", "x"), ("sort", "name,-rating,price")]);
        assert_eq!(Cursor::decode_for(&cursor().encode_for(&q), &q), Ok(cursor()));
        let listing = query(&[("sort", "name,-rating,price")]);
        let without = Cursor { tolerance: Tolerance::default(), ..cursor() };
        assert_eq!(Cursor::decode_for(&cursor().encode_for(&listing), &listing), Ok(without));
    }

    #[test]
    fn every_word_keeps_its_own_tolerance() {
        let all = [Typos::None, Typos::One, Typos::Two, Typos::Beginning];
        let tolerance = (0..12).fold(Tolerance::default(), |t, word| t.with(word, all[word % 4]));
        (0..10).for_each(|word| assert_eq!(tolerance.of(word), all[word % 4]));
        assert_eq!(tolerance.of(11), Typos::None, "only so many words count");
        assert_eq!(tolerance.with(1, Typos::None).of(1), Typos::None);
        assert_eq!(Tolerance::from_bits(1 << 20), None);
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
