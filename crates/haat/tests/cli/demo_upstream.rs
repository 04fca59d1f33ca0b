//! `haat demo-upstream` as a command.

use serde_json::{Value, json};

use crate::program::Desk;

#[tokio::test]
async fn it_says_where_it_is_writes_a_good_configuration_and_ends_when_it_is_told_to() {
    let desk = Desk::new();
    let args = ["demo-upstream", "--port", "0", "--products", "30", "--write-config", "market.toml", "--json"];
    let mut upstream = desk.start(&args).await;
    let said: Value = serde_json::from_str(upstream.said.trim()).unwrap();
    assert_eq!((&said["event"], &said["url"]), (&json!("listening"), &json!(upstream.url)), "{said}");
    let written = std::fs::read_to_string(desk.path("market.toml")).unwrap();
    assert_eq!(said["haat_toml"], written);
    let (status, stats) = upstream.get("/stats").await;
    assert_eq!((status, &stats["products"]), (200, &json!(30)), "{stats}");

    let checked = desk.run(&["config", "check", "--config", "market.toml"]).await.exits(0);
    assert!(checked.stdout.contains("market.toml"), "{checked:#?}");
    let synchronised = desk.run(&["sync", "market", "--config", "market.toml", "--json"]).await.exits(0);
    assert_eq!(synchronised.json()["run"]["counts"]["created"], 30, "{synchronised:#?}");

    upstream.signal("TERM");
    let status = upstream.ended(crate::program::SOON).await;
    assert_eq!(status.code(), Some(0), "{}", upstream.log());
}

/// What a tutorial says can be said twice; what somebody has written is not lost.
#[tokio::test]
async fn a_configuration_that_is_there_already_must_be_the_same() {
    let desk = Desk::new();
    let upstream = desk.start(&["demo-upstream", "--port", "0", "--write-config", "market.toml", "--json"]).await;
    let port = upstream.url.rsplit(':').next().unwrap().to_owned();
    upstream.stop().await;
    let again = ["demo-upstream", "--port", &port, "--write-config", "market.toml", "--json"];
    desk.start(&again).await.stop().await;

    let own = format!("# mine\n{}", std::fs::read_to_string(desk.path("market.toml")).unwrap());
    desk.file("market.toml", &own);
    let refused = desk.run(&again).await.exits(2);
    assert!(refused.stderr.contains("--write-config market.toml: there is another file already"), "{refused:#?}");
    assert_eq!(std::fs::read_to_string(desk.path("market.toml")).unwrap(), own);
}

#[tokio::test]
async fn more_products_than_it_can_have_are_refused() {
    let refused = Desk::new().run(&["demo-upstream", "--products", "1000000"]).await.exits(2);
    assert!(refused.stderr.contains("up to 200000"), "{refused:#?}");
}
