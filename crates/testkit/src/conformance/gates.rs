//! Where tests hold an implementation back, to bring about an order of events that is rare otherwise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

/// Holds transactions back before their commit while it is closed.
#[derive(Clone)]
pub struct Gate {
    /// How many may still pass.
    admits: watch::Sender<u64>,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    /// An open gate.
    fn default() -> Self {
        Self { admits: watch::Sender::new(u64::MAX), waiting: watch::Sender::new(0) }
    }
}

impl Gate {
    /// Holds back who comes from now on.
    pub fn close(&self) {
        self.admits.send_replace(0);
    }

    /// Lets everybody go.
    pub fn open(&self) {
        self.admits.send_replace(u64::MAX);
    }

    /// Lets so many go, and no more.
    pub fn admit(&self, count: u64) {
        self.admits.send_replace(count);
    }

    /// Lets one through a closed gate, and waits until it is through.
    pub async fn let_one_pass(&self) {
        self.admits.send_modify(|n| *n += 1);
        let _ = self.admits.subscribe().wait_for(|n| *n == 0).await;
    }

    /// What the store awaits before a commit.
    pub async fn pass(&self) {
        self.waiting.send_modify(|n| *n += 1);
        let mut admits = self.admits.subscribe();
        loop {
            let _ = admits.wait_for(|n| *n > 0).await;
            let admitted = self.admits.send_if_modified(|n| {
                let admitted = *n > 0;
                if admitted {
                    // Counted out before it counts as admitted, so that nobody takes it for still waiting.
                    self.waiting.send_modify(|waiting| *waiting -= 1);
                }
                if *n != u64::MAX {
                    *n = n.saturating_sub(1);
                }
                admitted
            });
            if admitted {
                return;
            }
        }
    }

    /// Waits until a transaction stands at the closed gate.
    pub async fn someone_waits(&self) {
        let _ = self.waiting.subscribe().wait_for(|n| *n > 0).await;
    }
}

/// Where whoever comes while it is closed waits in a queue, to be let go one by one in the order of coming.
#[derive(Clone)]
pub struct Queue {
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
    /// Whether it is closed, and how many have come since.
    came: watch::Sender<Option<usize>>,
}

impl Default for Queue {
    /// One that lets everybody pass.
    fn default() -> Self {
        Self { waiting: Arc::default(), came: watch::Sender::new(None) }
    }
}

impl Queue {
    /// Holds back who comes from now on.
    pub fn close(&self) {
        self.came.send_replace(Some(0));
    }

    /// What the implementation awaits.
    pub async fn pass(&self) {
        let (go, told) = oneshot::channel();
        let held = self.came.send_if_modified(|came| {
            let Some(count) = came else { return false };
            *count += 1;
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(go);
            true
        });
        if held {
            let _ = told.await;
        }
    }

    /// Waits until so many have come since it was closed.
    pub async fn have_come(&self, count: usize) {
        let _ = self.came.subscribe().wait_for(|came| came.is_some_and(|came| came >= count)).await;
    }

    /// Lets the first of those who wait go.
    pub fn let_first_go(&self) {
        let first = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(go) = first {
            let _ = go.send(());
        }
    }

    /// Lets everybody pass who comes from now on; who waits goes on waiting.
    pub fn open(&self) {
        self.came.send_replace(None);
    }
}
