//! A product with the values of this moment.

use serde::Serialize;
use utoipa::ToSchema;

use super::Product;

/// A product, and where its live members come from.
#[derive(Serialize, ToSchema)]
pub(crate) struct LiveProduct {
    #[serde(flatten)]
    product: Product,
    /// With `live=true`: whether the live members are the source's, and of when.
    #[schema(required = false, nullable = false)]
    live: LiveStatus,
}

/// Where the live members of a product come from.
#[derive(Serialize, ToSchema)]
pub(crate) struct LiveStatus {
    /// The source that has the product, as far as that is known.
    #[schema(required = true)]
    source: Option<String>,
    /// The members that the source was asked for; when `fresh`, those of them that it named.
    fields: Vec<LiveMember>,
    /// Whether these members are the source's now. Otherwise all are as they are stored.
    fresh: bool,
    /// The moment of which they are known to be right.
    #[schema(format = DateTime)]
    as_of: String,
    /// How long ago that is.
    #[schema(minimum = 0)]
    age_seconds: i64,
    /// Why they are the stored ones; `null` when `fresh`.
    #[schema(required = true)]
    reason: Option<StoredBecause>,
}

/// A member that can be live.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LiveMember {
    /// Pieces in stock.
    Stock,
    /// What one costs.
    Price,
    /// What one would cost without a discount.
    ListPrice,
    /// The average rating.
    Rating,
    /// Where it stands in its life.
    Status,
}

/// Why the stored values were given.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoredBecause {
    /// There was no answer in time.
    Timeout,
    /// The circuit breaker is open: the source was not asked.
    BreakerOpen,
    /// Too many lookups are under way: the source was not asked.
    Saturated,
    /// The source could not be reached, or answered with an error.
    UpstreamError,
    /// The source does not have the product any more.
    NotFound,
    /// What the source answered does not make a valid product.
    Unreadable,
    /// No source has the product, or none with live members.
    NotDeclared,
    /// Whose the product is could not be read from the database.
    StoreUnavailable,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use haat_sources::live;
    use serde_json::Value;

    use super::*;

    fn member(field: live::LiveField) -> LiveMember {
        match field {
            live::LiveField::Stock => LiveMember::Stock,
            live::LiveField::Price => LiveMember::Price,
            live::LiveField::ListPrice => LiveMember::ListPrice,
            live::LiveField::Rating => LiveMember::Rating,
            live::LiveField::Status => LiveMember::Status,
        }
    }

    fn reason(reason: live::StoredBecause) -> StoredBecause {
        match reason {
            live::StoredBecause::Timeout => StoredBecause::Timeout,
            live::StoredBecause::BreakerOpen => StoredBecause::BreakerOpen,
            live::StoredBecause::Saturated => StoredBecause::Saturated,
            live::StoredBecause::UpstreamError => StoredBecause::UpstreamError,
            live::StoredBecause::NotFound => StoredBecause::NotFound,
            live::StoredBecause::Unreadable => StoredBecause::Unreadable,
            live::StoredBecause::NotDeclared => StoredBecause::NotDeclared,
            live::StoredBecause::StoreUnavailable => StoredBecause::StoreUnavailable,
        }
    }

    /// Names in the document are shared by all of it: another schema that is called the same would be found here.
    #[test]
    fn what_is_told_of_live_members_is_what_the_document_describes() {
        let told = serde_json::to_value(live::LiveStatus {
            source: Some("shop".into()),
            fields: live::LiveField::ALL.to_vec(),
            fresh: false,
            as_of: haat_catalog::Timestamp::from_millis(0),
            age_seconds: 0,
            reason: Some(live::StoredBecause::Timeout),
        });
        let document: Value = serde_json::from_str(&crate::openapi::to_json()).unwrap();
        let member = &document["components"]["schemas"]["LiveProduct"]["allOf"][1]["properties"]["live"];
        let schema = document.pointer(member["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&schema["properties"]), names(&told.unwrap()));
        assert_eq!(schema["required"].as_array().unwrap().len(), names(&schema["properties"]).len());
        assert_eq!(schema["properties"]["fields"]["items"]["$ref"], "#/components/schemas/LiveMember");
        assert!(schema["properties"]["reason"].to_string().contains("#/components/schemas/StoredBecause"));
    }

    /// A new member or reason does not compile here before the document has it.
    #[test]
    fn the_document_names_live_members_and_reasons_as_they_are_answered() {
        for field in live::LiveField::ALL {
            let documented = serde_json::to_value(member(field)).unwrap();
            assert_eq!(documented, serde_json::to_value(field).unwrap());
        }
        for because in [
            live::StoredBecause::Timeout,
            live::StoredBecause::BreakerOpen,
            live::StoredBecause::Saturated,
            live::StoredBecause::UpstreamError,
            live::StoredBecause::NotFound,
            live::StoredBecause::Unreadable,
            live::StoredBecause::NotDeclared,
            live::StoredBecause::StoreUnavailable,
        ] {
            let documented = serde_json::to_value(reason(because)).unwrap();
            assert_eq!(documented, serde_json::to_value(because).unwrap());
        }
    }
}
