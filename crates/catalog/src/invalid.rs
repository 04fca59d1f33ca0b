//! What is wrong with an input, all of it at once: [`Violation`]s gathered into [`Invalid`].

use std::fmt;

use serde::Serialize;

/// One thing wrong with an input, at a place the sender can find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// JSON Pointer (RFC 6901) into the document that was sent, for example `/price/amount`; for a query string
    /// `/` and the parameter's name.
    pub pointer: String,
    /// What is wrong there and what to send instead, one sentence for a person.
    pub detail: String,
    /// The values that would have been accepted, when they are few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl Violation {
    /// A violation without a list of allowed values.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), allowed: Vec::new() }
    }

    /// Adds the values that would have been accepted.
    #[must_use]
    pub fn allowing<I: IntoIterator<Item = S>, S: Into<String>>(mut self, allowed: I) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }
}

/// An input that was refused, with every violation found in it (never empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<Violation>);

impl Invalid {
    /// An input with a single violation.
    pub fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(vec![Violation::new(pointer, detail)])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, v) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", v.pointer, v.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Escapes one reference token of a JSON Pointer (RFC 6901 §3).
pub fn pointer_token(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// The longest text, in characters, for which a name is looked for that may have been meant.
const MAX_COMPARED: usize = 64;

/// The known name nearest to `unknown`, if one is near enough to be what was meant.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A comparison costs the product of both lengths, and nobody means a name by a text so long.
    if unknown.chars().nth(MAX_COMPARED).is_some() {
        return None;
    }
    let wanted = unknown.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_suggested_for_what_may_be_a_name() {
        assert_eq!(nearest("nmae", ["name", "price"]), Some("name"));
        assert_eq!(nearest(&"n".repeat(64), [format!("{}m", "n".repeat(63)).as_str()]).map(str::len), Some(64));
        let endless = "n".repeat(3_000_000);
        // Comparing these two would take hours.
        assert_eq!(nearest(&endless, [endless.as_str()]), None);
    }
}
