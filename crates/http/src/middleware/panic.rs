//! A panic in a handler costs its own request and nothing else.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use crate::problem::{Code, Problem};

/// Runs a request; a panic becomes a 500 whose cause only the log learns.
pub(crate) async fn caught(run: impl Future<Output = Response>) -> Response {
    // What a handler shares with others is behind locks that poison or atomics, so a broken invariant cannot be seen
    // by the next request.
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => Problem::because(Code::InternalError, format!("panic: {}", text(&*panic))).into_response(),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_the_client_nothing() {
        let response = caught(async { panic!("secret {}", 1) }).await;
        assert_eq!(response.status(), 500);
        let problem = response.extensions().get::<Problem>().unwrap();
        assert_eq!(problem.cause(), Some("panic: secret 1"));
        assert!(!String::from_utf8_lossy(&problem.render("", "")).contains("secret"));
    }
}
