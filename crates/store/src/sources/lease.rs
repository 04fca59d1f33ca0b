//! Who may write for a run, and which run goes on.

use haat_catalog::Timestamp;
use haat_sources::ports::{Begin, Begun, Lease, RunError};
use haat_sources::run::{Mode, Run, RunState};
use uuid::Uuid;

use super::sql::{LockedSource, json};
use crate::lane::{Answer, Verdict};
use crate::sql::{Sql, signed, unsigned};

/// Begins a run or goes on with one, unless somebody else is at it.
pub(super) async fn begin<C: Sql>(conn: &mut C, begin: &Begin) -> Answer<Verdict<Begun>> {
    let row = match conn.lock_source(&begin.source).await? {
        Some(row) => row,
        None => {
            conn.insert_source(&begin.source).await?;
            LockedSource::default()
        }
    };
    let is_held = row.lease_until > begin.now.as_millis();
    let watermark = row.watermark.map(Timestamp::from_millis);
    let run = match next_run(row.run(&begin.source), is_held, watermark, begin) {
        Ok(run) => run,
        Err(refused) => return Ok(Verdict::Discard(refused)),
    };
    let fence = row.fence.saturating_add(1);
    let until = begin.now.plus(begin.hold).as_millis();
    conn.begin_run(&begin.source, fence, until, &json(&run)?).await?;
    let lease = Lease { source: begin.source.clone(), fence: unsigned(fence)? };
    Ok(Verdict::Commit(Begun::Mine(lease, Box::new(run))))
}

/// The run that the caller shall do.
///
/// # Errors
/// Why it does none: somebody else is at one, or what is confirmed does not wait for it.
fn next_run(before: Option<Run>, is_held: bool, watermark: Option<Timestamp>, begin: &Begin) -> Result<Run, Begun> {
    let owner = || begin.owner.clone();
    let is_same = |run: &Run| run.fingerprint == begin.fingerprint;
    match before {
        Some(run) if run.state.is_unfinished() && is_held => Err(Begun::Running(Box::new(run))),
        before if begin.confirms.is_some() => confirmed(before, begin),
        // One of changes has nothing that a full one would not read again, and its watermark is not the source's yet.
        Some(run) if run.state.is_unfinished() && is_same(&run) && covers(run.mode, begin.mode) => {
            Ok(Run { owner: owner(), ..run })
        }
        before => {
            let since = watermark.filter(|_| begin.mode == Mode::Incremental);
            let run = Run::new(begin.id, begin.mode, &begin.owner, since, begin.now);
            Ok(Run { fingerprint: begin.fingerprint, ..run }.after(before.as_ref()))
        }
    }
}

/// Whether a run of one mode does what is wanted of one of the other.
fn covers(mode: Mode, wanted: Mode) -> bool {
    mode == Mode::Full || wanted == Mode::Incremental
}

/// The run that is confirmed, if it waits for that. One that was confirmed before, and whose holder is gone, goes on: that is the
/// same confirmation once more.
fn confirmed(before: Option<Run>, begin: &Begin) -> Result<Run, Begun> {
    let is_meant = |run: &Run| Some(run.id) == begin.confirms && run.fingerprint == begin.fingerprint;
    match before {
        Some(run) if is_meant(&run) && run.state == RunState::AwaitingConfirmation => Ok(Run {
            state: RunState::Removing,
            removals_confirmed: true,
            owner: begin.owner.clone(),
            moved_at: begin.now,
            ended_at: None,
            message: None,
            // Up to which change everything is known was written when it began to wait; told now, it would be as much earlier as
            // it has waited.
            newest: None,
            ..run
        }),
        Some(run) if is_meant(&run) && run.state.is_unfinished() && run.removals_confirmed => {
            Ok(Run { owner: begin.owner.clone(), ..run })
        }
        before => Err(Begun::NothingToConfirm(before.map(Box::new))),
    }
}

