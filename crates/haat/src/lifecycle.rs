//! From the first signal to the last breath: soft shutdown, then hard; and the workers that live in between.
//!
//! The first SIGTERM or SIGINT asks everybody to finish what they have begun; the second one ends the process where it
//! stands. Nothing acknowledged is lost in either case: what a client was told is in SQL already, and the index takes up
//! at its last commit.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Whether this process is to stop, and how soon.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Lifecycle {
    /// Listens to SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn of_process() -> io::Result<Self> {
        let lifecycle = Self::default();
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(lifecycle.clone().listen(signals));
        Ok(lifecycle)
    }

    async fn listen(self, (mut terminate, mut interrupt): (Signal, Signal)) {
        let mut next = async || tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
        let name = next().await;
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        self.soft.cancel();
        let name = next().await;
        tracing::warn!(signal = name, "stopping at once");
        self.hard.cancel();
    }

    /// Cancelled when the process is to finish and stop.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when it is to stop where it stands.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }
}

/// Work in the background that goes on until it is told to stop.
#[derive(Debug, Default)]
pub struct Workers {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
}

impl Workers {
    /// Starts a worker; it is given what tells it to stop.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(CancellationToken) -> F,
    ) {
        let work = work(self.stop.clone());
        self.tasks.spawn(async move {
            work.await;
            name
        });
    }

    /// Waits until a worker ends without having been told to, which none should; says which.
    pub async fn one_died(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(name)) => format!("the {name} worker has ended"),
            Some(Err(e)) => format!("a worker has failed: {e}"),
            None => std::future::pending().await,
        }
    }

    /// Tells all to stop and waits for them; gives those up that take longer than `within`.
    pub async fn stop(mut self, within: Duration) {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(e) = ended {
                    tracing::error!(error = %e, "a worker has failed while stopping");
                }
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!(seconds = within.as_secs(), "workers did not stop in time; going on without them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_dies_is_noticed_and_the_others_can_still_be_stopped() {
        let mut workers = Workers::default();
        workers.start("steady", |stop| async move { stop.cancelled().await });
        workers.start("brief", |_| async {});
        assert!(workers.one_died().await.contains("brief"));
        workers.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn a_worker_that_does_not_stop_does_not_hold_up_the_end() {
        let mut workers = Workers::default();
        workers.start("stubborn", |_| std::future::pending());
        workers.stop(Duration::from_millis(20)).await;
    }
}
