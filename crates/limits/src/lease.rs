//! What a replica knows of one key: quota taken from the shared cache in advance, and the bucket that stands in for it.
//!
//! A lease is as large as what was asked for in the last tenth of a second, roughly: a busy key costs ten calls a second,
//! however busy it is, a quiet one a call per request. What is not spent within a second is lost, so that the quota that
//! lies about on replicas is small and short-lived; it errs on the side of admitting less, never more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gcra::{Bucket, Quota, Taken};

/// For how much traffic a lease is taken.
const LEASE: Duration = Duration::from_millis(100);
/// How long a lease lasts.
const LEASE_LIFE: Duration = Duration::from_secs(1);
/// The part of a quota that a lease may be.
const MOST_OF_QUOTA: u64 = 20;
/// Over what time traffic is measured.
const MEMORY_SECS: f64 = 0.5;
/// After a refusal the cache is not asked again for so long, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// One key of one policy.
pub(crate) struct Account {
    state: Mutex<State>,
    /// Held by the one who asks the cache.
    pub asking: tokio::sync::Mutex<()>,
}

pub(crate) struct State {
    leased: u64,
    lease_ends: Instant,
    /// Units that were left in the cache when it last answered.
    shared_left: u64,
    full_at: Instant,
    refused_until: Option<Instant>,
    retry_at: Instant,
    /// Units asked for per second, lately.
    rate: f64,
    asked: Instant,
    /// While the cache is gone.
    local: Option<Bucket>,
}

/// What an account says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is enough.
    Enough,
    /// There is not, and there will not be before that.
    Refused(Duration),
    /// The cache has to be asked for so much at most.
    Ask(u64),
}

/// What can be said of an account in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub left: u64,
    pub full_in: Duration,
}

impl Account {
    pub fn new(quota: Quota) -> Self {
        let now = Instant::now();
        let state = State {
            leased: 0,
            lease_ends: now,
            shared_left: quota.units,
            full_at: now,
            refused_until: None,
            retry_at: now,
            rate: 0.0,
            asked: now,
            local: None,
        };
        Self { state: Mutex::new(state), asking: tokio::sync::Mutex::new(()) }
    }

    /// For steps that must not be parted.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request of that cost can be had.
    pub fn check(&self, quota: Quota, cost: u64) -> Answer {
        let (mut state, now) = (self.state(), Instant::now());
        // The cache is back: what was kept instead of it no longer counts.
        state.local = None;
        if state.lease_ends <= now {
            state.leased = 0;
        }
        if state.leased >= cost {
            return Answer::Enough;
        }
        if state.refused_until.is_some_and(|until| until > now) {
            return Answer::Refused(state.retry_at.saturating_duration_since(now));
        }
        let traffic = (state.rate * LEASE.as_secs_f64()).ceil();
        // A rate is never negative, and `as` ends at the largest number.
        let traffic = traffic as u64;
        Answer::Ask(traffic.min(quota.units / MOST_OF_QUOTA).max(cost))
    }

    /// Takes note of what the cache gave.
    pub fn granted(&self, taken: Taken) {
        let (mut state, now) = (self.state(), Instant::now());
        state.leased += taken.granted;
        state.lease_ends = now + LEASE_LIFE;
        state.shared_left = taken.left;
        state.full_at = now + taken.full_in;
        if taken.granted == 0 {
            state.refused_until = Some(now + taken.retry_in.clamp(PAUSE.0, PAUSE.1));
            state.retry_at = now + taken.retry_in;
        }
    }

    /// Spends leased units; false when somebody else has meanwhile.
    pub fn spend(&self, cost: u64) -> bool {
        let mut state = self.state();
        let enough = state.leased >= cost;
        if enough {
            state.leased -= cost;
        }
        enough
    }

    /// Takes note of what the cache said without giving anything.
    pub fn seen(&self, taken: Taken) {
        let (mut state, now) = (self.state(), Instant::now());
        state.shared_left = taken.left;
        state.full_at = now + taken.full_in;
    }

    /// Gives leased units back that were spent on a request which another policy refused.
    pub fn give_back(&self, cost: u64) {
        self.state().leased += cost;
    }

