//! One field of a product: from where in an item it comes, and as what it is read.

use std::collections::BTreeMap;

use haat_catalog::Timestamp;
use haat_catalog::product::Status;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::convert::{self, MomentFormat, Type};
use super::pointer::Pointer;
use super::settings::{SettingError, text_or_table};

/// What is wrong in an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where, within the part of the item that was read.
    pub pointer: String,
    /// What.
    pub detail: String,
}

impl Refusal {
    /// Something wrong at a place.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A field as it is written: a JSON Pointer, or a table.
#[derive(Debug, Clone, Default)]
pub struct FieldSettings(FieldTable);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON Pointer in quotes, or a table with one")]
struct FieldTable {
    pointer: Option<String>,
    constant: Option<Value>,
    r#type: Option<Type>,
    map: Option<BTreeMap<String, Value>>,
    default: Option<Value>,
    each: Option<String>,
    split: Option<String>,
    scale: Option<f64>,
    format: Option<MomentFormat>,
}

impl<'de> Deserialize<'de> for FieldSettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let plain = |pointer| FieldTable { pointer: Some(pointer), ..FieldTable::default() };
        text_or_table(from, "a JSON Pointer in quotes, or a table with one", plain).map(Self)
    }
}

impl FieldSettings {
    /// The pointer, if there is nothing else to it.
    pub fn plain(&self) -> Option<&str> {
        match &self.0 {
            FieldTable {
                pointer: Some(pointer),
                constant: None,
                r#type: None,
                map: None,
                default: None,
                each: None,
                split: None,
                scale: None,
                format: None,
            } => Some(pointer),
            _ => None,
        }
    }
}

/// What a field of a product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Natural {
    /// A text.
    Text,
    /// A state of a product's life.
    Status,
    /// A whole number.
    Integer,
    /// A rating, 0 to 5.
    Rating,
    /// Degrees of latitude or longitude.
    Degrees,
    /// Several texts.
    List,
    /// A moment.
    Moment,
    /// What grows with every change: a whole number, or a moment.
    Order,
    /// What an attribute can be, or what its `type` says.
    Attribute,
}

/// As what a field is read.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Text,
    Status,
    Integer,
    Number,
    Boolean,
    Rating(f64),
    List { each: Pointer, split: Option<String> },
    Moment(MomentFormat),
    Order(MomentFormat),
    Any,
}

/// A field that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    from: Origin,
    shape: Shape,
    map: Option<BTreeMap<String, Value>>,
    default: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Place(Pointer),
    Constant(Value),
}

impl FieldSettings {
    /// The field that is meant.
    ///
    /// # Errors
    /// When settings contradict each other, or have no meaning for such a field.
    pub fn meaning(&self, key: &str, natural: Natural) -> Result<Field, SettingError> {
        let table = &self.0;
        let shape = self.shape(key, natural)?;
        let from = match (&table.pointer, &table.constant) {
            (Some(pointer), None) => Origin::Place(Pointer::parse(key, pointer)?),
            (None, Some(_)) if table.map.is_some() || table.default.is_some() => {
                return Err(SettingError::new(key, "has a `constant`, beside which `map` and `default` say nothing"));
            }
            (None, Some(constant)) => Origin::Constant(
                shape
                    .read(constant, "")
                    .map_err(|refusal| SettingError::new(format!("{key}.constant"), refusal.detail))?,
            ),
            (Some(_), Some(_)) => {
                return Err(SettingError::new(key, "has a `pointer` and a `constant`; leave one out"));
            }
            (None, None) => return Err(SettingError::new(key, "needs a `pointer` or a `constant`")),
        };
        let readable = |value: &Value, inner: String| {
            let read = shape.read(value, "");
            read.map_err(|refusal| SettingError::new(format!("{key}.{inner}"), refusal.detail))
        };
        let one = |(from, to): (&String, &Value)| Ok((from.clone(), readable(to, format!("map.{from}"))?));
        let map = table.map.as_ref().map(|map| map.iter().map(one).collect::<Result<BTreeMap<_, _>, SettingError>>());
        let default = table.default.as_ref().map(|default| readable(default, "default".to_owned()));
        Ok(Field { from, map: map.transpose()?, default: default.transpose()?, shape })
    }

