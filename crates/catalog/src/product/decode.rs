//! From JSON to a [`Draft`]: every violation found in one pass, each at its JSON Pointer.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    AttributeValue, Attributes, CATEGORY_SEPARATOR, Draft, Location, MEMBERS, ProductId, Sku, Status, Variant, limits,
};
use crate::invalid::{Invalid, Violation, nearest, pointer_token};
use crate::money::{Currency, MAX_AMOUNT, Money};
use crate::time::Timestamp;

const MONEY_MEMBERS: &[&str] = &["amount", "currency"];
const LOCATION_MEMBERS: &[&str] = &["lat", "lon"];
const VARIANT_MEMBERS: &[&str] = &["sku", "name", "price", "stock", "attributes"];

/// How many violations are named: nobody mends more at once, and a body of nothing but mistakes would otherwise cost a
/// multiple of its size.
const MAX_VIOLATIONS: usize = 100;
/// How much of a name that is not known is repeated, in characters.
const SHOWN_NAME: usize = 64;

impl Draft {
    /// Reads a product as a client writes it. `id`, `version`, `created_at` and `updated_at` may be there (so that
    /// what was read can be sent back); of these only `id` and `created_at` are taken over, and `id` only for a new
    /// product.
    ///
    /// # Errors
    /// Everything that is wrong: unknown members, wrong types, values out of range, missing required members.
    pub fn from_json(value: &Value) -> Result<Self, Invalid> {
        let Value::Object(object) = value else {
            return Err(Invalid::one("", format!("a product is a JSON object, not {}", kind(value))));
        };
        let mut d = Decoder::default();
        let draft = d.draft(object);
        match draft {
            Some(draft) if d.violations.is_empty() => Ok(draft),
            _ => Err(Invalid(d.told())),
        }
    }
}

/// What a JSON value is, for a person.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Gathers violations while it reads; a reader that returns `None` has said why or found nothing.
#[derive(Default)]
struct Decoder {
    violations: Vec<Violation>,
}

impl Decoder {
    fn refuse(&mut self, at: &str, detail: impl Into<String>) {
        self.push(Violation::new(at, detail));
    }

    fn push(&mut self, violation: Violation) {
        if !self.is_full() {
            self.violations.push(violation);
        }
    }

    /// Whether one more is too many to be named; that there is one more is remembered.
    fn is_full(&self) -> bool {
        self.violations.len() > MAX_VIOLATIONS
    }

    /// The violations, with a last one that stands for those that are not named.
    fn told(mut self) -> Vec<Violation> {
        if self.is_full() {
            self.violations.truncate(MAX_VIOLATIONS);
            let detail = format!("more is wrong than these {MAX_VIOLATIONS}; mend them and send it again");
            self.violations.push(Violation::new("", detail));
        }
        self.violations
    }

    fn draft(&mut self, o: &Map<String, Value>) -> Option<Draft> {
        self.known_members(o, "", MEMBERS);
        let sku = self.required(o, "sku").and_then(|v| self.sku(v, "/sku"));
        let name = self.required(o, "name").and_then(|v| self.text(v, "/name", 1, limits::NAME));
        let price = self.required(o, "price").and_then(|v| self.money(v, "/price"));
        let status = present(o, "status").map_or(Some(Status::Active), |v| self.status(v));
        self.read_only(o);
        let draft = Draft {
            id: present(o, "id").and_then(|v| self.id(v)),
            created_at: present(o, "created_at").and_then(|v| self.timestamp(v, "/created_at")),
            // Empty is absent, as with labels: a spreadsheet cannot tell the two apart, and what it writes must come back.
            description: present(o, "description")
                .and_then(|v| self.text(v, "/description", 0, limits::DESCRIPTION))
                .filter(|text| !text.is_empty()),
            brand: self.label(o, "brand"),
            category: present(o, "category").map(|v| self.category(v)).unwrap_or_default(),
            tags: present(o, "tags").map(|v| self.labels(v, "/tags", limits::LIST)).unwrap_or_default(),
            list_price: present(o, "list_price").and_then(|v| self.money(v, "/list_price")),
            stock: present(o, "stock").and_then(|v| self.integer(v, "/stock", 0, MAX_AMOUNT)),
            unit: self.label(o, "unit"),
            rating: present(o, "rating").and_then(|v| self.number(v, "/rating", 0.0, 5.0)),
            seller: self.label(o, "seller"),
            location: present(o, "location").and_then(|v| self.location(v)),
            attributes: present(o, "attributes").map(|v| self.attributes(v, "/attributes")).unwrap_or_default(),
            images: present(o, "images").map(|v| self.images(v)).unwrap_or_default(),
            variants: present(o, "variants").map(|v| self.variants(v)).unwrap_or_default(),
            // Last, so that what is missing here does not hide what is wrong elsewhere.
            sku: sku?,
            name: name?,
            price: price?,
            status: status?,
        };
        Some(draft)
    }

