//! The product: what a catalogue is made of.
//!
//! [`Product`] is a stored product, all members present. [`Draft`] is what a client or an import may write: the
//! same members less those the server owns. [`decode`] turns JSON into a `Draft` with every violation named;
//! [`patch`] applies a JSON merge patch, [`overlay`] what an upstream says.

pub mod decode;
pub mod limits;
pub mod overlay;
pub mod patch;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::invalid::Invalid;
use crate::money::Money;
use crate::time::Timestamp;

/// Between the levels of a category path where it is written as one text: `Foodgrains > Rice`.
pub const CATEGORY_SEPARATOR: &str = " > ";

/// A product's id: a UUID, version 7 where Haat draws it. Breaks every tie in a listing, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProductId(Uuid);

impl ProductId {
    /// The 16 bytes, most significant first: their order is the id's order.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From 16 bytes as [`Self::as_bytes`] gives them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// As one number, in the id's order.
    pub fn as_u128(&self) -> u128 {
        self.0.as_u128()
    }
}

impl From<Uuid> for ProductId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for ProductId {
    type Err = uuid::Error;
    fn from_str(s: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(s).map(Self)
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A stock-keeping unit: the natural key, unique in the catalogue. 1 to 128 bytes, no control characters, no
/// white space at either end; compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sku(String);

impl Sku {
    /// The longest sku, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks a text and makes it a sku.
    ///
    /// # Errors
    /// A violation without a place (`pointer` is `/sku`) that says what is wrong.
    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let problem = if text.is_empty() {
            "is empty; give 1 to 128 bytes"
        } else if text.len() > Self::MAX_BYTES {
            "is longer than 128 bytes"
        } else if text.trim() != text {
            "has white space at its start or end"
        } else if text.chars().any(char::is_control) {
            "has a control character"
        } else {
            return Ok(Self(text));
        };
        Err(Invalid::one("/sku", format!("the sku {problem}")))
    }

    /// The sku's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a product is asked for: by id or by sku.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProductKey {
    /// By id.
    Id(ProductId),
    /// By sku.
    Sku(Sku),
}

impl ProductKey {
    /// Reads a path segment: a hyphenated UUID is an id, anything else a sku.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() == 36
            && let Ok(id) = text.parse()
        {
            return Ok(Self::Id(id));
        }
        Sku::new(text).map(Self::Sku)
    }
}

/// Where a product stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// For sale.
    #[default]
    Active,
    /// Not for sale yet.
    Draft,
    /// No longer for sale.
    Archived,
}

impl Status {
    /// All of them, in the order they are documented.
    pub const ALL: [Status; 3] = [Status::Active, Status::Draft, Status::Archived];

    /// The name in JSON and in query strings.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Draft => "draft",
            Status::Archived => "archived",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A place on Earth, WGS 84 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Latitude, −90 to 90.
    pub lat: f64,
    /// Longitude, −180 to 180.
    pub lon: f64,
}

/// The value of an attribute: a scalar, or a list of scalars of which a filter may match any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<AttributeValue>),
}

impl AttributeValue {
    /// The texts by which `attr.NAME=` filters and facets know this value: one for a scalar, one per item of a list.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Bool(b) => vec![b.to_string()],
            Self::Number(n) => vec![n.to_string()],
            Self::Text(t) => vec![t.clone()],
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
        }
    }
}

/// Attributes by name, sorted, so that equal ones have equal JSON.
pub type Attributes = BTreeMap<String, AttributeValue>;

/// One form in which a product is sold (a size, a colour).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its own sku, unique within the product.
    pub sku: Sku,
    /// What it is called.
    pub name: Option<String>,
    /// Its price where it differs from the product's.
    pub price: Option<Money>,
    /// Pieces in stock, where known.
    pub stock: Option<i64>,
    /// What sets it apart.
    pub attributes: Attributes,
}

