//! Nothing of what is sent or answered is in the log, at any level, of any crate.
#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "client/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the client")]
mod server;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use haat_outbound::{Call, Caller as _, Order};
use http::header::{AUTHORIZATION, SET_COOKIE};
use http::{HeaderValue, Method};
use server::{Reply, Upstream, answer, client, options};
use tracing_subscriber::filter::LevelFilter;

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_body_path_query_or_header_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).init();
    let upstream = Upstream::start(|n| match n % 5 {
        0 => answer(200, "set-cookie: secretcookie\r\nlocation: /secretlocation\r\n", "secretanswer"),
        1 => answer(500, "x: secretfield\r\n", "secretanswer"),
        2 => Reply::Cut(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nsecrethalf".to_vec()),
        3 => Reply::Cut(b"secretnonsense\r\n\r\n".to_vec()),
        _ => Reply::Hang,
    })
    .await;
    let mut options = options();
    options.attempt_timeout = Duration::from_millis(50);
    options.connect_timeout = Duration::from_millis(50);
    options.retry.base = Duration::from_millis(1);
    options.breaker.minimum_calls = 5;
    let client = client(&options);
    let mut told = String::new();
    let hosts =
        [upstream.url().to_string(), "http://10.0.0.1/".into(), "https://user:secretpassword@a.example/".into()];
    for n in 0..40 {
        client.force(if n % 10 == 0 { Order::Closed } else { Order::Auto });
        let host = &hosts[if n < 30 { 0 } else { n % 3 }];
        let mut call = Call::get(format!("{host}secretpath?secretquery=secretvalue").parse().expect("a URL"));
        call.method = Method::PUT;
        call.body = Bytes::from_static(b"secretbody");
        call.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secrettoken"));
        told.push_str(&format!("{call:?}"));
        match client.call(call).await {
            Ok(answer) => {
                assert!(answer.headers.contains_key(SET_COOKIE) || answer.status != 200);
                told.push_str(&format!("{answer:?}"));
            }
            Err(error) => told.push_str(&format!("{error} {error:?}")),
        }
    }
    told.push_str(&format!("{client:?}"));
    let text = String::from_utf8_lossy(&log.0.lock().expect("no writer panics")).into_owned();
    for (what, text) in [("the log", &text), ("what is told of calls, answers and errors", &told)] {
        let line = text.lines().find(|line| line.contains("secret"));
        assert_eq!(line, None, "in {what}");
    }
    assert!(text.contains("circuit breaker") && text.contains("forced_closed"), "the log was not captured: {text}");
}
