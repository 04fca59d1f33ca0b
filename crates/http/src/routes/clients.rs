//! `/v1/clients`: who may get tokens. A caller can only deal with clients that may do no more than itself: nobody gives away
//! a right that it does not have, or takes one by taking over a client.

pub mod schema;

use std::net::IpAddr;

use axum::extract::State;
use axum::response::Response;
use haat_catalog::Violation;
use haat_oauth::admin::{AdminError, FieldError, Made};
use haat_oauth::audit::By;
use haat_oauth::client::Client;
use haat_oauth::resource::Verified;
use haat_oauth::scope::Scopes;
use http::{HeaderValue, StatusCode, header};

use crate::access::missing_scope;
use crate::answer;
use crate::extract::access::{CallerAddress, ClientsManage, Granted};
use crate::extract::body::JsonBody;
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::problem::{Code, Problem};
use crate::state::{App, SharedApp};
use schema::{ClientInput, ClientView, Clients, Rotation};

/// List the clients
#[utoipa::path(get, path = "/v1/clients", operation_id = "listClients", tag = "access",
    responses((status = 200, description = "All of them, in order of id.", body = Clients)),
    security(("oauth" = ["clients:manage"])))]
pub(crate) async fn list(
    State(app): State<SharedApp>,
    _access: Granted<ClientsManage>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let admin = &app.services.access.admin;
    let (clients, uses) = (admin.list().await.map_err(refused)?, admin.last_uses().await.map_err(refused)?);
    let data = clients.iter().map(|client| ClientView::of(client, &uses)).collect();
    json(StatusCode::OK, &Clients { data })
}

/// Read one client
#[utoipa::path(get, path = "/v1/clients/{id}", operation_id = "getClient", tag = "access",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client, without its secrets.", body = ClientView)),
    security(("oauth" = ["clients:manage"])))]
pub(crate) async fn show(
    State(app): State<SharedApp>,
    _access: Granted<ClientsManage>,
    Segment(id): Segment,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let client = app.services.access.admin.show(&id).await.map_err(refused)?;
    view(&app, StatusCode::OK, &client, None).await
}

/// Create a client
///
/// The answer has its secret, `client_secret`, which is shown this once. A client that signs (`private_key_jwt`) has none.
#[utoipa::path(post, path = "/v1/clients", operation_id = "createClient", tag = "access",
    request_body(content = ClientInput, content_type = "application/json"),
    responses((status = 201, description = "The client, with its secret.", body = ClientView, headers(
        ("Location" = String, description = "Where the client is"),
    ))),
    security(("oauth" = ["clients:manage"])))]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    access: Granted<ClientsManage>,
    CallerAddress(address): CallerAddress,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let draft = schema::draft(body.value).map_err(invalid)?;
    within(access.caller.scopes, draft.scopes)?;
    let made = app.services.access.admin.create(draft, by(&access, address)).await.map_err(refused)?;
    let mut response = shown(&app, StatusCode::CREATED, &made).await?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/clients/{}", made.client.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Change a client
///
/// Members that are left out stay as they are. `enabled: false` refuses its tokens at once, on every server within a
/// second; `true` takes them again.
#[utoipa::path(patch, path = "/v1/clients/{id}", operation_id = "changeClient", tag = "access",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = ClientInput, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The client as it is now.", body = ClientView)),
    security(("oauth" = ["clients:manage"])))]
pub(crate) async fn change(
    State(app): State<SharedApp>,
    access: Granted<ClientsManage>,
    CallerAddress(address): CallerAddress,
    Segment(id): Segment,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let patch = schema::patch(body.value).map_err(invalid)?;
    manageable(&app, &access.caller, &id).await?;
    within(access.caller.scopes, patch.scopes.unwrap_or_default())?;
    let client = app.services.access.admin.change(&id, patch, by(&access, address)).await.map_err(refused)?;
    view(&app, StatusCode::OK, &client, None).await
}

