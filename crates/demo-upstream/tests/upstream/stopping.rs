//! Every wait ends when the server stops.

use std::time::Duration;

use haat_demo_upstream::{DemoUpstream, Fault, Kind, Options, serve};
use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{PATIENCE, Session, eventually};

#[tokio::test]
async fn requests_that_hang_or_wait_end_with_the_server() {
    for kind in [Kind::Hang, Kind::Slow(Duration::from_secs(3_600))] {
        let session = Session::start(Options::default()).await;
        session.upstream.fault(kind, None);
        let asking = tokio::spawn(session.request(Method::GET, "/products").send());
        eventually("it is there", async || session.upstream.stats().in_flight == 1).await;
        let address = session.upstream.address();
        tokio::time::timeout(PATIENCE, session.upstream.stop()).await.expect("it never stops");
        let error = tokio::time::timeout(PATIENCE, asking).await.unwrap().unwrap().unwrap_err();
        assert!(!error.is_timeout(), "{error}");
        let again = DemoUpstream::start_at(address, Options::default()).await.expect("its port is free");
        assert_eq!(again.address(), address);
    }
}

#[tokio::test]
async fn nobody_is_waited_for_who_sends_half_a_request() {
    let session = Session::start(Options::default()).await;
    let mut half = TcpStream::connect(session.upstream.address()).await.unwrap();
    half.write_all(b"PUT /products/a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{").await.unwrap();
    eventually("it is there", async || session.upstream.stats().in_flight == 1).await;
    tokio::time::timeout(PATIENCE, session.upstream.stop()).await.expect("it never stops");
}

#[tokio::test]
async fn a_server_that_nobody_holds_is_gone() {
    let upstream = DemoUpstream::start(Options::default()).await.unwrap();
    let address = upstream.address();
    assert!(TcpStream::connect(address).await.is_ok());
    drop(upstream);
    eventually("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn it_serves_on_a_listener_until_it_is_told_to_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/control", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let script = "slow 1s token 20s, loop".parse().unwrap();
    let server = tokio::spawn(serve(listener, Options { script, ..Options::default() }, stop.clone()));
    let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let fault: Fault = "slow 1s token".parse().unwrap();
    assert!(text.contains(&fault.to_string()), "{text}");
    stop.cancel();
    tokio::time::timeout(PATIENCE, server).await.expect("it never stops").unwrap().unwrap();
    assert!(reqwest::get(&url).await.is_err());
}
