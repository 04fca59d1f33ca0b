//! The socket as the protocol library sees it: writes that stall have an end, answers that the library makes by
//! itself are given a problem as body, and closing leaves time for the answer to arrive.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::bare::BareAnswers;
use super::express::Express;

/// How long a client may leave an answer unread.
pub(super) const STALL: Duration = Duration::from_secs(30);
/// How long, and how much, is still read of a client that was answered before it had sent everything.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// One side of a connection. The stream is shared with [`linger`], which comes after the protocol library.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    bare: Arc<BareAnswers>,
    activity: Arc<Activity>,
    express: Express,
    /// Whether a whole line was read since something was last written: what is refused before that is a first line
    /// without an end.
    line_read: bool,
    /// What replaces an answer of the library and is still to be written.
    replaced: Vec<u8>,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub fn new(stream: Arc<TcpStream>, bare: Arc<BareAnswers>, activity: Arc<Activity>, express: Express) -> Self {
        Self { stream, bare, activity, express, replaced: Vec::new(), line_read: false, stalled: None }
    }

    /// Writes by `attempt` once the stream can be written to; an error once it could not for [`STALL`].
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.poll_write_ready(cx)? {
                Poll::Ready(()) => match attempt(&self.stream) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    result => {
                        self.stalled = None;
                        self.activity.sent(*result.as_ref().unwrap_or(&0));
                        return Poll::Ready(result);
                    }
                },
                Poll::Pending => {
                    self.activity.blocked();
                    let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
                    ready!(stalled.as_mut().poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
    }

    /// Writes what comes before anything else of the protocol library.
    fn poll_before(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.express.has_answer() {
            ready!(self.poll_answers(cx))?;
        }
        self.poll_replaced(cx)
    }

    /// Writes what replaces an answer.
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replaced.is_empty() {
            let bytes = std::mem::take(&mut self.replaced);
            let written = self.poll_io(cx, |stream| stream.try_write(&bytes));
            self.replaced = bytes;
            let written = ready!(written)?;
            self.replaced.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads without waiting. What comes back smaller than there was room for was all there was: the next read need not ask
/// the system to be told so.
fn try_read(stream: &TcpStream, room: usize, read: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    let mut result = None;
    // An error of this kind is how the stream is told that it is empty.
    let emptied = stream.try_io(Interest::READABLE, || {
        let got = read()?;
        result = Some(got);
        if (1..room).contains(&got) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (result, emptied) {
        (Some(got), _) => Ok(got),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(0),
    }
}

impl Socket {
    /// Reads by `attempt`, which is given the rest, once there is something to read.
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut Express, &TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match attempt(&mut self.express, &self.stream) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes what was answered without the protocol library.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.express.has_answer() {
            // Taken out and put back, because writing needs the rest of the socket.
            let answer = self.express.take_answer();
            let written = self.poll_io(cx, |stream| match answer.slices() {
                [head, body] if body.is_empty() => stream.try_write(&head),
                both => stream.try_write_vectored(&both),
            });
            self.express.put_back(answer);
            self.activity.hold(written.is_pending());
            self.express.wrote(ready!(written)?);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads for the protocol library: what was read here before, else from the connection, up to the end of the message
    /// if that is known.
    fn poll_passed(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let here = self.express.pass(buf.remaining());
        if here.is_empty() {
            let most = self.express.allowance().and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
            let room = buf.remaining().min(most);
            let read = self.poll_read_with(cx, |_, stream| {
                let into = buf.initialize_unfilled_to(room);
                try_read(stream, room, || stream.try_read(into))
            });
            let got = ready!(read)?;
            buf.advance(got);
            self.express.passed(u64::try_from(got).unwrap_or(u64::MAX));
        } else {
            buf.put_slice(&here);
        }
        // Of the bytes of a body the first newline is enough as well.
        self.line_read = self.line_read || buf.filled().iter().skip(before).any(|&b| b == b'\n');
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.express.is_open() {
            ready!(self.poll_answers(cx))?;
            if self.express.is_empty() {
                let read = self.poll_read_with(cx, |express, stream| {
                    let room = express.room();
                    try_read(stream, room.capacity() - room.len(), || stream.try_read_buf(room))
                });
                if ready!(read)? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            let begun = self.activity.begun();
            self.express.look(begun);
        }
        self.poll_passed(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_before(cx))?;
        let line_read = std::mem::take(&mut self.line_read);
        if let Some(answer) = self.bare.replacement(buf, line_read) {
            self.replaced = answer;
            return Poll::Ready(Ok(buf.len()));
        }
        self.poll_io(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            // What the library answers by itself is a head alone: one buffer.
            [only] => self.poll_write(cx, only),
            _ => {
                ready!(self.poll_before(cx))?;
                self.line_read = false;
                self.poll_io(cx, |stream| stream.try_write_vectored(bufs))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_before(cx))?;
        if self.activity.is_idle() {
            let begun = self.activity.begun();
            self.express.settled(begun);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_before(cx))?;
        Poll::Ready(shut_down_write(&self.stream))
    }
}

fn shut_down_write(stream: &TcpStream) -> io::Result<()> {
    match socket2::SockRef::from(stream).shutdown(Shutdown::Write) {
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// Whether the client has sent something that nobody will answer, requests ahead of their turn.
pub(super) fn has_unread(stream: &TcpStream) -> bool {
    let mut one = [std::mem::MaybeUninit::uninit()];
    socket2::SockRef::from(stream).peek(&mut one).is_ok_and(|n| n > 0)
}

/// Reads on, for a while, what a client still sends. Closing with unread bytes makes the kernel reset the connection,
/// and a reset can destroy the answer (a 413, say) before the client has read it.
pub(super) async fn linger(stream: &TcpStream, abort: &CancellationToken) {
    if shut_down_write(stream).is_err() {
        return;
    }
    let deadline = Instant::now() + LINGER;
    let mut left = LINGER_BYTES;
    let mut scrap = vec![0; 16 * 1024];
    while left > 0 {
        let readable = tokio::select! {
            () = abort.cancelled() => return,
            readable = timeout(deadline.saturating_duration_since(Instant::now()), stream.readable()) => readable,
        };
        if !matches!(readable, Ok(Ok(()))) {
            return;
        }
        match stream.try_read(&mut scrap) {
            Ok(0) => return,
            Ok(n) => left = left.saturating_sub(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Peer;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let nothing = Express::new(axum::Router::new().into(), Peer([127, 0, 0, 1].into()));
        (Socket::new(Arc::new(server), Arc::new(BareAnswers::new("/e".into())), Arc::default(), nothing), client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut socket, _client) = pair().await;
        let piece = vec![b'x'; 1024 * 1024];
        let error = loop {
            if let Err(error) = socket.write_all(&piece).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn bytes_pass_unchanged() {
        use tokio::io::AsyncReadExt;
        let (mut socket, mut client) = pair().await;
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "HTTP/1.1 200 OK\r\n\r\n");
    }
}
