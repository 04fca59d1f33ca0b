//! `/v1/sources`: how the upstream catalogues stand, and what they shall do.

pub(crate) mod schema;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use haat_catalog::Violation;
use haat_oauth::audit;
use haat_sources::run::Run;
use haat_sources::service::{SourceStatus, StartError};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::answer;
use crate::extract::access::{CallerAddress, Granted, SourcesManage};
use crate::extract::body::{JsonBody, OptionalJson};
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::problem::{Code, Problem};
use crate::state::{App, SharedApp};
use schema::{BreakerInput, Source, Sources, SyncInput};

/// List the sources
///
/// The upstream catalogues that the configuration declares, and how each stands: its newest run, how far behind it is, and its
/// circuit breaker on every server. Behind them those that it does not declare any more and that have products here.
#[utoipa::path(get, path = "/v1/sources", operation_id = "listSources", tag = "sources",
    responses((status = 200, description = "All of them, in the order of the configuration.", body = Sources)),
    security(("oauth" = ["sources:manage"])))]
pub(crate) async fn list(
    State(app): State<SharedApp>,
    _access: Granted<SourcesManage>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let data = app.services.sources.statuses().await?;
    json(StatusCode::OK, &serde_json::json!({ "data": data }))
}

/// Read one source
#[utoipa::path(get, path = "/v1/sources/{name}", operation_id = "getSource", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, description = "How it stands.", body = Source)),
    security(("oauth" = ["sources:manage"])))]
pub(crate) async fn show(
    State(app): State<SharedApp>,
    _access: Granted<SourcesManage>,
    Segment(name): Segment,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    json(StatusCode::OK, &status(&app, &name).await?)
}

/// Synchronise a source
///
/// Begins at once, or goes on with a run that was interrupted, and does not wait for its end: `GET /v1/sources/{name}` shows how
/// it stands. One run of a source at a time, on all servers. With `confirm_removals` the run that waits for it goes on, and no
/// other begins.
#[utoipa::path(post, path = "/v1/sources/{name}/sync", operation_id = "syncSource", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    request_body(content = Option<SyncInput>, content_type = "application/json"),
    responses((status = 202, description = "The source, with the run that has begun.", body = Source, headers(
        ("Location" = String, description = "Where the source is"),
    ))),
    security(("oauth" = ["sources:manage"])))]
pub(crate) async fn sync(
    State(app): State<SharedApp>,
    access: Granted<SourcesManage>,
    CallerAddress(address): CallerAddress,
    Segment(name): Segment,
    parameters: Parameters,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let request = schema::sync_request(body)?;
    let (sources, by, of) = (Arc::clone(&app.services.sources), By::of(&access, address), name.clone());
    let asked = of.clone();
    let start = async move { sources.start(&asked, request).await };
    let started = audit::on_record(start, move |status: &SourceStatus| {
        let (run, mode) = status.run.as_ref().map(|run| (tracing::field::display(run.id), run.mode.name())).unzip();
        let confirmed = request.confirms.is_some();
        tracing::info!(target: "haat::audit", source = of, run, mode, confirmed, by = &*by.client, address = %by.address, "source synchronised");
    });
    let mut response = json(StatusCode::ACCEPTED, &started.await.map_err(refused)?)?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/sources/{name}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Stop the synchronisation of a source
///
/// A run that is under way, on whichever server or in whichever command, ends as `cancelled` with its next page, or within a third of
/// the source's lease; what it has written stays. So does one that waits for a confirmation, and nothing goes. The next run begins
/// anew, as the schedule says. Where there is none, nothing happens.
#[utoipa::path(delete, path = "/v1/sources/{name}/sync", operation_id = "cancelSync", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 204, description = "No run of the source goes on.")),
    security(("oauth" = ["sources:manage"])))]
pub(crate) async fn cancel(
    State(app): State<SharedApp>,
    access: Granted<SourcesManage>,
    CallerAddress(address): CallerAddress,
    Segment(name): Segment,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let (sources, by) = (Arc::clone(&app.services.sources), By::of(&access, address));
    let asked = name.clone();
    let cancel = async move { sources.cancel(&asked).await };
    let cancelled = audit::on_record(cancel, move |run: &Option<Run>| {
        if let Some(run) = run {
            tracing::info!(target: "haat::audit", source = name, run = %run.id, by = &*by.client, address = %by.address, "synchronisation cancelled");
        }
    });
    cancelled.await.map_err(refused).map(|_| answer::no_content())
}

/// Tell a source's circuit breakers what to do
///
/// On all servers, within some seconds: `force_open` lets nothing pass, `force_closed` everything, `auto` lets each decide for
/// itself.
#[utoipa::path(put, path = "/v1/sources/{name}/breaker", operation_id = "orderBreaker", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    request_body(content = BreakerInput, content_type = "application/json"),
    responses((status = 200, description = "The source, with the order.", body = Source)),
    security(("oauth" = ["sources:manage"])))]
pub(crate) async fn breaker(
    State(app): State<SharedApp>,
    access: Granted<SourcesManage>,
    CallerAddress(address): CallerAddress,
    Segment(name): Segment,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let order = schema::breaker_order(body.value)?;
    let (sources, by, of) = (Arc::clone(&app.services.sources), By::of(&access, address), name.clone());
    let asked = of.clone();
    let ordered = audit::on_record(async move { sources.order_breaker(&asked, order).await }, move |()| {
        tracing::info!(target: "haat::audit", source = of, order = order.name(), by = &*by.client, address = %by.address, "breaker ordered");
    });
    ordered.await.map_err(refused)?;
    json(StatusCode::OK, &status(&app, &name).await?)
}

/// Who asks, for the audit log.
struct By {
    client: Arc<str>,
    address: IpAddr,
}

impl By {
    fn of(access: &Granted<SourcesManage>, address: IpAddr) -> Self {
        Self { client: Arc::clone(&access.caller.client), address }
    }
}

async fn status(app: &App, name: &str) -> Result<SourceStatus, Problem> {
    let found = app.services.sources.status(name).await?;
    found.ok_or_else(|| Problem::new(Code::SourceNotFound, Code::SourceNotFound.about()))
}

fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body).map_err(|e| Problem::because(Code::InternalError, e.to_string()))?;
    Ok(answer::json(status, body))
}

fn refused(error: StartError) -> Problem {
    match error {
        StartError::Unknown(_) => Problem::new(Code::SourceNotFound, Code::SourceNotFound.about()),
        StartError::Running(run) => {
            let detail = format!("A run of this source is under way since {}, by {}.", run.started_at, run.owner);
            Problem::new(Code::SyncRunning, detail).with("run", run.id.to_string())
        }
        StartError::NothingToConfirm { why, waits } => {
            let detail = format!("There is nothing to confirm: {why}.");
            Problem::new(Code::NothingToConfirm, detail).with("run", waits.map(|run| run.to_string()))
        }
        StartError::Lost => Problem::new(Code::SyncRunning, Code::SyncRunning.about()),
        StartError::Store(error) => error.into(),
    }
}

/// What is wrong with a body.
fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid_document(vec![Violation::new(pointer, detail)])
}
