//! Places in a JSON document: JSON Pointer (RFC 6901).

use haat_catalog::invalid::pointer_token;
use serde_json::Value;

use super::settings::SettingError;

/// A JSON Pointer that is known to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub const WHOLE: Self = Self(String::new());

    /// Checks a text.
    ///
    /// # Errors
    /// When it does not follow RFC 6901 §3.
    pub fn parse(key: &str, text: &str) -> Result<Self, SettingError> {
        if !text.is_empty() && !text.starts_with('/') {
            let meant = text.split('.').map(|token| format!("/{}", pointer_token(token))).collect::<String>();
            let detail = format!("is no JSON Pointer: it begins with a slash, as in \"{meant}\", or is empty");
            return Err(SettingError::new(key, detail));
        }
        let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        if !escapes {
            return Err(SettingError::new(
                key,
                "has a ~ by itself: in a JSON Pointer ~ is written ~0, and / in a name ~1",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// What is there; `None` where there is nothing, or `null`.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.0).filter(|value| !value.is_null())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_found_is_what_rfc_6901_says() {
        // RFC 6901 §5.
        let document = json!({"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "gone": null});
        for (pointer, value) in [("/foo/0", json!("bar")), ("/", json!(0)), ("/a~1b", json!(1)), ("/m~0n", json!(8))] {
            assert_eq!(Pointer::parse("k", pointer).unwrap().find(&document), Some(&value));
        }
        assert_eq!(Pointer::WHOLE.find(&document), Some(&document));
        for nothing in ["/foo/2", "/foo/01", "/foo/-", "/gone", "/nowhere/deep"] {
            assert_eq!(Pointer::parse("k", nothing).unwrap().find(&document), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused_with_the_one_that_was_meant() {
        assert!(Pointer::parse("k", "price.cents").unwrap_err().detail.contains("\"/price/cents\""));
        for bad in ["a", "/a~", "/a~2"] {
            assert!(Pointer::parse("k", bad).is_err(), "{bad}");
        }
    }
}
