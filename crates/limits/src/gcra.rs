//! The generic cell rate algorithm (ITU-T I.371, in its virtual scheduling form), in integers.
//!
//! A key has one number, the theoretical arrival time (TAT): when the bucket is full again if nobody asks for more. A
//! unit costs `interval` microseconds of it; the TAT may run ahead of the clock by `quota × interval` at most. So an idle
//! key may spend its whole quota at once, and then one unit per interval.
//!
//! The same steps stand here twice, in Rust and in Lua, on integers below 2^53 that both compute alike.

use std::time::Duration;

use haat_cache::{Cell, Script};

/// So many units in so long, refilled evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most that can be spent at once.
    pub units: u64,
    /// How long an empty bucket takes to fill, in microseconds.
    pub window_us: u64,
}

/// What a step gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Units taken: what was wanted, or less.
    pub granted: u64,
    /// Units left after that.
    pub left: u64,
    /// Until all is there again.
    pub full_in: Duration,
    /// Until the least that was asked for can be had; zero when something was granted.
    pub retry_in: Duration,
}

impl Quota {
    /// The time that one unit takes to come back, in microseconds, rounded up: never more than the quota is given.
    pub fn interval_us(self) -> i64 {
        i64::try_from(self.window_us.div_ceil(self.units.max(1)).max(1)).unwrap_or(i64::MAX)
    }

    /// The time that so many units take, in microseconds.
    pub fn cost_us(self, units: u64) -> i64 {
        i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(self.interval_us())
    }

    /// An n-th part, at least one unit.
    pub fn share(self, parts: u64) -> Self {
        Self { units: (self.units / parts.max(1)).max(1), ..self }
    }

    /// The arguments of [`TAKE`]: at least `least` units or none, at most `most`, of which those beyond `least` may be
    /// spent during `ahead`; `owed` units were spent before that nobody asked for, and fewer than none were given back.
    pub fn arguments(self, least: u64, most: u64, ahead: Duration, owed: i64) -> [i64; 6] {
        let integer = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let ahead = i64::try_from(ahead.as_micros()).unwrap_or(i64::MAX);
        [self.interval_us(), integer(self.units), integer(least), integer(most), ahead, owed]
    }
}

impl Taken {
    /// Reads what [`TAKE`] gives.
    pub fn read(answer: &[i64]) -> Option<Self> {
        let [granted, left, full_us, retry_us] = answer else { return None };
        let units = |n: &i64| u64::try_from(*n).ok();
        Some(Self {
            granted: units(granted)?,
            left: units(left)?,
            full_in: Duration::from_micros(units(full_us)?),
            retry_in: Duration::from_micros(units(retry_us)?),
        })
    }
}

/// Takes units: arguments interval in µs, quota, least, most, ahead in µs, owed; gives granted, left, µs until full, µs
/// until `least` can be had. With 0 for least, most and owed it only looks.
///
/// A unit takes a slice of one interval out of the time before the TAT. Spent when its slice begins or sooner, it is
/// within the quota whatever others do: the TAT of what was really spent is never later than this one. Spent later it
/// would be a unit more than the bucket, which refills meanwhile, may give. So where more is taken than is spent at once,
/// the slices begin no sooner than `ahead` from now; where that leaves nothing beyond `least`, just `least` is taken.
///
/// What is owed is taken first, be it there or not, and is known from then on whatever comes of the rest. It leaves an
/// empty bucket at worst: told twice, because an answer was lost, it locks nobody out for longer than the window. Fewer
/// than none are units that were taken a moment ago, put back as if they had not been asked for.
///
/// A TAT beyond what the quota allows (the policy was tightened, or the clock went back) counts as an empty bucket.
pub static TAKE: Script = Script { name: "take", lua: LUA, native: take };

const LUA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, quota = tonumber(ARGV[1]), tonumber(ARGV[2])
local least, most, ahead, owed = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local full = now + quota * interval
local tat = tonumber(redis.call('GET', KEYS[1]) or '0')
tat = math.max(math.min(math.max(tat, now) + owed * interval, full), now)
local available = math.floor((full - tat) / interval)
local granted = 0
if available >= least then
  granted = math.min(least, most)
  local later = math.max(tat, now + ahead)
  local room = math.floor((full - later) / interval)
  if room > least and most > least then
    granted = math.min(room, most)
    tat = later
    available = room
  end
