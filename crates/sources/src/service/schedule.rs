//! When a source is synchronised by itself.

use std::time::Duration;

use haat_catalog::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::ports::SourceRow;
use crate::run::{Failures, Mode, Run, RunState};

/// How long after a failed run the next begins, of whatever mode, if the schedule is not narrower; after each that fails again,
/// one of the same mode begins twice as late, up to the schedule.
const AFTER_FAILURE: Duration = Duration::from_secs(300);
/// How long there is between two runs, however long they take and however narrow the schedule is, if it is not narrower still.
const BREATH: Duration = Duration::from_secs(10);
/// While removals wait for a confirmation, how often at most everything is read anew where no time is set for full runs.
const WHILE_WAITING: Duration = Duration::from_secs(3_600);

/// How often a source is synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Schedule {
    /// What changed, or everything where it cannot be told what changed.
    pub(super) every: Option<Duration>,
    /// Everything.
    pub(super) full_every: Option<Duration>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// When.
    pub(super) at: Timestamp,
    /// What. An incremental run is a full one where there is nothing to go on from.
    pub(super) mode: Mode,
    /// How often it is done.
    every: Duration,
}

impl Schedule {
    /// What is due next; `None` while there is an unfinished run, and without a schedule.
    ///
    /// While removals wait for a confirmation, no incremental run is due: it would put itself in the place of the run that is to
    /// be confirmed, and nobody would see any more that one waits. Full ones are: they come to the same question again, or
    /// find that it is settled.
    pub(super) fn next(&self, row: &SourceRow, now: Timestamp) -> Option<Due> {
        let Some(run) = &row.run else {
            let every = self.every.or(self.full_every)?;
            return Some(Due { at: now, mode: Mode::Full, every });
        };
        match run.state {
            RunState::Reading | RunState::Removing => None,
            RunState::AwaitingConfirmation => {
                let every = self.full_every.or(self.every.map(|every| every.max(WHILE_WAITING)))?;
                Some(due(run, run.started_at, every, Mode::Full))
            }
            RunState::Done | RunState::Failed | RunState::Cancelled => {
                let pause = AFTER_FAILURE.min(self.every.into_iter().chain(self.full_every).min().unwrap_or_default());
                let pause = if run.state == RunState::Failed { pause } else { Duration::ZERO };
                let begins = |due: Due| Due { at: due.at.max(ended(run).plus(pause)), ..due };
                let changes = self.every.map(|every| due(run, last_any(run), every, Mode::Incremental)).map(begins);
                let full = self.full_every.map(|every| due(run, last_full(row, run), every, Mode::Full)).map(begins);
                match (changes, full) {
                    // Everything has the changes in it.
                    (Some(changes), Some(full)) if changes.at < full.at => Some(changes),
                    (changes, full) => full.or(changes),
                }
            }
        }
    }
}

/// When anything was last read. Of a run that an operator has stopped that is its end: else one that took long would be due again at
/// once, although somebody does not want it now.
fn last_any(run: &Run) -> Timestamp {
    if run.state == RunState::Cancelled { ended(run) } else { run.started_at }
}

/// When everything was last read, or was tried to be.
fn last_full(row: &SourceRow, run: &Run) -> Timestamp {
    let ended = row.last_full.as_ref().map_or(Timestamp::from_millis(0), |full| full.started_at);
    if run.mode == Mode::Full { ended.max(last_any(run)) } else { ended }
}

fn ended(run: &Run) -> Timestamp {
    run.ended_at.unwrap_or(run.moved_at)
}

fn due(run: &Run, since: Timestamp, every: Duration, mode: Mode) -> Due {
    let planned = match run.failures(mode) {
        // Counted from the end, for it may have taken longer than the schedule allows.
        Some(Failures { times, ended_at }) => {
            let doubled = AFTER_FAILURE.saturating_mul(1 << times.saturating_sub(1).min(20));
            ended_at.plus(doubled.min(every))
        }
        None => since.plus(every),
    };
    Due { at: planned.max(ended(run).plus(every.min(BREATH))), mode, every }
}

