//! From an item to what its product becomes. Only members whose fields are declared are touched: a product may belong to
//! more than its source.

use haat_catalog::invalid::Invalid;
use haat_catalog::product::overlay::Overlay;
use haat_catalog::{Sku, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::attributes::{Attributes, AttributesSettings};
use super::convert::kind_of;
use super::field::{Field, FieldSettings, Natural, Refusal};
use super::money::{Price, PriceSettings};
use super::pointer::Pointer;
use super::settings::{Faults, SettingError};
use crate::connector::Mapped;
use crate::live::LiveField;
use crate::ports::Item;
use crate::run::ItemError;

/// The longest key, in bytes: see [`Item::key`].
const KEY_BYTES: usize = 255;

/// The fields as they are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of fields")]
pub struct FieldsSettings {
    key: FieldSettings,
    sku: FieldSettings,
    order: Option<FieldSettings>,
    updated_at: Option<FieldSettings>,
    created_at: Option<FieldSettings>,
    name: Option<FieldSettings>,
    description: Option<FieldSettings>,
    brand: Option<FieldSettings>,
    category: Option<FieldSettings>,
    tags: Option<FieldSettings>,
    price: Option<PriceSettings>,
    list_price: Option<PriceSettings>,
    stock: Option<FieldSettings>,
    unit: Option<FieldSettings>,
    rating: Option<FieldSettings>,
    seller: Option<FieldSettings>,
    location: Option<LocationSettings>,
    attributes: Option<AttributesSettings>,
    images: Option<FieldSettings>,
    variants: Option<VariantsSettings>,
    status: Option<FieldSettings>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table { lat = …, lon = … }")]
struct LocationSettings {
    lat: FieldSettings,
    lon: FieldSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table { pointer = …, fields = { … } }")]
struct VariantsSettings {
    pointer: String,
    fields: VariantFieldsSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantFieldsSettings {
    sku: FieldSettings,
    name: Option<FieldSettings>,
    price: Option<PriceSettings>,
    stock: Option<FieldSettings>,
    attributes: Option<AttributesSettings>,
}

/// A member of a product that can be read.
#[derive(Debug, Clone, PartialEq)]
enum Member {
    Plain(Field),
    Price(Price),
    Location { lat: Field, lon: Field },
}

/// How an item becomes a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    key: Field,
    sku: Field,
    order: Option<Field>,
    changed_at: Option<Field>,
    members: Vec<(&'static str, Member)>,
    attributes: Option<Attributes>,
    variants: Option<Variants>,
}

#[derive(Debug, Clone, PartialEq)]
struct Variants {
    place: Pointer,
    members: Vec<(&'static str, Member)>,
    attributes: Option<Attributes>,
}

/// Members without which a product, or a variant, is none.
const REQUIRED: [&str; 2] = ["name", "price"];

impl FieldsSettings {
    /// Whether items say when they changed.
    pub fn has_updated_at(&self) -> bool {
        self.updated_at.is_some()
    }

    /// What items are called by, as it is written.
    pub fn key(&self) -> &FieldSettings {
        &self.key
    }

    /// What says how new an item is, as it is written.
    pub fn order(&self) -> Option<&FieldSettings> {
        self.order.as_ref().or(self.updated_at.as_ref())
    }

    /// The mapping that is meant; `None` when a field cannot be read so, which is noted.
    pub fn meaning(&self, faults: &mut Faults) -> Option<Mapping> {
        let field =
            |name: &str, settings: &FieldSettings, natural| settings.meaning(&format!("fields.{name}"), natural);
        let optional = |name, settings: &Option<FieldSettings>, natural| {
            settings.as_ref().map(|settings| field(name, settings, natural)).transpose()
        };
        let attributes = self.attributes.as_ref().map(|attributes| attributes.meaning("fields.attributes"));
        // All of them, so that all that is wrong is noted, before one that is missing ends it.
        let key = faults.note(field("key", &self.key, Natural::Text));
        let sku = faults.note(field("sku", &self.sku, Natural::Text));
        let order = faults.note(optional("order", &self.order, Natural::Order));
        let changed_at = faults.note(optional("updated_at", &self.updated_at, Natural::Moment));
        let members = self.members(faults);
        let attributes = faults.note(attributes.transpose());
        let variants = faults.note(self.variants.as_ref().map(VariantsSettings::meaning).transpose());
        Some(Mapping {
            key: key?,
            sku: sku?,
            order: order?,
            changed_at: changed_at?,
            members,
            attributes: attributes?,
            variants: variants?,
        })
    }

    /// The members that can be read; those that cannot are noted.
    fn members(&self, faults: &mut Faults) -> Vec<(&'static str, Member)> {
        let mut members = Vec::new();
        for (name, settings, natural) in [
            ("name", &self.name, Natural::Text),
            ("description", &self.description, Natural::Text),
            ("brand", &self.brand, Natural::Text),
            ("category", &self.category, Natural::List),
            ("tags", &self.tags, Natural::List),
            ("stock", &self.stock, Natural::Integer),
            ("unit", &self.unit, Natural::Text),
            ("rating", &self.rating, Natural::Rating),
            ("seller", &self.seller, Natural::Text),
            ("images", &self.images, Natural::List),
            ("status", &self.status, Natural::Status),
            ("created_at", &self.created_at, Natural::Moment),
        ] {
            let read = settings.as_ref().map(|settings| settings.meaning(&format!("fields.{name}"), natural));
            members.extend(read.and_then(|read| Some((name, Member::Plain(faults.note(read)?)))));
        }
        for (name, settings) in [("price", &self.price), ("list_price", &self.list_price)] {
            let read = settings.as_ref().map(|settings| settings.meaning(&format!("fields.{name}")));
            members.extend(read.and_then(|read| Some((name, Member::Price(faults.note(read)?)))));
        }
        if let Some(LocationSettings { lat, lon }) = &self.location {
            let degrees = |name: &str, settings: &FieldSettings| {
                settings.meaning(&format!("fields.location.{name}"), Natural::Degrees)
            };
            if let (Some(lat), Some(lon)) = (faults.note(degrees("lat", lat)), faults.note(degrees("lon", lon))) {
                members.push(("location", Member::Location { lat, lon }));
            }
        }
        members
    }
}

impl VariantsSettings {
    fn meaning(&self) -> Result<Variants, SettingError> {
        const AT: &str = "fields.variants.fields";
        let fields = &self.fields;
        let mut members = vec![("sku", Member::Plain(fields.sku.meaning(&format!("{AT}.sku"), Natural::Text)?))];
        for (name, settings, natural) in
            [("name", &fields.name, Natural::Text), ("stock", &fields.stock, Natural::Integer)]
        {
            if let Some(settings) = settings {
                members.push((name, Member::Plain(settings.meaning(&format!("{AT}.{name}"), natural)?)));
            }
        }
        if let Some(settings) = &fields.price {
            members.push(("price", Member::Price(settings.meaning(&format!("{AT}.price"))?)));
        }
        let attributes = fields.attributes.as_ref().map(|a| a.meaning(&format!("{AT}.attributes"))).transpose()?;
        Ok(Variants { place: Pointer::parse("fields.variants.pointer", &self.pointer)?, members, attributes })
    }
}

/// Gathers what is wrong with an item.
#[derive(Debug, Default)]
pub struct Refusals(Vec<(String, Refusal)>);

impl Refusals {
    /// Notes what is wrong with a field; `None` then.
    pub fn note<T>(&mut self, field: &str, read: Result<T, Refusal>) -> Option<T> {
        read.map_err(|refusal| self.0.push((field.to_owned(), refusal))).ok()
    }

    /// As the sync reports it.
    pub fn told(self, key: &str) -> Vec<ItemError> {
        let tell = |(field, Refusal { pointer, detail }): (String, Refusal)| ItemError {
            key: key.to_owned(),
            pointer,
            detail: format!("`{field}` {detail}"),
        };
        self.0.into_iter().map(tell).collect()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a field says that has to say something.
///
/// # Errors
/// When it says nothing.
pub fn required<T>(found: Option<T>, at: &str) -> Result<T, Refusal> {
    found.ok_or_else(|| Refusal::at(at, "is required, and the item says nothing of it"))
}

/// A key that can be kept.
///
/// # Errors
/// When it is empty or too long.
pub fn checked_key(key: String, at: &str) -> Result<String, Refusal> {
    match key.len() {
        1..=KEY_BYTES => Ok(key),
        0 => Err(Refusal::at(at, "is empty")),
        _ => Err(Refusal::at(at, format!("is longer than {KEY_BYTES} bytes"))),
    }
}

/// A sku that can be kept.
///
/// # Errors
/// When it is none.
pub fn checked_sku(text: String, at: &str) -> Result<Sku, Refusal> {
    let told = |Invalid(violations): Invalid| violations.into_iter().map(|v| v.detail).collect::<Vec<_>>().join("; ");
    Sku::new(text).map_err(|invalid| Refusal::at(at, format!("cannot be taken: {}", told(invalid))))
}

fn text_of(field: &Field, item: &Value) -> Result<String, Refusal> {
    match required(field.read(item)?, field.place())? {
        Value::String(text) => Ok(text),
        _ => Err(Refusal::at(field.place(), "must be a text")),
    }
}

impl Member {
    fn read(&self, item: &Value) -> Result<Option<Value>, Refusal> {
        match self {
            Self::Plain(field) => field.read(item),
            Self::Price(price) => price.read(item),
            Self::Location { lat, lon } => Ok(match (lat.read(item)?, lon.read(item)?) {
                (Some(lat), Some(lon)) => {
                    Some(Map::from_iter([("lat".to_owned(), lat), ("lon".to_owned(), lon)]).into())
                }
                (None, None) => None,
                (None, _) => return Err(Refusal::at(lat.place(), "has a longitude, but no latitude")),
                (_, None) => return Err(Refusal::at(lon.place(), "has a latitude, but no longitude")),
            }),
        }
    }

    fn place(&self) -> &str {
        match self {
            Self::Plain(field) => field.place(),
            Self::Price(price) => price.place(),
            Self::Location { lat, .. } => lat.place(),
        }
    }
}

impl Mapping {
    /// Whether items are asked what they say of a member that can be live.
    pub fn has(&self, field: LiveField) -> bool {
        self.members.iter().any(|(name, _)| *name == field.name())
    }

    /// What the source calls an item.
    pub fn key(&self, item: &Value) -> Option<String> {
        text_of(&self.key, item).and_then(|key| checked_key(key, self.key.place())).ok()
    }

    /// What an item says.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn map(&self, item: &Value) -> Result<Mapped, Vec<ItemError>> {
        let mut wrong = Refusals::default();
        let key = wrong.note("key", text_of(&self.key, item).and_then(|key| checked_key(key, self.key.place())));
        let sku = wrong.note("sku", text_of(&self.sku, item).and_then(|sku| checked_sku(sku, self.sku.place())));
        let changed_at =
            self.changed_at.as_ref().and_then(|field| wrong.note("updated_at", field.read(item)).flatten());
        let changed_at = changed_at.and_then(|value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok()));
        let order = match &self.order {
            Some(field) => wrong.note("order", field.read(item)).flatten().and_then(|order| order.as_i64()),
            None => changed_at.map(Timestamp::as_millis),
        };
        let mut members = std::collections::BTreeMap::new();
        for (name, member) in &self.members {
            let value = member.read(item).and_then(|value| match value {
                None if REQUIRED.contains(name) => required(None, member.place()),
                value => Ok(value.unwrap_or(Value::Null)),
            });
            wrong.note(name, value).map(|value| members.insert((*name).to_owned(), value));
        }
        let mut named = std::collections::BTreeMap::new();
        if let Some(attributes) = &self.attributes {
            let read = attributes.read(item, &mut wrong.0);
            read.all.map(|all| members.insert("attributes".to_owned(), Value::Object(all)));
            named = read.named;
        }
        if let Some(variants) = &self.variants {
            members.insert("variants".to_owned(), variants.read(item, &mut wrong));
        }
        match (key, sku) {
            (Some(key), Some(sku)) if wrong.is_empty() => Ok(Mapped {
                item: Item { key, sku: sku.clone(), order },
                overlay: Overlay { sku, members, attributes: named },
                changed_at,
            }),
            (key, _) => Err(wrong.told(&key.unwrap_or_default())),
        }
    }
}

impl Variants {
    fn read(&self, item: &Value, wrong: &mut Refusals) -> Value {
        match self.place.find(item) {
            None => Value::Null,
            Some(Value::Array(variants)) => variants.iter().enumerate().map(|(i, v)| self.one(i, v, wrong)).collect(),
            Some(other) => {
                let detail = format!("must be an array, not {}", kind_of(other));
                wrong.0.push(("variants".to_owned(), Refusal::at(self.place.as_str(), detail)));
                Value::Null
            }
        }
    }

    fn one(&self, index: usize, variant: &Value, wrong: &mut Refusals) -> Value {
        let mut members = Map::new();
        let mut inner = Refusals::default();
        for (name, member) in &self.members {
            let value = member.read(variant).and_then(|value| match value {
                None if *name == "sku" => required(None, member.place()),
                value => Ok(value),
            });
            inner.note(name, value).flatten().map(|value| members.insert((*name).to_owned(), value));
        }
        if let Some(attributes) = &self.attributes {
            let read = attributes.read(variant, &mut inner.0);
            members.insert("attributes".to_owned(), Value::Object(read.merged()));
        }
        let at = format!("{}/{index}", self.place.as_str());
        wrong.0.extend(inner.0.into_iter().map(|(field, refusal)| {
            (format!("variants.{field}"), Refusal::at(format!("{at}{}", refusal.pointer), refusal.detail))
        }));
        Value::Object(members)
    }
}
