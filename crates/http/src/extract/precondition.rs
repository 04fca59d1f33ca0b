//! `If-Match` and `If-None-Match` (RFC 9110 §13.1).

use axum::extract::FromRequestParts;
use haat_catalog::write::Precondition;
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

use crate::problem::{Code, Problem};

/// The most bytes of a list of entity tags that are looked at.
const MAX_LIST: usize = 8 * 1024;

/// What a write expects of the product.
pub(crate) struct Expects(pub Precondition);

impl<S: Send + Sync> FromRequestParts<S> for Expects {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        precondition(&parts.headers).map(Self)
    }
}

/// What a reader has already. A malformed header counts as none: the reader is then sent what it may have already,
/// which harms nobody, whereas a write whose condition is not understood must not be carried out.
pub(crate) fn known(headers: &HeaderMap) -> Option<Tags> {
    tags(headers, &header::IF_NONE_MATCH).unwrap_or(None)
}

fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    match (tags(headers, &header::IF_MATCH)?, tags(headers, &header::IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (Some(Tags::Any), None) => Ok(Precondition::Exists),
        // Weak tags never match here (strong comparison, RFC 9110 §13.1.1); a stored tag is never weak.
        (Some(Tags::These(tags)), None) => Ok(Precondition::IfMatch(tags)),
        (None, Some(Tags::Any)) => Ok(Precondition::Absent),
        (None, Some(Tags::These(_))) => {
            Err(refused("If-None-Match on a write must be '*': there is no such product yet"))
        }
        (Some(_), Some(_)) => Err(refused("If-Match and If-None-Match exclude each other here; send one of them")),
    }
}

/// What an entity-tag condition names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`
    Any,
    /// Entity tags as they were sent: quotes and `W/` included.
    These(Vec<String>),
}

/// Reads a condition header; several header lines are one list.
pub(crate) fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut list = String::new();
    let mut lines = 0;
    for value in headers.get_all(name) {
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
            return Err(refused(format!("{name} has bytes that no entity tag of Haat has")));
        };
        if lines > 0 {
            list.push(',');
        }
        lines += 1;
        list.push_str(text);
    }
    match list.trim() {
        "" if lines == 0 => Ok(None),
        "*" => Ok(Some(Tags::Any)),
        text if text.len() <= MAX_LIST => match parse_list(text) {
            Some(tags) if !tags.is_empty() => Ok(Some(Tags::These(tags))),
            _ => Err(refused(format!("{name} must be '*' or a list of entity tags in double quotes"))),
        },
        _ => Err(refused(format!("{name} is longer than {MAX_LIST} bytes"))),
    }
}

/// `1#entity-tag` (RFC 9110 §8.8.3), empty list elements allowed.
fn parse_list(mut text: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Some(tags);
        }
        let start = text.strip_prefix("W/").unwrap_or(text);
        let opaque = start.strip_prefix('"')?;
        let (inside, rest) = opaque.split_once('"')?;
        if !inside.chars().all(|c| c == '!' || c > '"' && c != '\u{7f}') {
            return None;
        }
        tags.push(text[..text.len() - rest.len()].to_owned());
        text = rest.trim_start_matches([' ', '\t']);
        if !(text.is_empty() || text.starts_with(',')) {
            return None;
        }
    }
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidPrecondition, format!("{}.", detail.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn conditions_are_read_as_the_rfc_says() {
        let read = |pairs: &[(&str, &str)]| precondition(&headers(pairs)).unwrap();
        assert_eq!(read(&[]), Precondition::None);
        assert_eq!(read(&[("if-match", "*")]), Precondition::Exists);
        assert_eq!(read(&[("if-none-match", " * ")]), Precondition::Absent);
        let list = vec!["\"a-1\"".to_owned(), "W/\"b,2\"".to_owned(), "\"\"".to_owned()];
        assert_eq!(read(&[("if-match", "\"a-1\" , W/\"b,2\",,"), ("if-match", "\"\"")]), Precondition::IfMatch(list));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for pairs in [
            &[("if-match", "a-1")][..],
            &[("if-match", "\"a")],
            &[("if-match", "\"a\" \"b\"")],
            &[("if-match", "\"a b\"")],
            &[("if-match", "")],
            &[("if-match", "*, \"a\"")],
            &[("if-none-match", "\"a\"")],
            &[("if-match", "*"), ("if-none-match", "*")],
        ] {
            let problem = precondition(&headers(pairs)).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidPrecondition, "{pairs:?}");
        }
    }
}