/// Give a client another secret
///
/// The answer has it, `client_secret`, this once. The newest of the old ones stays good beside it, for `keep_seconds` if
/// that is given.
#[utoipa::path(post, path = "/v1/clients/{id}/rotate", operation_id = "rotateClientSecret", tag = "access",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = Rotation, content_type = "application/json"),
    responses((status = 200, description = "The client, with its new secret.", body = ClientView)),
    security(("oauth" = ["clients:manage"])))]
pub(crate) async fn rotate(
    State(app): State<SharedApp>,
    access: Granted<ClientsManage>,
    CallerAddress(address): CallerAddress,
    Segment(id): Segment,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let keep = schema::rotation(body.value).map_err(invalid)?;
    manageable(&app, &access.caller, &id).await?;
    let made = app.services.access.admin.rotate(&id, keep, by(&access, address)).await.map_err(refused)?;
    shown(&app, StatusCode::OK, &made).await
}

/// Revoke a client
///
/// It is removed, and its tokens are good no longer, on every server within a second.
#[utoipa::path(delete, path = "/v1/clients/{id}", operation_id = "revokeClient", tag = "access",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 204, description = "There is no such client any more.")),
    security(("oauth" = ["clients:manage"])))]
pub(crate) async fn revoke(
    State(app): State<SharedApp>,
    access: Granted<ClientsManage>,
    CallerAddress(address): CallerAddress,
    Segment(id): Segment,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    manageable(&app, &access.caller, &id).await?;
    app.services.access.admin.revoke(&id, by(&access, address)).await.map_err(refused)?;
    known_here(&app).await;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Who does it, for the audit log.
fn by(access: &Granted<ClientsManage>, address: IpAddr) -> By {
    By::client(&access.caller.client, address)
}

/// Refuses scopes that the caller does not have itself.
fn within(caller: Scopes, wanted: Scopes) -> Result<(), Problem> {
    match wanted.iter().find(|scope| !caller.contains(*scope)) {
        None => Ok(()),
        Some(scope) => {
            let detail = format!("your own token does not have '{scope}', so you cannot give it");
            Err(Problem::invalid_document(vec![Violation::new("/scopes", detail)]))
        }
    }
}

/// Refuses to deal with a client that may do more than the caller.
async fn manageable(app: &App, caller: &Verified, id: &str) -> Result<(), Problem> {
    let client = app.services.access.admin.show(id).await.map_err(refused)?;
    match client.scopes.iter().find(|scope| !caller.scopes.contains(*scope)) {
        None => Ok(()),
        Some(scope) => Err(missing_scope(scope, caller)),
    }
}

async fn shown(app: &App, status: StatusCode, made: &Made) -> Result<Response, Problem> {
    let mut response = view(app, status, &made.client, made.secret.as_deref()).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn view(app: &App, status: StatusCode, client: &Client, secret: Option<&str>) -> Result<Response, Problem> {
    known_here(app).await;
    let uses = app.services.access.admin.last_uses().await.map_err(refused)?;
    json(status, &ClientView::of(client, &uses).with_secret(secret))
}

/// Lets the next request to this server find what was changed; other servers look by themselves.
async fn known_here(app: &App) {
    if let Err(error) = app.services.access.directory.refresh().await {
        tracing::warn!(%error, "a change to a client is not known here yet");
    }
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body).map_err(|e| Problem::because(Code::InternalError, e.to_string()))?;
    Ok(answer::json(status, body))
}

fn invalid(faults: Vec<FieldError>) -> Problem {
    let violation = |fault: FieldError| Violation::new(format!("/{}", fault.field), fault.detail);
    Problem::invalid_document(faults.into_iter().map(violation).collect())
}

fn refused(error: AdminError) -> Problem {
    match error {
        AdminError::Invalid(faults) => invalid(faults),
        AdminError::NotFound(_) => Problem::new(Code::ClientNotFound, Code::ClientNotFound.about()),
        AdminError::Exists(_) => Problem::new(Code::ClientExists, Code::ClientExists.about()),
        AdminError::Conflict(_) | AdminError::NoSecrets(_) => Problem::new(Code::ClientConflict, error.to_string()),
        AdminError::Store(error) => error.into(),
        AdminError::Vault(_) => Problem::because(Code::InternalError, error.to_string()),
    }
}
