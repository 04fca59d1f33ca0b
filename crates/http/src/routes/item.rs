//! `GET /v1/products/{key}`: one product, from SQL, so that a write is seen by the next read.

use axum::extract::State;
use axum::response::Response;
use haat_catalog::Sku;
use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::product::ProductKey;

use crate::answer::caching;
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::extract::precondition::IfNoneMatch;
use crate::openapi::parameters::ReadHeaders;
use crate::openapi::schema;
use crate::problem::{Code, Problem};
use crate::state::{App, SharedApp};

/// Read one product
///
/// By id or by sku. A segment that is a UUID is first taken for an id.
#[utoipa::path(
    get, path = "/v1/products/{key}", operation_id = "getProduct", tag = "products",
    params(
        ("key" = inline(schema::Key), Path, description = "The product's id or sku"),
        ReadHeaders,
    ),
    responses(
        (status = 200, description = "The product.", body = schema::Product, headers(
            ("ETag" = String, description = "Entity tag of this version; send it in `If-Match` to change just this version"),
            ("Cache-Control" = String, description = "As configured"),
            ("Cache-Status" = String, description = "The layer that answered (RFC 9211)"),
            ("Age" = u64, description = "Seconds since the answer was made"),
            ("Vary" = String, description = "`Accept-Encoding`"),
        )),
        (status = 304, description = "The client has this version already (`If-None-Match`)."),
    )
)]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    Segment(key): Segment,
    parameters: Parameters,
    known: IfNoneMatch,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    match find(&app, &key).await? {
        Some(product) => {
            let tag = product.etag()?;
            Ok(caching::answer(&known, &tag, &app.cache_control, product.document))
        }
        None => Err(Problem::new(Code::ProductNotFound, Code::ProductNotFound.about())),
    }
}

async fn find(app: &App, key: &str) -> Result<Option<StoredProduct>, StoreError> {
    // What cannot be a sku is the sku of no product.
    let Ok(parsed) = ProductKey::parse(key) else { return Ok(None) };
    let found = app.services.reader.product(&parsed).await?;
    match (found, parsed, Sku::new(key)) {
        // A sku may look like a UUID.
        (None, ProductKey::Id(_), Ok(sku)) => app.services.reader.product(&ProductKey::Sku(sku)).await,
        (found, ..) => Ok(found),
    }
}
