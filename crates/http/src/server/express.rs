//! The short way: a request for an answer that is at hand is answered before the protocol library sees it.
//!
//! It stands where the library reads. Between two messages it looks at what comes: a plain `GET` (HTTP/1.1, one `Host`, no
//! body, nothing about the connection itself) whose answer is at hand is answered on the spot; every other message is
//! passed on untouched, and until the library has answered it and everything is written, nothing is taken out of its way.
//! Where the end of a message cannot be told (chunked bodies, heads that come in pieces, pipelining across a message that
//! was passed on, HTTP/2), the library has the connection from there on to itself.

use std::io::IoSlice;
use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::access::LastShown;
use crate::api::Api;
use crate::state::Peer;

/// Heads that are longer than this are the library's.
const HEAD: usize = 8 * 1024;
/// Header fields beyond this number are the library's.
const FIELDS: usize = 48;

/// One connection's short way.
pub(super) struct Express {
    api: Api,
    peer: Peer,
    /// What was read and belongs to nobody yet, or is still to be passed on.
    inbox: BytesMut,
    way: Way,
    outbox: Outbox,
    last: LastShown,
}

/// The head and the body of an answer, as far as they are not written.
#[derive(Default)]
pub(super) struct Outbox {
    head: BytesMut,
    body: Bytes,
}

impl Outbox {
    pub fn slices(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.head), IoSlice::new(&self.body)]
    }
}

/// Whose the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A message begins here.
    Open,
    /// The library's: so many more bytes of a message, of which it had begun so many before.
    Passing { left: u64, begun: u64 },
    /// The library's, and for good.
    Closed,
}

/// What is at the beginning of the inbox.
enum Next {
    /// A request whose answer is now in the outbox.
    Answered,
    /// A message of that length.
    Pass(u64),
    /// Nobody can tell.
    Unclear,
}

impl Express {
    pub fn new(api: Api, peer: Peer) -> Self {
        Self {
            api,
            peer,
            inbox: BytesMut::new(),
            way: Way::Open,
            outbox: Outbox::default(),
            last: LastShown::default(),
        }
    }

    /// Whether a message begins with the next byte: only then may anything be taken out of the library's way.
    pub fn is_open(&self) -> bool {
        self.way == Way::Open
    }

    /// Room to read into.
    pub fn room(&mut self) -> &mut BytesMut {
        self.inbox.reserve(HEAD);
        &mut self.inbox
    }

    /// How many bytes the library may read from the connection; `None` for as many as it wants.
    pub fn allowance(&self) -> Option<u64> {
        match self.way {
            // Read here first; nobody asks then.
            Way::Open => Some(0),
            // Further bytes would be another message's; the library looks whether the client is still there.
            Way::Passing { left: 0, .. } | Way::Closed => None,
            Way::Passing { left, .. } => Some(left),
        }
    }

    /// Notes that the library was given so many bytes of the connection.
    pub fn passed(&mut self, bytes: u64) {
        if let Way::Passing { left, .. } = &mut self.way {
            match left.checked_sub(bytes) {
                Some(rest) => *left = rest,
                // More than the message: another one came before the first was answered.
                None => self.way = Way::Closed,
            }
        }
    }

    /// What was read here and is the library's.
    pub fn pass(&mut self, most: usize) -> Bytes {
        let bytes = match self.way {
            Way::Open => 0,
            Way::Passing { .. } | Way::Closed => self.inbox.len().min(most),
        };
        let given = self.inbox.split_to(bytes).freeze();
        self.passed(u64::try_from(bytes).unwrap_or(u64::MAX));
        given
    }

    /// Notes that everything is written and nothing is at work, `begun` messages having been begun so far: the message that
    /// was passed on is answered then, and another begins.
    pub fn settled(&mut self, begun: u64) {
        if let Way::Passing { left: 0, begun: before } = self.way
            && begun > before
        {
            self.way = Way::Open;
        }
    }

    /// Looks at the message at the beginning of the inbox: it is answered, or from here on the library's.
    pub fn look(&mut self, begun: u64) {
        match self.next() {
            Next::Answered => {}
            Next::Pass(length) if length >= u64::try_from(self.inbox.len()).unwrap_or(u64::MAX) => {
                self.way = Way::Passing { left: length, begun };
            }
            // With something behind it that is another message's, its end cannot be watched.
            Next::Pass(_) | Next::Unclear => self.way = Way::Closed,
        }
    }

    /// Whether there is nothing read that is not dealt with.
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Whether an answer is to be written.
    pub fn has_answer(&self) -> bool {
        self.outbox.head.has_remaining() || self.outbox.body.has_remaining()
    }

    /// What is to be written; it is to be put back.
    pub fn take_answer(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    /// See [`Self::take_answer`].
    pub fn put_back(&mut self, answer: Outbox) {
        self.outbox = answer;
    }

    /// Notes that so many bytes of the answer are written.
    pub fn wrote(&mut self, bytes: usize) {
        let Outbox { head, body } = &mut self.outbox;
        let of_head = bytes.min(head.len());
        head.advance(of_head);
        body.advance((bytes - of_head).min(body.len()));
    }

    fn next(&mut self) -> Next {
        // A copy, because what the answer takes from the request outlives the inbox; heads are small.
        let bytes = Bytes::copy_from_slice(&self.inbox);
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(&bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) | Err(_) => return Next::Unclear,
        };
        let head = Head { request: &parsed, length };
        let Some(message) = head.message_length() else { return Next::Unclear };
        let plain = if head.is_plain() { head.in_full(&bytes, &self.last) } else { None };
        let Some(response) = plain.and_then(|request| self.api.at_hand(&request, self.peer, &mut self.last)) else {
            return Next::Pass(message);
        };
        self.inbox.advance(length);
        let Outbox { head, body } = &mut self.outbox;
        head.clear();
        write_head(head, &response);
        *body = response.into_body();
        Next::Answered
    }
}

