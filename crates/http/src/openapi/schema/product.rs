//! The product: as it is answered, and what may be sent of it.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::choices::{StatusName, described};
use super::text_enum;

/// Not empty, no control characters, no white space at either end.
const SKU: &str = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$";
/// Something besides white space, and no NUL.
const FILLED: &str = r"^[^\x00]*[^\s\x00][^\x00]*$";
const NO_NUL: &str = r"^[^\x00]*$";

/// A product, all members present.
#[derive(Serialize, ToSchema)]
#[schema(example = example)]
pub(crate) struct Product {
    /// A UUID, of version 7 where Haat draws it. Never used again once the product is deleted.
    #[schema(format = "uuid")]
    id: String,
    /// The natural key, unique: 1 to 128 bytes.
    #[schema(max_length = 128, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$")]
    sku: String,
    /// What it is called.
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    name: String,
    /// What it is.
    #[schema(max_length = 20000, pattern = r"^[^\x00]*$", required = true)]
    description: Option<String>,
    /// Its maker.
    #[schema(max_length = 200, pattern = r"^[^\x00]*$", required = true)]
    brand: Option<String>,
    /// Its place in the category tree, outermost level first.
    #[schema(max_items = 10, value_type = Vec<CategoryLevel>)]
    category: Vec<String>,
    /// Free labels.
    #[schema(max_items = 100, value_type = Vec<Label>)]
    tags: Vec<String>,
    /// What one costs.
    price: Money,
    /// What one would cost without a discount.
    #[schema(required = true)]
    list_price: Option<Money>,
    /// Pieces in stock, where known.
    #[schema(minimum = 0, maximum = 9007199254740991i64, required = true)]
    stock: Option<i64>,
    /// The unit it is sold by.
    #[schema(max_length = 200, pattern = r"^[^\x00]*$", required = true)]
    unit: Option<String>,
    /// The average rating.
    #[schema(minimum = 0, maximum = 5, required = true)]
    rating: Option<f64>,
    /// Who sells it.
    #[schema(max_length = 200, pattern = r"^[^\x00]*$", required = true)]
    seller: Option<String>,
    /// Where it is.
    #[schema(required = true)]
    location: Option<Location>,
    /// Whatever else is known of it, by name.
    #[schema(value_type = Attributes)]
    attributes: Value,
    /// Addresses of pictures.
    #[schema(max_items = 100, value_type = Vec<ImageUrl>)]
    images: Vec<String>,
    /// The forms in which it is sold.
    #[schema(max_items = 250)]
    variants: Vec<Variant>,
    /// Where it stands in its life.
    #[schema(value_type = StatusName)]
    status: String,
    /// When it was first written, or what an import said of it.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// How many times it was written; the first is 1.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    version: i64,
}

/// Money: integer minor units of a currency, never a fraction.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": 12900, "currency": "INR"}))]
pub(crate) struct Money {
    /// Minor units: 12900 is 129.00 INR.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    amount: i64,
    /// An ISO 4217 code.
    #[schema(value_type = CurrencyCode)]
    currency: String,
}

/// A place on Earth, WGS 84 degrees.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Location {
    /// Latitude.
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    /// Longitude.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
}

/// A form in which a product is sold: a size, a colour.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// Its own sku, unique within the product.
    #[schema(max_length = 128, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$")]
    sku: String,
    /// What it is called.
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    name: Option<String>,
    /// Its price where it differs from the product's.
    price: Option<Money>,
    /// Pieces in stock, where known.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    stock: Option<i64>,
    /// What sets it apart.
    attributes: Option<Attributes>,
}

described! {
    /// An id or a sku in a path.
    Key => ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).min_length(Some(1)).build();
    /// A sku.
    SkuText => text(128).min_length(Some(1)).pattern(Some(SKU)).build();
    /// A label.
    Label => text(200).min_length(Some(1)).pattern(Some(FILLED)).build();
    /// A level of a category path; ` > ` is not allowed in it.
    CategoryLevel => text(200).min_length(Some(1)).pattern(Some(FILLED)).build();
    /// An address of a picture.
    ImageUrl => text(2_000).pattern(Some(r"^https?://[^\x00]*$")).build();
    /// A currency.
    CurrencyCode => text_enum("An ISO 4217 code", currencies().iter().map(String::as_str)).build();
    /// Attributes by name: texts, numbers, booleans, or lists of these.
    Attributes => ObjectBuilder::new()
        .property_names(Some(ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^[A-Za-z0-9_.-]{1,64}$"))
            .build()))
        .max_properties(Some(200))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(attribute_value()))))
        .build();
    /// What a client may write of a product. `null` counts as absent.
    ProductInput => input("What a client may write of a product; `null` counts as absent", &["sku", "name", "price"], &[]);
    /// The same without the sku, which the path says.
    ProductReplacement => input("A product without the sku, which the path says; repeated, it must be the same", &["name", "price"], &["sku"]);
    /// A merge patch of a product.
    ProductPatch => patch();
    /// A product of a listing: with `fields` only those members, with `highlight` that one more.
    ListedProduct => listed();
    /// A suggested product.
    SuggestedProduct => suggested();
}

fn text(max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).max_length(Some(max))
}

