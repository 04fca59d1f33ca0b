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
        Err(others) => return Ok(Verdict::Discard(Begun::Running(others))),
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
/// The run that somebody else is at.
fn next_run(before: Option<Run>, is_held: bool, watermark: Option<Timestamp>, begin: &Begin) -> Result<Run, Box<Run>> {
    let owner = || begin.owner.clone();
    let is_same = |run: &Run| run.fingerprint == begin.fingerprint;
    match before {
        Some(run) if run.state.is_unfinished() && is_held => Err(Box::new(run)),
        Some(run) if run.state.is_unfinished() && is_same(&run) => Ok(Run { owner: owner(), ..run }),
        Some(run) if run.state == RunState::AwaitingConfirmation && begin.confirm_removals && is_same(&run) => {
            Ok(Run {
                state: RunState::Removing,
                removals_confirmed: true,
                owner: owner(),
                moved_at: begin.now,
                ended_at: None,
                message: None,
                // Up to which change everything is known was written when it began to wait; told now, it would be as much earlier as
                // it has waited.
                newest: None,
                ..run
            })
        }
        before => {
            let since = watermark.filter(|_| begin.mode == Mode::Incremental);
            let run = Run::new(begin.id, begin.mode, &begin.owner, since, begin.now);
            Ok(Run { fingerprint: begin.fingerprint, ..run }.after(before.as_ref()))
        }
    }
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

    fn begin(mode: Mode, confirm_removals: bool) -> Begin {
        Begin {
            source: "s".into(),
            mode,
            id: Uuid::from_u128(9),
            owner: "new".into(),
            hold: Duration::from_secs(1),
            confirm_removals,
            fingerprint: 0,
            now: Timestamp::from_millis(50),
        }
    }

    fn before(state: RunState) -> Option<Run> {
        let run = Run::new(Uuid::from_u128(1), Mode::Full, "old", None, Timestamp::from_millis(0));
        Some(Run { state, message: Some("why".into()), newest: Some(Timestamp::from_millis(3)), ..run })
    }

    #[test]
    fn a_run_that_began_under_other_settings_neither_goes_on_nor_is_confirmed() {
        for state in [RunState::Reading, RunState::Removing, RunState::AwaitingConfirmation] {
            let other = Begin { fingerprint: 7, ..begin(Mode::Full, true) };
            let run = next_run(before(state), false, None, &other).unwrap();
            assert_eq!((run.id.as_u128(), run.state, run.fingerprint), (9, RunState::Reading, 7), "{state:?}");
            assert!(!run.removals_confirmed);
        }
        let other = Begin { fingerprint: 7, ..begin(Mode::Full, true) };
        assert!(next_run(before(RunState::Reading), true, None, &other).is_err(), "somebody is at it all the same");
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
            let run = next_run(before(state), true, watermark, &begin(Incremental, true)).unwrap_err();
            assert_eq!((run.owner.as_str(), run.state), ("old", state), "somebody is at it");
            let run = next_run(before(state), false, watermark, &begin(Incremental, true)).unwrap();
            assert_eq!((run.owner.as_str(), run.state, run.mode), ("new", state, Full), "taken over as it stands");
            assert!(!run.removals_confirmed, "nothing waited for a confirmation");
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
        let run = next_run(None, true, watermark, &begin(Full, true)).unwrap();
        assert_eq!(
            (run.since, run.removals_confirmed),
            (None, false),
            "a confirmation is of what was asked, not ahead"
        );
    }
}