    /// `version` and `updated_at` are the server's; what is sent is only checked for its type.
    fn read_only(&mut self, o: &Map<String, Value>) {
        if let Some(v) = present(o, "version") {
            self.integer(v, "/version", 0, MAX_AMOUNT);
        }
        if let Some(v) = present(o, "updated_at") {
            self.timestamp(v, "/updated_at");
        }
    }

    fn known_members(&mut self, o: &Map<String, Value>, at: &str, known: &[&str]) {
        for name in o.keys().filter(|n| !known.contains(&n.as_str())) {
            if self.is_full() {
                return;
            }
            let shown = shown(name);
            // A name that long is no misspelling of a known one.
            let near = if shown == *name { nearest(name, known.iter().copied()) } else { None };
            let hint = match near {
                Some(near) => format!("; did you mean '{near}'?"),
                None => format!("; known are {}", known.join(", ")),
            };
            self.refuse(&format!("{at}/{}", pointer_token(&shown)), format!("unknown member{hint}"));
        }
    }

    fn required<'a>(&mut self, o: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
        let value = present(o, name);
        if value.is_none() {
            self.refuse(&format!("/{name}"), format!("'{name}' is required"));
        }
        value
    }

    fn text(&mut self, v: &Value, at: &str, min: usize, max: usize) -> Option<String> {
        let Value::String(s) = v else {
            self.refuse(at, format!("must be a string, not {}", kind(v)));
            return None;
        };
        // `len` bounds the number of characters from above, so that most texts are not counted.
        if s.len() > max && s.chars().count() > max {
            self.refuse(at, format!("is longer than {max} characters"));
            return None;
        }
        if min > 0 && s.trim().is_empty() {
            self.refuse(at, "is empty");
            return None;
        }
        if s.contains('\0') {
            self.refuse(at, "has a NUL character");
            return None;
        }
        Some(s.clone())
    }

    /// An optional short text; an empty one counts as absent, so that a spreadsheet's empty cell means nothing.
    fn label(&mut self, o: &Map<String, Value>, name: &str) -> Option<String> {
        let text = self.text(present(o, name)?, &format!("/{name}"), 0, limits::LABEL)?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    fn array<'a>(&mut self, v: &'a Value, at: &str, max: usize) -> &'a [Value] {
        match v {
            Value::Array(items) if items.len() <= max => items,
            Value::Array(items) => {
                self.refuse(at, format!("has {} items, more than {max}", items.len()));
                &[]
            }
            other => {
                self.refuse(at, format!("must be an array, not {}", kind(other)));
                &[]
            }
        }
    }

    fn object<'a>(&mut self, v: &'a Value, at: &str) -> Option<&'a Map<String, Value>> {
        let object = v.as_object();
        if object.is_none() {
            self.refuse(at, format!("must be an object, not {}", kind(v)));
        }
        object
    }

    fn labels(&mut self, v: &Value, at: &str, max: usize) -> Vec<String> {
        let items = self.array(v, at, max);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            if let Some(text) = self.text(item, &format!("{at}/{i}"), 1, limits::LABEL) {
                out.push(text.trim().to_owned());
            }
        }
        out
    }

    fn category(&mut self, v: &Value) -> Vec<String> {
        let levels = self.labels(v, "/category", limits::CATEGORY_LEVELS);
        for (i, level) in levels.iter().enumerate() {
            // With a level before and after it as in a path: at either end half a separator is enough to make one.
            if format!(" {level} ").contains(CATEGORY_SEPARATOR) {
                self.refuse(
                    &format!("/category/{i}"),
                    "has ' > ', which separates levels; give each level as an item of its own",
                );
            }
        }
        levels
    }

    fn images(&mut self, v: &Value) -> Vec<String> {
        let items = self.array(v, "/images", limits::LIST);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let at = format!("/images/{i}");
            if let Some(url) = self.text(item, &at, 1, limits::LABEL * 10) {
                if url.starts_with("https://") || url.starts_with("http://") {
                    out.push(url);
                } else {
                    self.refuse(&at, "must be an address that begins with https:// or http://");
                }
            }
        }
        out
    }

    fn sku(&mut self, v: &Value, at: &str) -> Option<Sku> {
        let Value::String(s) = v else {
            self.refuse(at, format!("must be a string, not {}", kind(v)));
            return None;
        };
        match Sku::new(s.clone()) {
            Ok(sku) => Some(sku),
            Err(Invalid(found)) => {
                found.into_iter().for_each(|v| self.push(Violation { pointer: at.to_owned(), ..v }));
                None
            }
        }
    }

    fn id(&mut self, v: &Value) -> Option<ProductId> {
        let id = v.as_str().and_then(|s| s.parse().ok());
        if id.is_none() {
            self.refuse("/id", "must be a UUID; leave it out and Haat draws one");
        }
        id
    }

    fn timestamp(&mut self, v: &Value, at: &str) -> Option<Timestamp> {
        match v.as_str().map(str::parse) {
            Some(Ok(t)) => Some(t),
            Some(Err(e)) => {
                let e: crate::time::TimestampError = e;
                self.refuse(at, e.to_string());
                None
            }
            None => {
                self.refuse(at, format!("must be an RFC 3339 date-time in a string, not {}", kind(v)));
                None
            }
        }
    }

    fn status(&mut self, v: &Value) -> Option<Status> {
        let status = v.as_str().and_then(Status::from_name);
        if status.is_none() {
            let names = Status::ALL.map(Status::name);
            self.push(Violation::new("/status", format!("must be one of {}", names.join(", "))).allowing(names));
        }
        status
    }

    fn integer(&mut self, v: &Value, at: &str, min: i64, max: i64) -> Option<i64> {
        let Value::Number(n) = v else {
            self.refuse(at, format!("must be an integer, not {}", kind(v)));
            return None;
        };
        // `12.0` and `1e3` are integers by value (JSON does not tell them apart, RFC 8259 §6).
        let exact =
            n.as_i64().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9.1e15).map(|f| f as i64));
        match exact {
            Some(i) if (min..=max).contains(&i) => Some(i),
            _ => {
                self.refuse(at, format!("must be an integer from {min} to {max}"));
                None
            }
        }
    }

    fn number(&mut self, v: &Value, at: &str, min: f64, max: f64) -> Option<f64> {
        let number = v.as_f64();
        match number {
            Some(f) if (min..=max).contains(&f) => Some(f),
            Some(_) => {
                self.refuse(at, format!("must be from {min} to {max}"));
                None
            }
            None => {
                self.refuse(at, format!("must be a number, not {}", kind(v)));
                None
            }
        }
    }

    fn money(&mut self, v: &Value, at: &str) -> Option<Money> {
        let o = self.object(v, at)?;
        self.known_members(o, at, MONEY_MEMBERS);
        let amount = match present(o, "amount") {
            Some(v) => self.integer(v, &format!("{at}/amount"), 0, MAX_AMOUNT),
            None => {
                self.refuse(
                    &format!("{at}/amount"),
                    "'amount' is required: an integer in minor units, 12900 for 129.00",
                );
                None
            }
        };
        let currency = match present(o, "currency").map(|v| v.as_str().map(str::parse::<Currency>)) {
            Some(Some(Ok(c))) => Some(c),
            Some(Some(Err(e))) => {
                self.refuse(&format!("{at}/currency"), e.to_string());
                None
            }
            _ => {
                self.refuse(&format!("{at}/currency"), "'currency' is required: an ISO 4217 code such as INR");
                None
            }
        };
        Some(Money { amount: amount?, currency: currency? })
    }

    fn location(&mut self, v: &Value) -> Option<Location> {
        let o = self.object(v, "/location")?;
        self.known_members(o, "/location", LOCATION_MEMBERS);
        let mut degrees = |name: &str, bound: f64| match present(o, name) {
            Some(v) => self.number(v, &format!("/location/{name}"), -bound, bound),
            None => {
                self.refuse(&format!("/location/{name}"), format!("'{name}' is required, in degrees"));
                None
            }
        };
        let (lat, lon) = (degrees("lat", 90.0), degrees("lon", 180.0));
        Some(Location { lat: lat?, lon: lon? })
    }

    fn attributes(&mut self, v: &Value, at: &str) -> Attributes {
        let Some(o) = self.object(v, at) else { return Attributes::new() };
        if o.len() > limits::ATTRIBUTES {
            self.refuse(at, format!("has {} attributes, more than {}", o.len(), limits::ATTRIBUTES));
            return Attributes::new();
        }
        let mut out = Attributes::new();
        for (name, value) in o {
            let at = format!("{at}/{}", pointer_token(&shown(name)));
            if !is_attribute_name(name) {
                self.refuse(&at, "an attribute's name is 1 to 64 letters, digits, '_', '-' or '.'");
            } else if !value.is_null()
                && let Some(value) = self.attribute(value, &at, true)
            {
                out.insert(name.clone(), value);
            }
        }
        out
    }

    fn attribute(&mut self, v: &Value, at: &str, lists: bool) -> Option<AttributeValue> {
        match v {
            Value::Bool(b) => Some(AttributeValue::Bool(*b)),
            Value::Number(n) => Some(AttributeValue::Number(n.clone())),
            Value::String(_) => self.text(v, at, 0, limits::ATTRIBUTE_TEXT).map(AttributeValue::Text),
            Value::Array(_) if lists => {
                let items = self.array(v, at, limits::LIST);
                let mut out = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    out.extend(self.attribute(item, &format!("{at}/{i}"), false));
                }
                Some(AttributeValue::List(out))
            }
            other => {
                self.refuse(
                    at,
                    format!("must be a string, a number, a boolean or a list of these, not {}", kind(other)),
                );
                None
            }
        }
    }

    fn variants(&mut self, v: &Value) -> Vec<Variant> {
        let items = self.array(v, "/variants", limits::VARIANTS);
        let mut out: Vec<Variant> = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            if let Some(variant) = self.variant(item, &format!("/variants/{i}")) {
                if out.iter().any(|v| v.sku == variant.sku) {
                    self.refuse(&format!("/variants/{i}/sku"), format!("'{}' is there twice", variant.sku));
                } else {
                    out.push(variant);
                }
            }
        }
        out
    }

    fn variant(&mut self, v: &Value, at: &str) -> Option<Variant> {
        let o = self.object(v, at)?;
        self.known_members(o, at, VARIANT_MEMBERS);
        let sku = match present(o, "sku") {
            Some(v) => self.sku(v, &format!("{at}/sku")),
            None => {
                self.refuse(&format!("{at}/sku"), "'sku' is required");
                None
            }
        };
        Some(Variant {
            name: present(o, "name").and_then(|v| self.text(v, &format!("{at}/name"), 1, limits::NAME)),
            price: present(o, "price").and_then(|v| self.money(v, &format!("{at}/price"))),
            stock: present(o, "stock").and_then(|v| self.integer(v, &format!("{at}/stock"), 0, MAX_AMOUNT)),
            attributes: present(o, "attributes")
                .map(|v| self.attributes(v, &format!("{at}/attributes")))
                .unwrap_or_default(),
            sku: sku?,
        })
    }
}

/// A name as it is repeated to whoever sent it.
fn shown(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(SHOWN_NAME) {
        Some((end, _)) => Cow::Owned(format!("{}…", name.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(name),
    }
}

/// A member that is there and not `null`: `null` means "no value", as in a merge patch.
fn present<'a>(o: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    o.get(name).filter(|v| !v.is_null())
}

/// Whether a text can name an attribute.
pub fn is_attribute_name(name: &str) -> bool {
    (1..=limits::ATTRIBUTE_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests;
