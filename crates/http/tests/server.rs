//! The server loop against raw sockets: what a slow, greedy, rude or unlucky client can and cannot do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use haat_http::{HttpOptions, serve};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than all buffers between server and client hold.
const LARGE: usize = 16 << 20;

struct Server {
    addr: SocketAddr,
    shutdown: CancellationToken,
    /// Lets one waiting request of `/gate` through for each permit.
    gate: Arc<Semaphore>,
    /// Counts the requests that reached `/gate`.
    waiting: Arc<Semaphore>,
    running: JoinHandle<std::io::Result<()>>,
}

async fn start(options: HttpOptions) -> Server {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (open, reached) = (gate.clone(), waiting.clone());
    let router = Router::new()
        .route("/echo/{text}", get(|Path(text): Path<String>| async move { text }))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/refuse", post(|| async { axum::http::StatusCode::PAYLOAD_TOO_LARGE }))
        .route(
            "/gate",
            get(move || async move {
                reached.add_permits(1);
                open.acquire().await.unwrap().forget();
                "through"
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { serve(listener, router.into(), &options, stop).await });
    Server { addr, shutdown, gate, waiting, running }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn stopped(self) {
        timeout(PATIENCE, self.running).await.expect("the server did not stop").unwrap().unwrap();
    }
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server did not close");
    // A reset is a close as well.
    let _ = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `end` has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("nothing came").unwrap();
        assert!(n > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    text
}

fn impatient() -> HttpOptions {
    HttpOptions { header_read_timeout: Duration::from_millis(300), ..HttpOptions::default() }
}

const GET: &[u8] = b"GET /echo/hello HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_head_that_never_ends_is_given_up_whatever_it_began_with() {
    let server = start(impatient()).await;
    for beginning in
        [&b""[..], b"G", b"PRI * HTTP/2", b"GET /echo/a HTTP/1.1\r\nx: ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = server.send(beginning).await;
        let began = Instant::now();
        rest(&mut stream).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", String::from_utf8_lossy(beginning));
    }
}

#[tokio::test]
async fn a_head_sent_byte_by_byte_is_given_up_too() {
    let server = start(impatient()).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'a')) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, read.read_to_end(&mut bytes)).await.expect("the server did not close");
    timeout(PATIENCE, dripping).await.expect("the server still takes bytes").unwrap();
}

