//! The most time a request may take. Not for imports and the change feed, which take as long as they last and bound
//! their own silences.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Code, Problem};
use crate::state::SharedApp;

/// Gives a request up once its time has passed. What it began in a store ends by itself: the store carries accepted
/// work through whether or not anyone still waits for it.
pub(crate) async fn within(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(app.options.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Timeout, Code::Timeout.about()).into_response(),
    }
}
