//! From the columns of any CSV to the fields of a product.
//!
//! A mapping is a list of rules, `FIELD=SOURCE`, given as they are on the command line (`--map`), in a query string
//! (`map=`) or in the `[fields]` table of a TOML file.
//!
//! | rule | reads |
//! |---|---|
//! | `name=product` | the cell of a column |
//! | `sku=G-{index}` | a text with cells in it |
//! | `price=sale_price:INR`, `price=amount:@currency` | a decimal amount in major units, with its currency |
//! | `price.amount=paise`, `price.currency=cur` | an integer in minor units, and its currency |
//! | `category=department>aisle>kind` | one level a column |
//! | <code>category=path&#124;/</code>, <code>tags=labels&#124;;</code> | one column, split at a separator |
//! | `tags=label1,label2` | one item a column |
//! | `location=lat,lon` | two columns of degrees |
//! | `attributes.weight_g=weight:number` | an attribute: `text` (as by default), `number` or `bool` |
//! | `status:=draft` | a constant |
//!
//! A column whose name has one of `> , | : { }` or begins with a double quote is written in double quotes. Cells are
//! trimmed; an empty one counts as absent.

pub(crate) mod cell;
pub(crate) mod field;
pub(crate) mod plan;
pub(crate) mod source;
mod syntax;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mapping::field::Target;
use crate::mapping::source::Source;

/// Which column is which field, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct CsvMapping {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) target: Target,
    pub(crate) source: Source<String>,
    /// The rule as `FIELD=SOURCE`.
    text: String,
}

/// Why a mapping was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError {
    /// The rule at fault as `FIELD=SOURCE`; empty when it is the mapping as a whole.
    pub rule: String,
    /// What is wrong with it and what to write instead.
    pub detail: String,
    in_file: bool,
}

impl MappingError {
    fn rule(rule: &str, in_file: bool, detail: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), detail: detail.into(), in_file }
    }

    fn whole(detail: impl Into<String>) -> Self {
        Self::rule("", false, detail)
    }
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule.as_str(), self.in_file) {
            ("", _) => write!(f, "mapping: {}", self.detail),
            (rule, true) => write!(f, "mapping file, [fields] {rule}: {}", self.detail),
            (rule, false) => write!(f, "--map '{rule}': {}", self.detail),
        }
    }
}

impl std::error::Error for MappingError {}

impl CsvMapping {
    /// Reads rules as they are on the command line.
    ///
    /// # Errors
    /// The first rule that is wrong, or what the mapping lacks.
    pub fn parse<I, S>(rules: I) -> Result<Self, MappingError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        Self::build(&[], rules)
    }

    /// Reads the `[fields]` table of a TOML file. `rules`, as [`Self::parse`] takes them, come on top: a field that
    /// both name is read as the rule says.
    ///
    /// # Errors
    /// As [`Self::parse`], and when the text is no such TOML.
    pub fn from_toml<I, S>(text: &str, rules: I) -> Result<Self, MappingError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        Self::build(&table::rules(text)?, rules)
    }

    /// The rules as `FIELD=SOURCE`.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|r| r.text.as_str())
    }

    pub(crate) fn parsed(&self) -> &[Rule] {
        &self.rules
    }

    fn build<I, S>(from_file: &[String], rules: I) -> Result<Self, MappingError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut given = Vec::new();
        for text in rules {
            push(&mut given, parse_rule(text.as_ref(), false)?, false)?;
        }
        let mut filed = Vec::new();
        for text in from_file {
            push(&mut filed, parse_rule(text, true)?, true)?;
        }
        filed.retain(|rule| !given.iter().any(|g| g.target.overlaps(&rule.target)));
        filed.extend(given);
        let mapping = Self { rules: filed };
        mapping.check_complete()?;
        Ok(mapping)
    }

    /// A product needs a sku, a name and a price.
    fn check_complete(&self) -> Result<(), MappingError> {
        let has = |name: &str| self.rules.iter().any(|r| r.target.name() == name);
        let mut missing = Vec::new();
        for (field, example) in [("sku", "sku=COLUMN"), ("name", "name=COLUMN")] {
            if !has(field) {
                missing.push(format!("'{field}' (add {example})"));
            }
        }
        match (has("price"), has("price.amount"), has("price.currency")) {
            (true, ..) | (_, true, true) => {}
            (_, true, _) => missing.push("'price.currency' (add price.currency=COLUMN or price.currency:=INR)".into()),
            _ => missing.push("'price' (add price=COLUMN:INR, with the currency the amounts are in)".into()),
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(MappingError::whole(format!("it does not say where to read {}", missing.join(", "))))
    }
}

fn parse_rule(text: &str, in_file: bool) -> Result<Rule, MappingError> {
    let (target, source) = syntax::rule(text).map_err(|detail| MappingError::rule(text, in_file, detail))?;
    Ok(Rule { target, source, text: text.to_owned() })
}

fn push(rules: &mut Vec<Rule>, rule: Rule, in_file: bool) -> Result<(), MappingError> {
    if let Some(other) = rules.iter().find(|r| r.target.overlaps(&rule.target)) {
        let detail = format!("'{}' says already where that field is read; leave one of them out", other.text);
        return Err(MappingError::rule(&rule.text, in_file, detail));
    }
    rules.push(rule);
    Ok(())
}

impl TryFrom<Vec<String>> for CsvMapping {
    type Error = MappingError;
    fn try_from(rules: Vec<String>) -> Result<Self, MappingError> {
        Self::parse(rules)
    }
}

impl From<CsvMapping> for Vec<String> {
    fn from(mapping: CsvMapping) -> Self {
        mapping.rules.into_iter().map(|r| r.text).collect()
    }
}
