//! Creating, replacing, patching and deleting products. Each write and its change-log row are one transaction, and
//! the store carries it through even if the client is gone.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use haat_catalog::invalid::{Invalid, Violation};
use haat_catalog::product::ProductKey;
use haat_catalog::write::{Command, Effect, IdempotencyKey, Precondition, Receipt, WriteError, WriteRequest};
use haat_catalog::{Draft, ProductId, Sku};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::answer::{self, HAAT_SEQ, IDEMPOTENCY_REPLAYED};
use crate::extract::access::{Granted, ProductsWrite, WriteSlot};
use crate::extract::body::JsonBody;
use crate::extract::idempotency::Once;
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::extract::precondition::Expects;
use crate::openapi::parameters::WriteHeaders;
use crate::openapi::schema;
use crate::problem::Problem;
use crate::state::{App, SharedApp};

/// Create a product
///
/// Refused with `sku_exists` when the sku is taken. `id` and `created_at` may be given; `version` and `updated_at`
/// are ignored. Members that no product has are refused.
#[utoipa::path(
    post, path = "/v1/products", operation_id = "createProduct", tag = "products",
    params(WriteHeaders),
    request_body(content = schema::ProductInput, content_type = "application/json"),
    responses((status = 201, description = "The product was created.", body = schema::Product, headers(
        ("Location" = String, description = "Where the product is"),
        ("ETag" = String, description = "Entity tag of this version"),
        ("Haat-Seq" = u64, description = "The change's place in the log; `min_seq` of a listing that shall show it"),
        ("Idempotency-Replayed" = String, description = "`true` on the repeated answer to an earlier request of the same idempotency key"),
    ))),
    security(("oauth" = ["products:write"]))
)]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    access: Granted<ProductsWrite>,
    _slot: WriteSlot,
    Expects(precondition): Expects,
    once: Once,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let command = Command::Create(Box::new(draft(&body.value)?));
    let receipt = carry_out(&app, command, precondition, once.with_body(&access.caller.client, &body.bytes)).await?;
    Ok(written(&receipt))
}

/// Write a product whole
///
/// The product of this sku becomes exactly what is sent; it is created when there is none. Members that are left out
/// are removed. What changes nothing is not logged and keeps its version.
#[utoipa::path(
    put, path = "/v1/products/{key}", operation_id = "putProduct", tag = "products",
    params(("key" = inline(schema::SkuText), Path, description = "The sku"), WriteHeaders),
    request_body(content = schema::ProductReplacement, content_type = "application/json"),
    responses(
        (status = 200, description = "The product is now as sent.", body = schema::Product, headers(
            ("ETag" = String, description = "Entity tag of this version"),
            ("Haat-Seq" = u64, description = "The change's place in the log"),
            ("Idempotency-Replayed" = String, description = "`true` on a repeated answer"),
        )),
        (status = 201, description = "The product was created.", body = schema::Product, headers(
            ("Location" = String, description = "Where the product is"),
            ("ETag" = String, description = "Entity tag of this version"),
            ("Haat-Seq" = u64, description = "The change's place in the log"),
            ("Idempotency-Replayed" = String, description = "`true` on a repeated answer"),
        )),
    ),
    security(("oauth" = ["products:write"]))
)]
#[allow(clippy::too_many_arguments, reason = "each argument is an extractor: what the request must bring")]
pub(crate) async fn put(
    State(app): State<SharedApp>,
    access: Granted<ProductsWrite>,
    _slot: WriteSlot,
    Segment(sku): Segment,
    Expects(precondition): Expects,
    once: Once,
    parameters: Parameters,
    mut body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let sku = Sku::new(sku).map_err(|Invalid(errors)| Problem::invalid_parameters(errors))?;
    take_sku_from_path(&mut body.value, &sku)?;
    let command = Command::Put(Box::new(draft(&body.value)?));
    let receipt = carry_out(&app, command, precondition, once.with_body(&access.caller.client, &body.bytes)).await?;
    Ok(written(&receipt))
}

