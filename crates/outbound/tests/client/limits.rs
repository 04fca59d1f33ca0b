//! However an upstream misbehaves, a call ends in its time and takes no more memory than allowed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use haat_outbound::{Call, CallError, Caller as _, ClientOptions};

use crate::server::{Reply, Upstream, answer, client, options};

const MS: Duration = Duration::from_millis(1);

/// Little time, so that the tests take little: real sockets keep to no paused time.
fn impatient() -> ClientOptions {
    let mut options = ClientOptions {
        total_timeout: MS * 500,
        attempt_timeout: MS * 200,
        connect_timeout: MS * 200,
        max_response_bytes: 1_000,
        ..options()
    };
    options.retry.base = MS;
    options
}

/// How a call ends, and that it does in time.
async fn ends(upstream: &Upstream) -> CallError {
    let client = client(&impatient());
    let began = Instant::now();
    let ended = client.call(upstream.get()).await.expect_err("there is no answer");
    // 500 ms, and what a busy machine takes on top.
    assert!(began.elapsed() < MS * 1_500, "{ended:?} after {:?}", began.elapsed());
    assert_eq!((client.load().at_work, client.load().waiting), (0, 0));
    ended
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let upstream = Upstream::start(|_| Reply::Hang).await;
    assert!(matches!(ends(&upstream).await, CallError::Timeout(_)));
    assert!((2..=3).contains(&upstream.requests().len()));
}

#[tokio::test]
async fn a_server_that_drips_its_body() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n".to_vec();
    let upstream = Upstream::start(move |_| Reply::Drip(head.clone(), MS * 20)).await;
    assert!(matches!(ends(&upstream).await, CallError::Timeout(_)));
}

#[tokio::test]
async fn a_server_that_drips_its_head() {
    let upstream = Upstream::start(|_| Reply::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), MS * 20)).await;
    assert!(matches!(ends(&upstream).await, CallError::Timeout(_)));
}

#[tokio::test]
async fn a_server_that_cuts_its_body() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nhalf of it".to_vec();
    let upstream = Upstream::start(move |_| Reply::Cut(half.clone())).await;
    assert!(matches!(ends(&upstream).await, CallError::Broken(_)));
    assert_eq!(upstream.requests().len(), 3);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf \r\n".to_vec();
    let upstream = Upstream::start(move |_| Reply::Cut(chunked.clone())).await;
    assert!(matches!(ends(&upstream).await, CallError::Broken(_)));
}

#[tokio::test]
async fn a_server_that_speaks_something_else() {
    let upstream = Upstream::start(|_| Reply::Cut(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await;
    assert!(matches!(ends(&upstream).await, CallError::Broken(_)));
}

#[tokio::test]
async fn a_server_that_sends_too_much() {
    let too_large = CallError::TooLarge { limit: 1_000 };
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec();
    let upstream = Upstream::start(move |_| Reply::Endless(announced.clone(), vec![b'x'; 1_000])).await;
    assert_eq!(ends(&upstream).await, too_large);
    assert_eq!(upstream.requests().len(), 1, "it is not sent again");
    let unannounced = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = b"8\r\n12345678\r\n".to_vec();
    let upstream = Upstream::start(move |_| Reply::Endless(unannounced.clone(), chunk.clone())).await;
    assert_eq!(ends(&upstream).await, too_large);
    let upstream = Upstream::start(|_| answer(200, "", &"x".repeat(1_000))).await;
    let body = client(&impatient()).call(upstream.get()).await.expect("just as much as allowed").body;
    assert_eq!(body.len(), 1_000);
}

#[tokio::test]
async fn a_server_that_packs_too_much() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 100 << 20]).expect("memory");
    let packed = packed.finish().expect("memory");
    let small = packed.len();
    let mut bomb = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {small}\r\n\r\n").into_bytes();
    bomb.extend(packed);
    let upstream = Upstream::start(move |_| Reply::Send(bomb.clone())).await;
    let limit = 1 << 20;
    assert!(small < limit, "packed it would be allowed");
    let client = client(&ClientOptions { max_response_bytes: limit, ..options() });
    assert_eq!(client.call(upstream.get()).await.expect_err("too much"), CallError::TooLarge { limit });
}

#[tokio::test]
async fn what_is_packed_is_unpacked_and_haat_says_who_it_is() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(b"fresh fish").expect("memory");
    let packed = packed.finish().expect("memory");
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let reply = [reply.into_bytes(), packed].concat();
    let upstream = Upstream::start(move |_| Reply::Send(reply.clone())).await;
    let answer = client(&options()).call(upstream.get()).await.expect("an answer");
    assert_eq!(&answer.body[..], b"fresh fish");
    let request = upstream.requests().concat().to_lowercase();
    assert!(request.contains("accept-encoding: gzip\r\n"), "{request}");
    assert!(request.contains(&format!("user-agent: haat/{}\r\n", env!("CARGO_PKG_VERSION"))), "{request}");
}

#[tokio::test]
async fn a_callers_own_deadline_is_kept() {
    let upstream = Upstream::start(|_| Reply::Hang).await;
    let client = client(&options());
    let began = Instant::now();
    let deadline = Some(tokio::time::Instant::now() + MS * 100);
    let ended = client.call(Call { deadline, ..upstream.get() }).await;
    assert!(matches!(ended, Err(CallError::Timeout(total)) if total <= MS * 100), "{ended:?}");
    assert!(began.elapsed() < MS * 1_000);
}
