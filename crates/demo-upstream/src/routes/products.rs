//! Products.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::access::authorize;
use super::paging::ListQuery;
use crate::catalogue::PutError;
use crate::gate::Poisoned;
use crate::options::{READ, WRITE};
use crate::product::Product;
use crate::refusal::Refusal;
use crate::upstream::Upstream;

/// A product as it is sent: as it is, or so that nobody understands it.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Whole(Arc<Product>),
    Broken(Value),
}

/// A page of the list.
#[derive(Serialize)]
struct Page {
    results: Vec<Shown>,
    total: usize,
    next: Value,
}

/// Breaks a product, if it is one of those.
fn show(product: Arc<Product>, poisoned: Option<&Extension<Poisoned>>) -> Shown {
    let Some(Extension(Poisoned(share))) = poisoned else {
        return Shown::Whole(product);
    };
    let mut hasher = DefaultHasher::new();
    product.id.hash(&mut hasher);
    let draw = hasher.finish();
    if draw % 100 >= u64::from(share.get()) {
        return Shown::Whole(product);
    }
    let mut value = serde_json::to_value(&*product).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        match draw / 100 % 3 {
            0 => members.remove("title"),
            1 => members.insert("price".into(), json!({"cents": "twelve", "currency": product.price.currency})),
            _ => members.insert("price".into(), json!({"cents": product.price.cents, "currency": "???"})),
        };
    }
    Shown::Broken(value)
}

/// `GET /products`.
pub(super) async fn list(
    State(upstream): State<Arc<Upstream>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    poisoned: Option<Extension<Poisoned>>,
) -> Result<Response, Refusal> {
    authorize(&upstream, &headers, READ)?;
    let query = ListQuery::read(query.as_deref().unwrap_or_default())?;
    let slice = upstream.catalogue.page(query.since, query.begin(), query.size());
    let next = query.next_in_body(&slice);
    let link = query.link(&slice, &headers);
    let results = slice.products.into_iter().map(|product| show(product, poisoned.as_ref())).collect();
    let mut response = Json(Page { results, total: slice.total, next }).into_response();
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn no_such_product() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no product with that id")
}

/// `GET /products/{id}`.
pub(super) async fn read(
    State(upstream): State<Arc<Upstream>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    poisoned: Option<Extension<Poisoned>>,
) -> Result<Response, Refusal> {
    authorize(&upstream, &headers, READ)?;
    let product = upstream.catalogue.get(&id).ok_or_else(no_such_product)?;
    Ok(Json(show(product, poisoned.as_ref())).into_response())
}

/// `PUT /products/{id}`.
pub(super) async fn write(
    State(upstream): State<Arc<Upstream>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    authorize(&upstream, &headers, WRITE)?;
    let product: Product =
        serde_json::from_slice(&body).map_err(|e| Refusal::bad_request(format!("the body is no product: {e}")))?;
    let put = upstream.catalogue.put(Product { id, ..product }, upstream.now());
    let (product, is_new) = put.map_err(|error| match error {
        PutError::Id => Refusal::bad_request(error.to_string()),
        PutError::Full => Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "full", error.to_string()),
    })?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(product)).into_response())
}

/// `DELETE /products/{id}`.
pub(super) async fn remove(
    State(upstream): State<Arc<Upstream>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    authorize(&upstream, &headers, WRITE)?;
    if upstream.catalogue.remove(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_product()) }
}
