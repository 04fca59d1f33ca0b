//! What a listing is asked for: [`Query`], validated and normalised, and its parameters.
//!
//! [`parse`] reads a query string. A `Query` that exists is a valid one: whoever holds it never checks again.

mod fold;
mod parameters;
pub mod parse;

use std::collections::BTreeMap;

pub use fold::{is_accent, name_sort_key};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::change::Seq;
use crate::cursor::Cursor;
use crate::money::Currency;
use crate::product::Status;
use crate::time::Timestamp;

/// How many products a page holds: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

impl Limit {
    /// The largest page.
    pub const MAX: u16 = 100;

    /// `None` outside 1 to 100.
    pub fn new(n: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&n).then_some(Self(n))
    }

    /// The number.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

/// A field that a listing can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SortField {
    /// The price's amount in minor units, whatever the currency.
    Price,
    /// The name by [`crate::query::name_sort_key`].
    Name,
    /// Creation time.
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Rating.
    Rating,
    /// Pieces in stock.
    Stock,
    /// How well the product matches `q`; best first in either direction.
    Relevance,
    /// Distance from `near`.
    Distance,
}

impl SortField {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Price,
        Self::Name,
        Self::CreatedAt,
        Self::UpdatedAt,
        Self::Rating,
        Self::Stock,
        Self::Relevance,
        Self::Distance,
    ];

    /// The name in a query string.
    pub fn name(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Name => "name",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Rating => "rating",
            Self::Stock => "stock",
            Self::Relevance => "relevance",
            Self::Distance => "distance",
        }
    }
}

/// One key of a sort order. Products without a value come last in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct SortKey {
    /// By what.
    pub field: SortField,
    /// Largest first. Always false for [`SortField::Relevance`], which is best first by itself.
    pub descending: bool,
}

/// A field that can be counted by value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FacetField {
    /// Brands.
    Brand,
    /// Category paths, every level: a product in `A > B` counts for `A` and for `A > B`.
    Category,
    /// Sellers.
    Seller,
    /// Tags.
    Tag,
    /// Statuses.
    Status,
    /// Currencies of the price.
    Currency,
    /// Prices, by amount in minor units.
    Price,
    /// Prices in steps of 1, 2, 5, 10, 20, 50 … minor units: `value` is `FROM-TO`, `TO` excluded.
    PriceRange,
    /// Ratings.
    Rating,
    /// `true` and `false`.
    InStock,
    /// The values of an attribute.
    Attribute(String),
}

impl FacetField {
    /// The fields with a fixed name; attributes are `attr.NAME`.
    pub const NAMED: [(&'static str, Self); 10] = [
        ("brand", Self::Brand),
        ("category", Self::Category),
        ("seller", Self::Seller),
        ("tag", Self::Tag),
        ("status", Self::Status),
        ("currency", Self::Currency),
        ("price", Self::Price),
        ("price_range", Self::PriceRange),
        ("rating", Self::Rating),
        ("in_stock", Self::InStock),
    ];

    /// The name in a query string and in the answer.
    pub fn name(&self) -> String {
        if let Self::Attribute(name) = self {
            return format!("attr.{name}");
        }
        Self::NAMED.iter().find(|(_, f)| f == self).map_or_else(String::new, |(n, _)| (*n).to_owned())
    }
}

/// Whether the number of matches is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CountMode {
    /// Count them all.
    #[default]
    Exact,
    /// Do not count.
    None,
}

/// A place to measure from, and how far to look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Near {
    /// Latitude, −90 to 90.
    pub lat: f64,
    /// Longitude, −180 to 180.
    pub lon: f64,
    /// Only products at most this far away; `None` filters nothing and only gives `sort=distance` its origin.
    pub radius_km: Option<f64>,
}

