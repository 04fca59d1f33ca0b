//! The stage that every test plays on: a data folder, a database, and a `haat` process that can be killed, frozen and
//! started again on them.

mod catalogue;
mod client;
mod fleet;
mod server;
mod stage;

use std::time::{Duration, Instant};

pub use catalogue::{least, ndjson, products_of};
pub use client::{Reply, ids, skus};
pub use fleet::{Fleet, Seed};
pub use server::{Server, signal};
pub use stage::{Backend, Stage};

/// How long anything may take that takes no time on an idle machine: a busy one may be ten times slower, and what is
/// broken never comes.
pub const SOON: Duration = Duration::from_secs(60);

/// Asks again and again until `attempt` gives something, and gives that.
///
/// # Panics
/// When the deadline passes first; `what` names what did not happen.
pub async fn eventually<T>(what: &str, within: Duration, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(started.elapsed() < within, "within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