    /// Whether a request of that cost can be had from the bucket that stands in for the cache; takes it if so and
    /// `spend`.
    pub fn local(&self, now_us: i64, quota: Quota, cost: u64, spend: bool) -> Answer {
        let (mut state, now) = (self.state(), Instant::now());
        let mut bucket = state.local.unwrap_or_default();
        let taken = if spend { bucket.take(now_us, quota, cost, cost) } else { bucket.take(now_us, quota, 0, 0) };
        state.local = Some(bucket);
        (state.leased, state.refused_until) = (0, None);
        state.shared_left = taken.left;
        state.full_at = now + taken.full_in;
        if taken.granted >= cost && spend || taken.left >= cost && !spend {
            return Answer::Enough;
        }
        let missing = cost.saturating_sub(taken.left);
        let interval = u64::try_from(quota.interval_us()).unwrap_or(u64::MAX);
        let retry = if spend { taken.retry_in } else { Duration::from_micros(missing.saturating_mul(interval)) };
        Answer::Refused(retry)
    }

    /// What is left.
    pub fn view(&self) -> View {
        self.state().view(Instant::now())
    }
}

impl State {
    /// Notes that so much is wanted; once per request, whatever comes of it.
    pub fn want(&mut self, cost: u64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.asked).as_secs_f64();
        self.rate = self.rate * (-elapsed / MEMORY_SECS).exp() + units(cost) / MEMORY_SECS;
        self.asked = now;
    }

    /// Whether so much is leased.
    pub fn has(&self, cost: u64, now: Instant) -> bool {
        self.lease_ends > now && self.leased >= cost && self.local.is_none()
    }

    /// Spends what is leased, which [`Self::has`] has said there is.
    pub fn spend(&mut self, cost: u64) {
        self.leased = self.leased.saturating_sub(cost);
    }

    /// Whether so much is in the bucket that stands in for the cache.
    pub fn has_locally(&mut self, now_us: i64, quota: Quota, cost: u64) -> bool {
        self.local.get_or_insert_default().take(now_us, quota, 0, 0).left >= cost
    }

    /// Spends it, which [`Self::has_locally`] has said there is.
    pub fn spend_locally(&mut self, now: Instant, now_us: i64, quota: Quota, cost: u64) {
        let taken = self.local.get_or_insert_default().take(now_us, quota, cost, cost);
        (self.leased, self.refused_until) = (0, None);
        (self.shared_left, self.full_at) = (taken.left, now + taken.full_in);
    }

    /// What is left.
    pub fn view(&self, now: Instant) -> View {
        let leased = if self.lease_ends > now { self.leased } else { 0 };
        View { left: self.shared_left + leased, full_in: self.full_at.saturating_duration_since(now) }
    }
}

fn units(n: u64) -> f64 {
    // Costs are small numbers; above 2^53 nothing is lost that matters to a rate.
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { units: 1_000, window_us: 1_000_000 };

    fn taken(granted: u64) -> Taken {
        Taken { granted, left: 500, full_in: Duration::from_millis(500), retry_in: Duration::from_millis(50) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_as_large_as_the_traffic_asks_for_and_no_larger_than_its_part_of_the_quota() {
        let account = Account::new(QUOTA);
        account.state().want(1, Instant::now());
        assert_eq!(account.check(QUOTA, 1), Answer::Ask(1));
        for _ in 0..200 {
            tokio::time::advance(Duration::from_millis(5)).await;
            account.state().want(1, Instant::now());
        }
        let Answer::Ask(most) = account.check(QUOTA, 1) else { panic!("nothing is leased yet") };
        assert!((15..=25).contains(&most), "200 a second: {most} for a tenth of one");
        for _ in 0..10_000 {
            account.state().want(1, Instant::now());
        }
        assert_eq!(account.check(QUOTA, 1), Answer::Ask(50));
        assert_eq!(account.check(QUOTA, 80), Answer::Ask(80), "never less than the request costs");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_spent_without_asking_and_ends() {
        let account = Account::new(QUOTA);
        account.granted(taken(3));
        assert!(account.spend(2) && !account.spend(2) && account.spend(1));
        account.granted(taken(3));
        assert_eq!(account.check(QUOTA, 3), Answer::Enough);
        tokio::time::advance(LEASE_LIFE).await;
        assert!(matches!(account.check(QUOTA, 3), Answer::Ask(_)), "what was not spent is lost");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_the_cache_is_left_alone_for_a_while() {
        let account = Account::new(QUOTA);
        account.granted(Taken { retry_in: Duration::from_millis(50), ..taken(0) });
        assert_eq!(account.check(QUOTA, 1), Answer::Refused(Duration::from_millis(50)));
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(matches!(account.check(QUOTA, 1), Answer::Ask(_)));
    }
}
