//! What is measured of sources.
//!
//! | metric | what |
//! |---|---|
//! | `haat_source_items_total{source,outcome}` | items by what became of them: `created`, `updated`, `unchanged`, `stale`, `failed`, `removed` |
//! | `haat_source_runs_total{source,mode,state}` | runs that came to an end, by how |
//! | `haat_source_run_duration_seconds{source,mode}` | how long they took |
//! | `haat_source_lag_seconds{source}` | how long ago the newest run that ended well began |
//! | `haat_source_last_success_timestamp_seconds{source}` | when it ended |

use haat_catalog::Timestamp;
use metrics::{counter, gauge, histogram};

use crate::ports::{ItemOutcome, SourceRow};
use crate::run::{Mode, Run, RunState};

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
    let (mode, state) = (mode_name(run.mode), state_name(run.state));
    counter!("haat_source_runs_total", "source" => source.to_owned(), "mode" => mode, "state" => state).increment(1);
    let Some(ended_at) = run.ended_at else { return };
    histogram!("haat_source_run_duration_seconds", "source" => source.to_owned(), "mode" => mode)
        .record(ended_at.since(run.started_at));
}

/// How a source stands.
pub(crate) fn standing(row: &SourceRow, now: Timestamp) {
    let Some(done) = &row.last_done else { return };
    gauge!("haat_source_lag_seconds", "source" => row.name.clone()).set(now.since(done.started_at));
    if let Some(at) = done.ended_at {
        let seconds = at.as_millis() as f64 / 1_000.0;
        gauge!("haat_source_last_success_timestamp_seconds", "source" => row.name.clone()).set(seconds);
    }
}

/// What a mode is called.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Full => "full",
        Mode::Incremental => "incremental",
    }
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Reading => "reading",
        RunState::Removing => "removing",
        RunState::AwaitingConfirmation => "awaiting_confirmation",
        RunState::Done => "done",
        RunState::Failed => "failed",
    }
}
