//! Servers: the demo, who may write, two on one folder, and how they end.

use std::time::Duration;

use serde_json::json;

use crate::program::{Desk, SOON, product};

#[tokio::test]
async fn the_demo_fills_an_empty_catalogue_and_leaves_a_full_one_alone() {
    let desk = Desk::new();
    let mut server = desk.serve(&["--demo"]).await;
    let said = server.line_with("sample products are in").await;
    server.line_with("/docs").await;
    let page = server.get("/v1/products?limit=1").await;
    assert_eq!(page.0, 200);
    let total = page.1["total"]["value"].as_u64().unwrap();
    assert!(total >= 100 && said.contains(&total.to_string()), "{said}: {total}");
    server.stop().await;

    let mut server = desk.serve(&["--demo"]).await;
    server.line_with(&format!("has {total} products already")).await;
    assert_eq!(server.get("/v1/products?limit=1").await.1["total"]["value"], total);
    server.stop().await;
}

#[tokio::test]
async fn the_first_client_is_told_once_and_opens_writing_and_reading_needs_none() {
    let desk = Desk::new();
    let server = desk.serve_ready(&["--bind", "0.0.0.0"]).await;
    let secret = server.said.split_once("client_secret  ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let url = server.url.replace("0.0.0.0", "127.0.0.1");
    let client = reqwest::Client::new();
    let put = || {
        client
            .put(format!("{url}/v1/products/A"))
            .json(&json!({"sku": "A", "name": "Apple", "price": {"amount": 1, "currency": "EUR"}}))
    };
    assert_eq!(put().send().await.unwrap().status(), 401);
    let asked = client.post(format!("{url}/oauth/token")).basic_auth("administrator", Some(&secret));
    let asked = asked.header("content-type", "application/x-www-form-urlencoded").body("grant_type=client_credentials");
    let token: serde_json::Value = serde_json::from_slice(&asked.send().await.unwrap().bytes().await.unwrap()).unwrap();
    let token = token["access_token"].as_str().unwrap();
    assert_eq!(put().bearer_auth("another").send().await.unwrap().status(), 401);
    assert_eq!(put().bearer_auth(token).send().await.unwrap().status(), 201);
    assert_eq!(client.get(format!("{url}/v1/products/A")).send().await.unwrap().status(), 200);
    assert!(!server.log().contains(token) && !server.log().contains(&secret));
    server.stop().await;
    let server = desk.serve_ready(&[]).await;
    assert!(!server.said.contains("client_secret"), "{}", server.said);
    server.stop().await;
}

#[tokio::test]
async fn two_servers_on_one_data_folder_are_refused_and_commands_beside_one_work() {
    let desk = Desk::new();
    let server = desk.serve_ready(&[]).await;
    let second = desk.run(&["serve"]).await.exits(1);
    assert!(second.stderr.contains("another server (process ") && second.stderr.contains("--data-dir"), "{second:#?}");

    desk.run_with(&["import", "-"], product("A", "Apple")).await.exits(0);
    server.eventually("/v1/products", |_, page| page["total"]["value"] == 1).await;
    assert_eq!(desk.run(&["export"]).await.exits(0).stdout.lines().count(), 1);
    desk.run(&["index", "verify"]).await.exits(0);
    server.stop().await;
    // The lock goes with the process, even when it is killed.
    let mut server = desk.serve(&[]).await;
    server.signal("KILL");
    server.ended(SOON).await;
    desk.serve_ready(&[]).await.stop().await;
}

#[tokio::test]
async fn readiness_ends_before_service_does() {
    let desk = Desk::new().with("HAAT_HTTP__DRAIN_NOTICE", "3s");
    let mut server = desk.serve_ready(&[]).await;
    server.signal("TERM");
    server.eventually("/readyz", |status, body| status == 503 && body.to_string().contains("draining")).await;
    assert_eq!(server.get("/v1/products").await.0, 200, "requests are still served");
    assert_eq!(server.get("/livez").await.0, 200, "stopping is no reason to be killed");
    let status = server.ended(SOON).await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped"), "{}", server.log());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let desk = Desk::new().with("HAAT_HTTP__DRAIN_NOTICE", "5m");
    let mut server = desk.serve_ready(&[]).await;
    server.signal("INT");
    server.eventually("/readyz", |status, _| status == 503).await;
    server.signal("INT");
    assert_eq!(server.ended(Duration::from_secs(10)).await.code(), Some(130), "{}", server.log());
    desk.serve_ready(&[]).await.signal("KILL");
}

#[tokio::test]
async fn where_it_listens_is_said_for_machines_too() {
    let desk = Desk::new();
    let mut server = desk.serve(&["--json", "--demo", "--log-format", "json"]).await;
    assert_eq!(server.get("/livez").await.0, 200);
    let event: serde_json::Value = serde_json::from_str(&server.line_with("demo").await).unwrap();
    assert!(event["imported"].as_u64().unwrap() > 100);
    for line in server.log().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = Desk::new().run(&["serve", "--port", &port]).await.exits(1);
    assert!(ran.stderr.contains(&port) && ran.stderr.contains("--port"), "{ran:#?}");
}

/// A port where nothing listens.
fn closed_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[tokio::test]
async fn a_database_that_is_not_up_is_waited_for_but_not_for_ever() {
    let desk = Desk::new()
        .with("DB_HOST", "127.0.0.1")
        .with("DB_PORT", &closed_port())
        .with("DB_USER", "haat")
        .with("DB_PASS", "very-secret-password")
        .with("DB_NAME", "haat")
        .with("HAAT_DATABASE__ACQUIRE_TIMEOUT", "200ms")
        .with("HAAT_DATABASE__STARTUP_WAIT", "1s");
    let ran = desk.run(&["serve"]).await.exits(69);
    assert!(ran.stderr.contains("the database is not up yet"), "{ran:#?}");
    assert!(!format!("{ran:?}").contains("very-secret-password"), "{ran:#?}");
    let ran = desk.run_with(&["import", "-"], product("A", "Apple")).await.exits(69);
    assert!(!ran.stderr.contains("not up yet"), "commands do not wait: {ran:#?}");
    let ran = desk.run(&["doctor"]).await.exits(1);
    assert!(ran.stdout.contains("refused") && ran.stdout.contains("DB_PORT"), "{ran:#?}");
}