/// All codes that the catalogue accepts.
fn currencies() -> Vec<String> {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(move |a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    codes
        .filter_map(|code| String::from_utf8(code.to_vec()).ok())
        .filter(|code| code.parse::<haat_catalog::Currency>().is_ok())
        .collect()
}

fn attribute_value() -> Schema {
    let scalar = || {
        OneOfBuilder::new()
            .item(text(1_000).pattern(Some(NO_NUL)))
            .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Number)))
            .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)))
    };
    let list = ArrayBuilder::new().items(RefOr::T(Schema::OneOf(scalar().build()))).max_items(Some(100));
    scalar().item(list).item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null))).build().into()
}

fn product() -> Object {
    match Product::schema() {
        RefOr::T(Schema::Object(object)) => object,
        // A struct is always described as an object.
        _ => Object::new(),
    }
}

/// The product with these members required, all others nullable, and without `left_out`.
fn input(about: &str, required: &[&str], left_out: &[&str]) -> Object {
    let mut object = product();
    object.description = Some(about.to_owned());
    object.example = Some(example_input(left_out));
    object.required = required.iter().map(|name| (*name).to_owned()).collect();
    object.properties.retain(|name, _| !left_out.contains(&name.as_str()));
    for (name, schema) in &mut object.properties {
        if !required.contains(&name.as_str()) {
            let plain = std::mem::replace(schema, RefOr::T(Schema::Object(Object::new())));
            *schema = nullable(plain);
        }
    }
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    object
}

fn patch() -> Object {
    let about = "What is to change: `null` removes a member, objects are merged, anything else replaces";
    let mut object = input(about, &["name", "price"], &["sku", "id"]);
    object.required.clear();
    object.example = Some(json!({"stock": 5, "brand": null, "attributes": {"organic": true}}));
    object
}

fn listed() -> Object {
    let mut object = product();
    object.description = Some("A product; with `fields` only those members".to_owned());
    object.required.clear();
    object.example = None;
    let marked = ObjectBuilder::new()
        .description(Some("The texts in which words were found, HTML-escaped, the words in `<em>`"))
        .additional_properties(Some(RefOr::T(Schema::Object(
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build(),
        ))));
    object.properties.insert("highlight".to_owned(), marked.build().into());
    object
}

fn suggested() -> Object {
    let mut object = listed();
    let kept = crate::routes::suggest::MEMBERS;
    object.properties.retain(|name, _| name == "highlight" || kept.contains(&name.as_str()));
    object.required = kept.iter().map(|name| (*name).to_owned()).collect();
    object
}

fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    let null = || Schema::Object(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null)).build());
    let add_null = |types: &mut SchemaType| {
        *types = match std::mem::replace(types, SchemaType::AnyValue) {
            SchemaType::Type(one) => SchemaType::Array(vec![one, Type::Null]),
            SchemaType::Array(many) if !many.contains(&Type::Null) => {
                SchemaType::Array(many.into_iter().chain([Type::Null]).collect())
            }
            other => other,
        }
    };
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            add_null(&mut object.schema_type);
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            add_null(&mut array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        // An optional reference is such a choice already.
        RefOr::T(choice @ (Schema::OneOf(_) | Schema::AnyOf(_))) => RefOr::T(choice),
        other => RefOr::T(OneOfBuilder::new().item(other).item(null()).build().into()),
    }
}

fn example() -> Value {
    json!({
        "id": "019aa000-0000-7000-8000-000000000001", "sku": "G00000042", "name": "Basmati Rice",
        "description": "Aged, long grain.", "brand": "Fresho", "category": ["Foodgrains", "Rice", "Basmati"],
        "tags": ["organic"], "price": {"amount": 12900, "currency": "INR"},
        "list_price": {"amount": 15000, "currency": "INR"}, "stock": 37, "unit": "kg", "rating": 4.2,
        "seller": "Green Acre Pune", "location": {"lat": 18.52, "lon": 73.86},
        "attributes": {"organic": true, "weight_g": 1000, "grain": "long"},
        "images": ["https://img.example/basmati.jpg"],
        "variants": [{"sku": "G42-5", "name": "5 kg", "price": {"amount": 60000, "currency": "INR"}, "stock": 4,
            "attributes": {"weight_g": 5000}}],
        "status": "active", "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z", "version": 3
    })
}

/// The example without what the server owns.
fn example_input(left_out: &[&str]) -> Value {
    let mut value = example();
    if let Value::Object(members) = &mut value {
        members.retain(|name, _| {
            !matches!(name.as_str(), "id" | "created_at" | "updated_at" | "version")
                && !left_out.contains(&name.as_str())
        });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use haat_catalog::Draft;
    use haat_catalog::product::MEMBERS;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_has_the_members_that_products_have() {
        let described: BTreeSet<_> = product().properties.into_keys().collect();
        let real: BTreeSet<_> = MEMBERS.iter().map(|m| (*m).to_owned()).collect();
        assert_eq!(described, real);
        assert_eq!(product().required.len(), MEMBERS.len(), "every member is always present");
    }

    #[test]
    fn the_examples_are_products() {
        Draft::from_json(&example()).unwrap();
        Draft::from_json(&example_input(&[])).unwrap();
        haat_catalog::Product::from_json(&serde_json::to_vec(&example()).unwrap()).unwrap();
    }

    #[test]
    fn known_currencies_are_among_the_codes() {
        let codes = currencies();
        assert!(codes.len() > 150 && codes.iter().any(|c| c == "INR"), "{}", codes.len());
    }
}