end
tat = tat + granted * interval
if granted > 0 or owed ~= 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.floor((tat - now) / 1000) + 1)
end
local retry = 0
if granted == 0 and least > 0 then retry = math.max(tat + least * interval - full, 0) end
return {granted, available - granted, tat - now, retry}";

fn take(now: i64, cell: &mut Cell, arguments: &[i64]) -> Vec<i64> {
    let [interval, quota, least, most, ahead, owed] = *arguments else { return Vec::new() };
    let full = now.saturating_add(quota.saturating_mul(interval));
    let known = cell.value.unwrap_or(0).max(now);
    let mut tat = known.saturating_add(owed.saturating_mul(interval)).min(full).max(now);
    let mut available = (full - tat) / interval.max(1);
    let mut granted = 0;
    if available >= least {
        granted = least.min(most);
        let later = tat.max(now.saturating_add(ahead));
        // Towards zero or not makes no difference: nothing is granted of what is not there.
        let room = (full - later) / interval.max(1);
        if room > least && most > least {
            (granted, tat, available) = (room.min(most), later, room);
        }
    }
    tat += granted * interval;
    if granted > 0 || owed != 0 {
        *cell = Cell { value: Some(tat), ttl_ms: (tat - now) / 1000 + 1 };
    }
    let retry = if granted == 0 && least > 0 { (tat + least * interval - full).max(0) } else { 0 };
    vec![granted, available - granted, tat - now, retry]
}

/// A bucket in this process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket(Cell);

impl Bucket {
    /// Takes units at a time in microseconds, on any clock that only goes forward.
    pub(crate) fn take(&mut self, now_us: i64, quota: Quota, least: u64, most: u64) -> Taken {
        let answer = take(now_us, &mut self.0, &quota.arguments(least, most, Duration::ZERO, 0));
        Taken::read(&answer).unwrap_or(Taken { granted: 0, left: 0, full_in: Duration::ZERO, retry_in: Duration::ZERO })
    }

    /// Makes it one that is full again no sooner than in so long.
    pub(crate) fn no_fuller_than(&mut self, now_us: i64, full_in: Duration) {
        let tat = now_us.saturating_add(i64::try_from(full_in.as_micros()).unwrap_or(i64::MAX));
        if full_in > Duration::ZERO && self.0.value.is_none_or(|known| known < tat) {
            self.0.value = Some(tat);
        }
    }

