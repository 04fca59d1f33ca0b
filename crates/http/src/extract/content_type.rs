//! `Content-Type` and `Content-Encoding` of request bodies.

use http::{HeaderMap, header};

use crate::problem::{Code, Problem};

/// The essence of the body's media type, lower case, when it is one of `accepted` and its charset, if named, UTF-8.
pub(crate) fn require<'a>(headers: &HeaderMap, accepted: &[&'a str]) -> Result<&'a str, Problem> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, more) = (values.next(), values.next());
    let text = match (first.and_then(|v| v.to_str().ok()), more) {
        (Some(text), None) => text,
        _ => return Err(refused(accepted, "Content-Type is missing or no media type")),
    };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or("").to_ascii_lowercase();
    let Some(found) = accepted.iter().find(|a| **a == essence) else {
        return Err(refused(accepted, "Content-Type is not one that is accepted here"));
    };
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let utf8 = value.trim_matches('"').eq_ignore_ascii_case("utf-8");
        if name.eq_ignore_ascii_case("charset") && !utf8 {
            return Err(refused(accepted, "the body must be in UTF-8"));
        }
    }
    Ok(found)
}

/// Refuses a compressed body.
pub(crate) fn require_identity(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let identity = |v: &http::HeaderValue| v.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(identity) {
        return Ok(());
    }
    Err(refused(accepted, "a compressed body is not accepted here").with_header(header::ACCEPT_ENCODING, "identity"))
}

pub(super) fn refused(accepted: &[&str], why: &str) -> Problem {
    Problem::new(Code::UnsupportedMediaType, format!("{why}; send one of {}.", accepted.join(", ")))
        .with("allowed", accepted.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
        .with_header(header::ACCEPT, &accepted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &[&str] = &["application/json", "application/merge-patch+json"];

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())])
    }

    #[test]
    fn types_are_compared_without_case_and_parameters() {
        for value in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\"; x=y"]
        {
            assert_eq!(require(&with(value), ACCEPTED).unwrap(), "application/json", "{value}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_accepted() {
        for value in ["text/plain", "application/json; charset=latin1", "", "application/jsonx"] {
            let problem = require(&with(value), ACCEPTED).unwrap_err();
            let body = String::from_utf8(problem.render("", "").to_vec()).unwrap();
            assert!(body.contains("application/merge-patch+json"), "{value}: {body}");
        }
        assert!(require(&HeaderMap::new(), ACCEPTED).is_err());
    }

    #[test]
    fn compressed_bodies_are_refused_where_they_are_not_expected() {
        let gzip = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert_eq!(require_identity(&gzip, ACCEPTED).unwrap_err().code(), Code::UnsupportedMediaType);
        assert!(require_identity(&HeaderMap::new(), ACCEPTED).is_ok());
    }
}
