//! How many calls to one upstream may be under way at once: a slow one must not take everything that the process has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{Instant, timeout_at};

/// So many places, given in order of arrival, and so many who may wait for one.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    /// Tokio's semaphore is fair.
    places: Arc<Semaphore>,
    all: usize,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// No place was free, and there was no waiting for one, or not long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saturated;

/// One who waits; no longer when it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Bulkhead {
    pub fn new(places: usize, most_waiting: usize) -> Self {
        let all = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(all)), all, waiting: AtomicUsize::new(0), most_waiting }
    }

    /// Takes a place, or waits for one until `deadline`.
    pub async fn enter(&self, deadline: Instant) -> Result<Place, Saturated> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => return Ok(Place { _permit: permit }),
            Err(TryAcquireError::Closed) => return Err(Saturated),
            Err(TryAcquireError::NoPermits) => {}
        }
        let joined = |n| (n < self.most_waiting).then_some(n + 1);
        self.waiting.fetch_update(Ordering::AcqRel, Ordering::Relaxed, joined).map_err(|_| Saturated)?;
        let _waiting = Waiting(&self.waiting);
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(Saturated),
        }
    }

    /// How many places are taken.
    pub fn at_work(&self) -> usize {
        self.all.saturating_sub(self.places.available_permits())
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    fn in_a_second() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_enter_so_many_wait_in_order_and_the_rest_is_refused() {
        let bulkhead = Bulkhead::new(2, 2);
        let first = bulkhead.enter(in_a_second()).await.unwrap();
        let _second = bulkhead.enter(in_a_second()).await.unwrap();
        let mut third = Box::pin(bulkhead.enter(in_a_second()));
        let mut fourth = Box::pin(bulkhead.enter(in_a_second()));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.enter(in_a_second()).await.unwrap_err(), Saturated);
        assert_eq!((bulkhead.at_work(), bulkhead.waiting()), (2, 2));
        drop(first);
        assert!(bulkhead.enter(in_a_second()).now_or_never().is_none_or(|e| e.is_err()), "nobody overtakes");
        assert!(fourth.as_mut().now_or_never().is_none());
        assert!(third.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_deadline_and_leaves_nothing_behind() {
        let bulkhead = Bulkhead::new(1, 5);
        let place = bulkhead.enter(in_a_second()).await.unwrap();
        let began = Instant::now();
        assert_eq!(bulkhead.enter(in_a_second()).await.unwrap_err(), Saturated);
        assert!(began.elapsed() <= Duration::from_millis(1_001));
        let mut given_up = Box::pin(bulkhead.enter(in_a_second()));
        assert!(given_up.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.waiting(), 1);
        drop(given_up);
        drop(place);
        assert_eq!((bulkhead.at_work(), bulkhead.waiting()), (0, 0));
        assert!(bulkhead.enter(in_a_second()).await.is_ok());
    }
}
