//! How much of what is sent may be retries, so that retries never make an outage worse.
//!
//! Over the last ten seconds, at most a share of the calls (a fifth by default) is sent again. Every replica keeps to it,
//! so the fleet does: an upstream that fails for everybody sees 1.2 times the calls that are offered, where three attempts
//! each would be 3 times (and, where there are few calls, the reserve of every replica once). The idea is that of Finagle's and Linkerd's retry budgets.
//!
//! Few calls would have no retry at all: one in ten seconds earns a fifth of one. For these there is a small reserve. It is
//! no addition to the share but instead of it (the greater of both counts), and once it is spent it comes back only with a
//! call that succeeds: while nothing succeeds, it is spent once.
//!
//! `tower::retry::budget::TpsBudget` is near to it, but its reserve is an addition and comes back with time, so that an
//! outage sees more than its share; shares are cut to whole fractions (30 % is a third); and two threads may take the same
//! last retry.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::window::Window;

/// Over how long the share is kept.
const WINDOW: Duration = Duration::from_secs(10);

/// How many retries there may be.
pub(crate) struct Budget {
    percent: u64,
    reserve: u32,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// Calls, and retries.
    counts: Window<2>,
    /// What of the reserve is left.
    left: u32,
}

impl Budget {
    /// Nothing was called yet; the reserve is full.
    pub fn new(percent: u32, reserve: u32) -> Self {
        let counts = Window::new(WINDOW, Instant::now());
        Self { percent: u64::from(percent), reserve, ledger: Mutex::new(Ledger { counts, left: reserve }) }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call was sent for the first time.
    pub fn called(&self) {
        self.ledger().counts.add(Instant::now(), [1, 0]);
    }

    /// A call succeeded: the upstream is not down altogether.
    pub fn succeeded(&self) {
        self.ledger().left = self.reserve;
    }

    /// Takes a retry, if there is one.
    pub fn take(&self) -> bool {
        let now = Instant::now();
        let mut ledger = self.ledger();
        let [calls, retries] = ledger.counts.totals(now);
        let by_share = (retries + 1) * 100 <= self.percent * calls;
        let by_reserve = ledger.left > 0 && retries < u64::from(self.reserve);
        if !by_share && !by_reserve {
            return false;
        }
        if !by_share {
            ledger.left -= 1;
        }
        ledger.counts.add(now, [0, 1]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(budget: &Budget, wanted: usize) -> usize {
        (0..wanted).filter(|_| budget.take()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_sees_a_fifth_more_and_no_reserve_on_top() {
        let budget = Budget::new(20, 3);
        let mut retries = 0;
        for n in 1..=2_000 {
            budget.called();
            retries += take_all(&budget, 2);
            assert!(n < 15 || retries * 5 <= n, "{retries} retries of {n} calls");
        }
        assert_eq!(retries, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_under_little_traffic_spends_the_reserve_once() {
        let budget = Budget::new(20, 3);
        let mut retries = 0;
        for _ in 0..200 {
            budget.called();
            retries += take_all(&budget, 2);
            tokio::time::advance(Duration::from_secs(4)).await;
        }
        assert_eq!(retries, 3);
        budget.succeeded();
        budget.called();
        assert_eq!(take_all(&budget, 5), 3, "a lone call is sent again in good times");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_long_ago_earn_nothing() {
        let budget = Budget::new(20, 0);
        (0..100).for_each(|_| budget.called());
        tokio::time::advance(WINDOW).await;
        assert_eq!(take_all(&budget, 10), 0);
        (0..10).for_each(|_| budget.called());
        assert_eq!(take_all(&budget, 10), 2);
    }
}
