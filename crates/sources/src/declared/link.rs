//! The `Link` header field: RFC 8288.

use http::HeaderMap;
use http::header::LINK;

/// The target of the first link with relation `next`, as it is written (it may be relative to the address that was asked).
/// Links about another document (`anchor`) say nothing of this one (RFC 8288 §3.2).
pub fn next(headers: &HeaderMap) -> Option<String> {
    headers.get_all(LINK).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).find_map(next_of)
}

fn next_of(mut rest: &str) -> Option<String> {
    while let Some((_, after)) = rest.split_once('<') {
        let (target, parameters) = after.split_once('>')?;
        let (parameters, behind) = split_parameters(parameters);
        let value =
            |wanted: &str| parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v);
        let is_next =
            value("rel").is_some_and(|rel| rel.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case("next")));
        if is_next && value("anchor").is_none() {
            return Some(target.trim().to_owned());
        }
        rest = behind;
    }
    None
}

/// The parameters of a link, and what stands behind the comma that ends it. Of several with one name the first counts
/// (RFC 8288 §3.3), which is the one that is found first.
fn split_parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    let mut current = String::new();
    let (mut quoted, mut escaped) = (false, false);
    let mut take = |current: &mut String| {
        let text = std::mem::take(current);
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        parameters.push((name.trim().to_owned(), value.trim().to_owned()));
    };
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                current.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => take(&mut current),
            ',' if !quoted => {
                take(&mut current);
                return (parameters, text.get(at + 1..).unwrap_or_default());
            }
            c => current.push(c),
        }
    }
    take(&mut current);
    (parameters, "")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(LINK, HeaderValue::from_str(field).unwrap());
        }
        next(&headers)
    }

    #[rstest]
    #[case(&["<https://x.example/?page=2>; rel=\"next\", <https://x.example/?page=9>; rel=\"last\""], Some("https://x.example/?page=2"))]
    #[case(&["<https://x.example/?page=9>; rel=\"last\", </p?a=1,2;3>; rel=next"], Some("/p?a=1,2;3"))]
    #[case(&["<a>; rel=prev", "<b>; title=\"a, \\\"b\\\"; rel=next\"; REL=\"x NEXT\""], Some("b"))]
    #[case(&["<a>; rel=\"prev next\""], Some("a"))]
    #[case(&["<a>; rel=next; anchor=\"#foo\""], None)]
    #[case(&["<a>; rel=prev; rel=next"], None)]
    #[case(&["<a>; title=\"rel=next\""], None)]
    #[case(&["<a; rel=next"], None)]
    #[case(&["next"], None)]
    #[case(&[], None)]
    fn the_next_page_is_the_link_that_says_so(#[case] fields: &[&str], #[case] next: Option<&str>) {
        assert_eq!(of(fields).as_deref(), next);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[<>;,=\"\\\\a-z ]{0,60}") {
            let _ = next_of(&text);
        }
    }
}
