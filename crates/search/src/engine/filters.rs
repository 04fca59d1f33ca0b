//! Filters: from what a query asks for to tests of one segment's documents.

use std::ops::Range;
use std::sync::Arc;

use haat_catalog::query::distance_m;
use haat_catalog::{FacetField, Query, SortField};
use tantivy::fastfield::Column;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::Field;
use tantivy::{DocId, f64_to_u64, i64_to_u64};

use super::bits::Bits;
use super::columns::{Columns, TextColumn, value};
use super::view::SegmentView;
use crate::schema::{ATTRIBUTE_SEPARATOR, Fields, LEVEL_SEPARATOR};

/// One filter of a query.
pub struct Condition {
    /// The facet that this filter does not narrow.
    own_facet: Option<FacetField>,
    wanted: Wanted,
}

enum Wanted {
    /// Any of these values.
    Terms { field: Field, column: fn(&Columns) -> &TextColumn, terms: Vec<Vec<u8>> },
    /// Any of these category paths or what is below them.
    Subtrees { field: Field, paths: Vec<Vec<u8>> },
    /// A sort value between these, both included.
    Range { field: SortField, least: u64, greatest: u64 },
    /// A place at most this far away.
    Circle { lat: f64, lon: f64, radius_m: f64 },
}

/// The filters of `query`, text aside.
pub fn conditions(query: &Query, fields: &Fields) -> Vec<Condition> {
    let f = &query.filters;
    let mut found = Vec::new();
    let mut terms = |facet: FacetField, field: Field, column: fn(&Columns) -> &TextColumn, terms: Vec<Vec<u8>>| {
        if !terms.is_empty() {
            found.push(Condition { own_facet: Some(facet), wanted: Wanted::Terms { field, column, terms } });
        }
    };
    let bytes = |texts: &[String]| texts.iter().map(|t| t.clone().into_bytes()).collect::<Vec<_>>();
    terms(FacetField::Brand, fields.brand, |c| &c.brand, bytes(&f.brand));
    terms(FacetField::Seller, fields.seller, |c| &c.seller, bytes(&f.seller));
    terms(FacetField::Tag, fields.tag, |c| &c.tag, bytes(&f.tag));
    let statuses = f.status.iter().map(|s| s.name().as_bytes().to_vec()).collect();
    terms(FacetField::Status, fields.status, |c| &c.status, statuses);
    let currencies = f.currency.iter().map(|c| c.code().as_bytes().to_vec()).collect();
    terms(FacetField::Currency, fields.currency, |c| &c.currency, currencies);
    let in_stock = f.in_stock.iter().map(|wanted| wanted.to_string().into_bytes()).collect();
    terms(FacetField::InStock, fields.in_stock, |c| &c.in_stock, in_stock);
    for (name, values) in &f.attr {
        let values = values.iter().map(|v| format!("{name}{ATTRIBUTE_SEPARATOR}{v}").into_bytes()).collect();
        terms(FacetField::Attribute(name.clone()), fields.attr, |c| &c.attr, values);
    }
    if !f.category.is_empty() {
        // A level with the separator in it can be no product's; joined it would look like two levels.
        let possible = f.category.iter().filter(|levels| !levels.iter().any(|l| l.contains(LEVEL_SEPARATOR)));
        let paths = possible.map(|levels| levels.join(LEVEL_SEPARATOR).into_bytes()).collect();
        let wanted = Wanted::Subtrees { field: fields.category_path, paths };
        found.push(Condition { own_facet: Some(FacetField::Category), wanted });
    }
    found.extend(ranges(query));
    if let Some(near) = f.near
        && let Some(radius_km) = near.radius_km
    {
        let wanted = Wanted::Circle { lat: near.lat, lon: near.lon, radius_m: radius_km * 1_000.0 };
        found.push(Condition { own_facet: None, wanted });
    }
    found
}

fn ranges(query: &Query) -> Vec<Condition> {
    let f = &query.filters;
    let mut found = Vec::new();
    let mut range = |facet: Option<FacetField>, field: SortField, least: u64, greatest: u64| {
        found.push(Condition { own_facet: facet, wanted: Wanted::Range { field, least, greatest } });
    };
    if f.price_min.is_some() || f.price_max.is_some() {
        let least = i64_to_u64(f.price_min.unwrap_or(i64::MIN));
        let greatest = i64_to_u64(f.price_max.unwrap_or(i64::MAX));
        range(Some(FacetField::Price), SortField::Price, least, greatest);
    }
    if let Some(min) = f.rating_min {
        range(Some(FacetField::Rating), SortField::Rating, f64_to_u64(min), u64::MAX);
    }
    for (field, after) in [(SortField::CreatedAt, f.created_after), (SortField::UpdatedAt, f.updated_after)] {
        if let Some(after) = after {
            range(None, field, i64_to_u64(after.as_millis().saturating_add(1)), u64::MAX);
        }
    }
    found
}

