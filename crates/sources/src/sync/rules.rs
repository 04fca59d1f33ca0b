//! What a run decides, without doing anything.

use std::time::Duration;

use haat_catalog::Timestamp;

use crate::run::{Mode, Run};

/// How few vanished products go whatever share of the source they are.
const FEW: u64 = 10;
/// How long after the time that a change bears an upstream may take to show it.
const SETTLE: Duration = Duration::from_secs(5);

/// What a full run found of the products of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vanished {
    /// Those that were not seen.
    pub(super) count: u64,
    /// All of them.
    pub(super) of: u64,
}

/// Whether that many may go without a confirmation. An upstream that lists nothing at all has more likely broken than given
/// up business, however small it is.
pub(super) fn may_go(vanished: Vanished, run: &Run, max_share: f64) -> bool {
    let few = vanished.count <= FEW || vanished.count as f64 <= max_share * vanished.of as f64;
    vanished.count == 0 || run.removals_confirmed || (few && run.counts.read > 0)
}

/// Up to which change upstream everything is known after a run that has read all its pages: what was changed while it was
/// reading may have been on a page that it had read already.
///
/// That is when the run began, in the upstream's own time. What an item of the run bears is not later than the upstream's clock
/// when it answered, so the latest of them less the time that the run took is not later than its beginning. No clock of ours
/// is compared with theirs. `None` where no item says when it changed.
pub(super) fn watermark(run: &Run, now: Timestamp) -> Option<Timestamp> {
    let took = now.since(run.started_at);
    let begun = run.newest?.minus(took).minus(SETTLE);
    // Of an incremental run everything before is known already.
    Some(run.since.filter(|_| run.mode == Mode::Incremental).map_or(begun, |since| since.max(begun)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mode: Mode, read: u64) -> Run {
        let at = Timestamp::from_millis(1_000_000);
        let mut run = Run::new(uuid::Uuid::nil(), mode, "a", None, at);
        run.counts.read = read;
        run
    }

    #[test]
    fn a_share_above_the_limit_goes_only_with_a_confirmation_unless_it_is_few() {
        let go = |count, of| may_go(Vanished { count, of }, &run(Mode::Full, 5), 0.2);
        assert!(go(0, 0) && go(20, 100) && go(10, 12), "a share within the limit, and few");
        assert!(!go(21, 100) && !go(11, 12));
        let confirmed = Run { removals_confirmed: true, ..run(Mode::Full, 5) };
        assert!(may_go(Vanished { count: 100, of: 100 }, &confirmed, 0.2));
    }

    #[test]
    fn an_upstream_that_lists_nothing_takes_nothing_away_however_few_there_are() {
        assert!(!may_go(Vanished { count: 1, of: 1 }, &run(Mode::Full, 0), 1.0));
        assert!(may_go(Vanished { count: 0, of: 0 }, &run(Mode::Full, 0), 0.2));
    }

    #[test]
    fn the_watermark_is_not_later_than_the_beginning_of_the_run_in_the_time_of_the_upstream() {
        let mut full = run(Mode::Full, 1);
        let later = full.started_at.plus(Duration::from_secs(60));
        assert_eq!(watermark(&full, later), None, "nobody knows the upstream's time");
        // Its clock is a day ahead: the newest change was seen at the end of a run of a minute.
        let day = Duration::from_secs(86_400);
        full.newest = Some(later.plus(day));
        assert_eq!(watermark(&full, later), Some(full.started_at.plus(day).minus(SETTLE)));
    }

    #[test]
    fn the_watermark_of_an_incremental_run_never_goes_back() {
        let mut run = run(Mode::Incremental, 1);
        let later = run.started_at.plus(Duration::from_secs(60));
        let since = Timestamp::from_millis(500_000);
        (run.since, run.newest) = (Some(since), Some(since));
        assert_eq!(watermark(&run, later), Some(since));
        run.newest = None;
        assert_eq!(watermark(&run, later), None, "it stays as it is");
    }
}
