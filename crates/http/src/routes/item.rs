//! `GET /v1/products/{key}`: one product, from SQL or as it was read from there before. A write is seen by the next read
//! on the same server; on another one within a second.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::BytesMut;
use haat_cache::answers::{Found, Layer, Question};
use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::product::ProductKey;
use haat_catalog::{ProductId, Sku};
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use crate::answer;
use crate::answer::ready::Ready;
use crate::extract::access::Reader;
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::openapi::parameters::{ItemParameters, ReadHeaders};
use crate::openapi::schema;
use crate::pages::{Asked, of_index};
use crate::problem::{Code, Problem};
use crate::state::{App, SharedApp};

const PATH: &str = "/v1/products/{key}";

/// Read one product
///
/// By id or by sku. A segment that is a UUID is first taken for an id. `live=true` asks the upstream source of the product for
/// the members that are declared live first; such an answer is kept nowhere and has no entity tag.
#[utoipa::path(
    get, path = PATH, operation_id = "getProduct", tag = "products",
    params(
        ("key" = inline(schema::Key), Path, description = "The product's id or sku"),
        ItemParameters,
        ReadHeaders,
    ),
    responses(
        (status = 200, description = "The product.", body = schema::LiveProduct, headers(
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
    let parameters = Parameters::decode(asked.query())?;
    let mut parameters = parameters.read(&["live"]);
    let live = parameters.boolean("live").unwrap_or(false);
    parameters.finish()?;
    let found = stored(&app, &key, &asked, live).await?;
    if live {
        return read_live(&app, &found.answer).await;
    }
    Ok(asked.respond(&app, &found).await)
}

/// The product as it is stored, kept ready or read now.
async fn stored(app: &SharedApp, key: &str, asked: &Asked, live: bool) -> Result<Found<Ready>, Problem> {
    // What was written here is answered from the database until the index, which says what is out of date, knows of it.
    let at_least = app.pages.written(key);
    let question = Question::new(format!("product {key}"));
    if !live {
        // What is live is not said again.
        app.pages.remember(asked, &question, PATH, Some(key));
    }
    let compute = {
        let (app, key) = (Arc::clone(app), key.to_owned());
        move || async move { read(&app, &key).await }
    };
    match asked.wants_newest() || at_least > app.services.index.status().seq.0 {
        true => Ok(Found { answer: read(app, key).await?, layer: Layer::Computed, stale: Duration::ZERO }),
        false => app.pages.answer(&app.pages.product_overload, asked, question, at_least, compute).await,
    }
}

/// The product with the live members that its source has now, or as it is stored, and which of them it is.
async fn read_live(app: &App, stored: &Ready) -> Result<Response, Problem> {
    let deadline = Instant::now() + app.options.live_wait;
    let document = stored.body().clone();
    let Named { id, sku, version } = serde_json::from_slice(&document)
        .map_err(|e| Problem::because(Code::InternalError, format!("a product's document: {e}")))?;
    let product = StoredProduct { id, sku, version, document };
    let answer = app.services.sources.live(&product, deadline).await;
    let live = serde_json::to_vec(&answer.live).map_err(|e| Problem::because(Code::InternalError, e.to_string()))?;
    let Some(members) = answer.document.strip_suffix(b"}") else {
        return Err(Problem::because(Code::InternalError, "a product's document is no object"));
    };
    let mut body = BytesMut::with_capacity(answer.document.len() + live.len() + 10);
    for part in [members, b",\"live\":", &live, b"}"] {
        body.extend_from_slice(part);
    }
    Ok(answer::json(StatusCode::OK, body.freeze()))
}

/// What of a product's document names it.
#[derive(Deserialize)]
struct Named {
    id: ProductId,
    sku: Sku,
    version: u64,
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
