//! `haat sources` without a server.

use haat_demo_upstream::{DemoUpstream, Options};

use crate::program::Desk;

#[tokio::test]
async fn an_order_to_breakers_is_shown_although_no_server_runs() {
    let upstream = DemoUpstream::start(Options { products: 10, ..Options::default() }).await.unwrap();
    let desk = Desk::new();
    desk.file("haat.toml", upstream.sources_section("market"));
    desk.run(&["migrate"]).await.exits(0);
    let shown = async || desk.run(&["sources"]).await.exits(0).stdout;
    assert!(!shown().await.contains("breaker"));
    desk.run(&["sources", "breaker", "market", "open"]).await.exits(0);
    assert!(shown().await.contains("breaker force_open by order"), "{}", shown().await);
    desk.run(&["sources", "breaker", "market", "auto"]).await.exits(0);
    assert!(!shown().await.contains("breaker"));
}
