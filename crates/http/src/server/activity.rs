//! Whether anything is going on at a connection, and since when nothing is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Writes shorter than this are the protocol's own (an HTTP/2 ping, an acknowledgement), not part of an answer.
const SMALL_TALK: usize = 64;

/// What requests and the socket note, and the connection's loop looks at.
#[derive(Default)]
pub(super) struct Activity {
    going: Mutex<Going>,
    /// Whether an answer that the protocol library knows nothing of waits for the client to take it.
    held: AtomicBool,
}

struct Going {
    requests: usize,
    /// How many requests there have been.
    begun: u64,
    /// Whether a body was given up before its end.
    unread: bool,
    /// Whether bytes wait for the client to take them. An answer leaves the handler long before it leaves the machine.
    unsent: bool,
    last: Instant,
}

impl Default for Going {
    fn default() -> Self {
        Self { requests: 0, begun: 0, unread: false, unsent: false, last: Instant::now() }
    }
}

impl Activity {
    fn with<T>(&self, f: impl FnOnce(&mut Going) -> T) -> T {
        f(&mut self.going.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn is_idle(&self) -> bool {
        self.with(|going| going.requests == 0 && !going.unsent)
    }

    /// How many requests the protocol library has begun.
    pub fn begun(&self) -> u64 {
        self.with(|going| going.begun)
    }

    /// Whether the connection must not be told to end yet, for an answer of which the protocol library knows nothing.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Sets whether it must not.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    pub fn left_unread(&self) -> bool {
        self.with(|going| going.unread)
    }

    /// Notes that a body was given up before its end.
    pub fn leave_unread(&self) {
        self.with(|going| going.unread = true);
    }

    /// Notes that the client took so many bytes.
    pub fn sent(&self, bytes: usize) {
        self.with(|going| {
            going.unsent = false;
            if bytes >= SMALL_TALK {
                going.last = Instant::now();
            }
        });
    }

    /// Notes that bytes wait for the client.
    pub fn blocked(&self) {
        self.with(|going| going.unsent = true);
    }

    /// When the connection will have been idle for `limit`; while it is busy, not before that from now.
    pub fn idle_at(&self, limit: Duration) -> Instant {
        self.with(|going| if going.requests == 0 && !going.unsent { going.last } else { Instant::now() }) + limit
    }
}

/// A request from its head until its answer's last piece was handed to the protocol.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub fn begin(activity: Arc<Activity>) -> Self {
        activity.with(|going| {
            going.requests += 1;
            going.begun += 1;
        });
        Self(activity)
    }

    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.0)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.with(|going| {
            going.requests -= 1;
            going.last = Instant::now();
        });
    }
}
