//! The feed as server-sent events (WHATWG HTML §9.2).

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use haat_catalog::{ChangePage, Seq};
use http::{HeaderName, HeaderValue, header};
use tokio::time::Instant;

use super::{Follower, append_change, event_id};
use crate::answer::NO_STORE;
use crate::problem::Problem;

/// How long the stream is silent at most: proxies close connections that seem dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The stream. What goes wrong before it begins is a problem like any other.
pub(super) async fn stream(mut follower: Follower) -> Result<Response, Problem> {
    let first = follower.changes_until(Instant::now()).await?;
    let beginning =
        Step::Send(Bytes::from(format!("retry: 2000\n\n{}", events(&first, follower.at.floor)).into_bytes()));
    let pieces = stream::unfold((Some(follower), beginning), |(follower, step)| async move {
        let mut follower = follower?;
        let piece = match step {
            Step::Send(piece) => piece,
            Step::Wait => match wait(&mut follower).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return None,
                Err(problem) => {
                    return Some((Ok::<_, std::convert::Infallible>(farewell(&problem)), (None, Step::Wait)));
                }
            },
        };
        Some((Ok(piece), (Some(follower), Step::Wait)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // Proxies of the nginx family otherwise hold events back until a buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

enum Step {
    Send(Bytes),
    Wait,
}

/// The next events, or a heartbeat; `None` once the server shuts down, upon which clients connect anew elsewhere.
async fn wait(follower: &mut Follower) -> Result<Option<Bytes>, Problem> {
    if follower.draining.0.is_cancelled() {
        return Ok(None);
    }
    let page = follower.changes_until(Instant::now() + HEARTBEAT).await?;
    follower.may_still().await?;
    Ok(Some(if page.changes.is_empty() {
        Bytes::from_static(b": heartbeat\n\n")
    } else {
        events(&page, follower.at.floor).into()
    }))
}

fn events(page: &ChangePage, floor: Seq) -> String {
    let mut out = String::new();
    for change in &page.changes {
        let mut data = Vec::new();
        append_change(&mut data, change);
        // Stored documents are JSON on one line, so the data never breaks out of its field.
        out.push_str(&format!(
            "id: {}\nevent: change\ndata: {}\n\n",
            event_id(change.seq, floor),
            String::from_utf8_lossy(&data)
        ));
    }
    out
}

/// The last event of a stream that cannot go on: a client that was overtaken by compaction has to start afresh, one whose
/// token is good no longer needs another, any other may resume.
fn farewell(problem: &Problem) -> Bytes {
    let code = problem.code();
    tracing::warn!(code = code.name(), "an event stream ended early");
    Bytes::from(format!("event: problem\ndata: {{\"code\":\"{}\"}}\n\n", code.name()))
}