/// Change some of a product
///
/// A JSON merge patch (RFC 7396): `null` removes a member, an object is merged, anything else replaces. `sku` and
/// `id` never change.
#[utoipa::path(
    patch, path = "/v1/products/{key}", operation_id = "patchProduct", tag = "products",
    params(("key" = inline(schema::Key), Path, description = "The product's id or sku"), WriteHeaders),
    request_body(content(
        (schema::ProductPatch = "application/merge-patch+json"),
        (schema::ProductPatch = "application/json"),
    )),
    responses((status = 200, description = "The product after the patch.", body = schema::Product, headers(
        ("ETag" = String, description = "Entity tag of this version"),
        ("Haat-Seq" = u64, description = "The change's place in the log"),
        ("Idempotency-Replayed" = String, description = "`true` on a repeated answer"),
    ))),
    security(("oauth" = ["products:write"]))
)]
#[allow(clippy::too_many_arguments, reason = "each argument is an extractor: what the request must bring")]
pub(crate) async fn patch(
    State(app): State<SharedApp>,
    access: Granted<ProductsWrite>,
    _slot: WriteSlot,
    Segment(key): Segment,
    Expects(precondition): Expects,
    once: Once,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let idempotency = once.with_body(&access.caller.client, &body.bytes);
    let command = |key| Command::Patch { key, patch: body.value.clone() };
    let receipt = carry_out_by_key(&app, &key, command, precondition, idempotency).await?;
    Ok(written(&receipt))
}

/// Delete a product
#[utoipa::path(
    delete, path = "/v1/products/{key}", operation_id = "deleteProduct", tag = "products",
    params(("key" = inline(schema::Key), Path, description = "The product's id or sku"), WriteHeaders),
    responses((status = 204, description = "The product is gone.", headers(
        ("Haat-Seq" = u64, description = "The change's place in the log"),
        ("Idempotency-Replayed" = String, description = "`true` on a repeated answer"),
    ))),
    security(("oauth" = ["products:write"]))
)]
pub(crate) async fn delete(
    State(app): State<SharedApp>,
    access: Granted<ProductsWrite>,
    _slot: WriteSlot,
    Segment(key): Segment,
    Expects(precondition): Expects,
    once: Once,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let idempotency = once.with_body(&access.caller.client, b"");
    let receipt = carry_out_by_key(&app, &key, |key| Command::Delete { key }, precondition, idempotency).await?;
    Ok(written(&receipt))
}

fn draft(value: &Value) -> Result<Draft, Problem> {
    Draft::from_json(value).map_err(|Invalid(errors)| Problem::invalid_document(errors))
}

/// The path says which sku; the body may repeat it, not contradict it.
fn take_sku_from_path(body: &mut Value, sku: &Sku) -> Result<(), Problem> {
    let Value::Object(members) = body else { return Ok(()) };
    let refuse = |detail: &str| Err(Problem::invalid_document(vec![Violation::new("/sku", detail)]));
    match members.get("sku") {
        // `PUT` to the address under which a product was read by its id would make a second product.
        None | Some(Value::Null) if sku.as_str().parse::<ProductId>().is_ok() => {
            refuse("the path looks like an id, and PUT goes by sku; if it is the sku, repeat it in the body")
        }
        None | Some(Value::Null) => {
            members.insert("sku".to_owned(), sku.as_str().into());
            Ok(())
        }
        Some(Value::String(same)) if same == sku.as_str() => Ok(()),
        Some(_) => refuse("differs from the sku in the path; leave it out or repeat that one"),
    }
}

async fn carry_out(
    app: &App,
    command: Command,
    precondition: Precondition,
    idempotency: Option<IdempotencyKey>,
) -> Result<Receipt, WriteError> {
    let (now, new_id) = (app.services.clock.now(), app.services.ids.next_id());
    let request = WriteRequest { command, precondition, idempotency, now, new_id };
    let receipt = app.services.writer.write(request).await?;
    app.services.index.nudge(&[receipt.id]);
    let sku = receipt.sku.as_str().to_owned();
    app.pages.wrote([receipt.id.to_string(), sku], receipt.seq);
    Ok(receipt)
}

/// A command about the product of an id or a sku. What looks like an id and is none may be a sku that looks like one.
async fn carry_out_by_key(
    app: &App,
    key: &str,
    command: impl Fn(ProductKey) -> Command,
    precondition: Precondition,
    idempotency: Option<IdempotencyKey>,
) -> Result<Receipt, WriteError> {
    let parsed = ProductKey::parse(key).map_err(|_| WriteError::NotFound)?;
    let by_id = matches!(parsed, ProductKey::Id(_));
    match carry_out(app, command(parsed), precondition.clone(), idempotency.clone()).await {
        Err(WriteError::NotFound | WriteError::PreconditionFailed { current: None }) if by_id => {
            let sku = Sku::new(key).map_err(|_| WriteError::NotFound)?;
            carry_out(app, command(ProductKey::Sku(sku)), precondition, idempotency).await
        }
        outcome => outcome,
    }
}

