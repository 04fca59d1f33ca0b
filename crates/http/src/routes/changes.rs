//! `GET /v1/changes`: the change feed, by long poll or as server-sent events.
//!
//! Followers that wait look at the index's position, which is in memory and follows the log anyway, and read the log
//! only when that moved (or every two seconds, should the index be stuck): a thousand waiting followers cost the
//! database next to nothing.

mod events;

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use haat_catalog::ports::ChangeLogError;
use haat_catalog::{Change, ChangePage, Resume, Seq};
use http::{HeaderMap, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use crate::access;
use crate::answer;
use crate::answer::document::append_json;
use crate::extract::access::{ChangesRead, Granted, Right};
use crate::extract::parameters::Parameters;
use crate::openapi::parameters::ChangesParameters;
use crate::openapi::schema;
use crate::problem::{Code, Problem};
use crate::state::{App, Draining, SharedApp};

const DEFAULT_LIMIT: u64 = 100;
pub(crate) const MAX_LIMIT: u64 = 500;
/// The longest that a long poll waits, in seconds.
pub(crate) const MAX_WAIT: u64 = 30;
/// How often the index's position is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the log is left unread while the index does not move.
const READ_ANYWAY: Duration = Duration::from_secs(2);

/// Follow what changes
///
/// Changes after a place in the log, in order, without a gap and without a repeat. Go on with `next` as `after`.
/// With `wait` the answer is held back until there is a change. With `Accept: text/event-stream` the answer is a
/// stream of events `change` whose ids are places in the log; after a break the browser resumes by `Last-Event-ID`.
///
/// `product` is the product as it is now, which may be later than the change; of changes far back only the newest of
/// each product is kept. `410 changes_compacted` says that the place is too far back to follow from: start afresh with `after=0`, and send the
/// `floor` of that first answer along until `next` has come past it.
#[utoipa::path(
    get, path = "/v1/changes", operation_id = "listChanges", tag = "changes",
    params(ChangesParameters),
    responses((status = 200, description = "Changes; none when there was none in time.", content(
        (schema::Changes = "application/json"),
        (String = "text/event-stream"),
    ))),
    security(("oauth" = ["changes:read"]))
)]
pub(crate) async fn changes(
    State(app): State<SharedApp>,
    _access: Granted<ChangesRead>,
    parameters: Parameters,
    headers: HeaderMap,
    draining: Option<Extension<Draining>>,
) -> Result<Response, Problem> {
    let draining = draining.map(|Extension(draining)| draining).unwrap_or_default();
    let ask = Ask::read(&parameters, &headers)?;
    let waits = ask.events || !ask.wait.is_zero();
    let place = if waits { Some(app.follower()?) } else { None };
    let mut follower = Follower { app, headers, at: ask.from, limit: ask.limit, draining, head: Seq(0), _place: place };
    if ask.events {
        return events::stream(follower).await;
    }
    let page = follower.changes_until(Instant::now() + ask.wait).await?;
    if waits {
        follower.may_still().await?;
    }
    Ok(answer::json(StatusCode::OK, render(&page, follower.at.after)))
}

impl App {
    /// One of the places for followers that wait.
    fn follower(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = self.followers.clone().try_acquire_owned();
        place.map_err(|_| Problem::new(Code::Overloaded, "Too many followers of the change feed; try again shortly."))
    }
}

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Ask {
    from: Resume,
    limit: u32,
    wait: Duration,
    events: bool,
}

impl Ask {
    fn read(parameters: &Parameters, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut reader = parameters.read(&["after", "floor", "limit", "wait"]);
        let after = reader.integer("after", 0, i64::MAX.unsigned_abs()).unwrap_or(0);
        let floor = reader.integer("floor", 0, i64::MAX.unsigned_abs()).unwrap_or(0);
        let limit = reader.integer("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let wait = reader.integer("wait", 0, MAX_WAIT).unwrap_or(0);
        let events = wants_events(headers);
        // What a reconnecting browser has seen is later than what its address said at first.
        let last = headers.get("last-event-id").filter(|_| events).map(|v| place(v.to_str().ok()?));
        if last == Some(None) {
            reader.refuse("after", "Last-Event-ID must be the id of an event of this stream");
        }
        reader.finish()?;
        Ok(Self {
            from: last.flatten().unwrap_or(Resume { after: Seq(after), floor: Seq(floor) }),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            wait: Duration::from_secs(wait),
            events,
        })
    }
}

/// The id of an event: a place, and the floor where it is still needed to go on from there.
fn event_id(seq: Seq, floor: Seq) -> String {
    if seq < floor { format!("{seq}-{floor}") } else { seq.to_string() }
}

/// The place that an event's id tells of.
fn place(id: &str) -> Option<Resume> {
    let (seq, floor) = id.split_once('-').unwrap_or((id, "0"));
    Some(Resume { after: Seq(seq.parse().ok()?), floor: Seq(floor.parse().ok()?) })
}

/// Whether the client named the type of event streams, and not as unwanted.
fn wants_events(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("text/event-stream"));
        let unwanted = parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse().is_ok_and(|q: f32| q == 0.0)));
        named && !unwanted
    })
}

/// Somebody who follows the log.
struct Follower {
    app: SharedApp,
    /// Those of the request, with its token.
    headers: HeaderMap,
    at: Resume,
    limit: u32,
    draining: Draining,
    /// The newest place in the log when it was last read.
    head: Seq,
    _place: Option<OwnedSemaphorePermit>,
}

