//! What a replica knows of one key: quota taken from the shared cache in advance, and the bucket that stands in for it.
//!
//! A lease is as large as what was asked for in the last tenth of a second, roughly: a busy key costs ten calls a second,
//! however busy it is, and none of its requests waits for them: the next lease is asked for when a quarter of the last one
//! is left. A quiet key costs a call per request. A leased unit may be spent until its slice of the TAT comes due
//! ([`crate::gcra::TAKE`]), then it is lost: by then the bucket has refilled by as much. So all that is spent anywhere is
//! within the quota as if each unit had been taken when it was spent; it errs on the side of admitting less, never more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gcra::{Bucket, Quota, Taken};

/// For how much traffic a lease is taken.
const LEASE: Duration = Duration::from_millis(100);
/// The part of a window that a lease may be placed ahead, which is so much less that can be spent at once.
const MOST_OF_WINDOW: u64 = 100;
/// The part of a quota that a lease may be.
const MOST_OF_QUOTA: u64 = 20;
/// The next lease is asked for when this part of the last one is left, if it is so many units at least.
const EARLY: u64 = 4;
const WORTH_IT: u64 = 8;
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
    leased: Leases,
    /// How much the last lease was.
    size: u64,
    /// Whether the next one is on its way.
    refilling: bool,
    /// When the bucket is full again, by the cache's last answer.
    full_at: Instant,
    /// What was refused lately, and until when it need not be asked for again.
    refused: Option<(u64, Instant)>,
    retry_at: Instant,
    /// Units asked for per second, lately.
    rate: f64,
    asked: Instant,
    /// While the cache is gone. It is kept when the cache is back, so that one that comes and goes does not fill it up.
    local: Option<Bucket>,
    /// What was spent of it that the cache has not been told.
    spent_locally: u64,
}

/// Leased units, whose slices of the TAT follow each other without a gap.
#[derive(Clone, Copy)]
struct Run {
    units: u64,
    /// When the last slice ends.
    ends: Instant,
}

impl Run {
    /// Lets go of units whose slices have come due.
    fn settle(&mut self, interval: Duration, now: Instant) {
        if self.units > 0 {
            let ahead = self.ends.saturating_duration_since(now).as_micros() / interval.as_micros().max(1);
            self.units = self.units.min(u64::try_from(ahead).unwrap_or(u64::MAX));
        }
    }
}

/// What is left of a lease, and the next one that came before it was spent: its slices are later ones.
#[derive(Clone, Copy)]
struct Leases {
    older: Run,
    newer: Run,
}

impl Leases {
    fn units(&self) -> u64 {
        self.older.units.saturating_add(self.newer.units)
    }

    fn settle(&mut self, interval: Duration, now: Instant) {
        self.older.settle(interval, now);
        self.newer.settle(interval, now);
    }

    fn spend(&mut self, units: u64) {
        let of_older = units.min(self.older.units);
        self.older.units -= of_older;
        self.newer.units = self.newer.units.saturating_sub(units - of_older);
    }

    /// Adds a run whose slices take `lasting` in all.
    fn add(&mut self, run: Run, lasting: Duration) {
        if self.older.units == 0 {
            self.older = std::mem::replace(&mut self.newer, Run { units: 0, ..run });
        }
        if self.older.units == 0 {
            self.older = run;
        } else if self.newer.units == 0 {
            self.newer = run;
        } else {
            // There is no third place: all count as if they followed those before without a gap.
            let ends = run.ends.min(self.newer.ends + lasting);
            self.newer = Run { units: self.newer.units + run.units, ends };
        }
    }
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
    pub fn new() -> Self {
        let now = Instant::now();
        let state = State {
            leased: Leases { older: Run { units: 0, ends: now }, newer: Run { units: 0, ends: now } },
            size: 0,
            refilling: false,
            full_at: now,
            refused: None,
            retry_at: now,
            rate: 0.0,
            asked: now,
            local: None,
            spent_locally: 0,
        };
        Self { state: Mutex::new(state), asking: tokio::sync::Mutex::new(()) }
    }