/// A request's head, read.
struct Head<'a> {
    request: &'a httparse::Request<'a, 'a>,
    length: usize,
}

impl Head<'_> {
    fn field(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let name = name.as_str();
        self.request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    fn has(&self, name: &HeaderName) -> bool {
        self.field(name).next().is_some()
    }

    /// How long the message is, head and body; `None` when that is not plain to see.
    fn message_length(&self) -> Option<u64> {
        let head = u64::try_from(self.length).ok()?;
        let mut lengths = self.field(&header::CONTENT_LENGTH);
        let length = lengths.next();
        let special = self.has(&header::TRANSFER_ENCODING) || self.has(&header::UPGRADE) || lengths.next().is_some();
        // What ends with its connection is no longer watched.
        let keeps = self.request.version == Some(1)
            && self.field(&header::CONNECTION).all(|value| value.eq_ignore_ascii_case(b"keep-alive"));
        if special || !keeps {
            return None;
        }
        match length {
            None => Some(head),
            Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?.checked_add(head)
            }
            Some(_) => None,
        }
    }

    /// Whether it is a request that may have its answer at hand.
    fn is_plain(&self) -> bool {
        self.request.method == Some("GET")
            && self.request.path.is_some_and(|path| path.starts_with('/'))
            && self.field(&header::HOST).count() == 1
            && !self.has(&header::CONTENT_LENGTH)
            && !self.has(&header::EXPECT)
    }

    /// As everyone else reads it. `bytes` is what the head was read from; what is the same as the `last` time needs no
    /// checking again.
    fn in_full(&self, bytes: &Bytes, last: &LastShown) -> Option<Request<()>> {
        let mut request = Request::new(());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(self.request.path?.as_bytes())).ok()?;
        let mut headers = HeaderMap::with_capacity(self.request.headers.len());
        for field in self.request.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            let known = if name == header::AUTHORIZATION { last.same_as(field.value) } else { None };
            let value = match known {
                Some(value) => value.clone(),
                None => HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).ok()?,
            };
            headers.append(name, value);
        }
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// Writes the head of an answer, which has its `Date` already, as the library would.
fn write_head(out: &mut BytesMut, response: &Response<Bytes>) {
    out.reserve(1024);
    out.extend_from_slice(match response.status() {
        StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
        _ => b"HTTP/1.1 200 OK\r\n",
    });
    for (name, value) in response.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    // The length of what is not sent is not told (RFC 9110 §8.6: a server may).
    if response.status() != StatusCode::NOT_MODIFIED {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(digits.format(response.body().len()).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn express(bytes: &str) -> Express {
        let mut express = Express::new(axum::Router::new().into(), Peer([127, 0, 0, 1].into()));
        express.room().extend_from_slice(bytes.as_bytes());
        express.look(0);
        express
    }

    #[test]
    fn a_message_is_passed_on_to_its_end_and_the_way_is_open_again_once_it_is_answered() {
        for (head, body) in [
            ("GET /a HTTP/1.1\r\nhost: h\r\n\r\n", 0),
            ("PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 7\r\nconnection: keep-alive\r\n\r\n", 7),
        ] {
            let mut express = express(head);
            assert!(!express.is_open());
            assert_eq!(express.pass(5), head.as_bytes()[..5]);
            assert_eq!(express.pass(usize::MAX), head.as_bytes()[5..]);
            assert_eq!(express.allowance(), (body > 0).then_some(body));
            express.settled(1);
            assert_eq!(express.is_open(), body == 0, "not before the body");
            express.passed(body);
            express.settled(0);
            assert_eq!(express.is_open(), body == 0, "not before the library has begun with it");
            express.settled(1);
            assert!(express.is_open());
        }
    }

    #[test]
    fn where_the_end_of_a_message_is_not_plain_the_library_has_the_connection() {
        for bytes in [
            "GET /a HTTP/1.1\r\nhost: h\r\n",
            "GET /a HTTP/1.1\r\nhost: h\r\n\r\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n",
            "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\n",
            "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 18446744073709551615\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
            "GET /a HTTP/1.0\r\nhost: h\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01",
        ] {
            let mut express = express(bytes);
            assert_eq!(express.pass(usize::MAX), bytes.as_bytes(), "{bytes:?}");
            express.settled(1);
            assert!(!express.is_open(), "{bytes:?}");
        }
    }

    #[test]
    fn bytes_beyond_the_message_close_the_way() {
        let mut express = express("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        express.pass(usize::MAX);
        express.passed(1);
        express.settled(1);
        assert!(!express.is_open());
    }

    #[test]
    fn an_answer_is_written_as_the_library_writes_it() {
        let mut response = Response::new(Bytes::from_static(b"{}"));
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"1\""));
        let mut out = BytesMut::new();
        write_head(&mut out, &response);
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(text, "HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 2\r\n\r\n");
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        out.clear();
        write_head(&mut out, &response);
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(text, "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n");
    }
}
