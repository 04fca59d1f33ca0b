//! Texts of query strings that are one of a few, or of a pattern.

use haat_catalog::product::{MEMBERS, Status};
use haat_catalog::{FacetField, SortField};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::text_enum;

macro_rules! described {
    ($( $(#[$doc:meta])* $name:ident => $schema:expr; )*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::T(Schema::from($schema))
                }
            }

            impl ToSchema for $name {
                fn name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_unit()
                }
            }
        )*
    };
}
pub(super) use described;

described! {
    /// `true` or `false`.
    Boolean => ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).build();
    /// Whether to count.
    CountMode => text_enum("Whether to count all matches", ["exact", "none"]).build();
    /// A format of imports.
    Format => text_enum("How the body is written", ["ndjson", "csv"]).build();
    /// A status.
    StatusName => text_enum("Where a product stands in its life", Status::ALL.map(Status::name)).build();
    /// A moment; an empty text counts as absent, like that of any parameter.
    MomentText => AnyOfBuilder::new()
        .item(ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))))
        .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).max_length(Some(0)))
        .build();
    /// `LAT,LON`, or empty.
    NearText => ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some(r"^$|^-?(90(\.0+)?|[1-8]?[0-9](\.[0-9]+)?),-?(180(\.0+)?|(1[0-7][0-9]|[1-9]?[0-9])(\.[0-9]+)?)$"))
        .build();
    /// Keys of a sort order.
    Sort => ArrayBuilder::new().items(text_enum("A key", sort_keys().iter().map(String::as_str))).max_items(Some(3)).build();
    /// Facets.
    Facets => ArrayBuilder::new().items(ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some(facet_pattern()))).max_items(Some(20)).build();
    /// Members of a product.
    Fields => ArrayBuilder::new().items(text_enum("A member", MEMBERS.iter().copied())).build();
}

fn sort_keys() -> Vec<String> {
    let names = SortField::ALL.map(SortField::name);
    names.iter().flat_map(|name| [(*name).to_owned(), format!("-{name}")]).collect()
}

fn facet_pattern() -> String {
    let names: Vec<_> = FacetField::NAMED.iter().map(|(name, _)| *name).collect();
    format!("^({}|attr\\.[A-Za-z0-9_.-]{{1,64}})$", names.join("|"))
}
