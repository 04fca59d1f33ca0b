//! The paths of the server.

mod access;
mod control;
mod paging;
mod products;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};

use crate::gate;
use crate::refusal::Refusal;
use crate::upstream::Upstream;

/// The most that a request may send, in bytes.
const MAX_BODY: usize = 1 << 20;

/// All of them. `/control` and `/stats` do not pass the gate: whoever breaks the server must be able to mend it.
pub(crate) fn router(upstream: Arc<Upstream>) -> Router {
    let api = Router::new()
        .route("/oauth/token", post(token::issue))
        .route("/products", get(products::list))
        .route("/products/{id}", get(products::read).put(products::write).delete(products::remove))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::clone(&upstream), gate::pass));
    let operating = Router::new()
        .route("/control", get(control::show).post(control::order))
        .route("/stats", get(control::stats).delete(control::reset));
    api.merge(operating)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::clone(&upstream), dated))
        .with_state(upstream)
}

async fn no_such_path() -> Refusal {
    let there_is = "there is GET /products, /products/{id}, POST /oauth/token, GET and POST /control, GET /stats";
    Refusal::new(StatusCode::NOT_FOUND, "not_found", there_is)
}

async fn no_such_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
}

/// Dates every answer by the server's own idea of time (RFC 9110 §6.6.1), which may be wrong on purpose.
async fn dated(State(upstream): State<Arc<Upstream>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let ms = u64::try_from(upstream.now().as_millis()).unwrap_or(0);
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms));
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