    /// For steps that must not be parted.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request's units from the lease, if there are enough.
    pub fn take(&self, quota: Quota, cost: u64) -> Answer {
        let (mut state, now) = (self.state(), Instant::now());
        state.settle(quota, now);
        if state.leased.units() >= cost {
            state.leased.spend(cost);
            return Answer::Enough;
        }
        if let Some(retry) = state.refuses(quota, cost, now) {
            return Answer::Refused(retry);
        }
        Answer::Ask(state.worth_leasing(quota).max(cost))
    }

    /// Takes note of what the cache gave to the one who asked for `cost` at `asked`, so that no slice is taken to last
    /// longer than it does; the asker's part of it is spent then.
    pub fn granted(&self, quota: Quota, taken: Taken, cost: u64, asked: Instant) {
        let (mut state, now) = (self.state(), Instant::now());
        state.full_at = asked + taken.full_in;
        if taken.granted == 0 {
            state.refused = Some((cost, now + taken.retry_in.clamp(PAUSE.0, PAUSE.1)));
            state.retry_at = now + taken.retry_in;
            return;
        }
        // The asker's units are spent here and now, nobody else can be quicker; the lease is what is beyond them.
        state.lease(quota, taken.granted, taken.granted.saturating_sub(cost), now);
    }

    /// Takes note of what came of a lease that was asked for ahead of its need.
    pub fn refilled(&self, quota: Quota, taken: Option<Taken>, asked: Instant) {
        let mut state = self.state();
        state.refilling = false;
        if let Some(taken) = taken {
            state.full_at = asked + taken.full_in;
            state.lease(quota, taken.granted, taken.granted, Instant::now());
        }
    }

    /// Takes note of what the cache said without giving anything.
    pub fn seen(&self, taken: Taken) {
        self.state().full_at = Instant::now() + taken.full_in;
    }

    /// Gives leased units back that were spent on a request which another policy refused.
    pub fn give_back(&self, cost: u64) {
        self.state().leased.older.units += cost;
    }

    /// Takes note that units which the cache gave are with it again.
    pub fn returned(&self, quota: Quota, cost: u64) {
        self.state().fill(quota, cost);
    }

    /// The same with units of the bucket that stands in for the cache.
    pub fn give_back_locally(&self, quota: Quota, cost: u64) {
        let mut state = self.state();
        if let Some(bucket) = &mut state.local {
            bucket.give_back(quota, cost);
        }
        state.spent_locally = state.spent_locally.saturating_sub(cost);
        state.fill(quota, cost);
    }

    /// Takes a request's units from the bucket that stands in for the cache, if there are enough; gives how long there will
    /// not be. With a cost of 0 it only looks.
    pub fn take_locally(&self, now_us: i64, quota: Quota, cost: u64) -> Option<Duration> {
        let taken = self.state().spend_locally(Instant::now(), now_us, quota, cost);
        (taken.granted < cost).then_some(taken.retry_in)
    }

    /// What is left.
    pub fn view(&self, quota: Quota) -> View {
        self.state().view(quota, Instant::now())
    }
}

