//! Looking after sources: how they stand, breakers by order, metrics, mistakes.

use std::process::Stdio;
use std::time::Duration;

use haat_demo_upstream::{Kind, Options};
use reqwest::Method;
use serde_json::{Value, json};

use super::market::market;
use crate::harness::{Backend, SOON, Server, Stage, eventually};

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
    let neither = json!({"mode": "incremental", "confirm_removals": true});
    server.ask_sync("market", &neither).await.problem_at(422, "validation_failed", "/confirm_removals");
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

/// Before anything was ever asked of an upstream: whoever watches must not take silence for health.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_server_tells_how_every_source_stands() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 50, ..Options::default() }, "").await;
    let server = stage.start().await;
    let lines = [
        "haat_outbound_breaker_state{upstream=\"market\"} 0",
        "haat_outbound_breaker_state{upstream=\"market/token\"} 0",
        "haat_source_state{source=\"market\",state=\"idle\"} 1",
        "haat_source_state{source=\"market\",state=\"failing\"} 0",
        "haat_source_products{source=\"market\"} 0",
        "haat_source_lag_seconds{source=\"market\"} ",
    ];
    eventually("every source is told of", SOON, async || {
        let metrics = metrics_of(&server).await;
        lines.iter().all(|line| metrics.contains(line)).then_some(())
    })
    .await;
    server.synchronize("market", &json!({})).await;
    server.get(&format!("/v1/products/{}?live=true", upstream.products()[0].sku)).await.expect(200);
    assert!(metrics_of(&server).await.contains("haat_live_lookups_total{source=\"market\",outcome=\"fresh\"} 1"));
    let hours = "haat_source_run_duration_seconds_bucket{source=\"market\",mode=\"full\",le=\"14400\"} 1";
    assert!(metrics_of(&server).await.contains(hours), "{}", metrics_of(&server).await);
}

async fn metrics_of(server: &Server) -> String {
    let metrics = server.send(server.bare(Method::GET, "/metrics").bearer_auth(server.token())).await.expect(200);
    String::from_utf8_lossy(&metrics.body).into_owned()
}

/// By whom, from where; over HTTP and on the command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_commands_a_source_is_told_in_the_audit_log() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 300, ..Options::default() }, "").await;
    let server = stage.start().await;
    server.synchronize("market", &json!({})).await;
    let order = server.request(Method::PUT, "/v1/sources/market/breaker").json(&json!({"order": "force_closed"}));
    server.send(order).await.expect(200);
    upstream.fault("slow 700ms".parse::<haat_demo_upstream::Fault>().unwrap().of_products(), None);
    server.ask_sync("market", &json!({"mode": "full"})).await.expect(202);
    server.send(server.request(Method::DELETE, "/v1/sources/market/sync")).await.expect(204);
    let run = server.run_of("market", SOON).await;
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("cancelled"), &json!(0)), "{run}");
    upstream.fault(Kind::Ok, None);
    let log = server.log();
    let audit = |message: &str, fields: &[&str]| {
        let is_it = |line: &&str| line.contains("audit: ") && line.contains(message);
        let line = log.lines().find(is_it).unwrap_or_else(|| panic!("{message} in {log}"));
        fields.iter().for_each(|field| assert!(line.contains(field), "{field} in {line}"));
        assert!(line.contains("by=") && line.contains("address=127.0.0.1"), "{line}");
    };
    audit("source synchronised", &["source=", "market", "full", "confirmed=false"]);
    audit("breaker ordered", &["market", "force_closed"]);
    audit("synchronisation cancelled", &["market", run["id"].as_str().unwrap()]);
    let told = stage.run(&["sync", "market"]).await.succeeded().stderr;
    assert!(told.contains("audit: ") && told.contains("command line") && told.contains("incremental"), "{told}");
    let owner = server.source("market").await["run"]["owner"].clone();
    assert!(
        owner.as_str().is_some_and(|owner| owner.starts_with("command on ") && owner.contains("process")),
        "{owner}"
    );
    let told = stage.run(&["sources", "breaker", "market", "auto"]).await.succeeded().stderr;
    assert!(told.contains("breaker ordered") && told.contains("command line"), "{told}");
}

/// It has no worker, and may read for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_synchronises_heeds_orders_and_can_be_stopped() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 1_000, ..Options::default() }, "").await;
    upstream.fault("slow 700ms".parse::<haat_demo_upstream::Fault>().unwrap().of_products(), None);
    let mut command = stage.command(&["sync", "market", "--full"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = async || {
        let told = stage.run(&["sources", "show", "market"]).await.stdout;
        serde_json::from_str::<Value>(&told).unwrap_or_default()["run"].clone()
    };
    eventually("a page is written", SOON, async || (run().await["counts"]["pages"].as_u64()? >= 1).then_some(())).await;
    stage.run(&["sources", "breaker", "market", "open"]).await.succeeded();
    eventually("nothing is sent any more", SOON, async || {
        let before = upstream.stats().requests;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        (upstream.stats().requests == before).then_some(())
    })
    .await;
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    let told = stage.run(&["sources", "cancel", "market"]).await.succeeded().stdout;
    assert!(told.contains("is cancelled"), "{told}");
    stage.run(&["sources", "breaker", "market", "auto"]).await.succeeded();
    let ended = eventually("the command ends", SOON, async || child.try_wait().unwrap()).await;
    assert_eq!((ended.code(), &run().await["state"]), (Some(1), &json!("cancelled")));
}

/// A source under another name is another source, and its products would be nobody's to mend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_of_a_source_that_was_renamed_are_given_to_it_under_its_new_name() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 60, ..Options::default() }, "").await;
    stage.run(&["sync", "market", "--full"]).await.succeeded();
    stage.configure(&upstream.sources_section("bazaar").replace("schedule = \"10s\"", "schedule = \"0s\""));
    let refused = stage.run(&["sync", "bazaar", "--full"]).await;
    assert!(refused.code == Some(65) && refused.stderr.contains("belongs to the source 'market'"), "{refused:?}");
    let server = stage.start().await;
    let all = server.get("/v1/sources").await.expect(200).json();
    let stands =
        |n: usize| (all["data"][n]["name"].clone(), all["data"][n]["state"].clone(), all["data"][n]["kind"].clone());
    assert_eq!(
        (stands(0).0, stands(1)),
        (json!("bazaar"), (json!("market"), json!("undeclared"), Value::Null)),
        "{all}"
    );
    assert_eq!(server.source("market").await["items"], 60);
    server.ask_sync("market", &json!({})).await.problem(404, "source_not_found");
    let told = stage.run(&["sources"]).await.succeeded().stdout;
    assert!(told.contains("undeclared") && told.contains("haat sources forget market"), "{told}");
    let refused = stage.run(&["sources", "forget", "bazaar", "--give-to", "bazaar"]).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("is declared"), "{refused:?}");
    let refused = stage.run(&["sources", "forget", "market", "--give-to", "bazar"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let told = stage.run(&["sources", "forget", "market", "--give-to", "bazaar"]).await.succeeded();
    assert!(told.stdout.contains("60 products") && told.stderr.contains("source forgotten"), "{told:?}");
    server.get("/v1/sources/market").await.problem(404, "source_not_found");
    upstream.products().iter().take(5).for_each(|product| assert!(upstream.delete(&product.id)));
    let run = server.synchronize("bazaar", &json!({})).await;
    assert_eq!((&run["mode"], &run["counts"]["removed"]), (&json!("full"), &json!(5)), "{run}");
    upstream.is_what_haat_has(&stage).await;
}
