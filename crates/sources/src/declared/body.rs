//! What is in an answer, at which place.

use haat_outbound::Answer;
use serde_json::Value;

use super::convert::kind_of;
use super::pointer::Pointer;
use super::progress::malformed;
use crate::connector::ReadError;

/// The document that was answered. One that is nested deeper than 128 levels is none.
///
/// # Errors
/// When the status is not one of success, or the body is no JSON.
pub fn json(answer: &Answer) -> Result<Value, ReadError> {
    if !answer.status.is_success() {
        return Err(ReadError::Status(answer.status));
    }
    // Without the text of the error: it may repeat what was read.
    serde_json::from_slice(&answer.body).map_err(|e| {
        malformed(format!("the body is no JSON that can be read (line {}, column {})", e.line(), e.column()))
    })
}

fn told(place: &Pointer) -> String {
    if place.as_str().is_empty() { "the body".to_owned() } else { format!("'{}'", place.as_str()) }
}

/// The items of a page.
///
/// # Errors
/// When there are none at that place.
pub fn items<'a>(document: &'a Value, place: &Pointer) -> Result<&'a [Value], ReadError> {
    match place.find(document) {
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(malformed(format!("{} must be an array of items, not {}", told(place), kind_of(other)))),
        None => Err(malformed(format!("{} must be an array of items, and is not there", told(place)))),
    }
}

/// A single item; `None` where there is nothing, or an empty array.
///
/// # Errors
/// When something else is at that place, or several items.
pub fn single(document: &Value, place: &Pointer) -> Result<Option<Value>, ReadError> {
    match place.find(document) {
        None => Ok(None),
        Some(Value::Object(item)) => Ok(Some(Value::Object(item.clone()))),
        Some(Value::Array(items)) => match items.as_slice() {
            [] => Ok(None),
            [Value::Object(item)] => Ok(Some(Value::Object(item.clone()))),
            [_] => Err(malformed(format!("{} must hold an object", told(place)))),
            several => Err(malformed(format!("{} must be one item, and holds {}", told(place), several.len()))),
        },
        Some(other) => Err(malformed(format!("{} must be an object, not {}", told(place), kind_of(other)))),
    }
}