    /// Gives units back that were taken a moment ago.
    pub(crate) fn give_back(&mut self, quota: Quota, units: u64) {
        let by = quota.cost_us(units);
        self.0.value = self.0.value.map(|tat| tat.saturating_sub(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use governor::{Quota as Other, RateLimiter};
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    const MINUTE: Quota = Quota { units: 6, window_us: 60_000_000 };

    #[test]
    fn a_quota_is_spent_at_once_and_comes_back_one_by_one() {
        let mut bucket = Bucket::default();
        let start = 1_000_000_000;
        for left in (0..6).rev() {
            let taken = bucket.take(start, MINUTE, 1, 1);
            assert_eq!((taken.granted, taken.left), (1, left));
        }
        let refused = bucket.take(start, MINUTE, 1, 1);
        assert_eq!((refused.granted, refused.left, refused.retry_in.as_secs()), (0, 0, 10));
        assert_eq!(bucket.take(start + 9_999_999, MINUTE, 1, 1).granted, 0);
        assert_eq!(bucket.take(start + 10_000_000, MINUTE, 1, 1).granted, 1);
        let looked = bucket.take(start + 70_000_000, MINUTE, 0, 0);
        assert_eq!((looked.granted, looked.left, looked.full_in), (0, 6, Duration::ZERO));
    }

    #[test]
    fn least_is_all_or_nothing_and_most_is_what_there_is() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(0, MINUTE, 4, 4).granted, 4);
        let refused = bucket.take(0, MINUTE, 4, 4);
        assert_eq!((refused.granted, refused.left, refused.retry_in.as_secs()), (0, 2, 20));
        assert_eq!(bucket.take(0, MINUTE, 1, 100).granted, 2);
    }

    #[test]
    fn what_is_not_spent_at_once_takes_its_place_ahead() {
        let mut cell = Cell { value: None, ttl_ms: 0 };
        let mut step = |now, least, most| {
            let arguments =
                Quota { units: 10, window_us: 10_000_000 }.arguments(least, most, Duration::from_secs(2), 0);
            take(now, &mut cell, &arguments)
        };
        let now = 1_000_000_000;
        assert_eq!(step(now, 1, 1), [1, 9, 1_000_000, 0], "alone it is spent now");
        // From 2 s ahead to 5 s ahead.
        assert_eq!(step(now, 1, 3), [3, 5, 5_000_000, 0]);
        assert_eq!(step(now, 1, 3), [3, 2, 8_000_000, 0], "the others follow");
        assert_eq!(step(now, 1, 5), [2, 0, 10_000_000, 0], "as far as there are any");
        assert_eq!(step(now, 2, 5), [0, 0, 10_000_000, 2_000_000]);
        assert_eq!(step(now + 1_000_000, 1, 5), [1, 0, 10_000_000, 0], "the least of all where there is no more");
    }

    #[test]
    fn what_is_owed_is_taken_first_and_known_although_nothing_is_granted() {
        let mut cell = Cell { value: None, ttl_ms: 0 };
        let mut step = |now, least, most, owed| {
            let answer = take(now, &mut cell, &MINUTE.arguments(least, most, Duration::ZERO, owed));
            let ttl_ms = std::mem::take(&mut cell.ttl_ms);
            (answer, ttl_ms)
        };
        let now = 1_000_000_000;
        assert_eq!(step(now, 3, 3, 4), (vec![0, 2, 40_000_000, 10_000_000], 40_001));
        assert_eq!(step(now, 2, 2, 0), (vec![2, 0, 60_000_000, 0], 60_001), "the others are spent");
        assert_eq!(step(now, 0, 0, -2), (vec![0, 2, 40_000_000, 0], 40_001), "given back");
        assert_eq!(step(now, 0, 0, 50), (vec![0, 0, 60_000_000, 0], 60_001), "an empty bucket, nothing worse");
        assert_eq!(step(now, 0, 0, -50), (vec![0, 6, 0, 0], 1), "nor is it more than full");
        assert_eq!(step(now, 0, 0, 0), (vec![0, 6, 0, 0], 0), "a look writes nothing");
    }

    #[test]
    fn a_clock_that_goes_back_or_a_tightened_policy_locks_nobody_out_for_longer_than_the_window() {
        let mut bucket = Bucket::default();
        bucket.take(10_000_000_000, MINUTE, 6, 6);
        assert_eq!(bucket.take(0, MINUTE, 1, 1).full_in.as_secs(), 60);
        assert_eq!(bucket.take(60_000_000, MINUTE, 6, 6).granted, 0, "what was only looked at is not written");
        assert_eq!(Quota { units: 7, window_us: 60_000_000 }.interval_us(), 8_571_429, "rounded up");
        assert_eq!(MINUTE.share(4), Quota { units: 1, ..MINUTE });
    }

    proptest! {
        /// governor is an independent implementation of the same algorithm.
        #[test]
        fn it_admits_what_governor_admits(steps in proptest::collection::vec((0_u64..3_000, 1_u32..4), 1..200)) {
            let quota = Quota { units: 10, window_us: 10_000_000 };
            let clock = FakeRelativeClock::default();
            let other = Other::with_period(Duration::from_secs(1)).unwrap().allow_burst(NonZeroU32::new(10).unwrap());
            let limiter = RateLimiter::direct_with_clock(other, clock.clone());
            let mut bucket = Bucket::default();
            let mut now = 0;
            for (pause_ms, cost) in steps {
                now += i64::try_from(pause_ms).unwrap() * 1_000;
                clock.advance(Duration::from_millis(pause_ms));
                let expected = limiter.check_n(NonZeroU32::new(cost).unwrap()).unwrap().is_ok();
                prop_assert_eq!(bucket.take(now, quota, u64::from(cost), u64::from(cost)).granted > 0, expected);
            }
        }
    }
}
