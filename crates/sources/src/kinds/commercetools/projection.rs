//! A product projection as a product (<https://docs.commercetools.com/api/projects/productProjections#productprojection>).

use std::collections::{BTreeMap, BTreeSet};

use haat_catalog::Currency;
use haat_catalog::product::overlay::Overlay;
use serde_json::{Map, Value, json};

use crate::connector::Mapped;
use crate::declared::convert::{self, MomentFormat, kind_of};
use crate::declared::field::Refusal;
use crate::declared::mapping::{Refusals, checked_key, checked_sku, required};
use crate::declared::money;
use crate::ports::Item;
use crate::run::ItemError;

/// More levels than any category has: a circle of parents ends here.
const MOST_LEVELS: usize = 64;

/// What a variant costs, and what it would cost without a discount.
type Prices = (Option<Value>, Option<Value>);

/// How a projection becomes a product.
#[derive(Debug)]
pub(super) struct Projection {
    /// The locales in which texts are taken, the preferred one first.
    pub(super) locales: Vec<String>,
    /// Whose stock counts.
    pub(super) supply_channel: Option<String>,
    /// Which attribute is the brand.
    pub(super) brand_attribute: Option<String>,
    /// Which attributes are taken; all, if there is none.
    pub(super) attributes: Option<BTreeSet<String>>,
}

/// A member that is there and not `null`.
fn part<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|value| !value.is_null())
}

fn list<'a>(value: &'a Value, name: &str, at: &str) -> Result<&'a [Value], Refusal> {
    match part(value, name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(Refusal::at(format!("{at}/{name}"), format!("must be an array, not {}", kind_of(other)))),
    }
}

fn text(value: &Value, name: &str, at: &str) -> Result<String, Refusal> {
    let place = format!("{at}/{name}");
    match required(part(value, name), &place)? {
        Value::String(text) => Ok(text.clone()),
        other => Err(Refusal::at(place, format!("must be a text, not {}", kind_of(other)))),
    }
}

impl Projection {
    pub(super) fn map(&self, item: &Value) -> Result<Mapped, Vec<ItemError>> {
        let mut wrong = Refusals::default();
        let empty = Value::Object(Map::new());
        let master = part(item, "masterVariant").unwrap_or(&empty);
        let key = wrong.note("key", text(item, "id", "").and_then(|id| checked_key(id, "/id")));
        let sku = text(master, "sku", "/masterVariant").and_then(|sku| checked_sku(sku, "/masterVariant/sku"));
        let sku = wrong.note("sku", sku);
        let moment = |name: &str| match part(item, name) {
            None => Ok(None),
            Some(value) => convert::moment(value, MomentFormat::Rfc3339)
                .map(Some)
                .map_err(|detail| Refusal::at(format!("/{name}"), detail)),
        };
        let order = part(item, "version").map(convert::integer).transpose();
        let order = wrong.note("order", order.map_err(|detail| Refusal::at("/version", detail))).flatten();
        let changed_at = wrong.note("updated_at", moment("lastModifiedAt")).flatten();
        let created_at = wrong.note("created_at", moment("createdAt").map(|at| at.map(|at| at.to_string().into())));
        let members = self.members(item, master, created_at.flatten(), &mut wrong);
        match (key, sku) {
            (Some(key), Some(sku)) if wrong.is_empty() => Ok(Mapped {
                item: Item { key, sku: sku.clone(), order },
                overlay: Overlay { sku, members, attributes: BTreeMap::new() },
                changed_at,
            }),
            (key, _) => Err(wrong.told(&key.unwrap_or_default())),
        }
    }

