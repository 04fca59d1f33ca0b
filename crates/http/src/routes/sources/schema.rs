//! The shapes of `/v1/sources`, as they are read and as the document describes them.

use haat_sources::ports::BreakerOrder;
use haat_sources::run::Mode;
use haat_sources::service::SyncRequest;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::invalid;
use crate::problem::Problem;

/// What of a source to synchronise.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct SyncInput {
    /// `full` reads everything, so that what vanished upstream goes here too; `incremental`, as by default, what changed since the
    /// last run, where the upstream can tell.
    #[schema(value_type = Option<String>, example = "full")]
    mode: Option<String>,
    /// Remove what has vanished even if that is more than the source's `max_vanished`.
    confirm_removals: Option<bool>,
}

/// An order to the breakers of a source.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct BreakerInput {
    /// `auto`, `force_open` or `force_closed`.
    #[schema(value_type = String, example = "force_open")]
    order: String,
}

/// A source as it stands.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct Source {
    /// Its name.
    name: String,
    /// Its kind, such as `rest`.
    kind: String,
    /// `idle`, `running`, `awaiting_confirmation` or `failing`.
    state: String,
    /// The newest run, finished or not.
    run: Option<SourceRun>,
    /// The newest run that ended well.
    last_done: Option<SourceRun>,
    /// The newest run of everything that ended well.
    last_full: Option<SourceRun>,
    /// Why the newest run has failed, or what is in its way.
    last_error: Option<String>,
    /// How long ago the newest run that ended well began.
    lag_seconds: Option<u64>,
    /// How many products belong to it.
    items: u64,
    /// Up to which change upstream, in its own time, everything is known.
    watermark: Option<String>,
    /// How often what changed is read.
    schedule_seconds: Option<u64>,
    /// How often everything is read.
    full_every_seconds: Option<u64>,
    /// When the next run is due.
    next_due: Option<String>,
    /// Its circuit breaker on every server that was heard of lately.
    breakers: Vec<SourceBreaker>,
    /// What an operator wants of the breakers: `auto`, `force_open` or `force_closed`.
    breaker_order: String,
    /// The members that `?live=true` asks it for.
    live: Vec<String>,
}

/// All sources.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct Sources {
    /// As the configuration names them.
    data: Vec<Source>,
}

/// A synchronisation.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct SourceRun {
    /// Its id.
    id: String,
    /// `full` or `incremental`.
    mode: String,
    /// `reading`, `removing`, `awaiting_confirmation`, `done` or `failed`.
    state: String,
    /// The server that has it in hand, or had it last; `command` for the command line.
    owner: String,
    /// When it began.
    started_at: String,
    /// When it last moved.
    moved_at: String,
    /// When it ended.
    ended_at: Option<String>,
    /// From which change upstream on it reads, where it does not read everything.
    since: Option<String>,
    /// How many items there are in all, where the upstream says so.
    total: Option<u64>,
    /// What was done.
    counts: SourceCounts,
    /// The first refused items.
    errors: Vec<SourceError>,
    /// Why it failed or waits.
    message: Option<String>,
}

/// How many items a run has dealt with.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct SourceCounts {
    /// Read upstream.
    read: u64,
    /// Products created.
    created: u64,
    /// Products changed.
    updated: u64,
    /// Products that already were so.
    unchanged: u64,
    /// Items older than what is known.
    stale: u64,
    /// Items refused.
    failed: u64,
    /// Products of the source that were not there any more.
    vanished: u64,
    /// Products removed.
    removed: u64,
    /// Pages read.
    pages: u64,
}

/// An item that was refused.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct SourceError {
    /// What the source calls it; empty where that cannot be read.
    key: String,
    /// Where in the item, or in the product that it becomes, as a JSON Pointer.
    pointer: String,
    /// What is wrong.
    detail: String,
}

/// A circuit breaker on one server.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub(crate) struct SourceBreaker {
    /// Which server.
    replica: String,
    /// `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.
    state: String,
    /// Since when.
    since: String,
    /// Share of failed calls in its window, 0 to 1.
    failure_rate: f64,
    /// Share of slow calls in its window, 0 to 1.
    slow_rate: f64,
    /// Calls in its window.
    calls: u64,
    /// When the server said so.
    seen_at: String,
}

