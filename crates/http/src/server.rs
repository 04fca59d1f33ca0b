//! The server loop: accepts connections up to a cap, serves each in a task, and drains on shutdown.
//!
//! `axum::serve` is not used because it installs no timer, so a client that sends its request's head a byte a minute
//! would hold a connection forever, and a shutdown with it. Here every state that a connection can be in has an end:
//!
//! | state | ends by |
//! |---|---|
//! | connected, nothing sent; idle between requests | `header_read_timeout` |
//! | request head under way | `header_read_timeout` |
//! | request body under way | `request_timeout`, for the whole or, in imports, for each silence |
//! | handler at work | `request_timeout` |
//! | answer under way, client not reading | [`socket::STALL`]; on HTTP/2, where unread answers wait in their windows, `header_read_timeout` |
//! | shutdown | `drain_timeout`, then the connection is dropped |
//!
//! Beyond `max_connections` nothing is accepted: further clients wait in the kernel's backlog, which is bounded.

mod activity;
mod bare;
mod connection;
mod express;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::options::HttpOptions;
use connection::Served;

/// How long to wait after the system refused to accept (usually for want of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves `api` on `listener` until `shutdown`; then stops accepting, lets requests in flight finish for up to
/// `drain_timeout`, and returns.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    options: &HttpOptions,
    shutdown: CancellationToken,
) -> io::Result<()> {
    listener.local_addr()?;
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(options.max_connections.max(1)));
    let abort = CancellationToken::new();
    let served = Arc::new(Served::new(api, options, shutdown.clone(), abort.clone()));
    loop {
        let next = async { (slots.clone().acquire_owned().await, accept(&listener).await) };
        let (slot, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let served = Arc::clone(&served);
        connections.spawn(async move {
            let _slot = slot;
            served.run(stream).await;
        });
    }
    // From here on the kernel refuses new connections, so that a balancer goes elsewhere at once.
    drop(listener);
    connections.close();
    tracing::info!(connections = connections.len(), "draining");
    if tokio::time::timeout(options.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain timeout: connections are dropped");
        abort.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// The next connection. Errors of a single connection are passed over; others are given a moment to pass.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole; waiting to fill a segment only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY refused");
                }
                return stream;
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}
