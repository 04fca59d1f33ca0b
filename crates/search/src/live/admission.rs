//! How many searches run at once: a few run, a few more wait, the rest is told to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haat_catalog::ports::IndexError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets searches in.
#[derive(Debug)]
pub struct Admission {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// Counts one who waits, until it is let in or goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    /// At most `running` at once, and at most `waiting` in line.
    pub fn new(running: usize, waiting: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(running)), waiting: AtomicUsize::new(0), most_waiting: waiting }
    }

    /// Waits for a place; it is free again when the permit is dropped. A caller that goes away while it waits leaves
    /// nothing behind.
    ///
    /// # Errors
    /// [`IndexError::Overloaded`] at once when too many wait already.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, IndexError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        if before >= self.most_waiting {
            return Err(IndexError::Overloaded);
        }
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map_err(|_| IndexError::Internal("the index is closed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away_at_once() {
        let admission = Arc::new(Admission::new(1, 1));
        let running = admission.enter().await.unwrap();
        let second = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter().await.map(drop) }
        });
        while admission.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(admission.enter().await, Err(IndexError::Overloaded)));
        drop(running);
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn ten_thousand_dropped_waiters_leave_every_place_free() {
        let admission = Arc::new(Admission::new(2, 8));
        let held = (admission.enter().await.unwrap(), admission.enter().await.unwrap());
        for _ in 0..10_000 {
            let wait = tokio::time::timeout(Duration::ZERO, admission.enter());
            assert!(wait.await.is_err());
        }
        assert_eq!(admission.waiting.load(Ordering::Acquire), 0);
        drop(held);
        let (_a, _b) = (admission.enter().await.unwrap(), admission.enter().await.unwrap());
    }
}
