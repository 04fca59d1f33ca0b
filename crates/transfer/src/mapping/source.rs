//! Where a field's value comes from, and how it is read. Generic over how a column is named: by its name in a
//! mapping, by its number once the header is known.

use haat_catalog::{Currency, Money};
use serde_json::{Value, json};

use crate::mapping::cell::{Read, one_line};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source<C> {
    /// A cell.
    Cell(C, Read),
    /// A decimal amount in major units.
    Money(C, CurrencyFrom<C>),
    /// A list of which each column is an item.
    Several(Vec<C>),
    /// Latitude and longitude.
    Place(C, C),
    /// A text with cells in it.
    Template {
        parts: Vec<Part<C>>,
        /// Whether one empty cell makes the whole absent, or only all of them do.
        strict: bool,
    },
    /// Always the same.
    Constant(Value),
}

/// Where the currency of a decimal amount comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CurrencyFrom<C> {
    Fixed(Currency),
    Column(C),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part<C> {
    Text(String),
    Column(C),
}

impl<C> Source<C> {
    /// The columns that are read.
    pub(crate) fn columns(&self) -> Vec<&C> {
        match self {
            Self::Cell(c, _) | Self::Money(c, CurrencyFrom::Fixed(_)) => vec![c],
            Self::Money(a, CurrencyFrom::Column(b)) | Self::Place(a, b) => vec![a, b],
            Self::Several(columns) => columns.iter().collect(),
            Self::Template { parts, .. } => {
                let column = |part| match part {
                    &Part::Text(_) => None,
                    Part::Column(c) => Some(c),
                };
                parts.iter().filter_map(column).collect()
            }
            Self::Constant(_) => Vec::new(),
        }
    }

    /// The same with columns named otherwise; `None` when one of them has no such name.
    pub(crate) fn rename<D>(&self, find: &mut impl FnMut(&C) -> Option<D>) -> Option<Source<D>> {
        Some(match self {
            Self::Cell(c, read) => Source::Cell(find(c)?, read.clone()),
            Self::Money(c, CurrencyFrom::Fixed(currency)) => Source::Money(find(c)?, CurrencyFrom::Fixed(*currency)),
            Self::Money(a, CurrencyFrom::Column(b)) => Source::Money(find(a)?, CurrencyFrom::Column(find(b)?)),
            Self::Place(a, b) => Source::Place(find(a)?, find(b)?),
            Self::Several(columns) => Source::Several(columns.iter().map(find).collect::<Option<_>>()?),
            Self::Template { parts, strict } => {
                let part = |part: &Part<C>| match part {
                    Part::Text(text) => Some(Part::Text(text.clone())),
                    Part::Column(c) => find(c).map(Part::Column),
                };
                Source::Template { parts: parts.iter().map(part).collect::<Option<_>>()?, strict: *strict }
            }
            Self::Constant(value) => Source::Constant(value.clone()),
        })
    }
}

/// A cell that does not hold what it should: its column, and what is wrong.
pub(crate) type CellError = (usize, String);

impl Source<usize> {
    /// The value in a row; `None` when it is absent.
    pub(crate) fn value(&self, row: &[&str]) -> Result<Option<Value>, CellError> {
        let cell = |column: usize| row.get(column).copied().unwrap_or_default();
        match self {
            Self::Cell(column, read) => read.value(cell(*column)).map_err(|detail| (*column, detail)),
            Self::Money(column, currency) => money(row, *column, *currency),
            Self::Several(columns) => {
                let items: Vec<String> =
                    columns.iter().map(|c| one_line(cell(*c))).filter(|item| !item.is_empty()).collect();
                Ok((!items.is_empty()).then(|| json!(items)))
            }
            Self::Place(lat, lon) => {
                let degrees = |c: &usize| Read::Number.value(cell(*c)).map_err(|detail| (*c, detail));
                let (lat, lon) = (degrees(lat)?, degrees(lon)?);
                Ok((lat.is_some() || lon.is_some()).then(|| json!({ "lat": lat, "lon": lon })))
            }
            Self::Template { parts, strict } => Ok(template(row, parts, *strict)),
            Self::Constant(value) => Ok(Some(value.clone())),
        }
    }
}

fn money(row: &[&str], column: usize, currency: CurrencyFrom<usize>) -> Result<Option<Value>, CellError> {
    let cell = |column: usize| row.get(column).copied().unwrap_or_default().trim();
    let amount = cell(column);
    if amount.is_empty() {
        return Ok(None);
    }
    let currency = match currency {
        CurrencyFrom::Fixed(currency) => currency,
        CurrencyFrom::Column(from) => {
            let code = cell(from).to_ascii_uppercase();
            code.parse().map_err(|e: haat_catalog::money::MoneyError| (from, e.to_string()))?
        }
    };
    let money = Money::from_decimal(amount, currency).map_err(|e| (column, e.to_string()))?;
    Ok(Some(json!({ "amount": money.amount, "currency": money.currency.code() })))
}

fn template(row: &[&str], parts: &[Part<usize>], strict: bool) -> Option<Value> {
    let mut text = String::new();
    let (mut empty, mut filled) = (0, 0);
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Column(column) => {
                let cell = row.get(*column).map(|c| one_line(c)).unwrap_or_default();
                if cell.is_empty() {
                    empty += 1
                } else {
                    filled += 1
                }
                text.push_str(&cell);
            }
        }
    }
    let absent = if strict { empty > 0 } else { filled == 0 };
    (!absent).then(|| Value::String(one_line(&text)))
}
