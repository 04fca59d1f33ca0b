//! What a replica knows of one key: quota taken from the shared cache in advance, and the bucket that stands in for it.
//!
//! A lease is as large as what was asked for in the last tenth of a second, roughly: a busy key costs ten calls a second,
//! however busy it is, and none of its requests waits for them: the next lease is asked for when a quarter of the last one
//! is left. A quiet key costs a call per request. A leased unit may be spent until its slice of the TAT comes due
//! ([`crate::gcra::TAKE`]), then it is lost: by then the bucket has refilled by as much. So all that is spent anywhere is
//! within the quota as if each unit had been taken when it was spent; it errs on the side of admitting less, never more.
//!
//! What is spent while the cache is gone is owed to it. Until it is told nothing is spent in advance: the next request asks
//! the cache and tells it in the same step ([`crate::entry`]).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gcra::{Bucket, Quota, Taken};
use crate::runs::{Leases, Run, Spent};

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
    /// Held by the one who asks the cache: there is one lease on its way at most, and answers are noted in the order in
    /// which they were given.
    pub asking: tokio::sync::Mutex<()>,
}

/// The right to ask the cache about an account.
pub(crate) type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

pub(crate) struct State {
    leased: Leases,
    /// How much the last lease was; nothing where the cache had none to give, so that it is not asked again for every unit
    /// that is left.
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
    owed: u64,
    /// Whether it is known among those that owe ([`crate::debts`]).
    listed: bool,
}

