//! The columns of one segment, opened once and kept as long as the segment lives.

use std::sync::{Arc, OnceLock};

use haat_catalog::SortField;
use tantivy::columnar::{ColumnIndex, ColumnType, StrColumn};
use tantivy::fastfield::Column;
use tantivy::index::InvertedIndexReader;
use tantivy::schema::Field;
use tantivy::termdict::TermDictionary;
use tantivy::{DocId, SegmentReader};

use super::counts::ValueCounts;
use super::dense::Dense;
use crate::schema::Fields;

/// All columns of a segment. Deletions do not change them, so generations that share a segment share this.
pub struct Columns {
    /// Documents in the segment, deleted ones included.
    pub max_doc: u32,
    /// Upper half of the id.
    pub id_hi: Column<u64>,
    /// Lower half of the id.
    pub id_lo: Column<u64>,
    /// Amount, as an order-preserving `u64`.
    pub price: Column<u64>,
    /// As an order-preserving `u64`.
    pub rating: Column<u64>,
    /// As an order-preserving `u64`.
    pub stock: Column<u64>,
    /// Milliseconds, as an order-preserving `u64`.
    pub created_at: Column<u64>,
    /// Milliseconds, as an order-preserving `u64`.
    pub updated_at: Column<u64>,
    /// How many documents have which price, and which rating; made when first asked for.
    price_counts: OnceLock<Option<ValueCounts>>,
    rating_counts: OnceLock<Option<ValueCounts>>,
    price_dense: OnceLock<Option<Dense>>,
    rating_dense: OnceLock<Option<Dense>>,
    /// Degrees.
    pub lat: Column<f64>,
    /// Degrees.
    pub lon: Column<f64>,
    /// Names as they are sorted.
    pub name: TextColumn,
    /// Brands.
    pub brand: TextColumn,
    /// Sellers.
    pub seller: TextColumn,
    /// Tags.
    pub tag: TextColumn,
    /// Statuses.
    pub status: TextColumn,
    /// Currencies.
    pub currency: TextColumn,
    /// `true` or `false`.
    pub in_stock: TextColumn,
    /// Whole category paths.
    pub category: TextColumn,
    /// `NAME\0VALUE`.
    pub attr: TextColumn,
}

impl Columns {
    /// Opens the columns of `reader`.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn open(reader: &SegmentReader, fields: &Fields) -> tantivy::Result<Self> {
        let max_doc = reader.max_doc();
        let number = |name: &str, kind: ColumnType| -> tantivy::Result<Column<u64>> {
            let found = reader.fast_fields().u64_lenient_for_type(Some(&[kind]), name)?;
            Ok(found.map_or_else(|| Column::build_empty_column(max_doc), |(column, _)| column))
        };
        let degrees = |name: &str| -> tantivy::Result<Column<f64>> {
            let found = reader.fast_fields().column_opt::<f64>(name)?;
            Ok(found.unwrap_or_else(|| Column::build_empty_column(max_doc)))
        };
        let text = |name: &str, field: Field| TextColumn::open(reader, name, field);
        Ok(Self {
            max_doc,
            id_hi: number("id_hi", ColumnType::U64)?,
            id_lo: number("id_lo", ColumnType::U64)?,
            price: number("price", ColumnType::I64)?,
            rating: number("rating", ColumnType::F64)?,
            stock: number("stock", ColumnType::I64)?,
            created_at: number("created_at", ColumnType::I64)?,
            updated_at: number("updated_at", ColumnType::I64)?,
            price_counts: OnceLock::new(),
            rating_counts: OnceLock::new(),
            price_dense: OnceLock::new(),
            rating_dense: OnceLock::new(),
            lat: degrees("lat")?,
            lon: degrees("lon")?,
            name: text("name_sort", fields.name_sort)?,
            brand: text("brand", fields.brand)?,
            seller: text("seller", fields.seller)?,
            tag: text("tag", fields.tag)?,
            status: text("status", fields.status)?,
            currency: text("currency", fields.currency)?,
            in_stock: text("in_stock", fields.in_stock)?,
            category: text("category", fields.category)?,
            attr: text("attr", fields.attr)?,
        })
    }

    /// The column of a numeric sort field.
    pub fn number(&self, field: SortField) -> Option<&Column<u64>> {
        match field {
            SortField::Price => Some(&self.price),
            SortField::Rating => Some(&self.rating),
            SortField::Stock => Some(&self.stock),
            SortField::CreatedAt => Some(&self.created_at),
            SortField::UpdatedAt => Some(&self.updated_at),
            SortField::Name | SortField::Relevance | SortField::Distance => None,
        }
    }

    /// How many documents have which value of a field with few values; `None` for other fields.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn counts(
        &self,
        field: SortField,
        terms: impl FnOnce() -> tantivy::Result<Arc<InvertedIndexReader>>,
    ) -> tantivy::Result<Option<&ValueCounts>> {
        let kept = match field {
            SortField::Price => &self.price_counts,
            SortField::Rating => &self.rating_counts,
            _ => return Ok(None),
        };
        if kept.get().is_none() {
            let counts = ValueCounts::read(&*terms()?)?;
            return Ok(kept.get_or_init(|| counts).as_ref());
        }
        Ok(kept.get().and_then(Option::as_ref))
    }

    /// The values of a field with few of them, and every document's place among them; `None` for other fields.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn dense(
        &self,
        field: SortField,
        terms: impl FnOnce() -> tantivy::Result<Arc<InvertedIndexReader>>,
    ) -> tantivy::Result<Option<(&[u64], &Dense)>> {
        let (Some(column), Some(counts)) = (self.number(field), self.counts(field, terms)?) else { return Ok(None) };
        let kept = if field == SortField::Price { &self.price_dense } else { &self.rating_dense };
        let values = counts.values();
        let place = |number: u64| values.binary_search(&number).ok().and_then(|place| u32::try_from(place).ok());
        let many = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let dense = kept.get_or_init(|| Dense::of(self.max_doc, column, many, place));
        Ok(dense.as_ref().map(|dense| (values, dense)))
    }

    /// The id of a document.
    #[inline]
    pub fn id(&self, doc: DocId) -> u128 {
        let hi = value(&self.id_hi, doc).unwrap_or_default();
        let lo = value(&self.id_lo, doc).unwrap_or_default();
        (u128::from(hi) << 64) | u128::from(lo)
    }
}

