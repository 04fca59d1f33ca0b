//! JSON from strangers: UTF-8 without doubt, no member twice, nothing after the end, bounded depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::problem::{Code, Problem};

/// Reads a document. A byte order mark in front is skipped (RFC 8259 §8.1 allows a reader to).
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        Problem::new(Code::InvalidJson, format!("The body is not UTF-8 at byte {at}."))
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    // The messages of `serde_json` name the place and what was expected there, never anything of this process.
    value.map_err(|e| Problem::new(Code::InvalidJson, format!("The body is not JSON: {e}.")))
}

/// Builds a [`Value`] and refuses a member that is there twice: which of the two is meant is anyone's guess, and
/// another reader of the same bytes may guess otherwise.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                let shown: String = name.chars().take(64).collect();
                return Err(A::Error::custom(format_args!("the member '{shown}' is there twice")));
            }
            let value = map.next_value_seed(Strict)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(bytes: &[u8]) -> String {
        let problem = parse(bytes).unwrap_err();
        assert_eq!(problem.code(), Code::InvalidJson);
        String::from_utf8(problem.render("", "").to_vec()).unwrap()
    }

    #[test]
    fn documents_are_read_as_they_are() {
        let text = r#"{"a":[1,-2,2.5,"x",null,true,{"b":{}}],"n":18446744073709551615}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(parse(b"\xef\xbb\xbf{}").unwrap(), json!({}));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert!(refusal(b"{\"a\":1,\n\"a\":2}").contains("'a' is there twice at line 2"));
        assert!(refusal(b"{\"a\":{\"x\":1,\"\\u0078\":2}}").contains("'x' is there twice"));
        assert!(refusal(b"{} {}").contains("trailing characters at line 1 column 4"));
        assert!(refusal(b"{\"a\":\"\xff\"}").contains("not UTF-8 at byte 6"));
        assert!(refusal(b"").contains("EOF"));
        assert!(refusal(b"NaN").contains("line 1"));
        assert!(refusal(b"[1e999]").contains("out of range"));
        assert!(refusal(b"\xff\xfe{\0}\0").contains("not UTF-8 at byte 0"));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(refusal("[".repeat(100_000).as_bytes()).contains("recursion limit"));
    }
}
