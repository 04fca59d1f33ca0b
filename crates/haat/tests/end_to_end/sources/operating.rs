//! Looking after sources: how they stand, breakers by order, metrics, mistakes.

use haat_demo_upstream::{Kind, Options};
use reqwest::Method;
use serde_json::{Value, json};

use super::market::market;
use crate::harness::{Backend, SOON, Stage, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_stand_in_the_api_and_on_the_command_line() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 50, ..Options::default() }, "").await;
    let server = stage.start().await;
    let all = server.get("/v1/sources").await.expect(200).json();
    let source = &all["data"][0];
    assert_eq!(
        (&source["name"], &source["kind"], &source["state"]),
        (&json!("market"), &json!("rest"), &json!("idle"))
    );
    assert_eq!(
        (&source["run"], &source["items"], &source["live"]),
        (&Value::Null, &json!(0), &json!(["stock", "price"]))
    );
    server.synchronize("market", &json!({})).await;
    let source = server.source("market").await;
    assert_eq!((&source["items"], &source["last_full"]["counts"]["created"]), (&json!(50), &json!(50)), "{source}");
    assert!(source["lag_seconds"].as_u64().is_some_and(|lag| lag < 60) && source["watermark"].is_string(), "{source}");
    let told = stage.run(&["sources"]).await.succeeded().stdout;
    assert!(told.contains("market") && told.contains("50 products") && told.contains("breaker closed"), "{told}");
    let told = stage.run(&["sources", "show", "market"]).await.succeeded().stdout;
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["items"], 50);
    assert!(!upstream.products().is_empty());

    server.get("/v1/sources/markt").await.problem(404, "source_not_found");
    server.ask_sync("markt", &json!({})).await.problem(404, "source_not_found");
    server.ask_sync("market", &json!({"mode": "all"})).await.problem_at(422, "validation_failed", "/mode");
    server.ask_sync("market", &json!({"mod": "full"})).await.problem_at(422, "validation_failed", "/mod");
    let wrong = stage.run(&["sync", "markt"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("did you mean 'market'"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_opens_is_seen_and_heeds_orders_of_a_command() {
    let settings = "attempts = 1\ngive_up_after = \"60s\"\n";
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 50, ..Options::default() }, settings).await;
    let server = stage.start().await;
    server.synchronize("market", &json!({"mode": "full"})).await;
    let sku = |n: usize| upstream.products()[n % 50].sku.clone();
    upstream.fault(Kind::Down, None);
    let breaker = async || server.source("market").await["breakers"][0]["state"].clone();
    let mut n = 0;
    eventually("the breaker opens", SOON, async || {
        n += 1;
        server.get(&format!("/v1/products/{}?live=true", sku(n))).await.expect(200);
        (breaker().await == "open").then_some(())
    })
    .await;
    let seen = upstream.stats().requests;
    let answer = server.get(&format!("/v1/products/{}?live=true", sku(n + 1))).await.expect(200).json();
    assert_eq!(answer["live"]["reason"], "breaker_open", "{answer}");
    assert_eq!(upstream.stats().requests, seen, "nothing is sent");
    upstream.fault(Kind::Ok, None);
    let told = stage.run(&["sources", "breaker", "market", "closed"]).await.succeeded().stdout;
    assert!(told.contains("everything pass"), "{told}");
    eventually("the order is heard", SOON, async || (breaker().await == "forced_closed").then_some(())).await;
    stage.run(&["sources", "breaker", "market", "auto"]).await.succeeded();
    eventually("it decides for itself", SOON, async || (breaker().await == "closed").then_some(())).await;
    let log = server.log();
    assert!(log.contains("breaker") && log.contains("market"), "{log}");
    assert!(!log.contains("open-air-market"), "the client's secret is in the log");
    let metrics = server.send(server.bare(Method::GET, "/metrics").bearer_auth(server.token())).await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for name in [
        "haat_outbound_breaker_transitions_total",
        "haat_outbound_breaker_state",
        "haat_outbound_calls_total",
        "haat_outbound_token_fetches_total",
        "haat_source_items_total",
        "haat_source_runs_total",
        "haat_source_lag_seconds",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_synchronised_on_schedule() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 60, ..Options::default() }, "").await;
    stage.configure(&upstream.sources_section("market").replace("schedule = \"10s\"", "schedule = \"1s\""));
    let server = stage.start().await;
    eventually("the first run ends", SOON, async || (server.total(&[]).await == 60).then_some(())).await;
    let mut product = (*upstream.products()[0]).clone();
    product.title = "Quinces of Tuesday".into();
    let sku = product.sku.clone();
    upstream.upstream().put(product).unwrap();
    eventually("the change comes by itself", SOON, async || {
        (server.product(&sku).await.expect(200).json()["name"] == "Quinces of Tuesday").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn mistakes_in_the_settings_of_a_source_are_named_before_anything_starts() {
    let stage = Stage::new(Backend::Sqlite).await;
    for (toml, says) in [
        ("[[sources]]\nname = \"a\"\n", "source 'a': kind: is missing"),
        ("[[sources]]\nname = \"a\"\nkind = \"rets\"\n", "did you mean \"rest\"?"),
        ("[sources.a]\nkind = \"rest\"\n", "is a list: begin each with [[sources]]"),
        (
            "[[sources]]\nname = \"a\"\nkind = \"rest\"\nbase_url = \"${NO_SUCH}\"\n",
            "names the variable NO_SUCH, which is not set",
        ),
    ] {
        stage.configure(toml);
        let checked = stage.run(&["config", "check"]).await;
        assert_eq!(checked.code, Some(78), "{checked:?}");
        assert!(checked.stderr.contains(says), "{says} in {}", checked.stderr);
    }
}
