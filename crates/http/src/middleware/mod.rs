//! Around every request. [`outer`] is one layer, so that a request passes one boxed future and not seven; what it
//! does stands in a file each.

mod access_log;
mod limits;
mod panic;
pub(crate) mod rate;
mod request_id;
mod security;
pub(crate) mod timeout;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;
use tracing::Instrument;

use crate::problem::{PROBLEM_JSON, Problem};
use crate::state::SharedApp;
use access_log::AccessLog;
use request_id::RequestId;

/// Id, log, limits, rates, panics, problems and headers, in this order from the outside in.
pub(crate) async fn outer(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers(), &*app.services.ids);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let log = AccessLog::begin(&id, &method, route.as_ref().map_or("none", MatchedPath::as_str));
    let docs = request.uri().path().starts_with("/docs");
    let unread = may_stay_unread(&request);
    let mut decision = None;
    let answered = match limits::check(&request, &app.options) {
        Ok(()) => {
            if let Some((caller, group)) = rate::asked(&app, &request, route.as_ref()) {
                decision = Some(app.services.limiter.charge(&caller, group).await);
            }
            match decision.as_ref().and_then(rate::refusal) {
                Some(refusal) => refusal.into_response(),
                None => panic::caught(next.run(request)).instrument(log.span()).await,
            }
        }
        Err(problem) => problem.into_response(),
    };
    let mut response = finish(answered, &method, &app.options.errors_url, &id, &log);
    security::protect(response.headers_mut(), docs);
    if let Some(decision) = &decision {
        rate::tell(response.headers_mut(), decision);
    }
    if unread && (response.status().is_client_error() || response.status().is_server_error()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    id.name(response.headers_mut());
    log.end(&response);
    response
}

/// Bodies up to this size are read even where nobody wants them.
const DRAINED: u64 = 64 * 1024;

/// Whether a refusal may come before the body was read. The connection ends after it then, and the answer must say so:
/// a client that believes it can be used again loses its next request.
fn may_stay_unread(request: &Request) -> bool {
    let size = request.body().size_hint().exact();
    request.version() <= Version::HTTP_11 && size.is_none_or(|bytes| bytes > DRAINED)
}

/// Gives problems their body, and answers `OPTIONS` where a method was refused.
fn finish(mut response: Response, method: &Method, errors_url: &str, id: &RequestId, log: &AccessLog) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // The router adds `Allow` to what its fallback for methods answers (RFC 9110 §9.3.7).
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Some(cause) = problem.cause() {
        log.cause(problem.code(), cause);
    }
    *response.body_mut() = Body::from(problem.render(errors_url, id.as_str()));
    response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}
