//! Hot answers are given where the connection is read, before the protocol library: nobody can tell but by the speed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Backend, SOON, Server, Stage, eventually, least};

const HOT: &str = "GET /v1/products?limit=3 HTTP/1.1\r\nhost: h\r\n\r\n";

/// A raw connection, and what was read of it beyond the last answer.
struct Raw {
    stream: TcpStream,
    rest: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Raw {
    async fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, rest: Vec::new() }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// More bytes; false at the end of the connection.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.rest)).await;
        read.expect("the answer does not come").is_ok_and(|n| n > 0)
    }

    async fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method).await.expect("the connection ended before the answer")
    }

    async fn try_answer(&mut self, method: &str) -> Option<Answer> {
        loop {
            if let Some((answer, rest)) = Answer::read(&self.rest, method) {
                self.rest = rest;
                return Some(answer);
            }
            if !self.more().await {
                return None;
            }
        }
    }
}

impl Answer {
    /// The first answer and what comes after it, if all of it is there.
    fn read(bytes: &[u8], method: &str) -> Option<(Self, Vec<u8>)> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let (head, rest) = bytes.split_at(end);
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .map(|line| line.split_once(": ").expect("a header field"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let bodiless = method == "HEAD" || status == 304 || status == 204;
        let length = if bodiless { 0 } else { headers["content-length"].parse().unwrap() };
        let (body, rest) = rest.split_at_checked(length)?;
        Some((Self { status, headers, body: body.to_vec() }, rest.to_vec()))
    }

    fn is_hit(&self) -> bool {
        self.headers.get("cache-status").is_some_and(|status| status.starts_with("haat; hit"))
    }
}

async fn stocked() -> (Stage, Server) {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for i in 0..5 {
        server.put(&least(&format!("S{i}"), &format!("Rice {i}"), 100 + i)).await;
    }
    server.caught_up().await;
    eventually("a hot page", SOON, async || {
        server.get("/v1/products?limit=3").await.header("cache-status").starts_with("haat; hit; detail").then_some(())
    })
    .await;
    (stage, server)
}

fn message(method: &str, path: &str, body: &str) -> String {
    let about = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{about}\r\n{body}")
}

fn write(token: &str, method: &str, path: &str, body: &str) -> String {
    message(method, path, body).replacen("\r\nhost:", &format!("\r\nauthorization: Bearer {token}\r\nhost:"), 1)
}

/// Requests of every kind in one connection, with the status each must have.
fn conversation(token: &str, round: usize) -> Vec<(&'static str, String, u16)> {
    let product = json!({ "name": format!("Oats {round}"), "price": { "amount": 100, "currency": "EUR" } }).to_string();
    vec![
        ("GET", HOT.to_owned(), 200),
        ("GET", message("GET", &format!("/v1/products?limit=2&q=rice+{round}"), ""), 200),
        ("GET", HOT.to_owned(), 200),
        ("PUT", write(token, "PUT", &format!("/v1/products/O{round}"), &product), 201),
        ("GET", message("GET", "/v1/products/nothing-of-that-name", ""), 404),
        ("GET", HOT.to_owned(), 200),
        ("POST", write(token, "POST", "/v1/products", "{"), 400),
        ("HEAD", HOT.replace("GET", "HEAD"), 200),
        ("GET", message("GET", "/livez", ""), 200),
        ("GET", HOT.to_owned(), 200),
        ("GET", message("GET", "/v1/products?limit=0x", ""), 400),
        ("DELETE", write(token, "DELETE", "/v1/products/S4", ""), if round == 0 { 204 } else { 404 }),
    ]
}

#[tokio::test]
async fn hot_and_other_requests_take_turns_on_one_connection() {
    let (_stage, server) = stocked().await;
    let mut raw = Raw::to(&server).await;
    for round in 0..5 {
        for (method, request, status) in conversation(&server.token(), round) {
            raw.send(&request).await;
            let answer = raw.answer(method).await;
            assert_eq!(answer.status, status, "{request}\n{}", String::from_utf8_lossy(&answer.body));
        }
    }
    // After all that the short way is still open.
    eventually("a hit", SOON, async || {
        raw.send(HOT).await;
        raw.answer("GET").await.is_hit().then_some(())
    })
    .await;
}

#[tokio::test]
async fn pieces_and_pipelines_of_every_cut_are_answered_in_order() {
    let (_stage, server) = stocked().await;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..60 {
        let asked: Vec<_> =
            conversation(&server.token(), 100 + round).into_iter().filter(|(method, ..)| *method != "DELETE").collect();
        let named = |(i, (_, request, _)): (usize, &(&str, String, u16))| {
            request.replacen("\r\nhost:", &format!("\r\nx-request-id: r{round}-{i}\r\nhost:"), 1)
        };
        let bytes: String = asked.iter().enumerate().map(named).collect();
        let mut raw = Raw::to(&server).await;
        let mut left = bytes.as_bytes();
        while !left.is_empty() {
            let most = 1 << rng.random_range(1..12);
            let cut = rng.random_range(1..=left.len().min(most));
            raw.stream.write_all(&left[..cut]).await.unwrap();
            left = &left[cut..];
            tokio::task::yield_now().await;
        }
        for (i, (method, request, status)) in asked.iter().enumerate() {
            let answer = raw.answer(method).await;
            assert_eq!(answer.headers["x-request-id"], format!("r{round}-{i}"), "{request}");
            assert_eq!(answer.status, *status, "{request}");
        }
        assert!(raw.rest.is_empty(), "nothing comes after the last answer");
    }
}

#[tokio::test]
async fn both_ways_say_the_same() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_LIMITS__POLICIES", r#"[{name="burst", quota=100000, window="60s", per="address"}]"#);
    let server = stage.start().await;
    server.put(&least("S1", "Rice", 100)).await;
    server.caught_up().await;
    let path = "/v1/products?limit=3";
    eventually("a hot page", SOON, async || {
        server.get(path).await.header("cache-status").starts_with("haat; hit; detail").then_some(())
    })
    .await;
    let etag = server.get(path).await.header("etag").to_owned();
    for condition in [String::new(), format!("if-none-match: {etag}\r\n"), "accept-encoding: gzip\r\n".to_owned()] {
        // An empty body is enough to be the protocol library's.
        let (short, long) = (condition.clone(), format!("{condition}content-length: 0\r\n"));
        let mut said = Vec::new();
        for fields in [short, long] {
            let mut raw = Raw::to(&server).await;
            raw.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n")).await;
            let mut answer = raw.answer("GET").await;
            assert!(answer.status == 304 || answer.is_hit(), "{answer:?}");
            for changing in ["x-request-id", "date", "age", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
                assert!(answer.headers.remove(changing).is_some(), "{changing} is missing: {answer:?}");
            }
            said.push(answer);
        }
        assert_eq!(said[0], said[1], "{condition}");
    }
}