impl Follower {
    /// Whether the token is still good: whoever lost it must not be told what came after.
    async fn may_still(&self) -> Result<(), Problem> {
        access::still(&self.app, &self.headers, ChangesRead::SCOPE).await
    }

    /// The next changes; none if there are none by `deadline` or the server shuts down. Moves [`Self::at`] on.
    async fn changes_until(&mut self, deadline: Instant) -> Result<ChangePage, ChangeLogError> {
        loop {
            let page = self.app.services.changes.read(self.at, self.limit).await?;
            // Whoever begins never saw what the log had forgotten by then.
            if self.at.after == Seq(0) {
                self.at.floor = page.floor;
            }
            self.head = page.head;
            if let Some(last) = page.changes.last() {
                self.at.after = last.seq;
                return Ok(page);
            }
            if Instant::now() >= deadline || self.draining.0.is_cancelled() {
                return Ok(page);
            }
            self.wait_for_news(deadline.min(Instant::now() + READ_ANYWAY)).await;
        }
    }

    async fn wait_for_news(&self, until: Instant) {
        let news = async {
            loop {
                sleep(LOOK).await;
                if self.app.services.index.status().head > self.head.max(self.at.after) {
                    return;
                }
            }
        };
        let draining = self.draining.0.cancelled();
        // However it ends, the log is read again.
        let _ = timeout_at(until, async {
            tokio::select! { () = news => (), () = draining => () }
        })
        .await;
    }
}

fn render(page: &ChangePage, next: Seq) -> Vec<u8> {
    let mut out = b"{\"data\":[".to_vec();
    for (i, change) in page.changes.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        append_change(&mut out, change);
    }
    out.extend_from_slice(b"],\"next\":");
    append_json(&mut out, &next);
    out.extend_from_slice(b",\"head\":");
    append_json(&mut out, &page.head);
    out.extend_from_slice(b",\"floor\":");
    append_json(&mut out, &page.floor);
    out.push(b'}');
    out
}

fn append_change(out: &mut Vec<u8>, change: &Change) {
    let Change { seq, op, id, sku, version, at, document } = change;
    out.extend_from_slice(format!("{{\"seq\":{seq},\"op\":\"{}\",\"id\":\"{id}\",\"sku\":", op.name()).as_bytes());
    append_json(out, sku);
    out.extend_from_slice(format!(",\"version\":{version},\"at\":\"{at}\",\"product\":").as_bytes());
    out.extend_from_slice(document.as_deref().unwrap_or(b"null"));
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use haat_catalog::{ChangeOp, Sku, Timestamp};
    use serde_json::{Value, json};

    fn ask(query: &str, headers: &[(&str, &str)]) -> Result<Ask, Problem> {
        let headers = headers.iter().map(|(n, v)| (n.parse::<http::HeaderName>().unwrap(), v.parse().unwrap()));
        Ask::read(&Parameters::decode(query).unwrap(), &headers.collect())
    }

    #[test]
    fn a_question_has_defaults_and_bounds() {
        let default = Ask { from: Resume::default(), limit: 100, wait: Duration::ZERO, events: false };
        assert_eq!(ask("", &[]).unwrap(), default);
        assert!(ask("wait=31", &[]).is_err() && ask("limit=0", &[]).is_err() && ask("after=-1", &[]).is_err());
    }

    #[test]
    fn events_are_for_who_asks_for_them_and_resume_where_they_broke_off() {
        let events = ("accept", "text/event-stream");
        assert_eq!(ask("after=5", &[events, ("last-event-id", "9")]).unwrap().from, Seq(9).into());
        let below = Resume { after: Seq(9), floor: Seq(12) };
        assert_eq!(event_id(below.after, below.floor), "9-12");
        assert_eq!(ask("", &[events, ("last-event-id", "9-12")]).unwrap().from, below);
        assert_eq!(event_id(Seq(12), Seq(12)), "12");
        assert!(ask("", &[events, ("last-event-id", "x")]).is_err());
        assert!(!ask("", &[("accept", "*/*")]).unwrap().events);
        assert!(!ask("", &[("accept", "text/event-stream;q=0, application/json")]).unwrap().events);
    }

    #[test]
    fn a_change_shows_what_happened_and_what_is_now() {
        let change = Change {
            seq: Seq(4),
            op: ChangeOp::Deleted,
            id: "019aa000-0000-7000-8000-000000000001".parse().unwrap(),
            sku: Sku::new("a\"b").unwrap(),
            version: 2,
            at: Timestamp::from_millis(0),
            document: None,
        };
        let updated =
            Change { op: ChangeOp::Updated, document: Some(Bytes::from_static(b"{\"id\":1}")), ..change.clone() };
        let page = ChangePage { changes: vec![change, updated], head: Seq(9), floor: Seq(2) };
        let body: Value = serde_json::from_slice(&render(&page, Seq(4))).unwrap();
        assert_eq!(body["data"][0]["sku"], "a\"b");
        assert_eq!(body["data"][0]["product"], Value::Null);
        assert_eq!(
            body["data"][1],
            json!({"seq": 4, "op": "updated", "id": "019aa000-0000-7000-8000-000000000001",
            "sku": "a\"b", "version": 2, "at": "1970-01-01T00:00:00Z", "product": {"id": 1}})
        );
        assert_eq!((&body["next"], &body["head"], &body["floor"]), (&json!(4), &json!(9), &json!(2)));
    }
}
