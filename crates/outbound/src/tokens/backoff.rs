//! Waiting longer after every failure.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::random::Random;

/// Until when something is not tried again. Waits double with every failure in a row; half of each is drawn, so that
/// processes that failed together do not try again together ("equal jitter").
#[derive(Default)]
pub(super) struct Backoff(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It failed: waits `first`, twice as long the next time, at most `longest`. Gives how long.
    pub(super) fn fail(&self, first: Duration, longest: Duration, random: &dyn Random) -> Duration {
        let mut state = self.state();
        let full = first.saturating_mul(1_u32.checked_shl(state.failures).unwrap_or(u32::MAX)).min(longest);
        state.failures = state.failures.saturating_add(1);
        let wait = full / 2 + (full / 2).mul_f64(random.fraction());
        state.until = Some(Instant::now() + wait);
        wait
    }

    /// Waits so long, or as long as it would anyway.
    pub(super) fn wait(&self, at_least: Duration) {
        let mut state = self.state();
        state.until = state.until.max(Some(Instant::now() + at_least));
    }

    /// It went well: does not wait.
    pub(super) fn clear(&self) {
        *self.state() = State::default();
    }

    /// How long it still waits; none when it does not.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.state().until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Most;

    impl Random for Most {
        fn bits(&self) -> u64 {
            u64::MAX
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest_and_begin_anew_after_success() {
        let (backoff, second) = (Backoff::default(), Duration::from_secs(1));
        let fail = || backoff.fail(second, second * 5, &Most).as_secs_f64().round();
        assert_eq!([fail(), fail(), fail(), fail()], [1.0, 2.0, 4.0, 5.0]);
        for _ in 0..100 {
            fail();
        }
        assert!(backoff.left() > Some(second * 4));
        backoff.wait(second);
        assert!(backoff.left() > Some(second * 4), "what was waited for before is not cut short");
        backoff.clear();
        assert_eq!((backoff.left(), fail()), (None, 1.0));
        tokio::time::advance(second).await;
        assert_eq!(backoff.left(), None);
    }
}
