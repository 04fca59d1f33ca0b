//! What a listing answers.

use bytes::Bytes;
use serde::Serialize;

use crate::change::Seq;
use crate::query::FacetField;

/// One product of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The product's JSON as [`crate::Product::to_json`] wrote it.
    pub document: Bytes,
    /// The members in which words of `q` were found, with `<em>` around them and everything else HTML-escaped.
    pub highlight: Option<Vec<(&'static str, String)>>,
}

/// The value that a facet counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FacetValue {
    /// Brands, paths, sellers, tags, attribute values, price ranges.
    Text(String),
    /// Prices.
    Integer(i64),
    /// Ratings.
    Float(f64),
    /// In stock.
    Bool(bool),
}

/// How often a value occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FacetCount {
    /// The value.
    pub value: FacetValue,
    /// The number of matching products that have it.
    pub count: u64,
}

/// The counts of one facet: most frequent first, equal counts by value, at most `facet_limit` of them.
#[derive(Debug, Clone, PartialEq)]
pub struct FacetResult {
    /// Of what.
    pub field: FacetField,
    /// How often each.
    pub counts: Vec<FacetCount>,
}

/// How many products match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The number.
    pub value: u64,
    /// Always `eq`: Haat counts exactly or not at all.
    pub relation: &'static str,
}

impl Total {
    /// An exact total.
    pub fn exact(value: u64) -> Self {
        Self { value, relation: "eq" }
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The products, in order.
    pub hits: Vec<Hit>,
    /// The cursor of the page after this one, if there is one.
    pub next: Option<String>,
    /// The cursor of the page before this one, if there is one.
    pub prev: Option<String>,
    /// How many match in all, unless `count=none`.
    pub total: Option<Total>,
    /// The facets asked for, in that order.
    pub facets: Vec<FacetResult>,
    /// How far the index has come: every change up to this one is in the page.
    pub seq: Seq,
    /// Whether the index holds the whole catalogue; false while it is built anew.
    pub complete: bool,
}

/// What completes a search being typed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Suggestions {
    /// Products, best first.
    pub products: Vec<Hit>,
    /// Category paths with the number of products in them.
    pub categories: Vec<FacetCount>,
    /// Brands with the number of their products.
    pub brands: Vec<FacetCount>,
}
