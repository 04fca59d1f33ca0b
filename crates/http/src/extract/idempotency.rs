//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-06 §2.1): a structured-field string.

use axum::extract::FromRequestParts;
use haat_catalog::write::IdempotencyKey;
use http::request::Parts;
use http::{HeaderMap, header};
use xxhash_rust::xxh3::Xxh3;

use crate::problem::{Code, Problem};

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// A client's promise, if it made one, that requests of its key are one request.
pub(crate) struct Once(Option<Box<Promise>>);

struct Promise {
    key: String,
    head: Xxh3,
}

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(key) = key(&parts.headers)? else { return Ok(Self(None)) };
        let head = hash_head(parts.method.as_str(), parts.uri.path(), &parts.headers);
        Ok(Self(Some(Box::new(Promise { key, head }))))
    }
}

impl Once {
    /// The key as the store keeps it, for a request of this caller with this body.
    pub fn with_body(self, caller: &str, body: &[u8]) -> Option<IdempotencyKey> {
        let Promise { key, mut head } = *self.0?;
        add(&mut head, body);
        Some(IdempotencyKey { scope: caller.to_owned(), key, request_hash: head.digest128().to_be_bytes() })
    }
}

/// The key that was sent, if one was.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = |detail: &str| Problem::new(Code::InvalidIdempotencyKey, detail);
    if values.next().is_some() {
        return Err(refused("Idempotency-Key is there more than once."));
    }
    let key = parse_string(value.as_bytes()).ok_or_else(|| refused(Code::InvalidIdempotencyKey.about()))?;
    match key.len() {
        0 => Err(refused("The idempotency key is empty.")),
        1..=MAX_KEY => Ok(Some(key)),
        _ => Err(refused("The idempotency key is longer than 255 characters.")),
    }
}

/// A bare sf-string (RFC 9651 §4.2.5), without parameters.
fn parse_string(value: &[u8]) -> Option<String> {
    let inside = value.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut out = String::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next()? {
                escaped @ (b'"' | b'\\') => out.push(char::from(*escaped)),
                _ => return None,
            },
            b'"' => return None,
            0x20..=0x7e => out.push(char::from(byte)),
            _ => return None,
        }
    }
    Some(out)
}

/// What makes two requests of one key the same request: method, path, preconditions, and later the body.
fn hash_head(method: &str, path: &str, headers: &HeaderMap) -> Xxh3 {
    let mut hash = Xxh3::new();
    add(&mut hash, method.as_bytes());
    add(&mut hash, path.as_bytes());
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        for value in headers.get_all(&name) {
            add(&mut hash, name.as_str().as_bytes());
            add(&mut hash, value.as_bytes());
        }
    }
    hash
}

/// Its length in front of each part keeps `ab` + `c` and `a` + `bc` apart.
fn add(hash: &mut Xxh3, part: &[u8]) {
    hash.update(&(part.len() as u64).to_be_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, Problem> {
        key(&HeaderMap::from_iter([("idempotency-key".parse().unwrap(), value.parse().unwrap())]))
    }

    #[test]
    fn a_quoted_string_is_a_key() {
        assert_eq!(read("\"abc-1\"").unwrap().unwrap(), "abc-1");
        assert_eq!(read(r#""a\"b\\c""#).unwrap().unwrap(), r#"a"b\c"#);
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("\"{}\"", "k".repeat(256));
        for value in ["abc", "\"abc", "\"\"", "\"a\"b\"", r#""a\b""#, "\"a\\\"", "\"ü\"", "\"a\";p=1", long.as_str()] {
            assert_eq!(read(value).unwrap_err().code(), Code::InvalidIdempotencyKey, "{value}");
        }
    }

    #[test]
    fn any_difference_makes_another_request() {
        let none = HeaderMap::new();
        let condition = HeaderMap::from_iter([(header::IF_MATCH, "\"a\"".parse().unwrap())]);
        let hash = |method, path, headers: &HeaderMap, body: &[u8]| {
            let promise = Promise { key: "k".into(), head: hash_head(method, path, headers) };
            Once(Some(Box::new(promise))).with_body("caller", body).unwrap().request_hash
        };
        assert_eq!(hash("PUT", "/a", &none, b"x"), hash("PUT", "/a", &none, b"x"));
        let hashes = [
            hash("PUT", "/a", &none, b"x"),
            hash("PATCH", "/a", &none, b"x"),
            hash("PUT", "/b", &none, b"x"),
            hash("PUT", "/ax", &none, b""),
            hash("PUT", "/a", &condition, b"x"),
            hash("PUT", "/a", &none, b"y"),
        ];
        let distinct: std::collections::HashSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }
}
