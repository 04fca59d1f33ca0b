//! `GET /v1/products/{key}`: one product, from SQL or as it was read from there before. A write is seen by the next read
//! on the same server; on another one within a second.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use haat_cache::answers::{Found, Layer, Question};
use haat_catalog::Sku;
use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::product::ProductKey;

use crate::answer::ready::Ready;
use crate::extract::access::Reader;
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::openapi::parameters::ReadHeaders;
use crate::openapi::schema;
use crate::pages::{Asked, of_index};
use crate::problem::{Code, Problem};
use crate::state::{App, SharedApp};

const PATH: &str = "/v1/products/{key}";

/// Read one product
///
/// By id or by sku. A segment that is a UUID is first taken for an id.
#[utoipa::path(
    get, path = PATH, operation_id = "getProduct", tag = "products",
    params(
        ("key" = inline(schema::Key), Path, description = "The product's id or sku"),
        ReadHeaders,
    ),
    responses(
        (status = 200, description = "The product.", body = schema::Product, headers(
            ("ETag" = String, description = "Entity tag of this version; send it in `If-Match` to change just this version"),
            ("Cache-Control" = String, description = "As configured"),
            ("Cache-Status" = String, description = "The layer that answered (RFC 9211)"),
            ("Age" = u64, description = "For how many seconds the answer has not been right"),
            ("Vary" = String, description = "`Accept-Encoding`"),
        )),
        (status = 304, description = "The client has this version already (`If-None-Match`)."),
    )
)]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    _access: Reader,
    Segment(key): Segment,
    asked: Asked,
) -> Result<Response, Problem> {
    Parameters::decode(asked.query())?.expect_none()?;
    // What was written here is answered from the database until the index, which says what is out of date, knows of it.
    let at_least = app.pages.written(&key);
    let question = Question::new(format!("product {key}"));
    app.pages.remember(&asked, &question, PATH, Some(&key));
    let compute = {
        let (app, key) = (Arc::clone(&app), key.clone());
        move || async move { read(&app, &key).await }
    };
    let found = match asked.wants_newest() || at_least > app.services.index.status().seq.0 {
        true => Found { answer: read(&app, &key).await?, layer: Layer::Computed, stale: Duration::ZERO },
        false => app.pages.answer(&app.pages.product_overload, &asked, question, at_least, compute).await?,
    };
    Ok(asked.respond(&app, &found).await)
}

async fn read(app: &App, key: &str) -> Result<Ready, Problem> {
    // Taken before: the answer knows at least that much.
    let status = app.services.index.status();
    let Some(product) = find(app, key).await? else {
        return Err(Problem::new(Code::ProductNotFound, Code::ProductNotFound.about()));
    };
    let tag = product.etag()?;
    let document = product.document;
    Ok(of_index(app, status.seq, status.ready, [&*document], document.clone()).with_tag(&tag))
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