impl Due {
    /// The moment at which this replica does it, unless another was first: they do not all ask at once.
    pub(super) fn here(&self, source: &str, replica: &str) -> Timestamp {
        let most = self.every.min(BREATH * 10) / 10;
        let drawn = xxh3_64(format!("{source} {replica} {}", self.at.as_millis()).as_bytes());
        self.at.plus(most.mul_f64(drawn as f64 / u64::MAX as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn at(after: Duration) -> Timestamp {
        Timestamp::from_millis(1_000_000).plus(after)
    }

    fn run(mode: Mode, state: RunState, begun: Duration, took: Duration) -> Run {
        let mut run = Run::new(uuid::Uuid::nil(), mode, "a", None, at(begun));
        (run.state, run.ended_at, run.moved_at) = (state, Some(at(begun + took)), at(begun + took));
        run
    }

    fn next(schedule: Schedule, run: Run, full: Option<Run>) -> Option<(Timestamp, Mode)> {
        let row = SourceRow { run: Some(run), last_full: full, ..SourceRow::default() };
        schedule.next(&row, at(DAY)).map(|due| (due.at, due.mode))
    }

    #[test]
    fn changes_are_read_between_full_runs_and_those_are_not_forgotten() {
        let both = Schedule { every: Some(MINUTE), full_every: Some(HOUR) };
        let full = run(Mode::Full, RunState::Done, Duration::ZERO, MINUTE / 2);
        assert_eq!(next(both, full.clone(), Some(full.clone())), Some((at(MINUTE), Mode::Incremental)));
        let changes = run(Mode::Incremental, RunState::Done, HOUR - MINUTE / 2, MINUTE / 6);
        assert_eq!(next(both, changes, Some(full)), Some((at(HOUR), Mode::Full)));
        assert_eq!(both.next(&SourceRow::default(), at(DAY)).map(|due| due.at), Some(at(DAY)), "at once if never");
    }

    #[test]
    fn nothing_is_due_without_a_schedule_or_while_a_run_is_under_way() {
        let done = run(Mode::Full, RunState::Done, Duration::ZERO, MINUTE);
        assert_eq!(next(Schedule::default(), done.clone(), Some(done.clone())), None);
        let every = Schedule { every: Some(MINUTE), full_every: None };
        assert_eq!(next(every, Run { state: RunState::Reading, ..done }, None), None);
    }

    #[test]
    fn a_failed_run_is_tried_again_soon_and_a_long_one_is_not_followed_without_a_breath() {
        let daily = Schedule { every: None, full_every: Some(DAY) };
        let failed = run(Mode::Full, RunState::Failed, Duration::ZERO, MINUTE);
        assert_eq!(next(daily, failed, None), Some((at(MINUTE + AFTER_FAILURE), Mode::Full)));
        let long = run(Mode::Full, RunState::Done, Duration::ZERO, HOUR);
        let every = Schedule { every: Some(MINUTE), full_every: None };
        assert_eq!(next(every, long.clone(), Some(long)), Some((at(HOUR + BREATH), Mode::Incremental)));
    }

    #[test]
    fn a_long_full_run_that_fails_is_repeated_later_each_time_and_incremental_runs_go_on_meanwhile() {
        let both = Schedule { every: Some(MINUTE * 10), full_every: Some(DAY) };
        let (mut before, mut waits) = (None, Vec::new());
        for n in 0..12 {
            // Each takes longer than a day.
            let failed = run(Mode::Full, RunState::Failed, DAY * 3 * n, DAY * 2).after(before.as_ref());
            let failed_at = DAY * 3 * n + DAY * 2;
            let expected = Some((at(failed_at + AFTER_FAILURE), if n == 0 { Mode::Full } else { Mode::Incremental }));
            assert_eq!(next(both, failed.clone(), None), expected, "nothing begins sooner");
            let changes =
                run(Mode::Incremental, RunState::Done, failed_at + AFTER_FAILURE, MINUTE).after(Some(&failed));
            let full = Schedule { every: None, ..both };
            let (full_at, _) = next(full, changes.clone(), None).unwrap();
            waits.push(full_at.since(at(failed_at)).as_secs() / 60);
            before = Some(changes);
        }
        // The first after the incremental run and a breath.
        assert_eq!(waits, [6, 10, 20, 40, 80, 160, 320, 640, 1_280, 1_440, 1_440, 1_440]);
    }

    #[test]
    fn a_full_run_is_due_although_incremental_ones_keep_failing() {
        let both = Schedule { every: Some(MINUTE), full_every: Some(DAY) };
        let mut failed = run(Mode::Incremental, RunState::Failed, DAY * 2, MINUTE);
        for n in 1..30 {
            let due = next(both, failed.clone(), None).unwrap();
            assert_eq!(due, (at(DAY * 2 + MINUTE * n * 2), Mode::Full));
            failed = run(Mode::Incremental, RunState::Failed, DAY * 2 + MINUTE * n * 2, MINUTE).after(Some(&failed));
        }
    }

    #[test]
    fn while_removals_wait_for_a_confirmation_only_full_runs_are_due() {
        let waits = run(Mode::Full, RunState::AwaitingConfirmation, Duration::ZERO, MINUTE);
        let both = Schedule { every: Some(MINUTE), full_every: Some(DAY) };
        assert_eq!(next(both, waits.clone(), None), Some((at(DAY), Mode::Full)));
        let changes = Schedule { every: Some(MINUTE), full_every: None };
        assert_eq!(next(changes, waits, None), Some((at(WHILE_WAITING), Mode::Full)));
    }

    #[test]
    fn replicas_do_not_all_begin_at_the_same_moment() {
        let due = Due { at: at(MINUTE), mode: Mode::Full, every: HOUR };
        let here: std::collections::BTreeSet<Timestamp> =
            ["a", "b", "c", "d"].map(|replica| due.here("shop", replica)).into();
        assert_eq!(here.len(), 4);
        assert!(here.iter().all(|moment| moment.since(due.at) <= BREATH && *moment >= due.at));
    }
}
