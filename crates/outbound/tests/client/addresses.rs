//! Which addresses the client connects to, whatever a name or a redirect says.

use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use haat_outbound::{Call, CallError, Caller as _, Client, ClientOptions, Lookup, Surroundings};
use http::header::LOCATION;

use crate::server::{Reply, Upstream, answer, client, options};

/// Answers the n-th question with the n-th of these, and the last one from then on.
struct Rebinding(Vec<&'static str>, AtomicUsize);

#[async_trait]
impl Lookup for Rebinding {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        assert_eq!(name, "upstream.example");
        let n = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        let addresses = self.0.get(n).ok_or(ErrorKind::NotFound)?;
        addresses.split(' ').map(|ip| ip.parse().map_err(Error::other)).collect()
    }
}

fn client_of(options: &ClientOptions, answers: &[&'static str]) -> Client {
    let lookup = Arc::new(Rebinding(answers.to_vec(), AtomicUsize::new(0)));
    Client::new(options, Surroundings { lookup, ..Surroundings::default() }).expect("the options are good")
}

/// A call to the upstream's port by a name.
fn by_name(upstream: &Upstream, scheme: &str) -> Call {
    let url = format!("{scheme}://upstream.example:{}/", upstream.address.port());
    Call::get(url.parse().expect("a URL"))
}

fn forbidden(address: &str) -> CallError {
    CallError::ForbiddenAddress(address.parse().expect("an address"))
}

#[tokio::test]
async fn inner_addresses_are_not_connected_to() {
    let upstream = Upstream::start(|_| answer(200, "", "")).await;
    let strict = ClientOptions::new("upstream");
    let port = upstream.address.port();
    for host in ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
    {
        for (scheme, allow_http) in [("http", false), ("http", true), ("https", false)] {
            let client = client(&ClientOptions { allow_http, ..strict.clone() });
            let call = Call::get(format!("{scheme}://{host}:{port}/").parse().expect("a URL"));
            let ended = client.call(call).await;
            assert!(matches!(ended, Err(CallError::ForbiddenAddress(_))), "{scheme}, {host}: {ended:?}");
            assert_eq!(client.breaker().calls, 0);
        }
    }
    for scheme in ["http", "https"] {
        let ended = client_of(&strict, &["127.0.0.1"]).call(by_name(&upstream, scheme)).await;
        assert_eq!(ended.expect_err("it is refused"), forbidden("127.0.0.1"), "{scheme}");
    }
    let by_setting = ClientOptions { allow_http: true, ..strict.clone() };
    let ended = client_of(&by_setting, &["::1 127.0.0.1"]).call(by_name(&upstream, "http")).await;
    assert_eq!(ended.expect_err("it is refused"), forbidden("::1"));
    let localhost = Call::get(format!("http://localhost:{port}/").parse().expect("a URL"));
    let ended = client(&strict).call(localhost).await;
    assert!(matches!(ended, Err(CallError::ForbiddenAddress(_))), "{ended:?}");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_something_else_the_second_time_is_refused_the_second_time() {
    // Every connection is closed after its answer, so that every call resolves the name anew.
    let upstream = Upstream::start(|_| Reply::Cut(b"HTTP/1.1 204 OK\r\nconnection: close\r\n\r\n".to_vec())).await;
    let allow_networks = vec!["127.0.0.1/32".parse().expect("a network")];
    let options = ClientOptions { allow_networks, ..ClientOptions::new("upstream") };
    let client = client_of(&options, &["127.0.0.1", "127.0.0.2", "169.254.169.254", "127.0.0.1"]);
    assert!(client.call(by_name(&upstream, "http")).await.is_ok());
    assert_eq!(client.call(by_name(&upstream, "http")).await.expect_err("it moved"), forbidden("127.0.0.2"));
    assert_eq!(client.call(by_name(&upstream, "http")).await.expect_err("it moved"), forbidden("169.254.169.254"));
    assert!(client.call(by_name(&upstream, "http")).await.is_ok());
    assert_eq!(upstream.requests().len(), 2);
    let snapshot = client.breaker();
    assert_eq!((snapshot.calls, snapshot.failure_rate), (2, 0.0), "what is refused says nothing of the upstream");
}

#[tokio::test]
async fn allowed_networks_are_connected_to_and_other_addresses_of_the_name_are_not() {
    let upstream = Upstream::start(|_| answer(200, "", "fish")).await;
    let client = client_of(&options(), &["::1 10.0.0.1 127.0.0.1"]);
    let answer = client.call(by_name(&upstream, "http")).await.expect("one address may be called");
    assert_eq!(&answer.body[..], b"fish");
}

#[tokio::test]
async fn redirects_are_answers() {
    let elsewhere = Upstream::start(|_| answer(200, "", "")).await;
    let location = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let fields = format!("location: {location}\r\n");
        let upstream = Upstream::start(move |_| answer(status, &fields, "")).await;
        let answer = client(&options()).call(upstream.get()).await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.attempts), (status, 1));
        assert_eq!(answer.headers.get(LOCATION).expect("it is told"), location.as_str());
    }
    assert_eq!(elsewhere.requests().len(), 0);
}