    fn members(
        &self,
        item: &Value,
        master: &Value,
        created_at: Option<Value>,
        wrong: &mut Refusals,
    ) -> BTreeMap<String, Value> {
        let at = "/masterVariant";
        let name = self.localized(part(item, "name"), "/name").and_then(|name| {
            required(name, "/name").map_err(|_| Refusal::at("/name", "has a text in none of the `locales`"))
        });
        let prices = self.prices(master, at).and_then(|prices| match prices {
            Some(prices) => Ok(prices),
            None => Err(Refusal::at(format!("{at}/price"), "is not there: no price fits `currency`, `country` and `channel`")),
        });
        let (price, list_price) = wrong.note("price", prices).unwrap_or_default();
        let mut attributes = wrong.note("attributes", self.attributes(item, "")).unwrap_or_default();
        attributes.extend(wrong.note("attributes", self.attributes(master, at)).unwrap_or_default());
        let brand = self.brand_attribute.as_ref().map(|name| attributes.get(name).filter(|brand| brand.is_string()).cloned());
        if let Some(taken) = &self.attributes {
            attributes.retain(|name, _| taken.contains(name));
        }
        let variants = wrong.note("variants", list(item, "variants", "")).unwrap_or_default();
        let variants = variants.iter().enumerate();
        let variants: Vec<Value> = variants.map(|(i, v)| self.variant(v, &format!("/variants/{i}"), wrong)).collect();
        let is_published = part(item, "published").and_then(Value::as_bool).unwrap_or(true);
        let known = [
            ("name", wrong.note("name", name).map(Value::from)),
            ("description", wrong.note("description", self.localized(part(item, "description"), "/description")).flatten().map(Value::from)),
            ("category", wrong.note("category", self.category(item)).map(Value::from)),
            ("price", price),
            ("list_price", list_price),
            ("stock", wrong.note("stock", self.stock(master, at)).flatten()),
            ("attributes", Some(Value::Object(attributes))),
            ("images", wrong.note("images", images(master, at))),
            ("variants", Some(Value::Array(variants))),
            ("status", Some(Value::from(if is_published { "active" } else { "draft" }))),
            ("created_at", created_at),
        ];
        let known = known.into_iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(Value::Null)));
        known.chain(brand.map(|brand| ("brand".to_owned(), brand.unwrap_or(Value::Null)))).collect()
    }

    /// A text of which there is one for each locale.
    fn localized(&self, texts: Option<&Value>, at: &str) -> Result<Option<String>, Refusal> {
        let Some(texts) = texts else { return Ok(None) };
        let Value::Object(texts) = texts else {
            return Err(Refusal::at(at, format!("must be an object of texts by locale, not {}", kind_of(texts))));
        };
        let of = |wanted: &str| texts.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted)).map(|(_, text)| text);
        match self.locales.iter().find_map(|locale| of(locale)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(Refusal::at(at, format!("must be an object of texts, and holds {}", kind_of(other)))),
        }
    }

    /// What a variant costs, and what it would cost without a discount; `None` where no price was selected.
    fn prices(&self, variant: &Value, at: &str) -> Result<Option<Prices>, Refusal> {
        let Some(price) = part(variant, "price") else { return Ok(None) };
        let at = format!("{at}/price");
        let full = amount(part(price, "value"), &format!("{at}/value"))?;
        match part(price, "discounted") {
            None => Ok(Some((Some(full), None))),
            Some(discounted) => {
                let reduced = amount(part(discounted, "value"), &format!("{at}/discounted/value"))?;
                Ok(Some((Some(reduced), Some(full))))
            }
        }
    }

    /// Pieces in stock: of the supply channel, if one is set. More may be reserved than there are; then there are none.
    fn stock(&self, variant: &Value, at: &str) -> Result<Option<Value>, Refusal> {
        let availability = part(variant, "availability");
        let (entry, at) = match &self.supply_channel {
            None => (availability, format!("{at}/availability/availableQuantity")),
            Some(channel) => (
                availability.and_then(|all| part(all, "channels")).and_then(|channels| part(channels, channel)),
                format!("{at}/availability/channels"),
            ),
        };
        let Some(quantity) = entry.and_then(|entry| part(entry, "availableQuantity")) else { return Ok(None) };
        let quantity = convert::integer(quantity).map_err(|detail| Refusal::at(at, detail))?;
        Ok(Some(Value::from(quantity.max(0))))
    }

    fn variant(&self, variant: &Value, at: &str, wrong: &mut Refusals) -> Value {
        let mut members = Map::new();
        let sku = text(variant, "sku", at).and_then(|sku| checked_sku(sku, &format!("{at}/sku")));
        let price = wrong.note("variants.price", self.prices(variant, at)).flatten().and_then(|(price, _)| price);
        let mut attributes = wrong.note("variants.attributes", self.attributes(variant, at)).unwrap_or_default();
        if let Some(taken) = &self.attributes {
            attributes.retain(|name, _| taken.contains(name));
        }
        members.extend(wrong.note("variants.sku", sku).map(|sku| ("sku".to_owned(), sku.as_str().into())));
        members.extend(price.map(|price| ("price".to_owned(), price)));
        members.extend(wrong.note("variants.stock", self.stock(variant, at)).flatten().map(|n| ("stock".to_owned(), n)));
        members.insert("attributes".to_owned(), Value::Object(attributes));
        Value::Object(members)
    }

    fn attributes(&self, of: &Value, at: &str) -> Result<Map<String, Value>, Refusal> {
        let mut attributes = Map::new();
        for (i, attribute) in list(of, "attributes", at)?.iter().enumerate() {
            let at = format!("{at}/attributes/{i}");
            let name = text(attribute, "name", &at)?;
            let value = part(attribute, "value").map(|value| self.attribute(value, &format!("{at}/value"))).transpose()?;
            attributes.extend(value.flatten().map(|value| (name, value)));
        }
        Ok(attributes)
    }

    /// The value of an attribute, by its form; `None` for nested ones, and for texts in other locales.
    fn attribute(&self, value: &Value, at: &str) -> Result<Option<Value>, Refusal> {
        let object = match value {
            Value::Null => return Ok(None),
            Value::Array(items) => {
                let scalars = items.iter().map(|item| if item.is_array() { Ok(None) } else { self.attribute(item, at) });
                let scalars: Vec<Option<Value>> = scalars.collect::<Result<_, Refusal>>()?;
                let known: Vec<Value> = scalars.into_iter().flatten().collect();
                // A nested value is an array of attributes: nothing is left of it.
                return Ok((!known.is_empty() || items.is_empty()).then_some(Value::Array(known)));
            }
            Value::Object(object) => object,
            scalar => return Ok(Some(scalar.clone())),
        };
        let member = |name: &str| object.get(name);
        if let (Some(_), Some(id)) = (member("typeId"), member("id")) {
            return Ok(id.is_string().then(|| id.clone()));
        }
        if let (Some(cents), Some(_)) = (member("centAmount"), member("currencyCode")) {
            return convert::integer(cents).map(|cents| Some(cents.into())).map_err(|detail| Refusal::at(at, detail));
        }
        if let (Some(key), Some(label)) = (member("key"), member("label")) {
            let label = match label {
                Value::String(label) => Some(label.clone()),
                label => self.localized(Some(label), &format!("{at}/label"))?,
            };
            return Ok(label.map(Value::from).or_else(|| key.is_string().then(|| key.clone())));
        }
        match object.contains_key("value") || !object.values().all(Value::is_string) {
            true => Ok(None),
            false => Ok(self.localized(Some(value), at)?.map(Value::from)),
        }
    }

    /// The path of the deepest category; of several equally deep ones, of the one with the smallest id: which one is first in
    /// the list means nothing.
    fn category(&self, item: &Value) -> Result<Vec<String>, Refusal> {
        let references = list(item, "categories", "")?;
        let mut deepest: Option<(std::cmp::Reverse<usize>, &str, Vec<String>)> = None;
        for (i, reference) in references.iter().enumerate() {
            let Some(category) = part(reference, "obj") else { continue };
            let path = self.path(category, &format!("/categories/{i}/obj"))?;
            let id = part(reference, "id").and_then(Value::as_str).unwrap_or_default();
            let found = (std::cmp::Reverse(path.len()), id, path);
            if deepest.as_ref().is_none_or(|deepest| found < *deepest) {
                deepest = Some(found);
            }
        }
        match deepest {
            Some((_, _, path)) => Ok(path),
            None if references.is_empty() => Ok(Vec::new()),
            None => Err(Refusal::at("/categories/0/obj", "is not there: the client needs a scope that may view categories")),
        }
    }

    /// The names from the root to a category. By the parents: in which order the ancestors stand is not promised.
    fn path(&self, category: &Value, at: &str) -> Result<Vec<String>, Refusal> {
        let ancestors = list(category, "ancestors", at)?;
        let mut names = Vec::new();
        let mut current = category;
        for _ in 0..MOST_LEVELS {
            let name = self.localized(part(current, "name"), &format!("{at}/name"))?;
            names.push(name.ok_or_else(|| Refusal::at(format!("{at}/name"), "has a text in none of the `locales`"))?);
            let Some(parent) = part(current, "parent") else {
                names.reverse();
                return Ok(names);
            };
            let id = part(parent, "id");
            let ancestor = ancestors.iter().find(|ancestor| id.is_some() && part(ancestor, "id") == id);
            let above = part(parent, "obj").or_else(|| ancestor.and_then(|ancestor| part(ancestor, "obj")));
            current = above.ok_or_else(|| Refusal::at(format!("{at}/ancestors"), "lacks a category on the way to the root"))?;
        }
        Err(Refusal::at(format!("{at}/ancestors"), "has more levels than a category can have"))
    }
}