/// Reads what to synchronise; no body is no wish.
pub(super) fn sync_request(body: Option<Value>) -> Result<SyncRequest, Problem> {
    let mut request = SyncRequest::default();
    for (name, value) in members(body, &["mode", "confirm_removals"])? {
        match (name.as_str(), &value) {
            (_, Value::Null) => {}
            ("mode", Value::String(mode)) if mode == "full" => request.mode = Some(Mode::Full),
            ("mode", Value::String(mode)) if mode == "incremental" => request.mode = Some(Mode::Incremental),
            ("mode", _) => return Err(invalid("/mode", "must be \"full\" or \"incremental\"")),
            (_, Value::Bool(confirmed)) => request.confirm_removals = *confirmed,
            _ => return Err(invalid("/confirm_removals", "must be true or false")),
        }
    }
    Ok(request)
}

/// Reads an order.
pub(super) fn breaker_order(body: Value) -> Result<BreakerOrder, Problem> {
    let order = members(Some(body), &["order"])?.remove("order");
    match order.as_ref().and_then(Value::as_str) {
        Some("auto") => Ok(BreakerOrder::Auto),
        Some("force_open") => Ok(BreakerOrder::ForceOpen),
        Some("force_closed") => Ok(BreakerOrder::ForceClosed),
        _ => Err(invalid("/order", "must be \"auto\", \"force_open\" or \"force_closed\"")),
    }
}

fn members(body: Option<Value>, known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let members = match body {
        None => Map::new(),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(invalid("", "must be a JSON object")),
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(members),
        Some(unknown) => {
            let at = format!("/{}", haat_catalog::invalid::pointer_token(unknown));
            Err(invalid(&at, format!("is not known here; there are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use haat_sources::run::{Run, RunView};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_shown_with_the_members_that_the_document_has_and_without_its_place() {
        let run = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "mode": "full", "state": "reading", "owner": "a",
            "started_at": "2026-01-02T03:04:05Z", "moved_at": "2026-01-02T03:04:05Z", "ended_at": null, "since": null,
            "newest": null, "position": {"at": {"url": "https://shop.example/?key=s3cret"}}, "total": 7,
            "counts": {"read": 0, "created": 0, "updated": 0, "unchanged": 0, "stale": 0, "failed": 0, "vanished": 0,
            "removed": 0, "pages": 0}, "keyless": false, "errors": [], "message": null, "removals_confirmed": false});
        let run: Run = serde_json::from_value(run).unwrap();
        let shown = serde_json::to_value(RunView::from(run)).unwrap();
        assert!(!shown.to_string().contains("s3cret"));
        let document: Value = serde_json::from_str(&crate::openapi::to_json()).unwrap();
        let names = |members: &Value| members.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let schema = |name: &str| names(&document["components"]["schemas"][name]["properties"]);
        assert_eq!(names(&shown), schema("SourceRun"));
        assert_eq!(names(&shown["counts"]), schema("SourceCounts"));
    }

    #[test]
    fn a_wish_is_read_and_a_mistake_named() {
        assert_eq!(sync_request(None).unwrap(), SyncRequest::default());
        let full = sync_request(Some(json!({"mode": "full", "confirm_removals": true}))).unwrap();
        assert_eq!(full, SyncRequest { mode: Some(Mode::Full), confirm_removals: true });
        for bad in [
            json!({"mode": "all"}),
            json!({"mode": 1}),
            json!({"confirm_removals": "yes"}),
            json!({"mod": 1}),
            json!([]),
        ] {
            assert!(sync_request(Some(bad.clone())).is_err(), "{bad}");
        }
        assert_eq!(breaker_order(json!({"order": "force_open"})).unwrap(), BreakerOrder::ForceOpen);
        for bad in [json!({}), json!({"order": "open"}), json!({"order": "auto", "x": 1}), json!([])] {
            assert!(breaker_order(bad.clone()).is_err(), "{bad}");
        }
    }
}
