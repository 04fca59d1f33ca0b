//! The index's commands, and migrations.

use crate::program::{Desk, product};

#[tokio::test]
async fn the_index_is_rebuilt_offline_and_verified() {
    let desk = Desk::new();
    let lines: String = (0..300).map(|n| product(&format!("P{n}"), &format!("Product {n}"))).collect();
    desk.run_with(&["import", "-"], lines).await.exits(0);
    desk.run(&["index", "rebuild"]).await.exits(0);
    let report = desk.run(&["--json", "index", "verify"]).await.exits(0).json();
    assert_eq!((&report["documents"], &report["products"]), (&300.into(), &300.into()), "{report}");
    // What was imported since is no fault of the index.
    desk.run_with(&["import", "-"], product("New", "New")).await.exits(0);
    let report = desk.run(&["--json", "index", "verify"]).await.exits(0).json();
    assert_eq!(report["pending"], 1, "{report}");
    let server = desk.serve_ready(&[]).await;
    server.eventually("/v1/products", |_, page| page["total"]["value"] == 301).await;
    server.stop().await;
}

#[tokio::test]
async fn beside_a_server_the_server_rebuilds() {
    let desk = Desk::new();
    let server = desk.serve_ready(&["--demo"]).await;
    desk.run(&["index", "rebuild"]).await.exits(0);
    server.eventually("/readyz", |status, _| status == 200).await;
    desk.run(&["index", "verify"]).await.exits(0);
    server.stop().await;
}

#[tokio::test]
async fn pending_migrations_are_said_and_carried_out() {
    let desk = Desk::new();
    let pending = desk.run(&["--json", "migrate", "--check"]).await.exits(1).json();
    assert!(!desk.path("data").exists(), "to look is not to make");
    let names = pending["pending"].as_array().unwrap().clone();
    assert!(!names.is_empty());
    assert_eq!(desk.run(&["--json", "migrate"]).await.exits(0).json()["applied"], serde_json::json!(names));
    desk.run(&["migrate", "--check"]).await.exits(0);
    assert_eq!(desk.run(&["--json", "migrate"]).await.exits(0).json()["applied"], serde_json::json!([]));
}
