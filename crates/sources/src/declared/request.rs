//! Requests as they are written: a path below the base address with placeholders, a query, header fields.

use std::collections::BTreeMap;

use haat_catalog::invalid::nearest;
use haat_outbound::Call;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::auth::{Auth, header_name, sensitive};
use super::settings::{SettingError, query_text};

/// All but the unreserved characters (RFC 3986 §2.3). A space becomes `%20`, never `+`, which not everybody reads as one.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text with placeholders such as `{key}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(String),
}

impl Template {
    /// Reads a text in which the placeholders of these names may stand.
    ///
    /// # Errors
    /// When there is another one, or a brace without its counterpart.
    pub fn parse(key: &str, text: &str, known: &[&str]) -> Result<Self, SettingError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or_else(|| SettingError::new(key, "has a { without a }"))?;
            if !known.contains(&name) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean {{{meant}}}?"),
                    None if known.is_empty() => "none may stand here".to_owned(),
                    None => format!("there are {{{}}}", known.join("}, {")),
                };
                return Err(SettingError::new(key, format!("has a placeholder that is none: {hint}")));
            }
            pieces.extend([Piece::Text(before.to_owned()), Piece::Place(name.to_owned())]);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        match pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('}'))) {
            true => Err(SettingError::new(key, "has a } without a {")),
            false => Ok(Self(pieces)),
        }
    }

    fn fill(&self, values: &[(&str, &str)], encode: fn(&str) -> String) -> String {
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Place(name) => encode(value(name)),
            })
            .collect()
    }
}

/// What all requests of a source have in common.
#[derive(Debug, Clone)]
pub struct Base {
    /// What paths are relative to; ends with a `/`.
    pub url: Url,
    headers: HeaderMap,
}

impl Base {
    /// Requests below `url`, with header fields of their own, and those by which the source is shown who asks.
    ///
    /// # Errors
    /// When a field cannot be sent.
    pub fn new(url: Url, fields: &BTreeMap<String, String>, auth: &Auth) -> Result<Self, SettingError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in fields {
            let key = format!("headers.{name}");
            headers.insert(header_name(&key, name)?, sensitive(&key, value)?);
        }
        auth.put_on(&mut headers);
        Ok(Self { url, headers })
    }

    /// A call to an address of this source.
    pub fn call(&self, url: Url) -> Call {
        Call { headers: self.headers.clone(), ..Call::get(url) }
    }

    /// Whether an address is one of this source: another one must not see its credentials.
    pub fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.url.origin() && url.username().is_empty() && url.password().is_none()
    }
}

/// A path and a query below the base address.
#[derive(Clone)]
pub struct Target {
    path: Template,
    query: Vec<(String, Template)>,
}

impl Target {
    /// Reads a path and a query in which the placeholders of these names may stand. `key` is where they stand.
    ///
    /// # Errors
    /// When the path is not below the base address, or a placeholder is none.
    pub fn parse(key: &str, path: &str, query: &BTreeMap<String, Value>, known: &[&str]) -> Result<Self, SettingError> {
        let at = format!("{key}.path");
        let wrong = |detail: &str| Err(SettingError::new(&at, detail));
        if path.contains("://") || path.starts_with("//") {
            return wrong("is a whole address; write what comes after `base_url`");
        }
        if path.contains(['?', '#']) {
            return wrong("has a ? or a #; write parameters in `query`");
        }
        if path.contains('\\') || path.split('/').any(leads_away) {
            return wrong("leads out of `base_url`; write a path below it");
        }
        let parse = |(name, value): (&String, &Value)| {
            let at = format!("{key}.query.{name}");
            Ok((name.clone(), Template::parse(&at, &query_text(&at, value)?, known)?))
        };
        Ok(Self {
            path: Template::parse(&at, path.trim_start_matches('/'), known)?,
            query: query.iter().map(parse).collect::<Result<_, SettingError>>()?,
        })
    }