macro_rules! product_structs {
    ($( $(#[$doc:meta])* $field:ident : $ty:ty ),* $(,)?) => {
        /// A stored product. Its JSON has exactly these members, in this order, absent ones as `null`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Product {
            /// The product's id.
            pub id: ProductId,
            $( $(#[$doc])* pub $field: $ty, )*
            /// When the product was first written, or what an import said of it.
            pub created_at: Timestamp,
            /// When the product last changed.
            pub updated_at: Timestamp,
            /// How many times the product was written; the first is 1.
            pub version: u64,
        }

        /// What a client or an import may write of a product: validated, defaults filled in.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct Draft {
            /// The id that a new product shall have (an import of an export keeps ids).
            #[serde(skip)]
            pub id: Option<ProductId>,
            /// When the product was created, if the writer knows better than the clock.
            #[serde(skip)]
            pub created_at: Option<Timestamp>,
            $( $(#[$doc])* pub $field: $ty, )*
        }

        impl Draft {
            /// The product that this draft becomes.
            pub fn into_product(self, id: ProductId, version: u64, created_at: Timestamp, updated_at: Timestamp) -> Product {
                Product { id, $( $field: self.$field, )* created_at, updated_at, version }
            }
        }

        impl From<Product> for Draft {
            fn from(p: Product) -> Self {
                Self { id: Some(p.id), created_at: Some(p.created_at), $( $field: p.$field, )* }
            }
        }

        /// The members of a product's JSON, in order.
        pub const MEMBERS: &[&str] = &["id", $( stringify!($field), )* "created_at", "updated_at", "version"];
    };
}

product_structs! {
    /// The natural key.
    sku: Sku,
    /// What the product is called: 1 to 500 characters.
    name: String,
    /// What it is, up to 20,000 characters.
    description: Option<String>,
    /// Its maker.
    brand: Option<String>,
    /// Its place in the category tree, outermost level first.
    category: Vec<String>,
    /// Free labels.
    tags: Vec<String>,
    /// What one costs.
    price: Money,
    /// What one would cost without a discount.
    list_price: Option<Money>,
    /// Pieces in stock, where known.
    stock: Option<i64>,
    /// The unit it is sold by.
    unit: Option<String>,
    /// The average rating, 0 to 5.
    rating: Option<f64>,
    /// Who sells it.
    seller: Option<String>,
    /// Where it is.
    location: Option<Location>,
    /// Whatever else is known of it.
    attributes: Attributes,
    /// Addresses of pictures (`http` or `https`).
    images: Vec<String>,
    /// The forms it is sold in.
    variants: Vec<Variant>,
    /// Where it stands in its life.
    status: Status,
}

/// A 128-bit hash (XXH3) of what a client can write of a product: equal content, equal hash.
pub type ContentHash = [u8; 16];

impl Draft {
    /// The hash by which an import knows that a product did not change. Leaves out `id` and `created_at`.
    pub fn content_hash(&self) -> ContentHash {
        // Serialising to memory fails only on a map whose keys are no strings, which a draft has not.
        let json = serde_json::to_vec(self).unwrap_or_default();
        xxh3_128(&json).to_be_bytes()
    }
}

impl Product {
    /// The product's JSON, exactly as the API answers it and the store keeps it.
    pub fn to_json(&self) -> Vec<u8> {
        // As in `content_hash`: nothing in a product can fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a product's JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The category path as one text, empty without a category.
    pub fn category_path(&self) -> String {
        self.category.join(CATEGORY_SEPARATOR)
    }

    /// Whether any of it is to be had: the product's own stock or a variant's is above zero.
    pub fn in_stock(&self) -> bool {
        self.stock.is_some_and(|n| n > 0) || self.variants.iter().any(|v| v.stock.is_some_and(|n| n > 0))
    }

    /// The strong entity tag (RFC 9110 §8.8.3) of this version of the product, quotes included.
    pub fn etag(&self) -> String {
        Stamp { id: self.id, version: self.version, updated_at: self.updated_at }.etag()
    }
}

/// The entity tag of the product of that JSON ([`Product::to_json`]); `None` when it is no product's.
pub fn etag_of(document: &[u8]) -> Option<String> {
    serde_json::from_slice(document).ok().map(|stamp: Stamp| stamp.etag())
}

/// What an entity tag is made of. Id and version alone would do if versions only ever grew, but the version of a deleted
/// product is forgotten with its deletion, and an import may bring its id back: that one begins at version 1 again, though
/// never at the same moment.
#[derive(Deserialize)]
struct Stamp {
    id: ProductId,
    version: u64,
    updated_at: Timestamp,
}

impl Stamp {
    fn etag(&self) -> String {
        let id = (self.id.as_u128() >> 64) as u64 ^ (self.id.as_u128() as u64);
        format!("\"{id:x}-{}-{:x}\"", self.version, self.updated_at.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_and_its_json_have_the_same_entity_tag_and_another_moment_another() {
        let draft = serde_json::json!({"sku": "A", "name": "n", "price": {"amount": 1, "currency": "INR"}});
        let draft = Draft::from_json(&draft).unwrap();
        let id = ProductId::from_bytes([7; 16]);
        let at = |ms| draft.clone().into_product(id, 1, Timestamp::from_millis(5), Timestamp::from_millis(ms));
        assert_eq!(etag_of(&at(9).to_json()), Some(at(9).etag()));
        assert_ne!(at(9).etag(), at(10).etag());
        assert_eq!(etag_of(b"{}"), None);
    }
}
