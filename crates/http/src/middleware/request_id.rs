//! A request's id: the client's own if it sent a sane one, else a new one. It is in the answer's headers, in every
//! problem and in every log line about the request.

use haat_catalog::Ids;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

/// The id of a request: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes over the id that was sent, if it is one, or draws one.
    pub fn of(headers: &HeaderMap, ids: &dyn Ids) -> Self {
        match headers.get(X_REQUEST_ID).filter(|v| is_sane(v.as_bytes())) {
            Some(sent) => Self(sent.clone()),
            None => Self::drawn(ids),
        }
    }

    fn drawn(ids: &dyn Ids) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = Uuid::from_bytes(*ids.next_id().as_bytes()).hyphenated().encode_lower(&mut text);
        // A UUID's text is always a header value.
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        // Checked to be visible ASCII when it was taken over.
        self.0.to_str().unwrap_or("unknown")
    }

    /// Puts it into an answer's headers.
    pub fn name(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.0.clone());
    }
}

/// Nothing that could forge a log line or break out of a header.
fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use haat_catalog::time::RandomIds;

    fn id_for(sent: &str) -> String {
        let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(sent.as_bytes()).unwrap())]);
        RequestId::of(&headers, &RandomIds).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("trace-1/2"), "trace-1/2");
        let long = "x".repeat(129);
        for sent in ["", "a b", "a\tb", "ü", long.as_str()] {
            let id = id_for(sent);
            assert!(id != sent && id.len() == 36, "{sent:?} gave {id:?}");
        }
    }
}