/// Ends the newest run, if it is unfinished or waits for a confirmation. The next lease has another fence, and this run goes on no
/// more: whoever carries it on has lost it.
pub(super) async fn cancel<C: Sql>(conn: &mut C, source: &str, now: Timestamp) -> Answer<Verdict<Option<Run>>> {
    let run = conn.lock_source(source).await?.and_then(|row| row.run(source));
    let is_open = |run: &Run| run.state.is_unfinished() || run.state == RunState::AwaitingConfirmation;
    let Some(run) = run.filter(is_open) else { return Ok(Verdict::Discard(None)) };
    let run = run.cancelled(now);
    conn.move_run(source, 0, 0, &json(&run)?).await?;
    Ok(Verdict::Commit(Some(run)))
}

/// The source's row, locked, if the lease is the newest and the run unfinished and the one that the lease is for.
pub(super) async fn held<C: Sql>(conn: &mut C, lease: &Lease, run: Uuid) -> Answer<Option<LockedSource>> {
    let Some(row) = conn.lock_source(&lease.source).await? else { return Ok(None) };
    let goes_on = row.run(&lease.source).is_some_and(|current| current.id == run && current.state.is_unfinished());
    Ok((row.fence == signed(lease.fence) && goes_on).then_some(row))
}

/// Whether nobody has taken a lease of the source since; holds its row.
pub(super) async fn is_newest<C: Sql>(conn: &mut C, lease: &Lease) -> Answer<bool> {
    Ok(conn.lock_source(&lease.source).await?.is_some_and(|row| row.fence == signed(lease.fence)))
}

