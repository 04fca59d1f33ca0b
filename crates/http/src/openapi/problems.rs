//! Which operation answers which problems. Added to the document here, so that no annotation repeats them.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Response};

use crate::problem::Code::{self, *};

/// What anything can answer.
const ALWAYS: &[Code] = &[MethodNotAllowed, QuotaExceeded, UriTooLong, HeadersTooLarge, InternalError];
const INDEX: &[Code] = &[InvalidParameter, Overloaded, Timeout];
const DATABASE: &[Code] = &[DatabaseUnavailable, Timeout];
const ACCESS: &[Code] = &[InvalidCredentials, Unauthorized, InvalidToken, InsufficientScope];
const MANAGED: &[Code] = &[InvalidParameter, DatabaseUnavailable, Timeout];
const WRITE: &[Code] = &[
    InvalidParameter,
    InvalidPrecondition,
    InvalidIdempotencyKey,
    PreconditionFailed,
    IdempotencyKeyReused,
    IdempotencyKeyInFlight,
    Overloaded,
];
const BODY: &[Code] =
    &[InvalidJson, IncompleteBody, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, ValidationFailed];

/// The problems of an operation, by its id.
fn of(operation: &str) -> Vec<&'static [Code]> {
    match operation {
        "listProducts" => vec![INDEX, ACCESS, &[InvalidCursor, CursorMismatch, IndexBehind]],
        "suggest" => vec![INDEX, ACCESS],
        "getProduct" => vec![DATABASE, ACCESS, &[InvalidParameter, ProductNotFound]],
        "createProduct" => vec![DATABASE, ACCESS, WRITE, BODY, &[SkuExists, IdTaken]],
        "putProduct" => vec![DATABASE, ACCESS, WRITE, BODY, &[IdTaken]],
        "patchProduct" => vec![DATABASE, ACCESS, WRITE, BODY, &[ProductNotFound]],
        "deleteProduct" => vec![DATABASE, ACCESS, WRITE, &[ProductNotFound]],
        "createImport" => vec![
            DATABASE,
            ACCESS,
            &[InvalidParameter, IncompleteBody, PayloadTooLarge, UnsupportedMediaType, Overloaded],
        ],
        "exportProducts" => vec![&[DatabaseUnavailable], ACCESS, &[InvalidParameter, Overloaded]],
        "cancelImport" => vec![DATABASE, ACCESS, &[InvalidParameter, ImportNotFound, ImportFinished]],
        "getImport" => vec![DATABASE, ACCESS, &[InvalidParameter, ImportNotFound]],
        "listChanges" => vec![DATABASE, ACCESS, &[InvalidParameter, ChangesCompacted, ChangesAhead, Overloaded]],
        "listClients" => vec![ACCESS, MANAGED],
        "getClient" => vec![ACCESS, MANAGED, &[ClientNotFound]],
        "createClient" => vec![ACCESS, MANAGED, BODY, &[ClientExists]],
        "changeClient" | "rotateClientSecret" => vec![ACCESS, MANAGED, BODY, &[ClientNotFound, ClientConflict]],
        "revokeClient" => vec![ACCESS, MANAGED, &[ClientNotFound]],
        "listSources" => vec![ACCESS, MANAGED],
        "getSource" => vec![ACCESS, MANAGED, &[SourceNotFound]],
        "syncSource" => vec![ACCESS, MANAGED, BODY, &[SourceNotFound, SyncRunning, NothingToConfirm]],
        "cancelSync" => vec![ACCESS, MANAGED, &[SourceNotFound]],
        "orderBreaker" => vec![ACCESS, MANAGED, BODY, &[SourceNotFound]],
        "getMetrics" => vec![ACCESS, &[InvalidParameter, Timeout]],
        "readyz" => vec![&[NotReady, Timeout]],
        _ => vec![&[Timeout]],
    }
}

/// Adds to every operation its problems, and to every answer the header that all have.
pub(super) fn describe(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            if OAUTH.contains(&&*id) {
                refusals(operation);
                continue;
            }
            let mut codes: Vec<Code> = of(&id).into_iter().chain([ALWAYS]).flatten().copied().collect();
            codes.sort_by_key(|code| code.status().as_u16());
            for same_status in codes.chunk_by(|a, b| a.status() == b.status()) {
                if let [first, ..] = same_status {
                    let status = first.status().as_u16().to_string();
                    operation.responses.responses.insert(status, RefOr::T(response(same_status)));
                }
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    let id = header("The request's id: the one that was sent, or a new one", Type::String);
                    response.headers.insert("X-Request-Id".to_owned(), id.into());
                }
            }
        }
    }
}

/// Operations that answer as RFC 6749 §5.2 says.
const OAUTH: [&str; 5] = ["getToken", "introspectToken", "revokeToken", "getKeySet", "getAuthorizationServer"];

/// Adds the refusals of an OAuth endpoint.
fn refusals(operation: &mut Operation) {
    let always = [("405", "Another method."), ("429", "Too much from there."), ("500", "A fault of the server.")];
    let asked = [
        (
            "400",
            "`invalid_request`, `invalid_scope`, `invalid_target`, `unsupported_grant_type` or `unauthorized_client`.",
        ),
        ("401", "`invalid_client`: the client has not proved who it is."),
        ("413", "The form is too large."),
        ("503", "It cannot be decided now."),
    ];
    let is_form = operation.request_body.is_some();
    for (status, about) in always.into_iter().chain(asked.into_iter().filter(|_| is_form)) {
        let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        let error =
            ObjectBuilder::new().property("error", text()).property("error_description", text()).required("error");
        let content = ContentBuilder::new().schema(Some(error.build())).build();
        let refused = ResponseBuilder::new().description(about).content("application/json", content).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(refused));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn response(codes: &[Code]) -> Response {
    let mut names: Vec<String> = codes.iter().map(|code| format!("`{}`: {}.", code.name(), code.title())).collect();
    names.dedup();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response =
        ResponseBuilder::new().description(names.join(" ")).content("application/problem+json", content).build();
    let mut add = |name: &str, about: &str, kind: Type| {
        response.headers.insert(name.to_owned(), header(about, kind).into());
    };
    if codes.iter().any(|code| code.retry_after().is_some()) {
        add("Retry-After", "Seconds after which the request is worth sending again", Type::Integer);
    }
    if codes.contains(&Unauthorized) {
        add("WWW-Authenticate", "`Bearer`, with an error when a token was sent (RFC 6750)", Type::String);
    }
    if codes.contains(&MethodNotAllowed) {
        add("Allow", "The methods of this address", Type::String);
    }
    if codes.contains(&UnsupportedMediaType) {
        add("Accept", "The types that are accepted", Type::String);
    }
    response
}

fn header(about: &str, kind: Type) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(kind)).build()))
        .description(Some(about))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_an_operation_can_answer_is_somewhere_in_the_document() {
        let text = super::super::to_json();
        // Only addresses outside the document, and what is no HTTP, are answered with these.
        for code in Code::ALL.iter().filter(|code| !matches!(code, NotFound | InvalidRequest)) {
            assert!(text.contains(&format!("`{}`: ", code.name())), "{code:?}");
        }
    }
}