impl State {
    /// Notes that so much is wanted; once per request, whatever comes of it.
    pub fn want(&mut self, cost: u64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.asked).as_secs_f64();
        self.rate = self.rate * (-elapsed / MEMORY_SECS).exp() + units(cost) / MEMORY_SECS;
        self.asked = now;
    }

    /// The bucket that stands in for the cache. It begins as empty as the shared one was when it was last heard of: a cache
    /// that is gone for a moment gives nobody a part of the quota on top of what was spent.
    fn bucket(&self, now_us: i64, now: Instant) -> Bucket {
        let full_in = self.full_at.saturating_duration_since(now);
        let mut bucket = self.local.unwrap_or_default();
        bucket.no_fuller_than(now_us, full_in);
        bucket
    }

    /// Counts units as there again.
    fn fill(&mut self, quota: Quota, cost: u64) {
        let time = interval(quota).saturating_mul(saturated(cost));
        self.full_at = self.full_at.checked_sub(time).unwrap_or(self.asked);
    }

    /// Whether so much is leased.
    pub fn has(&mut self, quota: Quota, cost: u64, now: Instant) -> bool {
        self.settle(quota, now);
        self.leased.units() >= cost
    }

    /// Whether the cache has said lately that there is not so much, and how long there will not be.
    pub fn refuses(&self, quota: Quota, cost: u64, now: Instant) -> Option<Duration> {
        let (refused, until) = self.refused?;
        // Of less than was refused there may be enough, and what is leased is not the cache's any more.
        if refused > cost || until <= now || self.leased.units() >= cost {
            return None;
        }
        let more = interval(quota).saturating_mul(saturated(cost - refused));
        Some(self.retry_at.saturating_duration_since(now) + more)
    }

    /// Lets go of leased units whose slices have come due.
    fn settle(&mut self, quota: Quota, now: Instant) {
        self.leased.settle(interval(quota), now);
    }

    /// Spends what is leased, which [`Self::has`] has said there is. Gives how much to lease next once little is left: asked
    /// for now, it is there before anybody would have to wait for it.
    pub fn spend(&mut self, quota: Quota, cost: u64) -> Option<u64> {
        self.leased.spend(cost);
        if self.refilling || self.leased.units() > self.size / EARLY {
            return None;
        }
        let next = self.worth_leasing(quota);
        // What is leased and never spent is lost to everybody: not for a key of which nobody knows that it goes on.
        self.refilling = next >= WORTH_IT;
        self.refilling.then_some(next)
    }

    /// How much is worth having in advance: what lately was asked for in the time of a lease.
    fn worth_leasing(&self, quota: Quota) -> u64 {
        let traffic = (self.rate * LEASE.as_secs_f64()).ceil();
        // A rate is never negative, and `as` ends at the largest number.
        (traffic as u64).min(quota.units / MOST_OF_QUOTA)
    }

    /// Adds what is left of units that the cache gave.
    fn lease(&mut self, quota: Quota, granted: u64, left: u64, now: Instant) {
        if left == 0 {
            return;
        }
        self.settle(quota, now);
        let run = Run { units: left, ends: self.full_at };
        self.leased.add(run, interval(quota).saturating_mul(saturated(granted)));
        self.size = left;
    }

    /// Whether so much is in the bucket that stands in for the cache.
    pub fn has_locally(&self, now: Instant, now_us: i64, quota: Quota, cost: u64) -> bool {
        self.bucket(now_us, now).take(now_us, quota, 0, 0).left >= cost
    }

    /// Spends it, if it is there.
    pub fn spend_locally(&mut self, now: Instant, now_us: i64, quota: Quota, cost: u64) -> Taken {
        let mut bucket = self.bucket(now_us, now);
        let taken = bucket.take(now_us, quota, cost, cost);
        self.local = Some(bucket);
        self.leased.spend(u64::MAX);
        self.refused = None;
        self.full_at = now + taken.full_in;
        // What has come back meanwhile is no debt.
        self.spent_locally = (self.spent_locally + taken.granted).min(quota.units - taken.left.min(quota.units));
        taken
    }

    /// What was spent without the cache, to be told to it now.
    pub fn take_spent_locally(&mut self) -> u64 {
        std::mem::take(&mut self.spent_locally)
    }

    /// What is left at that time: the bucket has refilled since the cache was asked, and what is leased is not spent.
    pub fn view(&self, quota: Quota, now: Instant) -> View {
        let interval = interval(quota);
        let leased = interval.saturating_mul(saturated(self.leased.units()));
        let full_in = self.full_at.saturating_duration_since(now).saturating_sub(leased);
        let spent = full_in.as_micros().div_ceil(interval.as_micros().max(1));
        View { left: quota.units.saturating_sub(u64::try_from(spent).unwrap_or(u64::MAX)), full_in }
    }
}

/// How far ahead of the present a lease is placed.
pub(crate) fn ahead(quota: Quota) -> Duration {
    LEASE.min(Duration::from_micros(quota.window_us / MOST_OF_WINDOW))
}

fn interval(quota: Quota) -> Duration {
    Duration::from_micros(quota.interval_us().unsigned_abs())
}

