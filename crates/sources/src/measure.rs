//! What is measured of sources. What each metric says is in `docs/sources.md`.

use std::time::Duration;

use haat_catalog::Timestamp;
use metrics::{counter, gauge, histogram};

use crate::ports::{ItemOutcome, SourceRow};
use crate::run::{Run, RunState};
use crate::service::SourceState;

pub(crate) fn items(source: &str, outcome: &'static str, count: u64) {
    if count > 0 {
        counter!("haat_source_items_total", "source" => source.to_owned(), "outcome" => outcome).increment(count);
    }
}

pub(crate) fn outcomes(source: &str, outcomes: &[ItemOutcome]) {
    let count = |is: fn(&ItemOutcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count() as u64;
    items(source, "created", count(|o| matches!(o, ItemOutcome::Created)));
    items(source, "updated", count(|o| matches!(o, ItemOutcome::Updated)));
    items(source, "unchanged", count(|o| matches!(o, ItemOutcome::Unchanged)));
    items(source, "stale", count(|o| matches!(o, ItemOutcome::Stale)));
    items(source, "failed", count(|o| matches!(o, ItemOutcome::Refused(_))));
}

/// A run that came to its end.
pub(crate) fn ended(source: &str, run: &Run) {
    let (mode, state) = (run.mode.name(), state_name(run.state));
    counter!("haat_source_runs_total", "source" => source.to_owned(), "mode" => mode, "state" => state).increment(1);
    let Some(ended_at) = run.ended_at else { return };
    histogram!("haat_source_run_duration_seconds", "source" => source.to_owned(), "mode" => mode)
        .record(ended_at.since(run.started_at));
}

/// How a source stands. One that no run of has ended well lags since this server was started, at least: so whoever watches the lag
/// hears of a source that never works as well.
pub(crate) fn standing(source: &str, row: &SourceRow, started: Timestamp, now: Timestamp) {
    let since = row.last_done.as_ref().map_or(started, |done| done.started_at);
    gauge!("haat_source_lag_seconds", "source" => source.to_owned()).set(now.since(since));
    if let Some(at) = row.last_done.as_ref().and_then(|done| done.ended_at) {
        let seconds = at.as_millis() as f64 / 1_000.0;
        gauge!("haat_source_last_success_timestamp_seconds", "source" => source.to_owned()).set(seconds);
    }
    gauge!("haat_source_products", "source" => source.to_owned()).set(row.items as f64);
    let current = SourceState::of(row);
    for (state, name) in SourceState::NAMES {
        let is = if state == current { 1.0 } else { 0.0 };
        gauge!("haat_source_state", "source" => source.to_owned(), "state" => name).set(is);
    }
}

/// A live value that was looked up; `source` is empty where no source has the product, or nobody knows which.
pub(crate) fn looked_up(source: &str, outcome: &'static str, took: Duration) {
    counter!("haat_live_lookups_total", "source" => source.to_owned(), "outcome" => outcome).increment(1);
    histogram!("haat_live_lookup_duration_seconds", "source" => source.to_owned()).record(took);
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Reading => "reading",
        RunState::Removing => "removing",
        RunState::AwaitingConfirmation => "awaiting_confirmation",
        RunState::Done => "done",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
    }
}
