//! A [`Clock`] and [`Ids`] that tests move: time stands still until it is advanced, ids count upwards.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use haat_catalog::{Clock, Ids, ProductId, Timestamp};
use uuid::Uuid;

/// 2026-01-02T03:04:05Z, where a [`TestClock`] begins.
const START_MS: i64 = 1_767_323_045_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(START_MS))
    }
}

impl TestClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_millis()))
    }

    /// Moves the clock forward and gives the new time.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.0.fetch_add(ms, Ordering::SeqCst).saturating_add(ms))
    }

    /// Puts the clock at `at`, which may lie in its past.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Ids that count upwards from a place of their own: the same in every run.
#[derive(Debug, Default)]
pub struct TestIds(AtomicU64);

impl TestIds {
    /// Ids that begin after `start`.
    pub fn starting_at(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }
}

impl Ids for TestIds {
    fn next_id(&self) -> ProductId {
        test_id(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// The `n`-th test id: shaped like a UUID version 7, ordered by `n`.
pub fn test_id(n: u64) -> ProductId {
    const VERSION_AND_VARIANT: u128 = (7 << 76) | (2 << 62);
    let (high, low) = ((u128::from(n) >> 30) << 80, u128::from(n) & ((1 << 30) - 1));
    ProductId::from(Uuid::from_u128((0x0190_u128 << 112) | high | VERSION_AND_VARIANT | low))
}
