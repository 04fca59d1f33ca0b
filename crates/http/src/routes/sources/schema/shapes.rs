//! The shapes of bodies about sources, for the document; tests hold them against what is answered.
#![allow(dead_code, reason = "these types are only ever described, never built")]

use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::schema::LiveMember;

/// What of a source to synchronise.
#[derive(ToSchema)]
pub(crate) struct SyncInput {
    /// `full` reads everything, so that what vanished upstream goes here too; `incremental`, as by default, what changed since the
    /// last run, where the upstream can tell.
    #[schema(example = "full")]
    mode: Option<SourceRunMode>,
    /// That what the run which waits for a confirmation has found vanished may go: of whichever waits, or of the one of that id.
    #[schema(example = true)]
    confirm_removals: Option<RemovalsConfirmed>,
}

/// Whose removals are confirmed.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum RemovalsConfirmed {
    /// Those of the run that waits, whichever it is.
    Waiting(bool),
    /// Those of the run of this id.
    #[schema(format = "uuid")]
    Run(String),
}

/// An order to the breakers of a source.
#[derive(ToSchema)]
pub(crate) struct BreakerInput {
    /// What they shall do.
    #[schema(example = "force_open")]
    order: SourceBreakerOrder,
}

/// A source as it stands.
#[derive(ToSchema)]
pub(crate) struct Source {
    /// Its name.
    name: String,
    /// Its kind, such as `rest`; nothing where it is not declared.
    #[schema(required = true)]
    kind: Option<String>,
    /// How it is, in one word.
    state: SourceState,
    /// The newest run, finished or not.
    #[schema(required = true)]
    run: Option<SourceRun>,
    /// The newest run that ended well.
    #[schema(required = true)]
    last_done: Option<SourceRun>,
    /// The newest run of everything that ended well.
    #[schema(required = true)]
    last_full: Option<SourceRun>,
    /// Why the newest run has failed, or what is in its way.
    #[schema(required = true)]
    last_error: Option<String>,
    /// How long ago the newest run that ended well began.
    #[schema(required = true)]
    lag_seconds: Option<u64>,
    /// How many products belong to it.
    items: u64,
    /// Up to which change upstream, in its own time, everything is known.
    #[schema(required = true, format = DateTime)]
    watermark: Option<String>,
    /// How often what changed is read.
    #[schema(required = true)]
    schedule_seconds: Option<u64>,
    /// How often everything is read.
    #[schema(required = true)]
    full_every_seconds: Option<u64>,
    /// When the next run is due.
    #[schema(required = true, format = DateTime)]
    next_due: Option<String>,
    /// Its circuit breaker on every server that was heard of lately.
    breakers: Vec<SourceBreaker>,
    /// What an operator wants of the breakers.
    breaker_order: SourceBreakerOrder,
    /// The members that `?live=true` asks it for.
    live: Vec<LiveMember>,
}

/// All sources.
#[derive(ToSchema)]
pub(crate) struct Sources {
    /// In the order of the configuration; behind them those that it does not declare.
    data: Vec<Source>,
}

/// How a source is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceState {
    /// Nothing is going on.
    Idle,
    /// A run is under way, or waits for somebody to go on with it.
    Running,
    /// A run waits for a confirmation that so many products may go.
    AwaitingConfirmation,
    /// The newest run has failed.
    Failing,
    /// It has products here, but the configuration does not declare it.
    Undeclared,
}

/// A synchronisation.
#[derive(ToSchema)]
pub(crate) struct SourceRun {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// What it reads.
    mode: SourceRunMode,
    /// Where it stands.
    state: SourceRunState,
    /// The server or the command that has it in hand, or had it last.
    owner: String,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it last moved.
    #[schema(format = DateTime)]
    moved_at: String,
    /// When it ended.
    #[schema(required = true, format = DateTime)]
    ended_at: Option<String>,
    /// From which change upstream on it reads, where it does not read everything.
    #[schema(required = true, format = DateTime)]
    since: Option<String>,
    /// How many items there are in all, where the upstream says so.
    #[schema(required = true)]
    total: Option<u64>,
    /// What was done.
    counts: SourceCounts,
    /// The first refused items.
    errors: Vec<SourceError>,
    /// Why it failed or waits.
    #[schema(required = true)]
    message: Option<String>,
    /// While it waits for a confirmation, the first products that would go.
    vanished: Vec<SourceVanished>,
}

