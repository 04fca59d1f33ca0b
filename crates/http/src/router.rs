//! The map of the API: every path, and what stands in front of it.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::middleware::{outer, timeout};
use crate::problem::{Code, Problem};
use crate::routes::{
    changes, clients, docs, export, health, imports, item, limits, listing, metrics, oauth, sources, suggest, write,
};
use crate::state::SharedApp;

/// What is answered within `request_timeout`.
pub(crate) fn bounded() -> OpenApiRouter<SharedApp> {
    OpenApiRouter::default()
        .routes(routes!(listing::list, write::create))
        .routes(routes!(item::get, write::put, write::patch, write::delete))
        .routes(routes!(suggest::suggest))
        .routes(routes!(limits::get))
        .routes(routes!(imports::get, imports::cancel))
        .routes(routes!(oauth::token))
        .routes(routes!(oauth::introspect))
        .routes(routes!(oauth::revoke))
        .routes(routes!(oauth::jwks))
        .routes(routes!(oauth::metadata))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::show, clients::change, clients::revoke))
        .routes(routes!(clients::rotate))
        .routes(routes!(sources::list))
        .routes(routes!(sources::show))
        .routes(routes!(sources::sync, sources::cancel))
        .routes(routes!(sources::breaker))
        .routes(routes!(metrics::get))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(docs::openapi))
        .route("/docs", get(docs::page))
        .route("/docs/{name}", get(docs::asset))
}

/// What lasts as long as its body or its reader does, and bounds its own silences.
pub(crate) fn streaming() -> OpenApiRouter<SharedApp> {
    OpenApiRouter::default()
        .routes(routes!(imports::submit))
        .routes(routes!(export::export))
        .routes(routes!(changes::changes))
}

/// All routes and what is around them.
pub(crate) fn router(app: SharedApp) -> Router {
    let (bounded, _) = bounded().split_for_parts();
    let (streaming, _) = streaming().split_for_parts();
    bounded
        .layer(from_fn_with_state(app.clone(), timeout::within))
        .merge(streaming)
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_method)
        .layer(from_fn_with_state(app.clone(), outer))
        .with_state(app)
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, Code::NotFound.about())
}

async fn not_this_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, Code::MethodNotAllowed.about())
}
