//! Request bodies: bounded in size and in time.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{Method, header};
use http_body_util::BodyExt;
use serde_json::Value;

use super::{content_type, json};
use crate::problem::{Code, Problem};
use crate::state::SharedApp;

const JSON: &[&str] = &["application/json"];
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];
/// More members than any product has; beyond that a body is refused before each is compared with the known names.
const MAX_MEMBERS: usize = 100;

/// A JSON body.
pub(crate) struct JsonBody {
    /// What it says.
    pub value: Value,
    /// The bytes as they came.
    pub bytes: Bytes,
}

impl FromRequest<SharedApp> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, Problem> {
        let accepted = if request.method() == Method::PATCH { PATCH } else { JSON };
        content_type::require(request.headers(), accepted)?;
        content_type::require_identity(request.headers(), accepted)?;
        // Less than the request as a whole has, so that it is told what was too slow.
        let time = app.options.request_timeout / 4 * 3;
        let bytes = read(request, app.options.max_body_bytes, time).await?;
        let value = json::parse(&bytes)?;
        match value.as_object().map(serde_json::Map::len) {
            Some(n) if n > MAX_MEMBERS => {
                let v =
                    haat_catalog::Violation::new("", format!("the object has {n} members; a product has far fewer"));
                Err(Problem::invalid_document(vec![v]))
            }
            _ => Ok(Self { value, bytes }),
        }
    }
}

/// A JSON body, or none: an empty one may come without its type.
pub(crate) struct OptionalJson(pub Option<Value>);

impl FromRequest<SharedApp> for OptionalJson {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, Problem> {
        let is_typed = request.headers().contains_key(header::CONTENT_TYPE);
        if is_typed {
            content_type::require(request.headers(), JSON)?;
        }
        content_type::require_identity(request.headers(), JSON)?;
        let bytes = read(request, app.options.max_body_bytes, app.options.request_timeout / 4 * 3).await?;
        match (bytes.is_empty(), is_typed) {
            (true, _) => Ok(Self(None)),
            (false, true) => json::parse(&bytes).map(|value| Self(Some(value))),
            (false, false) => Err(content_type::refused(JSON, "Content-Type is missing")),
        }
    }
}

/// All of a body of at most `limit` bytes.
pub(crate) async fn read(request: Request, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > limit as u64) {
        return Err(too_large(limit as u64));
    }
    match tokio::time::timeout(time, collect(request, limit)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(Code::RequestTimeout, Code::RequestTimeout.about())),
    }
}

async fn collect(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    // Nearly every body is a single piece, which is then not copied.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Problem::because(Code::IncompleteBody, e.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large(limit as u64));
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The refusal of a body beyond `limit` bytes.
pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("The body is larger than {limit} bytes.")).with("limit_bytes", limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures::stream;

    async fn read_pieces(pieces: &[&'static str], limit: usize) -> Result<Bytes, Problem> {
        let pieces: Vec<Result<_, std::io::Error>> =
            pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        read(Request::new(Body::from_stream(stream::iter(pieces))), limit, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit() {
        assert_eq!(read_pieces(&["ab", "", "cd", "e"], 5).await.unwrap(), "abcde");
        assert_eq!(read_pieces(&["abcde"], 5).await.unwrap(), "abcde");
        assert_eq!(read_pieces(&["abc", "def"], 5).await.unwrap_err().code(), Code::PayloadTooLarge);
    }

    #[tokio::test]
    async fn a_declared_length_beyond_the_limit_is_refused_before_reading() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let mut request = Request::new(body);
        request.headers_mut().insert(header::CONTENT_LENGTH, "6".parse().unwrap());
        let refused = read(request, 5, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PayloadTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(Request::new(body), 5, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(refused.code(), Code::RequestTimeout);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let pieces = [Ok(Bytes::from_static(b"{\"a\"")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(stream::iter(pieces));
        let refused = read(Request::new(body), 50, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(refused.code(), Code::IncompleteBody);
    }
}
