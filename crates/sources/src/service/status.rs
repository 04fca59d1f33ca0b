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
}

/// A source as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What kind of source it is.
    pub kind: String,
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
    let run = row.run.as_ref();
    SourceStatus {
        name: parts.name.clone(),
        kind: parts.kind.clone(),
        state: run.map_or(SourceState::Idle, |run| match run.state {
            RunState::Reading | RunState::Removing => SourceState::Running,
            RunState::AwaitingConfirmation => SourceState::AwaitingConfirmation,
            RunState::Done => SourceState::Idle,
            RunState::Failed => SourceState::Failing,
        }),
        last_error: run
            .filter(|run| run.state == RunState::Failed || run.state.is_unfinished())
            .and_then(|run| run.message.clone()),
        lag_seconds: row.last_done.as_ref().map(|done| now.since(done.started_at).as_secs()),
        items: row.items,
        watermark: row.watermark,
        schedule_seconds: parts.schedule.map(|every| every.as_secs()),
        full_every_seconds: parts.full_every.map(|every| every.as_secs()),
        next_due,
        breakers,
        breaker_order: row.breaker_order,
        live: parts.live.iter().copied().collect(),
        run: row.run.map(RunView::from),
        last_done: row.last_done.map(RunView::from),
        last_full: row.last_full.map(RunView::from),
    }
}