#[tokio::test]
async fn a_client_that_says_no_more_is_still_answered() {
    let (_stage, server) = stocked().await;
    let mut raw = Raw::to(&server).await;
    raw.send(&HOT.repeat(3)).await;
    raw.stream.shutdown().await.unwrap();
    for _ in 0..3 {
        assert_eq!(raw.answer("GET").await.status, 200);
    }
    assert!(raw.try_answer("GET").await.is_none(), "the server has closed as well");
}

#[tokio::test]
async fn an_answer_on_its_way_is_finished_when_the_server_stops() {
    let (_stage, mut server) = stocked().await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    // So many that their answers do not fit between the two: the server waits in the midst of one.
    let flood = HOT.repeat(40_000);
    let sender = tokio::spawn(async move { writing.write_all(flood.as_bytes()).await.is_ok().then_some(writing) });
    let mut all = vec![0; 64 * 1024];
    let read = reading.read(&mut all).await.unwrap();
    all.truncate(read);
    // Time for the server to fill what lies between. Too little makes the test easier, not red.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.signal("TERM");
    // A client that was sending when the server hung up may see a reset behind the answers.
    drop(tokio::time::timeout(SOON, reading.read_to_end(&mut all)).await.expect("the server does not hang up"));
    assert!(server.ended(SOON).await.success());
    sender.abort();
    let mut answers = 0;
    while let Some((answer, rest)) = Answer::read(&all, "GET") {
        assert_eq!(answer.status, 200);
        (all, answers) = (rest, answers + 1);
    }
    assert!(answers > 10 && all.is_empty(), "{answers} answers, and {} bytes of another", all.len());
}