/// An amount of money, exact: one whose digits are not those of the currency (`highPrecision`) is refused.
fn amount(money: Option<&Value>, at: &str) -> Result<Value, Refusal> {
    let money = required(money, at)?;
    let code = text(money, "currencyCode", at)?;
    let currency: Currency =
        code.parse().map_err(|_| Refusal::at(format!("{at}/currencyCode"), "must be a code of ISO 4217"))?;
    let digits = required(part(money, "fractionDigits"), &format!("{at}/fractionDigits"))?.as_u64();
    if digits != Some(u64::from(currency.exponent())) {
        let detail = format!("must be {}, the decimal places of {currency}: others would be rounded", currency.exponent());
        return Err(Refusal::at(format!("{at}/fractionDigits"), detail));
    }
    let cents = required(part(money, "centAmount"), &format!("{at}/centAmount"))?;
    let money = money::minor(cents, currency).map_err(|detail| Refusal::at(format!("{at}/centAmount"), detail))?;
    Ok(json!({"amount": money.amount, "currency": money.currency}))
}

fn images(variant: &Value, at: &str) -> Result<Value, Refusal> {
    let images = list(variant, "images", at)?.iter().enumerate();
    images.map(|(i, image)| text(image, "url", &format!("{at}/images/{i}")).map(Value::from)).collect()
}