/// A product that would go.
#[derive(ToSchema)]
pub(crate) struct SourceVanished {
    /// What the source called its item; nothing where the item has another sku now.
    #[schema(required = true)]
    key: Option<String>,
    /// The product's sku.
    sku: String,
}

/// What a synchronisation reads.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceRunMode {
    /// Everything; what is not there any more goes.
    Full,
    /// What changed since the last run.
    Incremental,
}

/// Where a synchronisation stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceRunState {
    /// Reading pages.
    Reading,
    /// All was read; what vanished is being removed.
    Removing,
    /// All was read; more vanished than may go without a confirmation.
    AwaitingConfirmation,
    /// Ended well.
    Done,
    /// Ended early.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

/// How many items a run has dealt with.
#[derive(ToSchema)]
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
pub(crate) struct SourceBreaker {
    /// Which server.
    replica: String,
    /// How it stands.
    state: SourceBreakerState,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
    /// Share of failed calls in its window.
    #[schema(minimum = 0, maximum = 1)]
    failure_rate: f64,
    /// Share of slow calls in its window.
    #[schema(minimum = 0, maximum = 1)]
    slow_rate: f64,
    /// Calls in its window.
    calls: u64,
    /// When the server said so.
    #[schema(format = DateTime)]
    seen_at: String,
}

/// How a circuit breaker stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceBreakerState {
    /// Calls pass.
    Closed,
    /// Nothing passes.
    Open,
    /// A few calls pass, to see how the upstream is.
    HalfOpen,
    /// Nothing passes, by order.
    ForcedOpen,
    /// Calls pass whatever becomes of them, by order.
    ForcedClosed,
}