fn saturated(units: u64) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
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
        let account = Account::new();
        account.state().want(1, Instant::now());
        assert_eq!(account.take(QUOTA, 1), Answer::Ask(1));
        for _ in 0..200 {
            tokio::time::advance(Duration::from_millis(5)).await;
            account.state().want(1, Instant::now());
        }
        let Answer::Ask(most) = account.take(QUOTA, 1) else { panic!("nothing is leased yet") };
        assert!((15..=25).contains(&most), "200 a second: {most} for a tenth of one");
        for _ in 0..10_000 {
            account.state().want(1, Instant::now());
        }
        assert_eq!(account.take(QUOTA, 1), Answer::Ask(50));
        assert_eq!(account.take(QUOTA, 80), Answer::Ask(80), "never less than the request costs");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_spent_without_asking_and_ends() {
        let account = Account::new();
        // Of four, one is the asker's.
        account.granted(QUOTA, taken(4), 1, Instant::now());
        assert_eq!(account.take(QUOTA, 2), Answer::Enough);
        assert!(matches!(account.take(QUOTA, 2), Answer::Ask(_)));
        assert_eq!(account.take(QUOTA, 1), Answer::Enough);
        account.granted(QUOTA, taken(4), 1, Instant::now());
        // The slices of the other three are those from 497 ms to 500 ms from now.
        tokio::time::advance(Duration::from_millis(498)).await;
        assert!(matches!(account.take(QUOTA, 3), Answer::Ask(_)), "what is due is lost");
        assert_eq!(account.take(QUOTA, 2), Answer::Enough);
        account.give_back(2);
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(matches!(account.take(QUOTA, 1), Answer::Ask(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_lease_is_asked_for_once_when_little_is_left_of_the_last_one() {
        let account = Account::new();
        for _ in 0..1_000 {
            account.state().want(1, Instant::now());
        }
        account.granted(QUOTA, taken(9), 1, Instant::now());
        let spend = || account.state().spend(QUOTA, 1);
        assert!((0..5).all(|_| spend().is_none()), "three of eight are left");
        assert_eq!([spend(), spend()], [Some(50), None], "one is on its way");
        account.refilled(QUOTA, None, Instant::now());
        assert_eq!(spend(), Some(50), "nothing came of it");
        account.refilled(QUOTA, Some(taken(50)), Instant::now());
        assert_eq!(account.take(QUOTA, 50), Answer::Enough);
        assert!(matches!(account.take(QUOTA, 1), Answer::Ask(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_leased_ahead_outlives_what_is_left_of_the_lease_before() {
        let account = Account::new();
        let short = Taken { full_in: Duration::from_millis(100), ..taken(20) };
        account.refilled(QUOTA, Some(short), Instant::now());
        tokio::time::advance(Duration::from_millis(90)).await;
        account.refilled(QUOTA, Some(short), Instant::now());
        assert_eq!(account.view(QUOTA), View { left: 930, full_in: Duration::from_millis(70) }, "ten are due already");
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(matches!(account.take(QUOTA, 21), Answer::Ask(_)));
        assert_eq!(account.take(QUOTA, 20), Answer::Enough);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_is_of_the_lease_that_it_was_taken_from() {
        let account = Account::new();
        for _ in 0..2 {
            account.granted(QUOTA, taken(2), 1, Instant::now());
            account.give_back(1);
            assert_eq!(account.take(QUOTA, 2), Answer::Enough);
            tokio::time::advance(Duration::from_millis(600)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_counts_what_is_leased_and_what_has_come_back() {
        let account = Account::new();
        account.granted(QUOTA, taken(11), 1, Instant::now());
        let view = |left, full_ms| View { left, full_in: Duration::from_millis(full_ms) };
        assert_eq!(account.view(QUOTA), view(510, 490));
        assert_eq!(account.take(QUOTA, 4), Answer::Enough);
        assert_eq!(account.view(QUOTA), view(506, 494));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(account.view(QUOTA), view(606, 394));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(account.view(QUOTA), view(1_000, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_the_cache_is_left_alone_for_a_while() {
        let account = Account::new();
        let refused = Taken { retry_in: Duration::from_millis(50), ..taken(0) };
        account.granted(QUOTA, refused, 5, Instant::now());
        assert_eq!(account.take(QUOTA, 5), Answer::Refused(Duration::from_millis(50)));
        assert_eq!(account.take(QUOTA, 7), Answer::Refused(Duration::from_millis(52)), "two units more, 1 ms each");
        assert_eq!(account.take(QUOTA, 4), Answer::Ask(4), "of less there may be enough");
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(matches!(account.take(QUOTA, 5), Answer::Ask(_)));
    }
}