/// The (first) value of a document.
#[inline]
pub fn value<T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static>(
    column: &Column<T>,
    doc: DocId,
) -> Option<T> {
    match &column.index {
        ColumnIndex::Full => Some(column.values.get_val(doc)),
        ColumnIndex::Empty { .. } => None,
        _ => column.first(doc),
    }
}

/// A column of texts: ordinals per document, and the dictionary between ordinals and texts.
pub struct TextColumn {
    /// The ordinals of each document's values.
    pub ords: Column<u64>,
    dictionary: Dictionary,
    dense: OnceLock<Option<Dense>>,
    /// The postings of the same field.
    pub postings: Arc<InvertedIndexReader>,
}

enum Dictionary {
    /// The dictionary of the postings has the same terms with the same ordinals and is some ten times faster.
    Postings,
    /// The column's own.
    Column(StrColumn),
    /// No document has a value.
    Empty,
}

impl TextColumn {
    fn open(reader: &SegmentReader, name: &str, field: Field) -> tantivy::Result<Self> {
        let postings = reader.inverted_index(field)?;
        let Some(column) = reader.fast_fields().str(name)? else {
            let ords = Column::build_empty_column(reader.max_doc());
            return Ok(Self { ords, dictionary: Dictionary::Empty, dense: OnceLock::new(), postings });
        };
        // Both hold every distinct value of the field and both drop, when segments merge, the values that only
        // deleted documents had; the check is cheap insurance.
        let same = column.num_terms() == postings.terms().num_terms();
        let ords = column.ords().clone();
        let dictionary = if same { Dictionary::Postings } else { Dictionary::Column(column) };
        Ok(Self { ords, dictionary, dense: OnceLock::new(), postings })
    }

    /// Every document's ordinal in the shortest form; `None` where documents have several values.
    pub fn dense(&self, max_doc: u32) -> Option<&Dense> {
        let many = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let dense = || Dense::of(max_doc, &self.ords, many, |ord| u32::try_from(ord).ok());
        self.dense.get_or_init(dense).as_ref()
    }

    /// How many different values there are.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        match &self.dictionary {
            Dictionary::Postings => self.postings.terms().num_terms() as u64,
            Dictionary::Column(column) => column.num_terms() as u64,
            Dictionary::Empty => 0,
        }
    }

    /// The ordinal of a value.
    pub fn ord(&self, text: &[u8]) -> tantivy::Result<Option<u64>> {
        match &self.dictionary {
            Dictionary::Postings => Ok(self.postings.terms().term_ord(text)?),
            Dictionary::Column(column) => Ok(column.dictionary().term_ord(text)?),
            Dictionary::Empty => Ok(None),
        }
    }

    /// The ordinal of the first value that is not smaller; [`Self::len`] when all are.
    pub fn ord_ge(&self, text: &[u8]) -> tantivy::Result<u64> {
        match &self.dictionary {
            Dictionary::Postings => ord_ge(self.postings.terms(), text),
            Dictionary::Column(column) => {
                let mut stream = column.dictionary().range().ge(text).into_stream()?;
                Ok(if stream.advance() { stream.term_ord() } else { self.len() })
            }
            Dictionary::Empty => Ok(0),
        }
    }

    /// The value of an ordinal; empty for one that is not there.
    pub fn text(&self, ord: u64) -> tantivy::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let found = match &self.dictionary {
            Dictionary::Postings => self.postings.terms().ord_to_term(ord, &mut bytes)?,
            Dictionary::Column(column) => column.dictionary().ord_to_term(ord, &mut bytes)?,
            Dictionary::Empty => false,
        };
        if !found {
            bytes.clear();
        }
        Ok(bytes)
    }

    /// Calls `f` with every ordinal of `range` and its value, in order.
    pub fn each(&self, range: std::ops::Range<u64>, mut f: impl FnMut(u64, &[u8])) -> tantivy::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let first = self.text(range.start)?;
        match &self.dictionary {
            Dictionary::Postings => {
                let mut stream = self.postings.terms().range().ge(&first).into_stream()?;
                while stream.advance() && stream.term_ord() < range.end {
                    f(stream.term_ord(), stream.key());
                }
            }
            Dictionary::Column(column) => {
                let mut stream = column.dictionary().range().ge(&first).into_stream()?;
                while stream.advance() && stream.term_ord() < range.end {
                    f(stream.term_ord(), stream.key());
                }
            }
            Dictionary::Empty => {}
        }
        Ok(())
    }
}

/// The ordinal of the first term that is not smaller than `key`; the number of terms when all are.
fn ord_ge(terms: &TermDictionary, key: &[u8]) -> tantivy::Result<u64> {
    let mut stream = terms.range().ge(key).into_stream()?;
    Ok(if stream.advance() { stream.term_ord() } else { terms.num_terms() as u64 })
}
