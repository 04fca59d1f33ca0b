//! The shapes of bodies, for the document. Products are described once, as they are answered; what a client may send
//! is derived from that.
#![allow(dead_code, reason = "these types are only ever described, never built")]

mod choices;
mod live;
mod product;

pub(crate) use choices::{Boolean, CountMode, Facets, Fields, Format, MomentText, NearText, Sort, StatusName};
pub(crate) use live::{LiveMember, LiveProduct};
pub(crate) use product::{
    CurrencyCode, Key, ListedProduct, Product, ProductInput, ProductPatch, ProductReplacement, SkuText,
    SuggestedProduct,
};

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Code;

/// A page of a listing.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "data": [{"id": "019aa000-0000-7000-8000-000000000001", "sku": "G00000042", "name": "Basmati Rice",
        "price": {"amount": 12900, "currency": "INR"}}],
    "page": {"limit": 1, "next": "AQDy…", "prev": null}, "total": {"value": 27555, "relation": "eq"},
    "facets": {"brand": [{"value": "Fresho", "count": 638}]}, "seq": 27555
}))]
pub(crate) struct Listing {
    /// The products, in order.
    data: Vec<ListedProduct>,
    /// Where this page stands.
    page: PageInfo,
    /// How many products match in all; `null` with `count=none`.
    #[schema(required = true)]
    total: Option<Total>,
    /// The facets that were asked for, by name.
    #[schema(required = false, nullable = false)]
    facets: BTreeMap<String, Vec<Count>>,
    /// How far the index has come: every change up to this one is in the page.
    seq: u64,
    /// `building` while the index is incomplete; absent otherwise.
    #[schema(required = false, nullable = false)]
    index: Building,
}

/// Where a page stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct PageInfo {
    /// The most products it may have.
    limit: u32,
    /// `cursor` of the next page; `null` on the last.
    #[schema(required = true)]
    next: Option<String>,
    /// `cursor` of the page before; `null` on the first.
    #[schema(required = true)]
    prev: Option<String>,
}

/// How many products match.
#[derive(Serialize, ToSchema)]
pub(crate) struct Total {
    /// The number.
    value: u64,
    /// Always `eq`: the number is exact.
    relation: Exact,
}

/// The number is exact.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exact {
    /// Equal.
    Eq,
}

/// The index is incomplete.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Building {
    /// It is being built.
    Building,
}

/// How often a value occurs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Count {
    /// The value: a text; an integer for `price`, a number for `rating`, a boolean for `in_stock`.
    value: CountedValue,
    /// The number of matching products that have it.
    count: u64,
}

/// A value that a facet counts.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum CountedValue {
    /// Brands, paths, sellers, tags, attribute values, price ranges.
    Text(String),
    /// Prices and ratings.
    Number(f64),
    /// In stock.
    Bool(bool),
}

/// Completions of a search.
#[derive(Serialize, ToSchema)]
pub(crate) struct Suggestions {
    /// Products, with the members that a list shows.
    products: Vec<SuggestedProduct>,
    /// Category paths with the number of their products.
    categories: Vec<Count>,
    /// Brands with the number of their products.
    brands: Vec<Count>,
}

/// Changes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Changes {
    /// The changes, in order.
    data: Vec<Change>,
    /// `after` of the next request.
    next: u64,
    /// The newest place in the log.
    head: u64,
    /// Deletions up to this place have been forgotten; 0 when none has been.
    floor: u64,
}

/// A change of a product.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    /// Its place in the log.
    seq: u64,
    /// What happened.
    op: ChangeOp,
    /// The product's id.
    #[schema(format = "uuid")]
    id: String,
    /// The product's sku.
    sku: String,
    /// The version that the change made; of a deletion the last one.
    version: u64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The product as it is now; `null` once it is gone.
    #[schema(required = true)]
    product: Option<Product>,
}

/// What happened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeOp {
    /// It was not there before.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
}

/// Where an import stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImportState {
    /// Accepted, not begun.
    Queued,
    /// Under way; goes on by itself after a restart.
    Running,
    /// All records were read.
    Done,
    /// Stopped before the end; `message` says why.
    Failed,
    /// Stopped by whoever sent it; what is counted is done.
    Cancelled,
}

/// What an import did so far.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportCounts {
    /// Records read.
    records: u64,
    /// Products created.
    created: u64,
    /// Products changed.
    updated: u64,
    /// Products that already were so.
    unchanged: u64,
    /// Records refused.
    failed: u64,
}

/// A record that was refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordError {
    /// The line where the record begins; the first is 1.
    line: u64,
    /// The field, as a JSON Pointer or a CSV column; empty for the whole record.
    pointer: String,
    /// What is wrong and what to do.
    detail: String,
}

/// A problem (RFC 9457). Some codes have members of their own; see the list of codes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "/docs/errors#invalid_parameter", "title": "A parameter is not valid", "status": 400,
    "detail": "limit: must be an integer from 1 to 100.", "code": "invalid_parameter",
    "request_id": "019aa000-0000-7000-8000-000000000001",
    "errors": [{"pointer": "/limit", "detail": "must be an integer from 1 to 100"}]
}))]
pub(crate) struct Problem {
    /// The address of the code's description.
    r#type: String,
    /// The code for a person.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u32,
    /// What is wrong here and what to do about it.
    detail: String,
    /// What is wrong, for a program. Never changes its meaning.
    code: ProblemCode,
    /// The request's id, also in `X-Request-Id` and in the server's log.
    request_id: String,
    /// Everything that is wrong with the input.
    #[schema(required = false, nullable = false)]
    errors: Vec<ViolationInfo>,
}

/// One thing that is wrong with an input.
#[derive(Serialize, ToSchema)]
#[schema(as = Violation)]
pub(crate) struct ViolationInfo {
    /// Where: a JSON Pointer (RFC 6901) into the body; for parameters `/` and the name.
    pointer: String,
    /// What is wrong there and what to send instead.
    detail: String,
    /// The values that would have been accepted, where they are few.
    #[schema(required = false, nullable = false)]
    allowed: Vec<String>,
}

/// The name of a kind of problem.
pub(crate) struct ProblemCode;

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        text_enum("The name of a kind of problem", Code::ALL.iter().map(|code| code.name())).into()
    }
}

impl ToSchema for ProblemCode {
    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
    }
}

impl Serialize for ProblemCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// A text that is one of these.
pub(super) fn text_enum<'a>(about: &str, values: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).description(Some(about)).enum_values(Some(values))
}