    fn shape(&self, key: &str, natural: Natural) -> Result<Shape, SettingError> {
        let table = &self.0;
        let only = |name: &str, is_set: bool, fits: bool, whom: &str| match is_set && !fits {
            true => {
                Err(SettingError::new(format!("{key}.{name}"), format!("has a meaning for {whom} only; leave it out")))
            }
            false => Ok(()),
        };
        let list = natural == Natural::List;
        let timed = matches!(natural, Natural::Moment | Natural::Order)
            || (natural == Natural::Attribute && table.r#type == Some(Type::Moment));
        only("each", table.each.is_some(), list, "lists")?;
        only("split", table.split.is_some(), list, "lists")?;
        only("map", table.map.is_some(), !list, "single values")?;
        only("scale", table.scale.is_some(), natural == Natural::Rating, "`rating`")?;
        only("format", table.format.is_some(), timed, "moments")?;
        let format = table.format.unwrap_or_default();
        let shape = match natural {
            Natural::Text => Shape::Text,
            Natural::Status => Shape::Status,
            Natural::Integer => Shape::Integer,
            Natural::Rating => Shape::Rating(scale(key, table.scale)?),
            Natural::Degrees => Shape::Number,
            Natural::List => self.list(key)?,
            Natural::Moment => Shape::Moment(format),
            Natural::Order => Shape::Order(format),
            Natural::Attribute => match table.r#type {
                None => Shape::Any,
                Some(Type::Text) => Shape::Text,
                Some(Type::Integer) => Shape::Integer,
                Some(Type::Number) => Shape::Number,
                Some(Type::Boolean) => Shape::Boolean,
                Some(Type::Moment) => Shape::Moment(format),
            },
        };
        let own = match natural {
            Natural::Text | Natural::Status => Some(Type::Text),
            Natural::Integer => Some(Type::Integer),
            Natural::Rating | Natural::Degrees => Some(Type::Number),
            Natural::Moment => Some(Type::Moment),
            Natural::List | Natural::Order | Natural::Attribute => None,
        };
        let redundant = natural == Natural::Attribute || table.r#type.is_none() || table.r#type == own;
        only("type", !redundant, false, "attributes")?;
        Ok(shape)
    }

    fn list(&self, key: &str) -> Result<Shape, SettingError> {
        let each = match &self.0.each {
            Some(each) => Pointer::parse(&format!("{key}.each"), each)?,
            None => Pointer::WHOLE,
        };
        if self.0.split.as_deref() == Some("") {
            return Err(SettingError::new(format!("{key}.split"), "is empty; write what stands between the parts"));
        }
        Ok(Shape::List { each, split: self.0.split.clone() })
    }
}

fn scale(key: &str, scale: Option<f64>) -> Result<f64, SettingError> {
    match scale.unwrap_or(5.0) {
        scale if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err(SettingError::new(format!("{key}.scale"), "must be the best rating there is upstream, above 0")),
    }
}

impl Field {
    /// The value of the field as the product format has it; `None` where the item says nothing.
    ///
    /// # Errors
    /// When what it says does not fit.
    pub fn read(&self, item: &Value) -> Result<Option<Value>, Refusal> {
        let place = match &self.from {
            Origin::Constant(value) => return Ok(Some(value.clone())),
            Origin::Place(place) => place,
        };
        let Some(found) = place.find(item) else { return Ok(self.default.clone()) };
        let Some(map) = &self.map else { return self.shape.read(found, place.as_str()).map(Some) };
        let refuse = |detail| Refusal::at(place.as_str(), detail);
        let name = convert::name(found).map_err(refuse)?;
        match (map.get(&name), &self.default) {
            (Some(value), _) | (None, Some(value)) => Ok(Some(value.clone())),
            (None, None) => {
                let known = map.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(refuse(format!("is none of those in `map` ({known}), and there is no `default`")))
            }
        }
    }

    /// Where it is read from; empty for a constant.
    pub fn place(&self) -> &str {
        match &self.from {
            Origin::Place(place) => place.as_str(),
            Origin::Constant(_) => "",
        }
    }
}

impl Shape {
    fn read(&self, value: &Value, at: &str) -> Result<Value, Refusal> {
        let one = match self {
            Self::Text => convert::text(value).map(Value::from),
            Self::Status => convert::text(value).and_then(|text| status(&text)),
            Self::Integer => convert::integer(value).map(Value::from),
            Self::Number => convert::number(value).map(Value::from),
            Self::Boolean => convert::boolean(value).map(Value::from),
            Self::Rating(best) => rating(value, *best),
            Self::List { each, split } => return list(value, each, split.as_deref(), at),
            Self::Moment(format) => convert::moment(value, *format).map(|moment| Value::from(moment.to_string())),
            Self::Order(format) => order(value, *format).map(Value::from),
            Self::Any => convert::attribute(value),
        };
        one.map_err(|detail| Refusal::at(at, detail))
    }
}

