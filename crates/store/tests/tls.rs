//! TLS to MySQL: an unknown authority and a wrong name are refused, not merely encrypted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use haat_catalog::ports::StoreError;
use haat_store::{MySqlOptions, MySqlTls, StoreOptions, open};
use haat_testkit::conformance::{create, draft};
use haat_testkit::servers::{Certificates, MariaDb, TestDatabase};
use stage::{Stage, mysql_options};

fn options(database: &TestDatabase, host: &str, tls: MySqlTls) -> StoreOptions {
    let acquire_timeout = std::time::Duration::from_secs(5);
    StoreOptions::MySql(MySqlOptions { host: host.into(), tls, acquire_timeout, ..mysql_options(database) })
}

async fn refusal(options: &StoreOptions) -> String {
    match open(options).await {
        Ok(_) => panic!("connected"),
        Err(StoreError::Unavailable(why) | StoreError::Denied(why)) => why,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn only_the_right_certificate_is_trusted() {
    // The certificate names the address, not the name.
    let server = MariaDb::start_with_tls(&["IP:127.0.0.1"]);
    let database = server.create_database();
    let trusting = |ca: &std::path::Path| MySqlTls::Verify { ca: Some(ca.to_owned()) };
    let authority = server.certificates().ca.clone();

    let stage = Stage::over(options(&database, "127.0.0.1", trusting(&authority)), None).await;
    stage.done(create(draft("A", "a"), 1)).await;
    assert!(stage.product("A").await.is_some());

    let why = refusal(&options(&database, "localhost", trusting(&authority))).await;
    assert!(why.contains("not valid for name"), "another name: {why}");
    let elsewhere = tempfile::TempDir::new().unwrap();
    let other = Certificates::make(elsewhere.path(), &["IP:127.0.0.1"]);
    let why = refusal(&options(&database, "127.0.0.1", trusting(&other.ca))).await;
    assert!(why.contains("invalid peer certificate"), "another authority: {why}");
    let why = refusal(&options(&database, "127.0.0.1", MySqlTls::Verify { ca: None })).await;
    assert!(why.contains("UnknownIssuer"), "the well-known authorities: {why}");
    // The server's own rule; MariaDB words it as a refusal of the user.
    refusal(&options(&database, "127.0.0.1", MySqlTls::Off)).await;
    let missing = MySqlTls::Verify { ca: Some("/does/not/exist.pem".into()) };
    let why = refusal(&options(&database, "127.0.0.1", missing)).await;
    assert!(why.contains("/does/not/exist.pem"), "{why}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let database = MariaDb::shared().create_database();
    let why = refusal(&options(&database, database.host(), MySqlTls::Verify { ca: None })).await;
    assert!(why.contains("TLS") || why.contains("SSL"), "{why}");
}
