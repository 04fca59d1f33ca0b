//! The server loop: HTTP/1.1, one task for each connection.
//!
//! `axum::serve` is not used: it installs no timer, so a client that sends nothing would be waited for for ever, and no
//! handler there can close a connection without an answer.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::gate::HungUp;
use crate::options::Options;
use crate::routes::router;
use crate::upstream::Upstream;

/// How long a connection may stand idle, or take over the head of a request.
const IDLE: Duration = Duration::from_secs(60);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long answers may still be written for once the server stops.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long to wait after the system refused to accept (usually for want of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves on `listener` until `stop`. What waits then, in a fault or for its latency, ends without an answer; what is being
/// written has a second to arrive.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve(listener: TcpListener, options: Options, stop: CancellationToken) -> io::Result<()> {
    listener.local_addr()?;
    let upstream = Arc::new(Upstream::new(&options, stop));
    run(listener, upstream, options.max_connections).await;
    Ok(())
}

/// Serves until the upstream stops.
pub(crate) async fn run(listener: TcpListener, upstream: Arc<Upstream>, max_connections: usize) {
    let stop = upstream.stop.clone();
    let router = router(upstream);
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        let next = async { (Arc::clone(&slots).acquire_owned().await, accept(&listener).await) };
        let (slot, stream) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            let _slot = slot;
            attend(stream, router, stop).await;
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection. Errors are given a moment to pass.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY refused");
                }
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up on purpose")]
struct Dropped;

/// Serves a connection until either side ends it, or the server stops.
async fn attend(stream: TcpStream, router: Router, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            // The protocol library closes the connection of a request that fails.
            if response.extensions().get::<HungUp>().is_some() { Err(Dropped) } else { Ok(response) }
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(MAX_HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GOODBYE, connection).await.ok()
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