impl Condition {
    /// Whether this is `facet`'s own filter, which does not narrow the facet's counts.
    pub fn belongs_to(&self, facet: &FacetField) -> bool {
        match (&self.own_facet, facet) {
            (Some(FacetField::Price), FacetField::PriceRange) => true,
            (Some(own), facet) => own == facet,
            (None, _) => false,
        }
    }

    /// The bounds that this filter sets to the values of `field`.
    pub fn bounds(&self, field: SortField) -> Option<(u64, u64)> {
        match self.wanted {
            Wanted::Range { field: f, least, greatest } if f == field => Some((least, greatest)),
            _ => None,
        }
    }

    /// The field and its bounds, when this filter is nothing but a range.
    pub fn as_range(&self) -> Option<(SortField, u64, u64)> {
        match self.wanted {
            Wanted::Range { field, least, greatest } => Some((field, least, greatest)),
            _ => None,
        }
    }

    /// The filter in one segment.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn clause<'a>(&self, segment: &'a SegmentView) -> tantivy::Result<Clause<'a>> {
        let columns: &'a Columns = &segment.columns;
        let kind = match &self.wanted {
            Wanted::Terms { field, column, terms } => {
                Kind::Terms(TermsClause::values(segment, *field, column(columns), terms)?)
            }
            Wanted::Subtrees { field, paths } => {
                Kind::Terms(TermsClause::subtrees(segment, *field, &columns.category, paths)?)
            }
            Wanted::Range { field, least, greatest } => match columns.number(*field) {
                Some(column) => Kind::Range { column, least: *least, greatest: *greatest },
                None => Kind::Nothing,
            },
            Wanted::Circle { lat, lon, radius_m } => {
                Kind::Circle { lats: &columns.lat, lons: &columns.lon, lat: *lat, lon: *lon, radius_m: *radius_m }
            }
        };
        Ok(Clause::new(kind, segment.max_doc()))
    }
}

/// A filter in one segment.
pub struct Clause<'a> {
    /// How it is tested.
    pub kind: Kind<'a>,
    /// At most so many documents meet it.
    pub most: u32,
}

/// The ways in which documents are tested.
pub enum Kind<'a> {
    /// Every document meets it.
    Everything,
    /// None does.
    Nothing,
    /// A value is among those wanted.
    Terms(TermsClause<'a>),
    /// A value lies between bounds, both included.
    Range {
        /// The values.
        column: &'a Column<u64>,
        /// The least.
        least: u64,
        /// The greatest.
        greatest: u64,
    },
    /// The place is not too far away.
    Circle {
        /// Latitudes.
        lats: &'a Column<f64>,
        /// Longitudes.
        lons: &'a Column<f64>,
        /// The centre's latitude.
        lat: f64,
        /// The centre's longitude.
        lon: f64,
        /// The radius.
        radius_m: f64,
    },
    /// The documents are known (those that match the text).
    Known(Arc<Bits>),
}

impl<'a> Clause<'a> {
    fn new(kind: Kind<'a>, max_doc: u32) -> Self {
        let most = match &kind {
            Kind::Nothing => 0,
            Kind::Terms(terms) => terms.most().min(max_doc),
            Kind::Everything | Kind::Range { .. } | Kind::Circle { .. } => max_doc,
            Kind::Known(bits) => bits.count(),
        };
        Self { kind: if most == 0 { Kind::Nothing } else { kind.simplified(max_doc) }, most }
    }

    /// The documents that match the text.
    pub fn known(bits: Arc<Bits>) -> Self {
        let max_doc = bits.max_doc();
        Self::new(Kind::Known(bits), max_doc)
    }

    /// Whether a document meets it.
    #[inline]
    pub fn test(&self, doc: DocId) -> bool {
        match &self.kind {
            Kind::Everything => true,
            Kind::Nothing => false,
            Kind::Terms(terms) => terms.test(doc),
            Kind::Range { column, least, greatest } => {
                value(column, doc).is_some_and(|v| (*least..=*greatest).contains(&v))
            }
            Kind::Circle { lats, lons, lat, lon, radius_m } => match (value(lats, doc), value(lons, doc)) {
                (Some(y), Some(x)) => within(*lat, *lon, y, x, *radius_m),
                _ => false,
            },
            Kind::Known(bits) => bits.contains(doc),
        }
    }
}

