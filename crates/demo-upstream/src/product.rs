//! A product as this API writes it. Its members have other names than Haat's, as other people's do.

use std::collections::BTreeMap;

use haat_catalog::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In the smallest unit of the currency.
    pub cents: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Whether a product is for sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    #[default]
    On,
    /// It is not any more.
    Off,
}

/// One way in which a product is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Its own sku.
    pub sku: String,
    /// What it is called, beside the product's title.
    pub title: String,
    /// How many there are.
    #[serde(default)]
    pub quantity: i64,
}

/// A product. Where it is sent (`PUT`), `id`, `created`, `modified` and `version` are the server's: what is sent is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The key: 1 to [`MAX_ID`](crate::catalogue::MAX_ID) bytes of letters, digits, `-`, `_` and `.`.
    #[serde(default)]
    pub id: String,
    /// What the trader calls it.
    pub sku: String,
    /// Its name.
    pub title: String,
    /// Its description.
    #[serde(default)]
    pub text: String,
    /// Who makes it.
    #[serde(default)]
    pub maker: Option<String>,
    /// Where it belongs, the broadest first.
    #[serde(default)]
    pub path: Vec<String>,
    /// Words for it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What it costs.
    pub price: Price,
    /// What it cost before.
    #[serde(default)]
    pub was_price: Option<Price>,
    /// How many there are.
    #[serde(default)]
    pub quantity: i64,
    /// What buyers think of it, 0 to 5.
    #[serde(default)]
    pub rating: Option<f64>,
    /// URLs.
    #[serde(default)]
    pub images: Vec<String>,
    /// Facts about it.
    #[serde(default)]
    pub specs: BTreeMap<String, Value>,
    /// In which ways it is sold.
    #[serde(default)]
    pub options: Vec<Choice>,
    /// Whether it is for sale.
    #[serde(default)]
    pub state: State,
    /// Since when it is there.
    #[serde(default = "never")]
    pub created: Timestamp,
    /// When it was last written.
    #[serde(default = "never")]
    pub modified: Timestamp,
    /// How often it was written.
    #[serde(default)]
    pub version: u64,
}

fn never() -> Timestamp {
    Timestamp::from_millis(0)
}

impl Product {
    /// One with nothing but what it must have; for sale.
    pub fn new(id: &str, sku: &str, title: &str, price: Price) -> Self {
        Self {
            id: id.to_owned(),
            sku: sku.to_owned(),
            title: title.to_owned(),
            text: String::new(),
            maker: None,
            path: Vec::new(),
            labels: Vec::new(),
            price,
            was_price: None,
            quantity: 0,
            rating: None,
            images: Vec::new(),
            specs: BTreeMap::new(),
            options: Vec::new(),
            state: State::On,
            created: never(),
            modified: never(),
            version: 0,
        }
    }
}