/// The answer to a write. A replayed receipt has the same effect as the first, so the same status.
fn written(receipt: &Receipt) -> Response {
    let mut response = match receipt.effect {
        Effect::Created => answer::json(StatusCode::CREATED, document(receipt)),
        Effect::Updated | Effect::Unchanged => answer::json(StatusCode::OK, document(receipt)),
        Effect::Deleted => answer::no_content(),
    };
    let headers = response.headers_mut();
    headers.insert(HAAT_SEQ, HeaderValue::from(receipt.seq.0));
    if let Some(tag) = receipt.etag()
        && let Ok(tag) = HeaderValue::from_str(&tag)
    {
        headers.insert(header::ETAG, tag);
    }
    // The id and not the sku: it needs no escapes and stays right whatever the sku looks like.
    if receipt.effect == Effect::Created
        && let Ok(location) = HeaderValue::from_str(&format!("/v1/products/{}", receipt.id))
    {
        headers.insert(header::LOCATION, location);
    }
    if receipt.replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The product; of one that was deleted between the first answer and its replay, what names it.
fn document(receipt: &Receipt) -> Bytes {
    let named = || json!({"id": receipt.id, "sku": receipt.sku, "version": receipt.version}).to_string().into();
    receipt.document.clone().unwrap_or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use haat_catalog::Seq;

    fn receipt(effect: Effect) -> Receipt {
        Receipt {
            effect,
            id: "019aa000-0000-7000-8000-000000000001".parse().unwrap(),
            sku: Sku::new("A/1").unwrap(),
            version: 3,
            seq: Seq(9),
            document: (effect != Effect::Deleted).then(|| {
                let id = "019aa000-0000-7000-8000-000000000001";
                json!({"id": id, "version": 3, "updated_at": "2026-01-02T03:04:05Z"}).to_string().into()
            }),
            replayed: false,
        }
    }

    #[test]
    fn effects_have_their_status_and_headers() {
        let created = written(&receipt(Effect::Created));
        assert_eq!(created.status(), 201);
        assert_eq!(created.headers()[header::LOCATION], "/v1/products/019aa000-0000-7000-8000-000000000001");
        assert_eq!(created.headers()[HAAT_SEQ], "9");
        assert!(created.headers().contains_key(header::ETAG));
        let unchanged = written(&receipt(Effect::Unchanged));
        assert_eq!((unchanged.status().as_u16(), unchanged.headers().contains_key(header::LOCATION)), (200, false));
        let deleted = written(&receipt(Effect::Deleted));
        assert_eq!((deleted.status().as_u16(), deleted.headers().contains_key(header::ETAG)), (204, false));
    }

    #[test]
    fn a_replay_says_so_and_has_the_status_of_the_first() {
        let replay = written(&Receipt { replayed: true, document: None, ..receipt(Effect::Created) });
        assert_eq!(replay.status(), 201);
        assert_eq!(replay.headers()[IDEMPOTENCY_REPLAYED], "true");
    }

    #[test]
    fn the_body_may_repeat_the_sku_of_the_path_and_not_contradict_it() {
        let sku = Sku::new("A/1").unwrap();
        for mut body in [json!({}), json!({"sku": null}), json!({"sku": "A/1"})] {
            take_sku_from_path(&mut body, &sku).unwrap();
            assert_eq!(body["sku"], "A/1");
        }
        for mut body in [json!({"sku": "B"}), json!({"sku": 1})] {
            let problem = take_sku_from_path(&mut body, &sku).unwrap_err();
            assert_eq!(problem.code(), Code::ValidationFailed);
        }
        let id = Sku::new("019aa000-0000-7000-8000-000000000001").unwrap();
        assert!(take_sku_from_path(&mut json!({}), &id).is_err());
        assert!(take_sku_from_path(&mut json!({"sku": id.as_str()}), &id).is_ok());
    }
}