impl Kind<'_> {
    /// A range that holds every value of a full column is no filter.
    fn simplified(self, max_doc: u32) -> Self {
        if let Kind::Range { column, least, greatest } = &self {
            let (min, max) = (column.min_value(), column.max_value());
            if *least > max || *greatest < min {
                return Kind::Nothing;
            }
            if *least <= min && *greatest >= max && column.get_cardinality().is_full() && column.num_docs() == max_doc {
                return Kind::Everything;
            }
        }
        self
    }
}

/// Whether a place lies within the radius; a difference in latitude alone rules most out cheaply.
fn within(lat: f64, lon: f64, y: f64, x: f64, radius_m: f64) -> bool {
    const METRES_PER_DEGREE: f64 = 111_000.0;
    (y - lat).abs() * METRES_PER_DEGREE <= radius_m && distance_m(lat, lon, y, x) <= radius_m
}

/// Values wanted of a text field, as postings and as ordinals of the column.
pub struct TermsClause<'a> {
    /// Where the postings are.
    pub postings: Arc<InvertedIndexReader>,
    /// The postings of each value.
    pub infos: Vec<TermInfo>,
    ords: &'a Column<u64>,
    /// Ordinals wanted, as ascending ranges that do not touch.
    ranges: Vec<Range<u64>>,
}

impl<'a> TermsClause<'a> {
    fn values(segment: &SegmentView, field: Field, column: &'a TextColumn, terms: &[Vec<u8>]) -> tantivy::Result<Self> {
        let mut clause = Self::empty(segment, field, column)?;
        for term in terms {
            clause.infos.extend(clause.postings.terms().get(term)?);
            clause.ranges.extend(column.ord(term)?.map(|ord| ord..ord + 1));
        }
        clause.ranges = merged(clause.ranges);
        Ok(clause)
    }

    fn subtrees(
        segment: &SegmentView,
        field: Field,
        column: &'a TextColumn,
        paths: &[Vec<u8>],
    ) -> tantivy::Result<Self> {
        let mut clause = Self::empty(segment, field, column)?;
        for path in paths {
            clause.infos.extend(clause.postings.terms().get(path)?);
            clause.ranges.extend(column.ord(path)?.map(|ord| ord..ord + 1));
            let below = [path.as_slice(), LEVEL_SEPARATOR.as_bytes()].concat();
            let beyond = [path.as_slice(), "\u{1}".as_bytes()].concat();
            clause.ranges.push(column.ord_ge(&below)?..column.ord_ge(&beyond)?);
        }
        clause.ranges = merged(clause.ranges);
        Ok(clause)
    }

    fn empty(segment: &SegmentView, field: Field, column: &'a TextColumn) -> tantivy::Result<Self> {
        let postings = segment.reader.inverted_index(field)?;
        Ok(Self { postings, infos: Vec::new(), ords: &column.ords, ranges: Vec::new() })
    }

    /// How many documents the postings name, deleted ones and repeats included.
    pub fn most(&self) -> u32 {
        self.infos.iter().fold(0, |sum, info| sum.saturating_add(info.doc_freq))
    }

    #[inline]
    fn test(&self, doc: DocId) -> bool {
        use tantivy::columnar::ColumnIndex;
        match &self.ords.index {
            ColumnIndex::Full => self.wants(self.ords.values.get_val(doc)),
            _ => self.ords.values_for_doc(doc).any(|ord| self.wants(ord)),
        }
    }

    #[inline]
    fn wants(&self, ord: u64) -> bool {
        match self.ranges.as_slice() {
            [one] => one.contains(&ord),
            few if few.len() <= 4 => few.iter().any(|r| r.contains(&ord)),
            many => {
                let after = many.partition_point(|r| r.start <= ord);
                after.checked_sub(1).and_then(|i| many.get(i)).is_some_and(|r| r.contains(&ord))
            }
        }
    }
}

fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|r| !r.is_empty());
    ranges.sort_by_key(|r| r.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// The ordinals of `attr` that belong to the attribute `name`.
///
/// # Errors
/// When the segment's files cannot be read.
pub fn attribute_ords(column: &TextColumn, name: &str) -> tantivy::Result<Range<u64>> {
    let from = format!("{name}{ATTRIBUTE_SEPARATOR}");
    let to = format!("{name}\u{1}");
    Ok(column.ord_ge(from.as_bytes())?..column.ord_ge(to.as_bytes())?)
}
