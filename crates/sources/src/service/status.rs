//! A source as it is shown over HTTP and on the command line.

use haat_catalog::Timestamp;
use serde::Serialize;

use super::SourceParts;
use super::schedule::Schedule;
use crate::live::LiveField;
use crate::ports::{BreakerOrder, BreakerReport, SourceRow};
use crate::run::{RunState, RunView};

/// How a source is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
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

impl SourceState {
    /// Those that a declared source may be in, with what they are called.
    pub(crate) const NAMES: [(Self, &'static str); 4] = [
        (Self::Idle, "idle"),
        (Self::Running, "running"),
        (Self::AwaitingConfirmation, "awaiting_confirmation"),
        (Self::Failing, "failing"),
    ];

    /// How a declared source is.
    pub(crate) fn of(row: &SourceRow) -> Self {
        row.run.as_ref().map_or(Self::Idle, |run| match run.state {
            RunState::Reading | RunState::Removing => Self::Running,
            RunState::AwaitingConfirmation => Self::AwaitingConfirmation,
            RunState::Done | RunState::Cancelled => Self::Idle,
            RunState::Failed => Self::Failing,
        })
    }
}

/// A source as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What kind of source it is; `None` of one that is not declared.
    pub kind: Option<String>,
    /// How it is.
    pub state: SourceState,
    /// The newest run, finished or not.
    pub run: Option<RunView>,
    /// The newest run that ended well.
    pub last_done: Option<RunView>,
    /// The newest full run that ended well.
    pub last_full: Option<RunView>,
    /// Why the newest run has failed, or what is in its way at the moment.
    pub last_error: Option<String>,
    /// How long ago the newest run that ended well began: what changed upstream since then may not be known.
    pub lag_seconds: Option<u64>,
    /// How many products belong to it.
    pub items: u64,
    /// Up to which change upstream, in its own time, everything is known.
    pub watermark: Option<Timestamp>,
    /// How often what changed is read.
    pub schedule_seconds: Option<u64>,
    /// How often everything is read.
    pub full_every_seconds: Option<u64>,
    /// When the next run is due; replicas spread themselves over some seconds after that.
    pub next_due: Option<Timestamp>,
    /// How its circuit breaker stands on each replica that was heard of lately.
    pub breakers: Vec<BreakerReport>,
    /// What an operator wants of the breakers.
    pub breaker_order: BreakerOrder,
    /// Its live members.
    pub live: Vec<LiveField>,
}

/// Puts together what is shown of a source.
pub(super) fn status(
    parts: &SourceParts,
    row: Option<SourceRow>,
    breakers: Vec<BreakerReport>,
    now: Timestamp,
) -> SourceStatus {
    let row = row.unwrap_or_default();
    let next_due = Schedule { every: parts.schedule, full_every: parts.full_every }.next(&row, now).map(|due| due.at);
    SourceStatus {
        name: parts.name.clone(),
        kind: Some(parts.kind.clone()),
        state: SourceState::of(&row),
        schedule_seconds: parts.schedule.map(|every| every.as_secs()),
        full_every_seconds: parts.full_every.map(|every| every.as_secs()),
        next_due,
        live: parts.live.iter().copied().collect(),
        ..undeclared(row, breakers, now)
    }
}

/// What is shown of a source that is in the store alone.
pub(super) fn undeclared(row: SourceRow, breakers: Vec<BreakerReport>, now: Timestamp) -> SourceStatus {
    let run = row.run.as_ref();
    SourceStatus {
        name: row.name,
        kind: None,
        state: SourceState::Undeclared,
        last_error: run
            .filter(|run| run.state == RunState::Failed || run.state.is_unfinished())
            .and_then(|run| run.message.clone()),
        lag_seconds: row.last_done.as_ref().map(|done| now.since(done.started_at).as_secs()),
        items: row.items,
        watermark: row.watermark,
        schedule_seconds: None,
        full_every_seconds: None,
        next_due: None,
        breakers,
        breaker_order: row.breaker_order,
        live: Vec::new(),
        run: row.run.map(RunView::from),
        last_done: row.last_done.map(RunView::from),
        last_full: row.last_full.map(RunView::from),
    }
}
