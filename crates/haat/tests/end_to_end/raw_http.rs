//! Bytes that no decent client sends: the server refuses them, hangs up in time, and goes on serving.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Backend, SOON, Server, Stage, eventually};

/// Sends bytes and reads until the server hangs up or says nothing more for a while.
async fn talk(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // The server may hang up before it has read everything.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let mut part = [0_u8; 4_096];
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut part)).await {
        if n == 0 {
            break;
        }
        answer.extend(&part[..n]);
        if status(&String::from_utf8_lossy(&answer)).is_some_and(|s| s == 200) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_server_goes_on() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let many_headers: String = (0..300).map(|i| format!("x-{i}: y\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no HTTP at all", b"hello there\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("NUL in the target", b"GET /v1/\0products HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()),
        ("a space in the target", b"GET /v1/products?q=a b HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET / HTTP/9.9\r\nhost: h\r\n\r\n".to_vec()),
        ("a bare line feed in a header", b"GET / HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n".to_vec()),
        ("a header without a name", b"GET / HTTP/1.1\r\nhost: h\r\n: x\r\n\r\n".to_vec()),
        ("two lengths", b"POST /v1/products HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec()),
        ("a length that is none", b"POST /v1/products HTTP/1.1\r\nhost: h\r\ncontent-length: -5\r\n\r\n".to_vec()),
        (
            "a chunk size that is none",
            b"POST /v1/products HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        ("too many headers", format!("GET /v1/products HTTP/1.1\r\nhost: h\r\n{many_headers}\r\n").into_bytes()),
        ("a huge header", format!("GET /v1/products HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).into_bytes()),
    ];
    for (what, bytes) in cases {
        let answer = talk(&server, &bytes).await;
        if let Some(status) = status(&answer) {
            assert!((400..500).contains(&status) || status == 505, "{what}: {answer}");
        }
    }
    server.list::<&str, &str>(&[]).await.expect(200);
}

#[tokio::test]
async fn a_query_of_ten_megabytes_and_headers_without_end_are_problems() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let long = format!("GET /v1/products?q={} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "x".repeat(10 << 20));
    let answer = talk(&server, long.as_bytes()).await;
    assert_eq!(status(&answer), Some(414), "{answer}");
    assert!(answer.contains("uri_too_long"), "{answer}");
    let headers: String = (0..150).map(|i| format!("x-{i}: y\r\n")).collect();
    let answer =
        talk(&server, format!("GET /v1/products HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n").as_bytes())
            .await;
    assert_eq!(status(&answer), Some(431), "{answer}");
    let medium = format!("GET /v1/products?q={} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "x".repeat(20_000));
    let answer = talk(&server, medium.as_bytes()).await;
    assert_eq!(status(&answer), Some(414), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("uri_too_long"), "{answer}");
}

#[tokio::test]
async fn a_request_says_exactly_once_whom_it_is_for() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for hosts in ["", "host: localhost\r\nhost: elsewhere\r\n"] {
        let answer = talk(&server, format!("GET /livez HTTP/1.1\r\n{hosts}connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), Some(400), "{answer}");
        assert!(answer.contains("invalid_request") && answer.contains("Host"), "{answer}");
    }
    assert_eq!(status(&talk(&server, b"GET /livez HTTP/1.0\r\n\r\n").await), Some(200));
}

#[tokio::test]
async fn who_sends_headers_slowly_is_hung_up_on() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_HTTP__HEADER_READ_TIMEOUT", "500ms");
    let server = stage.start().await;
    for begun in ["", "GET /v1/products HTTP/1.1\r\n", "GET /v1/products HTTP/1.1\r\nhost: h\r\nx"] {
        let started = Instant::now();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let hung_up = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
        assert!(hung_up.is_ok(), "{begun:?} is still open after {:?}", started.elapsed());
    }
    server.list::<&str, &str>(&[]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_idle_connections_is_survived() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_HTTP__MAX_CONNECTIONS", "50").set("HAAT_HTTP__HEADER_READ_TIMEOUT", "500ms");
    let server = stage.start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(server.address())).await
        {
            idle.push(stream);
        }
    }
    assert!(idle.len() >= 50);
    eventually("the server answers again", SOON, async || {
        let request = server.request(reqwest::Method::GET, "/v1/products").timeout(Duration::from_secs(2));
        request.send().await.ok().filter(|r| r.status() == 200)
    })
    .await;
    drop(idle);
    server.list::<&str, &str>(&[]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_away_leave_nothing_behind() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for _ in 0..400 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET /v1/products?q=rice&facets=brand,price HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        drop(stream);
    }
    for _ in 0..400 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let body = r#"{"sku":"A","name":"n","price":{"amount":1,"currency":"INR"}}"#;
        let head = format!(
            "PUT /v1/products/A HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            server.token(),
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        drop(stream);
    }
    server.put(&crate::harness::least("B", "Bread", 1)).await.expect(201);
    server.list::<&str, &str>(&[]).await.expect(200);
}
