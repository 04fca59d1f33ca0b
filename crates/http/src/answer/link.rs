//! `Link` (RFC 8288): the neighbouring pages of a listing.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a query: the unreserved characters (RFC 3986 §2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Links from a page to the next and the previous one, as one header value; `None` when there is neither.
pub(crate) fn pages(
    path: &str,
    pairs: &[(String, String)],
    next: Option<&str>,
    prev: Option<&str>,
) -> Option<HeaderValue> {
    if next.is_none() && prev.is_none() {
        return None;
    }
    let mut base = format!("<{path}?");
    for (name, value) in pairs {
        base.extend(utf8_percent_encode(name, QUERY));
        base.push('=');
        base.extend(utf8_percent_encode(value, QUERY));
        base.push('&');
    }
    let link = |(cursor, relation)| format!("{base}cursor={cursor}>; rel=\"{relation}\"");
    let links = [next.map(|c| (c, "next")), prev.map(|c| (c, "prev"))].into_iter().flatten().map(link);
    HeaderValue::from_str(&links.collect::<Vec<_>>().join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_carry_the_query_and_the_new_cursor() {
        let pairs = [("q", "a&b"), ("brand", "Müller"), ("brand", "x>y")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let link = pages("/v1/products", &pairs, Some("n-1"), Some("p_1")).unwrap();
        let base = "/v1/products?q=a%26b&brand=M%C3%BCller&brand=x%3Ey&cursor=";
        assert_eq!(link.to_str().unwrap(), format!("<{base}n-1>; rel=\"next\", <{base}p_1>; rel=\"prev\""));
    }

    #[test]
    fn a_single_page_has_no_link() {
        assert_eq!(pages("/v1/products", &[], None, None), None);
    }
}
