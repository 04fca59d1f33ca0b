//! Values of an upstream as values of a product. What would lose something, or would be a guess, is refused with words that
//! name types only, for the values are somebody's data.

use haat_catalog::Timestamp;
use serde::Deserialize;
use serde_json::{Number, Value};

/// The largest integer that every reader of JSON gets exactly (RFC 8259 §6): 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// As what a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A text; whole numbers are taken as their digits.
    Text,
    /// A whole number, or a text that is one.
    Integer,
    /// A number, or a text that is one.
    Number,
    /// `true` or `false`, or the text of either.
    Boolean,
    /// A moment.
    Moment,
}

/// How a moment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MomentFormat {
    /// As RFC 3339 has it: `2026-01-02T03:04:05Z`.
    #[default]
    Rfc3339,
    /// In seconds since 1970-01-01T00:00:00Z.
    Seconds,
    /// In milliseconds since then.
    Millis,
}

impl MomentFormat {
    /// A moment so written. RFC 3339 always with milliseconds: upstreams that compare texts need equal lengths.
    pub fn write(self, moment: Timestamp) -> String {
        match self {
            Self::Rfc3339 => {
                let text = moment.to_string();
                match (text.strip_suffix('Z'), text.split_once('.')) {
                    (Some(whole), None) => format!("{whole}.000Z"),
                    (Some(whole), Some((_, fraction))) => {
                        format!("{whole}{}Z", "0".repeat(4_usize.saturating_sub(fraction.len())))
                    }
                    (None, _) => text,
                }
            }
            Self::Seconds => moment.as_seconds().to_string(),
            Self::Millis => moment.as_millis().to_string(),
        }
    }
}

/// What a JSON value is, for a person.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn must_be(what: &str, value: &Value) -> String {
    match value {
        Value::String(_) => format!("must be {what}, and is another text"),
        Value::Number(_) => format!("must be {what}, and is another number"),
        other => format!("must be {what}, not {}", kind_of(other)),
    }
}

/// A text. A number with a fraction is refused: nobody knows how it was written.
///
/// # Errors
/// What the value should be.
pub fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        other => Err(must_be("a text or a whole number", other)),
    }
}

/// A whole number.
///
/// # Errors
/// What the value should be.
pub fn integer(value: &Value) -> Result<i64, String> {
    let exact = match value {
        // `12.0` and `1e3` are whole by value: JSON does not tell them apart.
        Value::Number(n) => {
            n.as_i64().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < MAX_EXACT).map(|f| f as i64))
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    exact.ok_or_else(|| must_be("a whole number", value))
}

/// A number.
///
/// # Errors
/// What the value should be.
pub fn number(value: &Value) -> Result<Number, String> {
    let number = match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => {
            let text = text.trim();
            text.parse::<i64>().ok().map(Number::from).or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
        }
        _ => None,
    };
    number.ok_or_else(|| must_be("a number", value))
}

/// `true` or `false`.
///
/// # Errors
/// What the value should be.
pub fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        other => Err(must_be("true or false", other)),
    }
}

/// A moment.
///
/// # Errors
/// What the value should be.
pub fn moment(value: &Value, format: MomentFormat) -> Result<Timestamp, String> {
    let millis = |factor: f64| match value {
        Value::Number(n) => n.as_f64().map(|f| f * factor).filter(|ms| ms.abs() < MAX_EXACT).map(|ms| ms as i64),
        Value::String(text) => text.trim().parse::<i64>().ok().and_then(|n| n.checked_mul(factor as i64)),
        _ => None,
    };
    match (format, value) {
        (MomentFormat::Rfc3339, Value::String(text)) => {
            text.trim().parse().map_err(|_| must_be("a date-time of RFC 3339", value))
        }
        (MomentFormat::Rfc3339, Value::Number(_)) => {
            Err("must be a date-time of RFC 3339, not a number; for numbers set `format` to seconds or millis"
                .to_owned())
        }
        (MomentFormat::Rfc3339, other) => Err(must_be("a date-time of RFC 3339", other)),
        (MomentFormat::Seconds, _) => {
            millis(1_000.0).map(Timestamp::from_millis).ok_or_else(|| must_be("a number of seconds", value))
        }
        (MomentFormat::Millis, _) => {
            millis(1.0).map(Timestamp::from_millis).ok_or_else(|| must_be("a number of milliseconds", value))
        }
    }
}

