//! One connection, from its first byte to its end.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{convert::Infallible, future::poll_fn, pin::Pin};

use axum::body::Body;
use http::{Request, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Busy};
use super::bare::BareAnswers;
use super::express::Express;
use super::socket::Socket;
use crate::access::LastShown;
use crate::api::Api;
use crate::options::HttpOptions;
use crate::state::{Draining, Hostless, Peer};

/// The largest head that is read at all. Beyond it the protocol library refuses; below it our own limits do.
const MAX_HEAD: usize = 64 * 1024;
/// So many header fields the protocol library reads without allocating for them; it refuses more unless told otherwise.
const FREE_HEADERS: usize = 100;
/// How many streams a client may have open on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// What is buffered of an answer on one HTTP/2 stream.
const STREAM_BUFFER: usize = 64 * 1024;
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long a connection that was told to go may take to do so.
const GOODBYE: Duration = Duration::from_secs(1);

/// What all connections share.
pub(super) struct Served {
    api: Api,
    builder: Builder<TokioExecutor>,
    bare: Arc<BareAnswers>,
    idle: Duration,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl Served {
    pub fn new(api: Api, options: &HttpOptions, shutdown: CancellationToken, abort: CancellationToken) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        // Heads that take too long are the connection loop's business, which knows of requests that the library does not.
        builder.http1().header_read_timeout(None).max_buf_size(MAX_HEAD);
        if options.max_headers > FREE_HEADERS {
            builder.http1().max_headers(options.max_headers);
        }
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD as u32)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        let bare = Arc::new(BareAnswers::new(options.errors_url.clone()));
        Self { api, builder, bare, idle: options.header_read_timeout, shutdown, abort }
    }

    /// Serves a connection until either side ends it, it stands idle for too long, or the server drains.
    pub async fn run(self: &Arc<Self>, stream: TcpStream) {
        let stream = Arc::new(stream);
        let activity = Arc::new(Activity::default());
        let (served, busy) = (Arc::clone(self), Arc::clone(&activity));
        // A connection that ended already has none; nobody will read the answer then.
        let peer = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        let express = Express::new(self.api.clone(), Peer(peer));
        let socket = Socket::new(Arc::clone(&stream), Arc::clone(&self.bare), Arc::clone(&activity), express);
        let socket = TokioIo::new(socket);
        let service = service_fn(move |request| answer(Arc::clone(&served), Peer(peer), request, busy.clone()));
        let mut refused = false;
        {
            let mut connection = pin!(self.builder.serve_connection(socket, service));
            let mut ending: Option<Instant> = None;
            let mut draining = false;
            let mut stopping = pin!(self.shutdown.cancelled());
            loop {
                let wake = ending.unwrap_or_else(|| activity.idle_at(self.idle));
                // Only once the connection has had its turn is it known whether an answer is still on its way.
                let mut stop =
                    poll_fn(|cx| if activity.is_held() { Poll::Pending } else { stopping.as_mut().poll(cx) });
                tokio::select! {
                    biased;
                    result = connection.as_mut() => {
                        if let Err(error) = result {
                            tracing::debug!(%error, "connection ended");
                            refused = true;
                        }
                        break;
                    }
                    () = self.abort.cancelled() => return,
                    () = &mut stop, if !draining => {
                        draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = sleep_until(wake) => {
                        if ending.is_some() && activity.is_idle() {
                            return;
                        }
                        if activity.idle_at(self.idle) <= Instant::now() {
                            // HTTP/2 clients are told (GOAWAY) and may finish what they just began.
                            connection.as_mut().graceful_shutdown();
                            ending = Some(Instant::now() + GOODBYE);
                        } else {
                            ending = None;
                        }
                    }
                }
            }
        }
        if refused || activity.left_unread() || super::socket::has_unread(&stream) {
            super::socket::linger(&stream, &self.abort).await;
        }
    }
}

async fn answer(
    served: Arc<Served>,
    peer: Peer,
    mut request: Request<Incoming>,
    activity: Arc<Activity>,
) -> Result<Response<Tracked>, Infallible> {
    let busy = Busy::begin(activity);
    let hostless = request.version() == Version::HTTP_11 && request.headers().get_all(header::HOST).iter().count() != 1;
    let bare = !hostless && request.body().is_end_stream();
    if bare && let Some(response) = served.api.at_hand(&request, peer, &mut LastShown::default()) {
        return Ok(response.map(|body| Tracked { body: Body::from(body), _busy: busy }));
    }
    if hostless {
        request.extensions_mut().insert(Hostless);
    }
    request.extensions_mut().insert(Draining(served.shutdown.clone()));
    request.extensions_mut().insert(peer);
    let request = request.map(|body| Body::new(Inbound { body, ended: false, activity: busy.activity() }));
    let response = served.api.route(request).await?;
    Ok(response.map(|body| Tracked { body, _busy: busy }))
}

/// A request's body, which notes when it is given up: its sender may still be sending.
struct Inbound {
    body: Incoming,
    ended: bool,
    activity: Arc<Activity>,
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.activity.leave_unread();
        }
    }
}

impl HttpBody for Inbound {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, which keeps its connection busy until it is sent or dropped.
struct Tracked {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Tracked {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
