//! Faults do what they say.

use std::collections::BTreeSet;
use std::time::Duration;

use haat_demo_upstream::{Kind, Options, Percent};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::{Session, eventually};

async fn session() -> Session {
    Session::start(Options { products: 200, ..Options::default() }).await
}

/// Asks for the first page, down to the bytes; everything that comes until the connection ends.
async fn raw(session: &Session) -> Vec<u8> {
    let mut stream = TcpStream::connect(session.upstream.address()).await.unwrap();
    let token = &session.token;
    let request =
        format!("GET /products HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(crate::PATIENCE, stream.read_to_end(&mut answer)).await;
    // A connection that is reset has sent what it has sent.
    drop(read.expect("the connection never ends"));
    answer
}

#[tokio::test]
async fn down_is_503_until_it_ends() {
    let session = session().await;
    session.upstream.fault(Kind::Down, Some(Duration::from_secs(1)));
    assert_eq!(session.status("/products").await, 503);
    eventually("up again", async || session.status("/products").await == 200).await;
}

#[tokio::test]
async fn slow_takes_its_time_and_is_answered() {
    let session = session().await;
    session.upstream.fault(Kind::Slow(Duration::from_millis(200)), None);
    let begun = Instant::now();
    assert_eq!(session.status("/products").await, 200);
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn refuse_closes_the_connection_without_a_byte() {
    let session = session().await;
    assert!(raw(&session).await.starts_with(b"HTTP/1.1 200"));
    session.upstream.fault(Kind::Refuse, None);
    assert_eq!(raw(&session).await, b"");
    assert_eq!(session.upstream.stats().routes["GET /products"].unanswered, 1);
}

#[tokio::test]
async fn hang_takes_requests_and_never_answers_but_lets_go_of_who_leaves() {
    let session = session().await;
    session.upstream.fault(Kind::Hang, None);
    let ask = || session.request(reqwest::Method::GET, "/products");
    let asking: Vec<_> = (0..3).map(|_| tokio::spawn(ask().send())).collect();
    eventually("all wait", async || session.upstream.stats().in_flight == 3).await;
    assert!(ask().timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    assert!(asking.iter().all(|asking| !asking.is_finished()));
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("nobody waits", async || session.upstream.stats().in_flight == 0).await;
    assert_eq!(session.upstream.stats().routes["GET /products"].unanswered, 4);
}

#[tokio::test]
async fn flaky_fails_that_share_of_requests() {
    let session = session().await;
    session.upstream.fault(Kind::Flaky(Percent::new(30).unwrap()), None);
    let mut failed = 0;
    for _ in 0..300 {
        match session.status("/products?limit=1").await {
            500 => failed += 1,
            status => assert_eq!(status, 200),
        }
    }
    // Four standard deviations around 90.
    assert!((58..=122).contains(&failed), "{failed}");
    session.upstream.fault(Kind::Flaky(Percent::new(100).unwrap()), None);
    assert_eq!(session.status("/products").await, 500);
}

#[tokio::test]
async fn limit_is_429_and_says_when_to_come_back() {
    let session = session().await;
    session.upstream.fault(Kind::Limit, None);
    let answer = session.get("/products").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(session.upstream.stats().throttled, 1);
}

#[tokio::test]
async fn cut_announces_all_and_sends_half() {
    let session = session().await;
    let whole = raw(&session).await;
    session.upstream.fault(Kind::Cut, None);
    let answer = raw(&session).await;
    let head = |answer: &[u8]| answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let (whole, answer) = (&whole[head(&whole)..], &answer[head(&answer)..]);
    assert_eq!(answer, &whole[..whole.len() / 2]);
    let mut response = session.get("/products").await;
    assert_eq!((response.status().as_u16(), response.content_length().unwrap()), (200, whole.len() as u64));
    let error = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the body seems to be whole"),
            Err(error) => break error,
        }
    };
    assert!(!error.is_timeout());
}

#[tokio::test]
async fn garbage_is_promised_as_json_and_is_none() {
    let session = session().await;
    session.upstream.fault(Kind::Garbage, None);
    let answer = session.get("/products").await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    assert!(serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).is_err());
}

/// Whether that is a product as this server has them.
fn is_whole(item: &Value) -> bool {
    item["title"].is_string() && item["price"]["cents"].is_i64() && item["price"]["currency"] == "EUR"
}

#[tokio::test]
async fn poison_spoils_the_same_products_each_time_and_leaves_their_ids() {
    let session = session().await;
    session.upstream.fault(Kind::Poison(Percent::new(20).unwrap()), None);
    let list = session.json("/products?limit=200").await;
    let items = list["results"].as_array().unwrap();
    let broken: BTreeSet<_> =
        items.iter().filter(|item| !is_whole(item)).map(|item| item["id"].as_str().unwrap()).collect();
    assert!((15..=70).contains(&broken.len()), "{}", broken.len());
    assert_eq!(session.json("/products?limit=200").await, list);
    for item in items.iter().take(50) {
        assert_eq!(&session.json(&format!("/products/{}", item["id"].as_str().unwrap())).await, item);
    }
    session.upstream.fault(Kind::Ok, None);
    let list = session.json("/products?limit=200").await;
    assert!(list["results"].as_array().unwrap().iter().all(is_whole));
}

#[tokio::test]
async fn a_fault_may_be_of_the_token_endpoint_or_of_the_products_alone() {
    let session = session().await;
    let token = async || {
        let form = "grant_type=client_credentials";
        let basic = "haat:open-air-market";
        crate::ask_token(&session.upstream, &session.http, Some(basic), form).await.status().as_u16()
    };
    session.upstream.fault("down token".parse::<haat_demo_upstream::Fault>().unwrap(), None);
    assert_eq!((token().await, session.status("/products").await), (503, 200));
    session.upstream.fault("down products".parse::<haat_demo_upstream::Fault>().unwrap(), None);
    assert_eq!((token().await, session.status("/products").await), (200, 503));
    session.upstream.fault(Kind::Down, None);
    assert_eq!((token().await, session.status("/products").await), (503, 503));
}

#[tokio::test]
async fn a_script_plays_from_the_start() {
    let script = "flaky 100% products 1s, limit products 1s, ok".parse().unwrap();
    let session = Session::start(Options { script, ..Options::default() }).await;
    let mut seen = Vec::new();
    eventually("all is well", async || {
        let status = session.status("/products?limit=1").await;
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        status == 200
    })
    .await;
    assert_eq!(seen, [500, 429, 200]);
}
