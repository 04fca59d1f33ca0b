//! Which members of a product may be asked for live.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A member that an upstream may be asked for at the moment a product is read. Only small ones that mean the same whatever the
/// rest of the product says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveField {
    /// Pieces in stock.
    Stock,
    /// What one costs.
    Price,
    /// What one would cost without a discount.
    ListPrice,
    /// The average rating.
    Rating,
    /// Where it stands in its life.
    Status,
}

/// A name that is none of a live field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' cannot be live; stock, price, list_price, rating and status can")]
pub struct LiveFieldError(String);

impl LiveField {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stock, Self::Price, Self::ListPrice, Self::Rating, Self::Status];

    /// The member's name in a product's JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Price => "price",
            Self::ListPrice => "list_price",
            Self::Rating => "rating",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for LiveField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LiveField {
    type Err = LiveFieldError;
    fn from_str(name: &str) -> Result<Self, LiveFieldError> {
        let found = Self::ALL.into_iter().find(|field| field.name() == name);
        found.ok_or_else(|| LiveFieldError(name.chars().take(40).collect()))
    }
}

/// The members of a source's products that are live; none for a source that is not.
pub type LiveFields = std::collections::BTreeSet<LiveField>;