/// What products must be like. Lists are sorted and free of repeats; within a list any value will do, and every
/// non-empty field must be met.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Filters {
    /// Category paths; each matches its whole subtree.
    pub category: Vec<Vec<String>>,
    /// Brands, exactly as written.
    pub brand: Vec<String>,
    /// Sellers.
    pub seller: Vec<String>,
    /// Tags.
    pub tag: Vec<String>,
    /// Statuses.
    pub status: Vec<Status>,
    /// Attributes by name; values as [`crate::product::AttributeValue::texts`] gives them.
    pub attr: BTreeMap<String, Vec<String>>,
    /// The least price, minor units, inclusive.
    pub price_min: Option<i64>,
    /// The greatest price, minor units, inclusive.
    pub price_max: Option<i64>,
    /// Currencies of the price.
    pub currency: Vec<Currency>,
    /// The least rating, inclusive; products without a rating do not match.
    pub rating_min: Option<f64>,
    /// [`crate::Product::in_stock`].
    pub in_stock: Option<bool>,
    /// Created later than this.
    pub created_after: Option<Timestamp>,
    /// Changed later than this.
    pub updated_after: Option<Timestamp>,
    /// Where.
    pub near: Option<Near>,
}

/// A listing or a search, complete and valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The words to look for, trimmed; `None` when there are none.
    pub text: Option<String>,
    /// What products must be like.
    pub filters: Filters,
    /// One to three keys; never empty. The id breaks ties, ascending.
    pub sort: Vec<SortKey>,
    /// How many.
    pub limit: Limit,
    /// Where to go on; always of this query.
    pub cursor: Option<Cursor>,
    /// What to count by value, in the order asked.
    pub facets: Vec<FacetField>,
    /// How many values of each facet, 1 to 1,000.
    pub facet_limit: usize,
    /// Whether to count the matches.
    pub count: CountMode,
    /// Members to answer, in the order of [`crate::product::MEMBERS`]; `None` for all.
    pub fields: Option<Vec<&'static str>>,
    /// Whether to mark the words found.
    pub highlight: bool,
    /// The index must have come at least this far.
    pub min_seq: Option<Seq>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            text: None,
            filters: Filters::default(),
            sort: vec![parameters::default_order(false)],
            limit: Limit::default(),
            cursor: None,
            facets: Vec::new(),
            facet_limit: DEFAULT_FACET_LIMIT,
            count: CountMode::default(),
            fields: None,
            highlight: false,
            min_seq: None,
        }
    }
}

/// How many values of a facet are answered when `facet_limit` does not say.
pub const DEFAULT_FACET_LIMIT: usize = 100;
/// The most values of a facet.
pub const MAX_FACET_LIMIT: usize = 1_000;

impl Query {
    /// The query as one text: the same for two queries exactly when they have the same answer, `min_seq` aside.
    pub fn canonical(&self) -> String {
        let cursor = self.cursor.as_ref().map(|cursor| cursor.encode_for(self));
        let count = self.count == CountMode::Exact;
        let parts = (&self.text, &self.filters, &self.sort, self.limit.0, cursor, &self.facets);
        let parts = (parts, self.facet_limit, count, &self.fields, self.highlight);
        // Texts, numbers and lists of them always serialise.
        serde_json::to_string(&parts).unwrap_or_default()
    }

    /// What a cursor is bound to: the words, the filters and the order. Page size, facets, fields and the like may
    /// change between pages.
    pub fn fingerprint(&self) -> u64 {
        let bound = (&self.text, &self.filters, &self.sort);
        xxh3_64(&serde_json::to_vec(&bound).unwrap_or_default())
    }
}

/// The price step that [`FacetField::PriceRange`] puts an amount into: `[from, to)` with bounds 0, 1, 2, 5, 10, 20, 50 …
pub fn price_step(amount: i64) -> (i64, i64) {
    if amount < 1 {
        return (0, 1);
    }
    let mut power = 1_i64;
    while amount / power >= 10 {
        power *= 10;
    }
    match amount / power {
        1 => (power, 2 * power),
        2..=4 => (2 * power, 5 * power),
        _ => (5 * power, 10 * power),
    }
}

/// Metres between two places by the haversine formula on a sphere of 6,371,008.8 m.
pub fn distance_m(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    const RADIUS_M: f64 = 6_371_008.8;
    let (p1, p2) = (lat1.to_radians(), lat2.to_radians());
    let (dp, dl) = ((lat2 - lat1).to_radians(), (lon2 - lon1).to_radians());
    let a = (dp / 2.0).sin().powi(2) + p1.cos() * p2.cos() * (dl / 2.0).sin().powi(2);
    2.0 * RADIUS_M * a.sqrt().min(1.0).asin()
}