/// How an attempt ends whose lease is not the newest.
pub(super) fn lost<T>(lease: &Lease) -> Verdict<Result<T, RunError>> {
    Verdict::Discard(Err(RunError::Lost(lease.source.clone())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A wish, with a confirmation of the run that [`before`] makes or without one.
    fn begin(mode: Mode, confirms: bool) -> Begin {
        Begin {
            source: "s".into(),
            mode,
            id: Uuid::from_u128(9),
            owner: "new".into(),
            hold: Duration::from_secs(1),
            confirms: confirms.then_some(Uuid::from_u128(1)),
            fingerprint: 0,
            now: Timestamp::from_millis(50),
        }
    }

    fn before(state: RunState) -> Option<Run> {
        let run = Run::new(Uuid::from_u128(1), Mode::Full, "old", None, Timestamp::from_millis(0));
        Some(Run { state, message: Some("why".into()), newest: Some(Timestamp::from_millis(3)), ..run })
    }

    fn is_running(next: Result<Run, Begun>) -> bool {
        matches!(next, Err(Begun::Running(run)) if run.owner == "old")
    }

    fn has_nothing_to_confirm(next: Result<Run, Begun>) -> bool {
        matches!(next, Err(Begun::NothingToConfirm(_)))
    }

    #[test]
    fn a_run_that_began_under_other_settings_neither_goes_on_nor_is_confirmed() {
        for state in [RunState::Reading, RunState::Removing, RunState::AwaitingConfirmation] {
            let other = Begin { fingerprint: 7, ..begin(Mode::Full, false) };
            let run = next_run(before(state), false, None, &other).unwrap();
            assert_eq!((run.id.as_u128(), run.state, run.fingerprint), (9, RunState::Reading, 7), "{state:?}");
            let other = Begin { fingerprint: 7, ..begin(Mode::Full, true) };
            assert!(has_nothing_to_confirm(next_run(before(state), false, None, &other)), "{state:?}");
        }
        let other = Begin { fingerprint: 7, ..begin(Mode::Full, false) };
        assert!(is_running(next_run(before(RunState::Reading), true, None, &other)), "somebody is at it all the same");
    }

    #[test]
    fn a_confirmation_is_of_the_run_that_waits_for_it_and_of_no_other() {
        use RunState::{AwaitingConfirmation, Cancelled, Done, Failed, Reading, Removing};
        for state in [Reading, Removing, Done, Failed, Cancelled] {
            assert!(
                has_nothing_to_confirm(next_run(before(state), false, None, &begin(Mode::Full, true))),
                "{state:?}"
            );
        }
        assert!(has_nothing_to_confirm(next_run(None, false, None, &begin(Mode::Full, true))));
        let another = Begin { confirms: Some(Uuid::from_u128(2)), ..begin(Mode::Full, false) };
        assert!(has_nothing_to_confirm(next_run(before(AwaitingConfirmation), false, None, &another)));
        let goes_on = before(Removing).map(|run| Run { removals_confirmed: true, ..run });
        let run = next_run(goes_on.clone(), false, None, &begin(Mode::Full, true)).unwrap();
        assert_eq!(
            (run.id.as_u128(), run.state, run.owner.as_str()),
            (1, Removing, "new"),
            "the same confirmation again"
        );
        assert!(is_running(next_run(goes_on, true, None, &begin(Mode::Full, true))));
    }

    #[test]
    fn a_full_run_that_is_wanted_is_not_given_for_one_of_changes() {
        use RunState::{Reading, Removing};
        for state in [Reading, Removing] {
            let changes = before(state).map(|run| Run { mode: Mode::Incremental, ..run });
            let run = next_run(changes.clone(), false, None, &begin(Mode::Full, false)).unwrap();
            assert_eq!((run.id.as_u128(), run.mode, run.state, run.since), (9, Mode::Full, Reading, None), "{state:?}");
            let run = next_run(changes.clone(), false, None, &begin(Mode::Incremental, false)).unwrap();
            assert_eq!((run.id.as_u128(), run.mode, run.state), (1, Mode::Incremental, state));
            assert!(is_running(next_run(changes, true, None, &begin(Mode::Full, false))), "one at a time");
        }
    }

    #[test]
    fn a_new_run_knows_how_many_of_each_mode_have_failed_in_a_row() {
        let mut run = before(RunState::Failed);
        for times in 1..4 {
            let next = next_run(run, false, None, &begin(Mode::Full, false)).unwrap();
            assert_eq!(next.failed_full.map(|failed| failed.times), Some(times));
            run = Some(Run { state: RunState::Failed, ..next });
        }
        let changes = next_run(run, false, None, &begin(Mode::Incremental, false)).unwrap();
        let done = Some(Run { state: RunState::Done, ..changes });
        let next = next_run(done, false, None, &begin(Mode::Full, false)).unwrap();
        assert_eq!(next.failed_full.map(|failed| failed.times), Some(4), "an incremental run does not settle it");
        let next =
            next_run(Some(Run { state: RunState::Done, ..next }), false, None, &begin(Mode::Full, false)).unwrap();
        assert_eq!((next.failed_full, next.failed_incremental), (None, None));
    }

    #[test]
    fn which_run_goes_on_follows_from_how_the_newest_stands() {
        use Mode::{Full, Incremental};
        use RunState::{AwaitingConfirmation, Done, Failed, Reading, Removing};
        let watermark = Some(Timestamp::from_millis(7));
        for state in [Reading, Removing] {
            assert!(is_running(next_run(before(state), true, watermark, &begin(Incremental, false))), "{state:?}");
            let run = next_run(before(state), false, watermark, &begin(Incremental, false)).unwrap();
            assert_eq!((run.owner.as_str(), run.state, run.mode), ("new", state, Full), "taken over as it stands");
        }
        for is_held in [true, false] {
            let run = next_run(before(AwaitingConfirmation), is_held, None, &begin(Incremental, true)).unwrap();
            assert_eq!((run.id.as_u128(), run.state, run.removals_confirmed), (1, Removing, true));
            assert_eq!((run.message, run.owner.as_str(), run.newest), (None, "new", None));
            for state in [AwaitingConfirmation, Done, Failed] {
                let run = next_run(before(state), is_held, watermark, &begin(Incremental, false)).unwrap();
                assert_eq!((run.id.as_u128(), run.state, run.since), (9, Reading, watermark), "{state:?}");
            }
        }
        let run = next_run(None, true, watermark, &begin(Full, false)).unwrap();
        assert_eq!((run.since, run.removals_confirmed), (None, false));
    }
}
