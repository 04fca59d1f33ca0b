//! Addresses as proofs name them (RFC 9449 §4.3).

use url::Url;

/// Whether two addresses are the same but for query and fragment, normalised as RFC 3986 §6.2.2 and §6.2.3 say.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let normal = |text: &str| {
        // Case of scheme and host, the usual port and dot segments.
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        let path = normal_path(url.path());
        Some((url, path))
    };
    let (Some((mut one, one_path)), Some((mut other, other_path))) = (normal(one), normal(other)) else {
        return false;
    };
    one.set_path("");
    other.set_path("");
    one == other && one_path == other_path
}

/// A path with what need not be percent-encoded decoded, and other escapes in capitals (§6.2.2.1, §6.2.2.2).
fn normal_path(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut pieces = path.split('%');
    normal.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let hex = piece.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => normal.push(char::from(byte)),
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
            // No escape, but a percent sign.
            None => normal.push('%'),
        }
        normal.push_str(if hex.is_some() { piece.get(2..).unwrap_or_default() } else { piece });
    }
    normal
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const URL: &str = "https://haat.example/v1/products/a~b%C3%A9%2F";

    #[rstest]
    #[case("https://haat.example/v1/products/a~b%C3%A9%2F", true)]
    #[case("HTTPS://Haat.Example:443/v1/products/a~b%c3%a9%2f?x=1#y", true)]
    #[case("https://haat.example/v1/%70roducts/%61%7Eb%C3%A9%2F", true)]
    #[case("https://haat.example/v1/./x/../products/a~bé%2F", true)]
    #[case("https://haat.example/v1/products/a~b%C3%A9/", false)]
    #[case("https://haat.example/v1/Products/a~b%C3%A9%2F", false)]
    #[case("https://haat.example/v1/products/a~b%C3%A8%2F", false)]
    #[case("https://haat.example:444/v1/products/a~b%C3%A9%2F", false)]
    #[case("http://haat.example/v1/products/a~b%C3%A9%2F", false)]
    #[case("https://haat.example/", false)]
    #[case("", false)]
    fn addresses_are_compared_as_rfc_3986_says(#[case] other: &str, #[case] same: bool) {
        assert_eq!(is_same(URL, other), same);
        assert_eq!(is_same(other, URL), same);
    }

    #[rstest]
    #[case("/a%", "/a%")]
    #[case("/a%4", "/a%4")]
    #[case("/a%+1%zz%7e", "/a%+1%zz~")]
    #[case("/%é", "/%é")]
    #[case("/%2541", "/%2541")]
    #[case("/%41%%42", "/A%B")]
    fn what_is_no_escape_stays_and_nothing_is_decoded_twice(#[case] path: &str, #[case] normal: &str) {
        assert_eq!(normal_path(path), normal);
    }
}
