//! Lengths of time as people write them: `500ms`, `20s`, `2m`, `1h`.

use std::time::Duration;

use serde::Serializer;

/// The longest that can be written. Whoever wants a fault for longer leaves its end out.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no length of time; write a whole number and a unit (ms, s, m, h), up to 24h, such as 500ms or 20s")]
pub struct SpanError(String);

/// Reads a length of time.
///
/// # Errors
/// When it is none, or longer than a day.
pub fn parse(text: &str) -> Result<Duration, SpanError> {
    let bad = || SpanError(text.chars().take(40).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)).ok_or_else(bad)?;
    let span = Duration::from_millis(ms);
    if span > LONGEST { Err(bad()) } else { Ok(span) }
}

/// Reads a length of time that may have a `-` in front, in milliseconds.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_signed_ms(text: &str) -> Result<i64, SpanError> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    Ok(parse(text)?.as_millis() as i64 * sign)
}

/// Writes it with the largest unit that it is a whole number of; less than a millisecond is left out.
pub fn show(span: Duration) -> String {
    match u64::try_from(span.as_millis()).unwrap_or(u64::MAX) {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// For `serialize_with`.
pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show(*span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0s", "1ms", "1500ms", "20s", "90s", "2m", "1h", "24h"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(parse("60s").unwrap()), "1m");
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in ["", "s", "20", "20 s", "-1s", "1.5s", "25h", "99999999999999999999s", "20S", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