/// What an account says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There was enough, and it is spent.
    Enough(Spent),
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
            leased: Leases::none(now),
            size: 0,
            refilling: false,
            full_at: now,
            refused: None,
            retry_at: now,
            rate: 0.0,
            asked: now,
            local: None,
            owed: 0,
            listed: false,
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
        if state.has(quota, cost, now) {
            return Answer::Enough(state.leased.spend(cost));
        }
        if let Some(retry) = state.refuses(quota, cost, now) {
            return Answer::Refused(retry);
        }
        Answer::Ask(state.worth_leasing(quota).max(cost))
    }

    /// Takes note of what the cache gave to the one who asked for `cost` at `asked`, so that no slice is taken to last
    /// longer than it does; the asker's part of it is spent then. Gives it, where it is of a lease.
    pub fn granted(&self, quota: Quota, taken: Taken, cost: u64, asked: Instant) -> Option<Spent> {
        let (mut state, now) = (self.state(), Instant::now());
        state.full_at = asked + taken.full_in;
        if taken.granted == 0 {
            state.refused = Some((cost, now + taken.retry_in.clamp(PAUSE.0, PAUSE.1)));
            state.retry_at = now + taken.retry_in;
            return None;
        }
        // The asker's units are spent here and now, nobody else can be quicker; the lease is what is beyond them.
        let ends = state.lease(quota, taken.granted, taken.granted.saturating_sub(cost), now)?;
        Some(Spent::of(Run { units: cost, ends }))
    }

    /// Takes note of what came of a lease that was asked for ahead of its need.
    pub fn refilled(&self, quota: Quota, taken: Option<Taken>, asked: Instant) {
        let mut state = self.state();
        (state.refilling, state.size) = (false, 0);
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
    pub fn give_back(&self, spent: Spent) {
        self.state().leased.give_back(spent);
    }

    /// The same with units of the bucket that stands in for the cache.
    pub fn give_back_locally(&self, quota: Quota, cost: u64) {
        let mut state = self.state();
        if let Some(bucket) = &mut state.local {
            bucket.give_back(quota, cost);
        }
        state.owed = state.owed.saturating_sub(cost);
        let time = interval(quota).saturating_mul(saturated(cost));
        state.full_at = state.full_at.checked_sub(time).unwrap_or(state.asked);
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

    /// Whether so much is leased and may be spent.
    pub fn has(&mut self, quota: Quota, cost: u64, now: Instant) -> bool {
        self.settle(quota, now);
        self.owed == 0 && self.leased.units() >= cost
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

    /// Spends what is leased, which [`Self::has`] has said there is. Gives whether the next lease should be asked for: asked
    /// for now, it is there before anybody would have to wait for it.
    pub fn spend(&mut self, quota: Quota, cost: u64) -> bool {
        self.leased.spend(cost);
        !self.refilling && self.next(quota).is_some()
    }

    /// How much to lease next, once little is left. Whoever is told so is to ask for it.
    pub fn next(&mut self, quota: Quota) -> Option<u64> {
        let next = if self.leased.units() > self.size / EARLY { 0 } else { self.worth_leasing(quota) };
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

    /// Adds what is left of units that the cache gave; gives when the run ends that they are of.
    fn lease(&mut self, quota: Quota, granted: u64, left: u64, now: Instant) -> Option<Instant> {
        if left == 0 {
            return None;
        }
        self.settle(quota, now);
        self.size = left;
        let run = Run { units: left, ends: self.full_at };
        Some(self.leased.add(run, interval(quota).saturating_mul(saturated(granted))))
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
        self.owed = (self.owed + taken.granted).min(quota.units - taken.left.min(quota.units));
        taken
    }

    /// What was spent without the cache and is to be told to it.
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// Takes note that the cache knows of so much. Until it has answered it is owed: an answer that is lost tells nobody
    /// anything.
    pub fn told(&mut self, owed: u64) {
        self.owed = self.owed.saturating_sub(owed);
    }

    /// Whether this account is to be added to those that owe. Whoever is told so is to add it.
    pub fn enlist(&mut self) -> bool {
        let first = self.owed > 0 && !self.listed;
        self.listed |= first;
        first
    }

    /// Takes note that it could not be added.
    pub fn unlist(&mut self) {
        self.listed = false;
    }

    /// Whether it is still to be one of them.
    pub fn still_owes(&mut self) -> bool {
        self.listed = self.owed > 0;
        self.listed
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

    fn spend(account: &Account, units: u64) -> Spent {
        match account.take(QUOTA, units) {
            Answer::Enough(spent) => spent,
            answer => panic!("{units} of {}: {answer:?}", account.state().leased.units()),
        }
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
        spend(&account, 2);
        assert!(matches!(account.take(QUOTA, 2), Answer::Ask(_)));
        spend(&account, 1);
        account.granted(QUOTA, taken(4), 1, Instant::now());
        // The slices of the other three are those from 497 ms to 500 ms from now.
        tokio::time::advance(Duration::from_millis(498)).await;
        assert!(matches!(account.take(QUOTA, 3), Answer::Ask(_)), "what is due is lost");
        let spent = spend(&account, 2);
        account.give_back(spent);
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
        let spend_one = || account.state().spend(QUOTA, 1);
        assert!((0..5).all(|_| !spend_one()), "three of eight are left");
        assert_eq!([spend_one(), spend_one()], [true, false], "one is on its way");
        assert_eq!(account.state().next(QUOTA), Some(50));
        account.refilled(QUOTA, None, Instant::now());
        assert!(spend_one(), "nothing came of it");
        account.refilled(QUOTA, Some(taken(50)), Instant::now());
        assert_eq!(account.state().next(QUOTA), None, "there is enough");
        spend(&account, 50);
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
        spend(&account, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_nothing_to_lease_what_is_left_is_spent_without_asking() {
        let account = Account::new();
        for _ in 0..1_000 {
            account.state().want(1, Instant::now());
        }
        account.refilled(QUOTA, Some(taken(50)), Instant::now());
        let mut asked = 0;
        while account.state().has(QUOTA, 1, Instant::now()) {
            if account.state().spend(QUOTA, 1) {
                asked += 1;
                account.refilled(QUOTA, Some(taken(0)), Instant::now());
            }
        }
        assert_eq!(asked, 2, "when a quarter is left, and with the last one");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_is_of_the_lease_that_it_was_taken_from() {
        let account = Account::new();
        for _ in 0..2 {
            let spent = account.granted(QUOTA, taken(2), 1, Instant::now()).unwrap();
            account.give_back(spent);
            spend(&account, 2);
            tokio::time::advance(Duration::from_millis(600)).await;
        }
        let until = |ms| Taken { full_in: Duration::from_millis(ms), ..taken(10) };
        for ms in [100, 200] {
            account.refilled(QUOTA, Some(until(ms)), Instant::now());
        }
        // Ten of the one that ends first, five of the other.
        let spent = spend(&account, 15);
        tokio::time::advance(Duration::from_millis(150)).await;
        account.give_back(spent);
        spend(&account, 10);
        assert!(matches!(account.take(QUOTA, 1), Answer::Ask(_)), "the first ten have come due");
    }

    #[tokio::test(start_paused = true)]
    async fn while_something_is_owed_nothing_is_spent_in_advance() {
        let account = Account::new();
        assert_eq!(account.take_locally(0, QUOTA, 3), None);
        // It was on its way when the cache went.
        account.refilled(QUOTA, Some(taken(20)), Instant::now());
        assert!(!account.state().has(QUOTA, 1, Instant::now()));
        assert!(matches!(account.take(QUOTA, 1), Answer::Ask(_)));
        account.state().told(3);
        spend(&account, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_counts_what_is_leased_and_what_has_come_back() {
        let account = Account::new();
        account.granted(QUOTA, taken(11), 1, Instant::now());
        let view = |left, full_ms| View { left, full_in: Duration::from_millis(full_ms) };
        assert_eq!(account.view(QUOTA), view(510, 490));
        spend(&account, 4);
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
