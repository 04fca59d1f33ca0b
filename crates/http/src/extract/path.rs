//! The variable part of a path.

use axum::extract::{FromRequestParts, RawPathParams};
use haat_catalog::Violation;
use http::request::Parts;

use crate::problem::Problem;

/// The one variable segment of the path, with its escapes undone.
pub(crate) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let not_utf8 = || {
            let v = Violation::new("", "the path is not UTF-8 once its percent escapes are undone");
            Problem::invalid_parameters(vec![v])
        };
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| not_utf8())?;
        params.iter().next().map(|(_, value)| Self(value.to_owned())).ok_or_else(not_utf8)
    }
}