fn status(text: &str) -> Result<Value, String> {
    match Status::from_name(text) {
        Some(status) => Ok(Value::from(status.name())),
        None => Err(format!("must be one of {}; `map` translates others", Status::ALL.map(Status::name).join(", "))),
    }
}

fn rating(value: &Value, best: f64) -> Result<Value, String> {
    let number = convert::number(value)?.as_f64().unwrap_or(f64::NAN);
    if !(0.0..=best).contains(&number) {
        return Err(format!("must be from 0 to {best}; `scale` says what the best rating is"));
    }
    // Unscaled ratings stay as they are: dividing and multiplying by the same number need not give it back.
    let scaled = if best == 5.0 { number } else { number * 5.0 / best };
    Number::from_f64(scaled.min(5.0)).map(Value::Number).ok_or_else(|| "must be a number".to_owned())
}

fn order(value: &Value, format: MomentFormat) -> Result<i64, String> {
    match (format, value) {
        (MomentFormat::Rfc3339, Value::String(text)) if text.trim().parse::<i64>().is_err() => {
            convert::moment(value, format).map(Timestamp::as_millis)
        }
        (MomentFormat::Rfc3339, _) => {
            convert::integer(value).map_err(|_| "must be a whole number or a date-time of RFC 3339".to_owned())
        }
        (format, value) => convert::moment(value, format).map(Timestamp::as_millis),
    }
}