#[tokio::test]
async fn a_connection_that_stands_idle_is_closed_and_a_busy_one_is_not() {
    let server = start(impatient()).await;
    let mut idle = server.send(GET).await;
    assert!(rest(&mut idle).await.ends_with("hello"));
    // This request takes longer than an idle connection would live.
    let mut busy = server.send(b"GET /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    server.waiting.acquire().await.unwrap().forget();
    let mut other = server.send(b"").await;
    rest(&mut other).await;
    server.gate.add_permits(1);
    assert!(rest(&mut busy).await.ends_with("through"));
}

/// Answers leave the handler long before they leave the machine: the time that a client takes to read is not idleness.
#[tokio::test]
async fn an_answer_that_is_read_slowly_is_sent_to_its_end() {
    let server = start(impatient()).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(server.addr).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut total, mut piece) = (0, vec![0; 256 * 1024]);
    let began = Instant::now();
    loop {
        let n = timeout(PATIENCE, stream.read(&mut piece)).await.expect("nothing came").unwrap();
        if n == 0 {
            break;
        }
        total += n;
        // Several times the idle limit in all, and a stop in between that is longer than it.
        if began.elapsed() < Duration::from_millis(1_500) {
            tokio::time::sleep(Duration::from_millis(if total < 1_000_000 { 20 } else { 500 })).await;
        }
    }
    assert!(total > LARGE, "cut off after {total} bytes and {:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(1));
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_server_stops() {
    let server = start(HttpOptions::default()).await;
    let mut in_flight = server.send(b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut idle = server.send(GET).await;
    until(&mut idle, "hello").await;
    server.waiting.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    rest(&mut idle).await;
    let refused = async {
        while TcpStream::connect(server.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("still accepting");
    assert!(!server.running.is_finished());
    server.gate.add_permits(1);
    let answer = rest(&mut in_flight).await;
    assert!(answer.ends_with("through") && answer.contains("connection: close"), "{answer}");
    server.stopped().await;
}

#[tokio::test]
async fn a_drain_has_an_end_even_if_a_request_has_none() {
    let server = start(HttpOptions { drain_timeout: Duration::from_millis(200), ..HttpOptions::default() }).await;
    let mut stuck = server.send(b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.waiting.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    rest(&mut stuck).await;
    server.stopped().await;
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_are_then_served() {
    let server = start(HttpOptions { max_connections: 1, ..HttpOptions::default() }).await;
    let mut first = server.send(b"GET /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    server.waiting.acquire().await.unwrap().forget();
    let mut second = server.send(b"GET /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let too_early = timeout(Duration::from_millis(300), server.waiting.acquire()).await;
    assert!(too_early.is_err(), "the second connection was served beside the first");
    server.gate.add_permits(2);
    assert!(rest(&mut first).await.ends_with("through"));
    drop(first);
    assert!(rest(&mut second).await.ends_with("through"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(HttpOptions::default()).await;
    let one = "GET /echo/one HTTP/1.1\r\nhost: x\r\n\r\n";
    let two = "GET /echo/two HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut stream = server.send(format!("{one}{two}").as_bytes()).await;
    let answers = rest(&mut stream).await;
    assert!(answers.find("one").unwrap() < answers.find("two").unwrap(), "{answers}");
}

#[tokio::test]
async fn http2_works_without_tls_by_prior_knowledge() {
    let server = start(HttpOptions::default()).await;
    let io = hyper_util::rt::TokioIo::new(server.connect().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |text: &str| {
        let uri = format!("http://{}/echo/{text}", server.addr);
        http::Request::builder().uri(uri).body(String::new()).unwrap()
    };
    let (one, two) = (client.send_request(ask("one")), client.send_request(ask("two")));
    let (one, two) = tokio::join!(one, two);
    assert_eq!(one.unwrap().into_body().collect().await.unwrap().to_bytes(), "one");
    assert_eq!(two.unwrap().into_body().collect().await.unwrap().to_bytes(), "two");
    server.shutdown.cancel();
    drop(client);
    timeout(PATIENCE, connection).await.expect("GOAWAY did not come").unwrap().unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_a_problem() {
    let server = start(HttpOptions::default()).await;
    let query = "q".repeat(10 * 1024 * 1024);
    let endless = format!("GET /echo/a?{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    let many = format!("GET /echo/a HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    for (request, status, code) in [
        (endless.as_str(), "HTTP/1.1 414", "uri_too_long"),
        (many.as_str(), "HTTP/1.1 431", "headers_too_large"),
        ("GET /echo/a HTTP/1.1\r\nbad header\r\n\r\n", "HTTP/1.1 400", "invalid_request"),
        ("nonsense\r\n\r\n", "HTTP/1.1 400", "invalid_request"),
    ] {
        let (mut read, mut write) = server.connect().await.into_split();
        let text = request.to_owned();
        // The server may close before it has everything.
        let sending = tokio::spawn(async move { write.write_all(text.as_bytes()).await });
        let mut bytes = Vec::new();
        let _ = timeout(PATIENCE, read.read_to_end(&mut bytes)).await.expect("no answer");
        let answer = String::from_utf8_lossy(&bytes);
        assert!(answer.starts_with(status), "{status}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains(code), "{code}: {answer}");
        let _ = sending.await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = start(HttpOptions::default()).await;
    let length = 20 * 1024 * 1024;
    let head = format!("POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    let mut stream = server.send(head.as_bytes()).await;
    // Like many clients, this one reads nothing until it has sent everything.
    stream.write_all(&vec![b'x'; length]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
