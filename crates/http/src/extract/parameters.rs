//! Query strings: decoded strictly, and read with every violation gathered.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use haat_catalog::Violation;
use haat_catalog::invalid::nearest;
use haat_catalog::query::parse::PARAMETERS;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// The most name-value pairs of a query string: every filter of a listing filled to its own limit fits.
const MAX_PAIRS: usize = 500;
/// Of names that no listing knows only so many are reported; each costs a comparison with all known names.
const MAX_UNKNOWN: usize = 20;

/// The decoded pairs of a query string, in the order they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::decode(parts.uri.query().unwrap_or(""))
    }
}

impl Parameters {
    /// Decodes `application/x-www-form-urlencoded` text (WHATWG URL §5.1), but refuses what is not UTF-8 once its
    /// escapes are undone instead of replacing it.
    pub fn decode(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PAIRS {
                let v = Violation::new("", format!("the query string has more than {MAX_PAIRS} parameters"));
                return Err(Problem::invalid_parameters(vec![v]));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = unescape(name, || Violation::new("", format!("the name of a parameter {NOT_UTF8}")))?;
            let value =
                unescape(value, || Violation::new(format!("/{}", shown(&name)), format!("the value {NOT_UTF8}")))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The pairs as a listing reads them.
    pub fn for_listing(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut unknown = 0;
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(move |(name, _)| {
            let known = PARAMETERS.contains(name) || name.starts_with("attr.");
            unknown += usize::from(!known);
            known || unknown <= MAX_UNKNOWN
        })
    }

    /// The pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Begins to read parameters of these names; any other is a violation.
    pub fn read(&self, known: &'static [&'static str]) -> Reader<'_> {
        let mut reader = Reader { parameters: self, violations: Vec::new() };
        for (name, _) in self.pairs().filter(|(name, _)| !known.contains(name)).take(MAX_UNKNOWN) {
            let name = shown(name);
            let hint = match nearest(&name, known.iter().copied()) {
                Some(near) => format!("; did you mean '{near}'?"),
                None if known.is_empty() => "; this address takes none".to_owned(),
                None => format!("; known are {}", known.join(", ")),
            };
            reader.violations.push(Violation::new(format!("/{name}"), format!("unknown parameter{hint}")));
        }
        reader
    }

    /// For addresses that take no parameters.
    pub fn expect_none(&self) -> Result<(), Problem> {
        self.read(&[]).finish()
    }
}

const NOT_UTF8: &str = "is not UTF-8 once its percent escapes are undone";

fn unescape(text: &str, refusal: impl FnOnce() -> Violation) -> Result<String, Problem> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| Problem::invalid_parameters(vec![refusal()]))
}

/// As much of a name as is told back.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Reads single parameters and gathers what is wrong with them.
pub(crate) struct Reader<'a> {
    parameters: &'a Parameters,
    violations: Vec<Violation>,
}

impl<'a> Reader<'a> {
    /// Adds a violation of a parameter.
    pub fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.violations.push(Violation::new(format!("/{name}"), detail));
    }

    /// All values of a repeatable parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.parameters.pairs().filter(move |(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Whether the parameter is there, be it empty.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a parameter that may stand once; an empty one counts as absent.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        let (first, more) = {
            let mut values = self.all(name);
            (values.next()?, values.next().is_some())
        };
        if more {
            self.refuse(name, "is given more than once");
        }
        (!first.is_empty()).then_some(first)
    }

    /// The value of a parameter that may stand once and must not be empty: `dry_run=` of a script whose variable was
    /// not set shall not become a real run.
    fn word(&mut self, name: &str) -> Option<&'a str> {
        self.text(name).or_else(|| self.has(name).then_some(""))
    }

    /// An integer within bounds.
    pub fn integer(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let text = self.word(name)?;
        let value = text.parse().ok().filter(|n| (min..=max).contains(n));
        if value.is_none() {
            self.refuse(name, format!("must be an integer from {min} to {max}"));
        }
        value
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.word(name)?;
        let found = choices.iter().find(|(n, _)| *n == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(n, _)| *n).collect();
            let v = Violation::new(format!("/{name}"), format!("must be one of {}", names.join(", "))).allowing(names);
            self.violations.push(v);
        }
        found
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.choice(name, &[("true", true), ("false", false)])
    }

    /// All that was wrong, if anything was.
    pub fn finish(self) -> Result<(), Problem> {
        if self.violations.is_empty() { Ok(()) } else { Err(Problem::invalid_parameters(self.violations)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        Parameters::decode(query).unwrap().0
    }

    fn refusal(result: Result<(), Problem>) -> String {
        String::from_utf8(result.unwrap_err().render("", "").to_vec()).unwrap()
    }

    #[test]
    fn pairs_are_decoded_in_order() {
        let expected = [("q", "a b&c"), ("brand", "Müller"), ("x", ""), ("x", "1=2")];
        let expected: Vec<_> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(pairs("q=a+b%26c&brand=M%C3%BCller&&x&x=1=2"), expected);
    }

    #[test]
    fn escapes_that_are_not_utf8_are_refused_not_replaced() {
        let problem = refusal(Parameters::decode("q=%ff").map(|_| ()));
        assert!(problem.contains("invalid_parameter") && problem.contains("\"/q\""), "{problem}");
        assert!(Parameters::decode("%c3=1").is_err());
        // Not an escape at all: taken as it stands, as browsers do.
        assert_eq!(pairs("q=100%")[0].1, "100%");
    }

    #[test]
    fn a_flood_of_parameters_is_refused_or_cut() {
        assert!(Parameters::decode(&"a&".repeat(MAX_PAIRS + 1)).is_err());
        let parameters = Parameters::decode(&"bogus=1&".repeat(MAX_PAIRS)).unwrap();
        assert_eq!(parameters.for_listing().count(), MAX_UNKNOWN);
    }

    #[test]
    fn every_violation_is_named() {
        let parameters = Parameters::decode("limit=0&limt=3&wait=x&wait=2&dry=").unwrap();
        let mut reader = parameters.read(&["limit", "wait", "dry"]);
        assert_eq!(reader.boolean("dry"), None);
        assert_eq!(reader.integer("limit", 1, 10), None);
        assert_eq!(reader.integer("wait", 0, 30), None);
        let problem = refusal(reader.finish());
        for part in ["did you mean 'limit'", "from 1 to 10", "more than once", "from 0 to 30", "true, false"] {
            assert!(problem.contains(part), "{part} in {problem}");
        }
    }
}
