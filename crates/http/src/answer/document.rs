//! Products inside answers: as they are stored, or only some of their members. No product is parsed for it.

use std::fmt;

use bytes::Bytes;
use haat_catalog::Hit;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Appends a product, with only the members `fields` if there are any, and with a member `highlight` when the words
/// found are to be marked.
pub(crate) fn append(out: &mut Vec<u8>, hit: &Hit, fields: Option<&[&'static str]>, highlight: bool) {
    match fields {
        Some(fields) => project(out, &hit.document, fields),
        None => out.extend_from_slice(&hit.document),
    }
    if highlight {
        append_highlight(out, hit.highlight.as_deref().unwrap_or_default());
    }
}

/// Copies the members `fields` of an object, in the object's order, as they are written there.
fn project(out: &mut Vec<u8>, document: &Bytes, fields: &[&'static str]) {
    let start = out.len();
    let copied = serde_json::Deserializer::from_slice(document).deserialize_map(Copy { out, fields });
    if copied.is_err() {
        // The index keeps what `Product::to_json` wrote, so this cannot be; the whole is still a right answer.
        out.truncate(start);
        out.extend_from_slice(document);
    }
}

struct Copy<'a> {
    out: &'a mut Vec<u8>,
    fields: &'a [&'static str],
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a product")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let mut first = true;
        while let Some(name) = map.next_key::<&'de str>()? {
            if !self.fields.contains(&name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &'de RawValue = map.next_value()?;
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.out.push(b'"');
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"\":");
            self.out.extend_from_slice(value.get().as_bytes());
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Adds the member `highlight` to the object that `out` ends with.
fn append_highlight(out: &mut Vec<u8>, found: &[(&'static str, String)]) {
    if out.pop() != Some(b'}') {
        return;
    }
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(b"\"highlight\":{");
    for (i, (name, text)) in found.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        append_json(out, text);
    }
    out.extend_from_slice(b"}}");
}

/// Appends a value as JSON.
pub(crate) fn append_json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let start = out.len();
    // Writing to memory does not fail, and no value given here has keys that are not texts.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(
        document: &'static str,
        fields: Option<&[&'static str]>,
        highlight: Option<Vec<(&'static str, String)>>,
    ) -> String {
        let asked = highlight.is_some();
        let hit = Hit { document: Bytes::from_static(document.as_bytes()), highlight };
        let mut out = b"[".to_vec();
        append(&mut out, &hit, fields, asked);
        String::from_utf8(out).unwrap()
    }

    const DOCUMENT: &str = r#"{"id":"1","name":"a \"b\" {,}","price":{"amount":1,"currency":"INR"},"tags":["x","y"]}"#;

    #[test]
    fn the_whole_document_is_copied_unread() {
        assert_eq!(text(DOCUMENT, None, None), format!("[{DOCUMENT}"));
        assert_eq!(text("not json", None, None), "[not json");
    }

    #[test]
    fn fields_keep_the_order_and_the_writing_of_the_document() {
        let some = text(DOCUMENT, Some(&["tags", "name"]), None);
        assert_eq!(some, r#"[{"name":"a \"b\" {,}","tags":["x","y"]}"#);
        assert_eq!(text(DOCUMENT, Some(&["brand"]), None), "[{}");
    }

    #[test]
    fn highlights_are_a_member_of_their_own() {
        let marks = vec![("name", "<em>a</em> \"b\"".to_owned())];
        assert_eq!(
            text(DOCUMENT, Some(&["id"]), Some(marks.clone())),
            r#"[{"id":"1","highlight":{"name":"<em>a</em> \"b\""}}"#
        );
        assert_eq!(text(DOCUMENT, Some(&["brand"]), Some(Vec::new())), r#"[{"highlight":{}}"#);
        let whole: serde_json::Value = serde_json::from_str(&text(DOCUMENT, None, Some(marks))[1..]).unwrap();
        assert_eq!(whole["highlight"]["name"], "<em>a</em> \"b\"");
    }
}
