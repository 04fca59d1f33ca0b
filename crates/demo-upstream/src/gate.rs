//! What every request passes on its way in and out: it is counted, it meets the fault that is on, and it takes its time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};

use crate::fault::{Kind, Percent, Target};
use crate::refusal::Refusal;
use crate::stats::TOKEN_ROUTE;
use crate::upstream::Upstream;

/// In an answer's extensions: there is none; the connection is to be closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HungUp;

/// In a request's extensions: that share of the products cannot be understood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Poisoned(pub Percent);

/// What is sent where JSON was promised.
const GARBAGE: &[u8] = b"<html><body><h1>It works!</h1>";

/// The middleware.
pub(crate) async fn pass(State(upstream): State<Arc<Upstream>>, request: Request, next: Next) -> Response {
    let route = route(&request);
    let visit = upstream.counter.arrive(&route);
    let place = if route == TOKEN_ROUTE { Target::Token } else { Target::Products };
    let fault = upstream.plan().fault();
    let kind = if fault.target.covers(place) { fault.kind } else { Kind::Ok };
    let response = meet(&upstream, kind, request, next).await;
    if response.extensions().get::<HungUp>().is_none() {
        visit.answered(response.status().as_u16());
    }
    response
}

/// The request's method and path as they are counted: of a limited number.
fn route(request: &Request) -> String {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(request.method());
    match request.extensions().get::<MatchedPath>() {
        Some(path) if known => format!("{} {}", request.method(), path.as_str()),
        _ => "other".to_owned(),
    }
}

fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HungUp);
    response
}

async fn meet(upstream: &Upstream, kind: Kind, mut request: Request, next: Next) -> Response {
    let mut takes = upstream.latency();
    match kind {
        Kind::Refuse => return hang_up(),
        Kind::Hang => {
            upstream.stop.cancelled().await;
            return hang_up();
        }
        Kind::Slow(delay) => takes = takes.saturating_add(delay),
        Kind::Poison(share) => {
            request.extensions_mut().insert(Poisoned(share));
        }
        Kind::Ok | Kind::Down | Kind::Flaky(_) | Kind::Limit | Kind::Cut | Kind::Garbage => {}
    }
    if !wait(upstream, takes).await {
        return hang_up();
    }
    match kind {
        Kind::Down => {
            let message = "down on purpose; GET /control says for how long";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).into_response()
        }
        Kind::Flaky(share) if upstream.hits(share.get()) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "failed on purpose").into_response()
        }
        Kind::Limit => Refusal::too_many(1).into_response(),
        Kind::Cut => cut(next.run(request).await).await,
        Kind::Garbage => {
            let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (json, Bytes::from_static(GARBAGE)).into_response()
        }
        _ => next.run(request).await,
    }
}

/// Waits; whether the server still runs.
async fn wait(upstream: &Upstream, takes: Duration) -> bool {
    if takes.is_zero() {
        return true;
    }
    tokio::select! {
        () = upstream.stop.cancelled() => false,
        () = tokio::time::sleep(takes) => true,
    }
}

/// The answer, whose body ends half way although all of it was announced.
async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // Ours, and in memory already: there is nothing to limit.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return hang_up();
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    let rest = stream::once(async {
        // Lets the half be written before the connection breaks.
        tokio::task::yield_now().await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Response::from_parts(parts, Body::from_stream(stream::iter([Ok(half)]).chain(rest)))
}
