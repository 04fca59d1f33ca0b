//! `GET /metrics`: what is measured, for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use crate::extract::access::{Granted, Operate};
use crate::extract::parameters::Parameters;
use crate::problem::Problem;
use crate::state::SharedApp;

/// The text format of Prometheus, version 0.0.4.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Read what is measured
///
/// In the text format of Prometheus, whose scrape configuration gets tokens by itself (`oauth2`).
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operating",
    responses((status = 200, description = "All metrics.", body = String, content_type = "text/plain")),
    security(("oauth" = ["operate"])))]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    _access: Granted<Operate>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    Ok(([(header::CONTENT_TYPE, FORMAT), (header::CACHE_CONTROL, "no-store")], (app.services.metrics)())
        .into_response())
}