/// What an operator wants of the breakers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceBreakerOrder {
    /// That each decides for itself.
    Auto,
    /// That nothing passes.
    ForceOpen,
    /// That everything passes.
    ForceClosed,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use haat_catalog::Timestamp;
    use haat_sources::live::LiveField;
    use haat_sources::ports::{BreakerOrder, BreakerReport};
    use haat_sources::run::{Mode, Run, RunState, RunView};
    use haat_sources::service;
    use serde_json::{Value, json};

    use super::*;

    /// A run with everything that one can have.
    fn run() -> RunView {
        let run = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "mode": "full", "state": "reading", "owner": "a",
            "started_at": "2026-01-02T03:04:05Z", "moved_at": "2026-01-02T03:04:05Z", "ended_at": "2026-01-02T03:04:05Z",
            "since": "2026-01-02T03:04:05Z", "newest": null, "position": {"at": {"url": "https://shop.example/?key=s3cret"}},
            "total": 7, "counts": {"read": 0, "created": 0, "updated": 0, "unchanged": 0, "stale": 0, "failed": 0,
            "vanished": 0, "removed": 0, "pages": 0}, "keyless": false, "errors": [{"key": "k", "pointer": "/p",
            "detail": "d"}], "message": "m", "vanished": [{"key": "k", "sku": "S"}], "removals_confirmed": false});
        RunView::from(serde_json::from_value::<Run>(run).unwrap())
    }

    /// A source with everything that one can have.
    fn source() -> Value {
        let now = Timestamp::from_millis(1_767_323_045_678);
        let breaker = BreakerReport {
            replica: "a".into(),
            state: "half_open".into(),
            since: now,
            failure_rate: 0.5,
            slow_rate: 0.5,
            calls: 20,
            seen_at: now,
        };
        let status = service::SourceStatus {
            name: "shop".into(),
            kind: Some("rest".into()),
            state: service::SourceState::Running,
            run: Some(run()),
            last_done: Some(run()),
            last_full: Some(run()),
            last_error: Some("it answers 503".into()),
            lag_seconds: Some(5),
            items: 7,
            watermark: Some(now),
            schedule_seconds: Some(300),
            full_every_seconds: Some(86_400),
            next_due: Some(now),
            breakers: vec![breaker],
            breaker_order: BreakerOrder::Auto,
            live: LiveField::ALL.to_vec(),
        };
        serde_json::to_value(status).unwrap()
    }

    /// That a schema describes what is answered: the same members, all of them always there, a choice where the answer is one
    /// of a few, and a time where it is a time. Goes on with what is inside.
    fn describes(document: &Value, schema: &Value, answered: &Value, at: &str) {
        let schema = match schema["oneOf"].as_array() {
            Some(either) => &either[0],
            None => schema,
        };
        let schema = match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => document.pointer(pointer).unwrap(),
            None => schema,
        };
        match answered {
            Value::Object(members) => {
                let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
                let required =
                    schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
                assert_eq!(names(&schema["properties"]), names(answered), "{at}");
                assert_eq!(required.collect::<BTreeSet<_>>(), names(answered), "{at}: all of them are always there");
                for (name, member) in members {
                    describes(document, &schema["properties"][name], member, &format!("{at}/{name}"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| describes(document, &schema["items"], item, at)),
            Value::String(text) if text.parse::<Timestamp>().is_ok() => {
                assert_eq!(schema["format"], "date-time", "{at}")
            }
            Value::String(_) if schema["enum"].is_array() => {
                assert!(schema["enum"].as_array().unwrap().contains(answered), "{at}: {answered}");
            }
            Value::String(_) => assert!(!["state", "mode", "order"].iter().any(|name| at.ends_with(name)), "{at}"),
            _ => assert!(
                schema["type"].to_string().contains(if answered.is_f64() { "number" } else { "integer" }),
                "{at}"
            ),
        }
    }

    #[test]
    fn a_source_is_answered_as_the_document_describes_it_and_without_the_place_of_its_run() {
        let (document, source) = (serde_json::from_str(&crate::openapi::to_json()).unwrap(), source());
        assert!(!source.to_string().contains("s3cret"));
        describes(&document, &document["components"]["schemas"]["Source"], &source, "");
        assert_eq!(
            document["components"]["schemas"]["Source"]["properties"]["live"]["items"]["$ref"],
            "#/components/schemas/LiveMember"
        );
    }

    /// A new state does not compile here before the document has it.
    #[test]
    fn the_document_names_states_modes_and_orders_as_they_are_answered() {
        fn same(documented: impl Serialize, answered: impl Serialize) {
            assert_eq!(serde_json::to_value(documented).unwrap(), serde_json::to_value(answered).unwrap());
        }
        use service::SourceState as State;
        for state in [State::Idle, State::Running, State::AwaitingConfirmation, State::Failing, State::Undeclared] {
            let documented = match state {
                State::Idle => SourceState::Idle,
                State::Running => SourceState::Running,
                State::AwaitingConfirmation => SourceState::AwaitingConfirmation,
                State::Failing => SourceState::Failing,
                State::Undeclared => SourceState::Undeclared,
            };
            same(documented, state);
        }
        use RunState::{AwaitingConfirmation, Cancelled, Done, Failed, Reading, Removing};
        for state in [Reading, Removing, AwaitingConfirmation, Done, Failed, Cancelled] {
            let documented = match state {
                Reading => SourceRunState::Reading,
                Removing => SourceRunState::Removing,
                AwaitingConfirmation => SourceRunState::AwaitingConfirmation,
                Done => SourceRunState::Done,
                Failed => SourceRunState::Failed,
                Cancelled => SourceRunState::Cancelled,
            };
            same(documented, state);
        }
        for mode in [Mode::Full, Mode::Incremental] {
            let documented = match mode {
                Mode::Full => SourceRunMode::Full,
                Mode::Incremental => SourceRunMode::Incremental,
            };
            same(documented, mode);
        }
        for order in [BreakerOrder::Auto, BreakerOrder::ForceOpen, BreakerOrder::ForceClosed] {
            let documented = match order {
                BreakerOrder::Auto => SourceBreakerOrder::Auto,
                BreakerOrder::ForceOpen => SourceBreakerOrder::ForceOpen,
                BreakerOrder::ForceClosed => SourceBreakerOrder::ForceClosed,
            };
            same(documented, order);
        }
    }
}