/// Several texts: of an array, or of one text that may be split. Empty ones are left out.
fn list(value: &Value, each: &Pointer, split: Option<&str>, at: &str) -> Result<Value, Refusal> {
    let mut texts = Vec::new();
    let mut add = |value: &Value, at: String| -> Result<(), Refusal> {
        let Some(found) = each.find(value) else { return Ok(()) };
        let text = convert::text(found).map_err(|detail| Refusal::at(format!("{at}{}", each.as_str()), detail))?;
        let parts: Vec<&str> = match split {
            Some(between) => text.split(between).collect(),
            None => vec![&text],
        };
        texts.extend(parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(Value::from));
        Ok(())
    };
    match value {
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, item)| add(item, format!("{at}/{i}")))?;
        }
        one => add(one, at.to_owned())?,
    }
    Ok(Value::Array(texts))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn field(natural: Natural, settings: Value) -> Result<Field, SettingError> {
        serde_json::from_value::<FieldSettings>(settings).unwrap().meaning("fields.f", natural)
    }

    #[rstest]
    #[case(Natural::Text, json!("/v"), json!("a"), json!("a"))]
    #[case(Natural::Text, json!({"pointer": "/v", "map": {"1": "one", "true": "yes"}}), json!(1), json!("one"))]
    #[case(Natural::Text, json!({"pointer": "/v", "map": {"1": "one"}, "default": "many"}), json!(7), json!("many"))]
    #[case(Natural::Text, json!({"constant": "kg"}), json!(null), json!("kg"))]
    #[case(Natural::Integer, json!("/v"), json!("37"), json!(37))]
    #[case(Natural::Integer, json!({"pointer": "/v", "default": 0}), json!(null), json!(0))]
    #[case(Natural::Integer, json!({"pointer": "/v", "type": "integer"}), json!(4), json!(4))]
    #[case(Natural::Rating, json!("/v"), json!(4.3), json!(4.3))]
    #[case(Natural::Rating, json!({"pointer": "/v", "scale": 100}), json!(90), json!(4.5))]
    #[case(Natural::Status, json!({"pointer": "/v", "map": {"on": "active", "off": "archived"}}), json!("off"), json!("archived"))]
    #[case(Natural::Status, json!("/v"), json!("draft"), json!("draft"))]
    #[case(Natural::List, json!("/v"), json!(["a", " b ", "", 3]), json!(["a", "b", "3"]))]
    #[case(Natural::List, json!("/v"), json!("a"), json!(["a"]))]
    #[case(Natural::List, json!({"pointer": "/v", "each": "/name"}), json!([{"name": "a"}, {"x": 1}, {"name": "b"}]), json!(["a", "b"]))]
    #[case(Natural::List, json!({"pointer": "/v", "split": " > "}), json!("Food > Rice > "), json!(["Food", "Rice"]))]
    #[case(Natural::Moment, json!("/v"), json!("2026-01-02T03:04:05+01:00"), json!("2026-01-02T02:04:05Z"))]
    #[case(Natural::Moment, json!({"pointer": "/v", "format": "seconds"}), json!(60), json!("1970-01-01T00:01:00Z"))]
    #[case(Natural::Order, json!("/v"), json!(12), json!(12))]
    #[case(Natural::Order, json!("/v"), json!("12"), json!(12))]
    #[case(Natural::Order, json!("/v"), json!("1970-01-01T00:00:02Z"), json!(2000))]
    #[case(Natural::Order, json!({"pointer": "/v", "format": "seconds"}), json!(2), json!(2000))]
    #[case(Natural::Attribute, json!("/v"), json!([1, true, "x"]), json!([1, true, "x"]))]
    #[case(Natural::Attribute, json!({"pointer": "/v", "type": "number"}), json!("2.5"), json!(2.5))]
    #[case(Natural::Attribute, json!({"pointer": "/v", "type": "boolean"}), json!("true"), json!(true))]
    #[case(Natural::Attribute, json!({"pointer": "/v", "type": "text"}), json!(5), json!("5"))]
    #[case(Natural::Attribute, json!({"pointer": "/v", "type": "moment", "format": "millis"}), json!(0), json!("1970-01-01T00:00:00Z"))]
    fn a_field_becomes_what_its_settings_say(
        #[case] natural: Natural,
        #[case] settings: Value,
        #[case] upstream: Value,
        #[case] is: Value,
    ) {
        let field = field(natural, settings).unwrap();
        assert_eq!(field.read(&json!({"v": upstream})), Ok(Some(is)));
    }

    #[rstest]
    #[case(Natural::Text, json!({"a": 1}))]
    #[case(Natural::Integer, json!(1.5))]
    #[case(Natural::Rating, json!(5.1))]
    #[case(Natural::Rating, json!(-1))]
    #[case(Natural::Status, json!("sold"))]
    #[case(Natural::List, json!(true))]
    #[case(Natural::Moment, json!("yesterday"))]
    #[case(Natural::Order, json!("yesterday"))]
    #[case(Natural::Order, json!(1.5))]
    #[case(Natural::Attribute, json!({"deep": 1}))]
    #[case(Natural::Attribute, json!([[1]]))]
    fn what_does_not_fit_is_refused_at_its_place(#[case] natural: Natural, #[case] upstream: Value) {
        let refusal = field(natural, json!("/v")).unwrap().read(&json!({"v": upstream})).unwrap_err();
        assert_eq!(refusal.pointer, "/v");
    }

    #[test]
    fn what_is_absent_or_null_is_nothing() {
        let field = field(Natural::Text, json!("/v")).unwrap();
        assert_eq!(
            (field.read(&json!({})), field.read(&json!({"v": null})), field.read(&json!(5))),
            (Ok(None), Ok(None), Ok(None))
        );
    }

    #[rstest]
    #[case(Natural::Text, json!({"pointer": "/v", "constant": 1}), "fields.f")]
    #[case(Natural::Text, json!({}), "fields.f")]
    #[case(Natural::Text, json!({"constant": "a", "default": "b"}), "fields.f")]
    #[case(Natural::Text, json!({"pointer": "/v", "type": "number"}), "fields.f.type")]
    #[case(Natural::Text, json!({"pointer": "/v", "each": "/x"}), "fields.f.each")]
    #[case(Natural::Text, json!({"pointer": "/v", "scale": 5}), "fields.f.scale")]
    #[case(Natural::Text, json!({"pointer": "/v", "format": "seconds"}), "fields.f.format")]
    #[case(Natural::List, json!({"pointer": "/v", "split": ""}), "fields.f.split")]
    #[case(Natural::List, json!({"pointer": "/v", "each": "x"}), "fields.f.each")]
    #[case(Natural::Rating, json!({"pointer": "/v", "scale": 0}), "fields.f.scale")]
    #[case(Natural::Status, json!({"constant": "activ"}), "fields.f.constant")]
    #[case(Natural::Status, json!({"pointer": "/v", "map": {"on": "activ"}}), "fields.f.map.on")]
    #[case(Natural::Integer, json!({"pointer": "/v", "default": "few"}), "fields.f.default")]
    #[case(Natural::Text, json!("title"), "fields.f")]
    fn settings_without_a_meaning_are_named(#[case] natural: Natural, #[case] settings: Value, #[case] key: &str) {
        assert_eq!(field(natural, settings).unwrap_err().key, key);
    }
}