    /// The address with those values; `None` where a value would make it another one.
    pub fn url(&self, base: &Base, values: &[(&str, &str)]) -> Option<Url> {
        let path = self.path.fill(values, encoded);
        if path.split('/').any(leads_away) || values.iter().any(|(_, value)| value.is_empty()) {
            return None;
        }
        let mut url = Url::parse(&format!("{}{path}", base.url)).ok().filter(|url| base.is_home(url))?;
        for (name, value) in &self.query {
            set_parameter(&mut url, name, &value.fill(values, str::to_owned));
        }
        Some(url)
    }
}

/// Whether a segment of a path stands for another folder, in whatever way its dots are written (WHATWG URL, "double-dot URL
/// path segment").
fn leads_away(segment: &str) -> bool {
    let plain = percent_decode_str(segment).decode_utf8_lossy();
    plain == "." || plain == ".."
}

/// A text for a path or a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Adds a parameter to an address. One of that name may be there already; it stays.
pub fn add_parameter(url: &mut Url, name: &str, value: &str) {
    let pair = format!("{}={}", encoded(name), encoded(value));
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&{pair}"),
        _ => pair,
    };
    url.set_query(Some(&query));
}

/// Sets a parameter of an address, instead of any of that name.
pub fn set_parameter(url: &mut Url, name: &str, value: &str) {
    let others: Vec<(String, String)> =
        url.query_pairs().filter(|(known, _)| known != name).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
    url.set_query(None);
    for (name, value) in others {
        add_parameter(url, &name, &value);
    }
    add_parameter(url, name, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn base() -> Base {
        Base::new("https://api.example/v2/".parse().unwrap(), &BTreeMap::new(), &Auth::None).unwrap()
    }

    fn target(path: &str, query: Value) -> Result<Target, SettingError> {
        Target::parse("item", path, &serde_json::from_value(query).unwrap(), &["key", "sku"])
    }

    #[test]
    fn placeholders_are_encoded_and_stay_one_segment() {
        let item = target("products/{key}", json!({"sku": "{sku}", "limit": 1})).unwrap();
        let url = item.url(&base(), &[("key", "a/b?c#d é"), ("sku", "x&y=z +")]).unwrap();
        assert_eq!(url.as_str(), "https://api.example/v2/products/a%2Fb%3Fc%23d%20%C3%A9?limit=1&sku=x%26y%3Dz%20%2B");
    }

    #[rstest]
    #[case("..")]
    #[case(".")]
    #[case("")]
    fn a_value_that_would_lead_elsewhere_makes_no_address(#[case] key: &str) {
        let item = target("products/{key}", json!({})).unwrap();
        assert_eq!(item.url(&base(), &[("key", key), ("sku", "x")]), None);
    }

    #[rstest]
    #[case("https://elsewhere.example/", "item.path")]
    #[case("//elsewhere.example/", "item.path")]
    #[case("products?x=y", "item.path")]
    #[case("../admin", "item.path")]
    #[case("a/%2E%2e/b", "item.path")]
    #[case("products/{kye}", "item.path")]
    #[case("products/{key", "item.path")]
    #[case("products/key}", "item.path")]
    fn paths_that_lead_elsewhere_are_refused(#[case] path: &str, #[case] key: &str) {
        assert_eq!(target(path, json!({})).map(drop).unwrap_err().key, key);
    }

    #[test]
    fn a_misspelt_placeholder_is_named_with_the_one_that_was_meant() {
        assert!(target("x/{kye}", json!({})).map(drop).unwrap_err().detail.contains("did you mean {key}?"));
        assert_eq!(target("x", json!({"a": [1]})).map(drop).unwrap_err().key, "item.query.a");
    }

    proptest! {
        #[test]
        fn no_key_leads_out_of_its_folder(key in "\\PC{0,20}") {
            let item = target("products/{key}/full", json!({})).unwrap();
            if let Some(url) = item.url(&base(), &[("key", &key), ("sku", "x")]) {
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 4);
                prop_assert_eq!((segments[0], segments[1], segments[3]), ("v2", "products", "full"));
                prop_assert_eq!(percent_decode_str(segments[2]).decode_utf8().unwrap(), key);
                prop_assert_eq!(url.query(), None);
            }
        }
    }
}
