//! Where the index is written and searched: on threads of their own that step back for those that answer.
//!
//! A commit or a search keeps a processor busy for milliseconds, and a request whose answer is at hand, or that is to be
//! refused, should not stand behind it. What such a thread starts (tantivy's own threads, which index and merge) steps back
//! with it.

use std::io;
use std::sync::LazyLock;

use tantivy::TantivyError;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How much nicer than others these threads are (`setpriority(2)`): when everybody wants to run they get about a tenth of
/// what another thread gets, and everything when nobody does.
const NICENESS: i32 = 10;

/// Only its threads for blocking work are used.
static BACKSTAGE: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().thread_name("haat-index").on_thread_start(step_back).build());

/// Where it cannot be set, work goes on as it is.
fn step_back() {
    // Elsewhere a priority is that of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

/// Runs what blocks.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*BACKSTAGE {
        Ok(runtime) => runtime.spawn_blocking(work),
        Err(_) => tokio::task::spawn_blocking(work),
    }
}

/// The same for work on the index; a panic there is a fault of the index.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> tantivy::Result<T> + Send + 'static,
) -> tantivy::Result<T> {
    spawn(work).await.unwrap_or_else(|e| Err(TantivyError::ErrorInThread(e.to_string())))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;
    use rustix::thread::gettid;

    use super::*;

    #[tokio::test]
    async fn who_works_on_the_index_steps_back() {
        let niceness = || getpriority_process(Some(gettid())).unwrap();
        assert_eq!(spawn(niceness).await.unwrap(), niceness().max(NICENESS));
    }
}
