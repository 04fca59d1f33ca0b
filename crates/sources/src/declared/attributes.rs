//! Attributes of a product: single ones by name, or all that an object of the upstream has.

use std::collections::BTreeMap;

use haat_catalog::invalid::pointer_token;
use haat_catalog::product::decode::is_attribute_name;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::convert;
use super::field::{Field, FieldSettings, Natural, Refusal};
use super::pointer::Pointer;
use super::settings::SettingError;

/// Attributes as they are written: by name, and `all` with the place of an object of which each member is one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct AttributesSettings(BTreeMap<String, FieldSettings>);

/// Attributes that can be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes {
    /// The object of which each member is an attribute.
    all: Option<Pointer>,
    named: Vec<(String, Field)>,
}

/// Attributes that were read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadAttributes {
    /// All of them, if the upstream names all: others go.
    pub all: Option<Map<String, Value>>,
    /// Single ones; `null` for one that the item does not have.
    pub named: BTreeMap<String, Value>,
}

impl AttributesSettings {
    /// The attributes that are meant.
    ///
    /// # Errors
    /// When one cannot be called or read so.
    pub fn meaning(&self, key: &str) -> Result<Attributes, SettingError> {
        let mut attributes = Attributes::default();
        for (name, settings) in &self.0 {
            let at = format!("{key}.{name}");
            match settings.plain() {
                Some(pointer) if name == "all" => attributes.all = Some(Pointer::parse(&at, pointer)?),
                _ if !is_attribute_name(name) => {
                    return Err(SettingError::new(
                        at,
                        "an attribute's name is 1 to 64 letters, digits, '_', '-' or '.'",
                    ));
                }
                _ => attributes.named.push((name.clone(), settings.meaning(&at, Natural::Attribute)?)),
            }
        }
        Ok(attributes)
    }
}

impl Attributes {
    /// What an item says of them, as far as it can be understood; the rest is refused.
    pub fn read(&self, item: &Value, refused: &mut Vec<(String, Refusal)>) -> ReadAttributes {
        let mut read =
            ReadAttributes { all: self.all.as_ref().map(|place| all(place, item, refused)), ..Default::default() };
        for (name, field) in &self.named {
            match field.read(item) {
                Ok(value) => drop(read.named.insert(name.clone(), value.unwrap_or(Value::Null))),
                Err(refusal) => refused.push((format!("attributes.{name}"), refusal)),
            }
        }
        read
    }
}

fn all(place: &Pointer, item: &Value, refused: &mut Vec<(String, Refusal)>) -> Map<String, Value> {
    let mut attributes = Map::new();
    match place.find(item) {
        None => {}
        Some(Value::Object(members)) => {
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                match convert::attribute(value) {
                    Ok(value) => drop(attributes.insert(name.clone(), value)),
                    Err(detail) => {
                        let at = format!("{}/{}", place.as_str(), pointer_token(name));
                        refused.push(("attributes".to_owned(), Refusal::at(at, detail)));
                    }
                }
            }
        }
        Some(other) => {
            let detail = format!("must be an object, not {}", convert::kind_of(other));
            refused.push(("attributes".to_owned(), Refusal::at(place.as_str(), detail)));
        }
    }
    attributes
}

impl ReadAttributes {
    /// All together, as a variant has them.
    pub fn merged(self) -> Map<String, Value> {
        let mut all = self.all.unwrap_or_default();
        for (name, value) in self.named {
            match value {
                Value::Null => drop(all.remove(&name)),
                value => drop(all.insert(name, value)),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attributes(settings: Value) -> Attributes {
        serde_json::from_value::<AttributesSettings>(settings).unwrap().meaning("fields.attributes").unwrap()
    }

    #[test]
    fn single_attributes_are_taken_away_by_name_and_all_replace_all() {
        let mut refused = Vec::new();
        let item = json!({"w": 5, "custom": {"a": 1, "b": [true], "c": null, "d/e": {"deep": 1}}});
        let read = attributes(json!({"weight": "/w", "gone": "/x"})).read(&item, &mut refused);
        assert_eq!((read.all.is_none(), json!(read.named)), (true, json!({"weight": 5, "gone": null})));
        assert!(refused.is_empty());
        let read = attributes(json!({"all": "/custom", "weight": "/w"})).read(&item, &mut refused);
        assert_eq!(json!(read.merged()), json!({"a": 1, "b": [true], "weight": 5}));
        assert_eq!(refused[0].1.pointer, "/custom/d~1e");
        assert_eq!(refused.len(), 1);
    }

    #[test]
    fn names_that_no_attribute_can_have_are_refused() {
        let settings: AttributesSettings = serde_json::from_value(json!({"a b": "/x"})).unwrap();
        assert_eq!(settings.meaning("fields.attributes").unwrap_err().key, "fields.attributes.a b");
    }
}