/// A value that an attribute can have: a text, a number, a boolean, or a list of these.
///
/// # Errors
/// What the value should be.
pub fn attribute(value: &Value) -> Result<Value, String> {
    let is_scalar = |value: &Value| matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_));
    match value {
        Value::Array(items) if items.iter().all(is_scalar) => Ok(value.clone()),
        value if is_scalar(value) => Ok(value.clone()),
        Value::Array(_) => Err("must be a list of texts, numbers or booleans, and holds something else".to_owned()),
        other => Err(must_be("a text, a number, a boolean or a list of these", other)),
    }
}

/// The text by which a table of translations knows a value.
///
/// # Errors
/// What the value should be.
pub fn name(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(must_be("a text, a number or a boolean", other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_texts_and_whole_numbers() {
        assert_eq!(text(&json!("a")).as_deref(), Ok("a"));
        assert_eq!(text(&json!(17)).as_deref(), Ok("17"));
        assert_eq!(text(&json!(u64::MAX)).as_deref(), Ok("18446744073709551615"));
        for bad in [json!(1.5), json!(true), json!([]), json!({}), json!(null)] {
            assert!(text(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_exact() {
        for (value, is) in [(json!(5), 5), (json!(-5), -5), (json!(12.0), 12), (json!(1e3), 1_000), (json!(" 7 "), 7)] {
            assert_eq!(integer(&value), Ok(is));
        }
        for bad in [json!(1.5), json!("1.5"), json!(1e300), json!(u64::MAX), json!(""), json!(true), json!([1])] {
            assert!(integer(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_and_booleans_are_what_they_say() {
        assert_eq!(number(&json!("2.5")), Ok(Number::from_f64(2.5).unwrap()));
        assert_eq!(number(&json!("12")), Ok(Number::from(12)));
        for bad in [json!("NaN"), json!("inf"), json!("1,5"), json!(""), json!(false)] {
            assert!(number(&bad).is_err(), "{bad}");
        }
        assert_eq!((boolean(&json!("TRUE")), boolean(&json!(false))), (Ok(true), Ok(false)));
        for bad in [json!(1), json!("yes"), json!(null)] {
            assert!(boolean(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_read_as_they_are_said_to_be_written() {
        use MomentFormat::{Millis, Rfc3339, Seconds};
        let at = |ms| Ok(Timestamp::from_millis(ms));
        assert_eq!(moment(&json!("1970-01-01T00:00:01.5Z"), Rfc3339), at(1_500));
        assert_eq!(moment(&json!("1970-01-01T01:00:00+01:00"), Rfc3339), at(0));
        assert_eq!((moment(&json!(2), Seconds), moment(&json!(1.5), Seconds)), (at(2_000), at(1_500)));
        assert_eq!((moment(&json!("2"), Seconds), moment(&json!(2), Millis)), (at(2_000), at(2)));
        assert!(moment(&json!(2), Rfc3339).unwrap_err().contains("`format`"));
        for (bad, format) in
            [(json!("soon"), Rfc3339), (json!(1e300), Seconds), (json!("x"), Millis), (json!([]), Seconds)]
        {
            assert!(moment(&bad, format).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_of_one_kind_are_written_equally_long() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_500, "1970-01-01T00:00:01.500Z"),
            (1_050, "1970-01-01T00:00:01.050Z"),
            (1_001, "1970-01-01T00:00:01.001Z"),
        ] {
            assert_eq!(MomentFormat::Rfc3339.write(Timestamp::from_millis(ms)), text);
        }
    }

    #[test]
    fn words_of_refusal_repeat_no_value() {
        let secret = json!("s3cret");
        let words = [integer(&secret).unwrap_err(), number(&secret).unwrap_err(), boolean(&secret).unwrap_err()];
        assert!(
            words.iter().chain([&moment(&secret, MomentFormat::Rfc3339).unwrap_err()]).all(|w| !w.contains("s3cret"))
        );
    }
}
