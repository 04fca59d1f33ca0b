//! What a cell's text means.

use haat_catalog::product::CATEGORY_SEPARATOR;
use serde_json::{Number, Value, json};

/// Between the items of a list in the flat form.
pub(crate) const LIST_SEPARATOR: &str = "|";

/// How a cell is read. An empty cell is absent, whichever way it is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Read {
    /// As it is, white space and all.
    Verbatim,
    /// Without white space at its ends.
    Trimmed,
    /// With every run of white space made one space.
    OneLine,
    /// A currency code, in whichever case.
    Currency,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// An RFC 3339 date-time, or a date, which means its midnight in UTC.
    Moment,
    /// A list with a single item.
    Single,
    /// A list with this between its items.
    Split(String),
    /// A list with this between its items, or a JSON array.
    SplitOrJson(&'static str),
    /// JSON.
    Json,
    /// An attribute of unknown type: a boolean, a number or a JSON array where it reads as one, else text.
    Guess,
}

impl Read {
    /// A category path in the flat form.
    pub(crate) const FLAT_PATH: Read = Read::SplitOrJson(CATEGORY_SEPARATOR);
    /// A list in the flat form.
    pub(crate) const FLAT_LIST: Read = Read::SplitOrJson(LIST_SEPARATOR);

    /// The value; an error says what is wrong with the cell.
    pub(crate) fn value(&self, cell: &str) -> Result<Option<Value>, String> {
        let trimmed = cell.trim();
        let text = match self {
            Self::Verbatim => cell,
            _ => trimmed,
        };
        if text.is_empty() {
            return Ok(None);
        }
        Ok(match self {
            Self::Verbatim | Self::Trimmed => Some(Value::from(text)),
            Self::OneLine => Some(Value::String(one_line(text))),
            Self::Currency => Some(Value::String(text.to_ascii_uppercase())),
            Self::Number => Some(Value::Number(number(text)?)),
            Self::Flag => Some(Value::Bool(flag(text)?)),
            Self::Moment => Some(Value::String(moment(text))),
            Self::Single => Some(json!([one_line(text)])),
            Self::Split(separator) => items(text.split(separator.as_str())),
            Self::SplitOrJson(_) if text.starts_with('[') => Some(parse(text)?),
            // Not collapsed into one line: what an export wrote must come back as it was.
            Self::SplitOrJson(separator) => {
                let items: Vec<&str> = text.split(separator).map(str::trim).filter(|i| !i.is_empty()).collect();
                (!items.is_empty()).then(|| json!(items))
            }
            Self::Json => Some(parse(text)?),
            Self::Guess => Some(guess(text)),
        })
    }
}

fn items<'a>(items: impl Iterator<Item = &'a str>) -> Option<Value> {
    let items: Vec<String> = items.map(one_line).filter(|item| !item.is_empty()).collect();
    (!items.is_empty()).then(|| json!(items))
}

/// The text trimmed, every run of white space made one space.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn number(text: &str) -> Result<Number, String> {
    let integer = text.parse::<i64>().ok().map(Number::from);
    integer
        .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
        .ok_or_else(|| format!("'{}' is not a number such as 12 or 4.5", shown(text)))
}

fn flag(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "t" | "1" => Ok(true),
        "false" | "no" | "n" | "f" | "0" => Ok(false),
        _ => Err(format!("'{}' is neither yes nor no (true, yes, y, 1; false, no, n, 0)", shown(text))),
    }
}

fn moment(text: &str) -> String {
    let date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if date { format!("{text}T00:00:00Z") } else { text.to_owned() }
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| {
        let full = e.to_string();
        format!("not JSON at character {}: {}", e.column(), full.split(" at line ").next().unwrap_or(&full))
    })
}

fn guess(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_))) => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Read::Number, "12", json!(12))]
    #[case(Read::Number, " 4.50 ", json!(4.5))]
    #[case(Read::Flag, "Yes", json!(true))]
    #[case(Read::Moment, "2026-01-02", json!("2026-01-02T00:00:00Z"))]
    #[case(Read::OneLine, " Peanut \n Butter\u{a0}", json!("Peanut Butter"))]
    #[case(Read::Split(";".into()), "a; ;b ", json!(["a", "b"]))]
    #[case(Read::FLAT_PATH, "Food > Rice", json!(["Food", "Rice"]))]
    #[case(Read::FLAT_PATH, r#"["a > b"]"#, json!(["a > b"]))]
    #[case(Read::Guess, "007", json!("007"))]
    #[case(Read::Guess, "7", json!(7))]
    #[case(Read::Guess, "{}", json!("{}"))]
    #[case(Read::Currency, "inr", json!("INR"))]
    fn a_cell_is_read_as_its_field_wants_it(#[case] read: Read, #[case] cell: &str, #[case] expected: Value) {
        assert_eq!(read.value(cell).unwrap(), Some(expected));
        assert_eq!(read.value("").unwrap(), None);
    }

    #[rstest]
    #[case("NaN")]
    #[case("inf")]
    #[case("1e999")]
    #[case("1,5")]
    #[case("₹12")]
    #[case("0x10")]
    fn what_is_no_number_is_refused(#[case] cell: &str) {
        assert!(Read::Number.value(cell).unwrap_err().contains("is not a number"));
    }
}
