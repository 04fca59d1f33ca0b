//! What is told to a process by its environment: this test program, run for one hidden test.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use haat_outbound::{Call, CallError, Caller as _, ClientOptions};
use haat_testkit::servers::{Certificates, free_port};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::server::{Upstream, answer, client, options};
use crate::tls::Secure;

/// What a hidden test needs to know.
const VARIABLE: &str = "HAAT_TEST_CLIENT_PROCESS";

/// Runs a hidden test of this program in an environment to which these variables are added, and expects it to succeed.
async fn run(test: &str, told: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(VARIABLE, told);
    // Whatever this test's own environment says; by the last one reqwest takes itself for a CGI script.
    for name in ["NO_PROXY", "no_proxy", "SSL_CERT_DIR", "REQUEST_METHOD"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let ended = ended.expect("it ends").expect("it runs");
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// So that nothing ends for want of time on a busy machine.
fn patient() -> ClientOptions {
    let time = Duration::from_secs(30);
    ClientOptions { total_timeout: time, attempt_timeout: time, connect_timeout: time, ..options() }
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let upstream = Upstream::start(|_| answer(200, "", "")).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", proxy.local_addr().expect("it is bound"));
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let (told, environment) = (upstream.url(), names.map(|name| (name, &*url)));
    tokio::select! {
        biased;
        _ = proxy.accept() => panic!("the proxy was connected to"),
        () = run("processes::calls_with_proxies", told.as_str(), &environment) => {}
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
#[ignore = "another test runs it as a process of its own"]
async fn calls_with_proxies() {
    let Ok(url) = std::env::var(VARIABLE) else { return };
    let client = client(&patient());
    let answer = client.call(Call::get(url.parse().expect("a URL"))).await.expect("an answer");
    assert_eq!(answer.status, 200);
    // Nobody listens there; a proxy would be asked to find out.
    let https = format!("https://127.0.0.1:{}/", free_port());
    let ended = client.call(Call::get(https.parse().expect("a URL"))).await;
    assert!(matches!(ended, Err(CallError::Connect(_))), "{ended:?}");
}

#[tokio::test]
async fn an_authority_of_the_machine_is_trusted_for_the_names_in_its_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Certificates::make(folder.path(), &["IP:127.0.0.1"]);
    let (folder, ca) = (folder.path().to_str().expect("plain text"), made.ca.to_str().expect("plain text"));
    run("processes::calls_with_an_authority", folder, &[("SSL_CERT_FILE", ca)]).await;
}

#[tokio::test]
#[ignore = "another test runs it as a process of its own"]
async fn calls_with_an_authority() {
    let Ok(folder) = std::env::var(VARIABLE) else { return };
    let folder = Path::new(&folder);
    let upstream = Secure::start(&folder.join("server.pem"), &folder.join("server.key")).await;
    let client = client(&patient());
    let answer = client.call(upstream.post("127.0.0.1")).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), upstream.seen().opened, upstream.seen().refused), (200, 1, 0));
    let read = upstream.seen().read;
    assert!(read > 0);
    let ended = client.call(upstream.post("localhost")).await;
    assert!(matches!(ended, Err(CallError::Connect(_))), "{ended:?}");
    assert_eq!((upstream.seen().opened, upstream.seen().read), (1, read), "it is not sent to another name");
}
