//! The access tokens of sources: one for all, kept from those who read the cache; and a Haat as the client of another.

use std::path::PathBuf;

use haat_demo_upstream::Options;
use haat_testkit::servers::RedisServer;
use reqwest::Method;
use serde_json::json;

use super::market::market;
use crate::access::secrets::Key;
use crate::harness::{Backend, SOON, Stage, eventually, least, products_of};

/// All that a Redis has, as it writes it to its disk.
fn contents(redis: &RedisServer) -> Vec<u8> {
    // As it is: packed, a text could not be found.
    redis.command(&["CONFIG", "SET", "rdbcompression", "no"]);
    redis.command(&["SAVE"]);
    let folder = redis.command(&["CONFIG", "GET", "dir"]).lines().nth(1).map(PathBuf::from).unwrap();
    std::fs::read(folder.join("dump.rdb")).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_a_command_with_one_redis_fetch_one_token_that_nobody_reads_there() {
    let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
    let (mut stage, upstream) = market(Backend::MariaDb, Options { products: 60, ..Options::default() }, "").await;
    // A busy machine is not a Redis that is gone.
    stage.set("HAAT_REDIS__URL", &redis.url()).set("HAAT_REDIS__PATIENCE", "5s");
    let (one, other) = (stage.start_replica("one").await, stage.start_replica("two").await);
    one.synchronize("market", &json!({"mode": "full"})).await;
    other.synchronize("market", &json!({"mode": "full"})).await;
    stage.run(&["sync", "market", "--full"]).await.succeeded();
    for server in [&one, &other] {
        let sku = upstream.products()[7].sku.clone();
        let live = server.get(&format!("/v1/products/{sku}?live=true")).await.expect(200).json()["live"].clone();
        assert_eq!(live["fresh"], true, "{live}");
    }
    let stats = upstream.stats();
    assert_eq!((stats.token_requests, stats.tokens_issued), (1, 1), "{stats:?}");

    let tokens = upstream.tokens();
    assert_eq!(tokens.len(), 1);
    let kept = contents(&redis);
    assert!(holds(&kept, "haat:") && holds(&kept, "token:"), "it is there");
    for secret in tokens.iter().map(String::as_str).chain(["open-air-market"]) {
        assert!(!holds(&kept, secret), "{secret} is readable in Redis");
    }
}

/// Its token endpoint takes assertions for its issuer only, as draft-ietf-oauth-rfc7523bis wants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_haat_is_the_source_of_another_that_shows_who_it_is_by_a_signed_assertion() {
    let mut upstream = Stage::new(Backend::Sqlite).await;
    upstream.set("HAAT_AUTH__PUBLIC_READ", "false");
    let there = upstream.start().await;
    for n in 0..7 {
        there.put(&least(&format!("S-{n}"), &format!("Product {n}"), 100 + n)).await.expect(201);
    }
    eventually("the index has all of it", SOON, async || {
        let listed = there.bare(Method::GET, "/v1/products?limit=1").bearer_auth(there.token());
        (there.send(listed).await.expect(200).json()["total"]["value"] == 7).then_some(())
    })
    .await;
    there.get("/v1/products").await.expect(401);
    let key = Key::make(upstream.file("key.pem"));
    let client = json!({"id": "mirror", "name": "Mirror", "scopes": ["products:read"], "auth_method": "private_key_jwt",
        "jwks": key.jwks()});
    there.send(there.request(Method::POST, "/v1/clients").json(&client)).await.expect(201);

    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_MIRROR_KEY", &key.pem());
    let section = |more: &str| {
        let url = there.url("/");
        format!(
            r#"[[sources]]
name = "there"
kind = "rest"
base_url = "{url}"
allow_networks = ["127.0.0.0/8"]
schedule = "0s"
full_schedule = "0s"
give_up_after = "1s"
auth = {{ type = "oauth2", token_url = "{url}oauth/token", client_id = "mirror", method = "private_key_jwt", private_key = "${{HAAT_MIRROR_KEY}}", scopes = ["products:read"]{more} }}
list = {{ path = "v1/products", query = {{ limit = 3 }}, items = "/data", pagination = {{ type = "cursor", pointer = "/page/next", parameter = "cursor" }} }}
item = {{ path = "v1/products/{{key}}" }}
[sources.fields]
key = "/id"
sku = "/sku"
name = "/name"
price = {{ pointer = "/price/amount", unit = "minor", currency = {{ pointer = "/price/currency" }} }}
"#
        )
    };
    let issuer = ", assertion_audience = \"http://haat.test\"";
    stage.configure(&section(&format!("{issuer}, algorithm = \"EdDSA\"")));
    let ended = stage.run(&["sync", "there", "--full", "--json"]).await.succeeded().json();
    assert_eq!(
        (&ended["run"]["counts"]["created"], &ended["run"]["counts"]["pages"]),
        (&json!(7), &json!(3)),
        "{ended}"
    );
    let skus: Vec<String> = products_of(&stage).await.iter().map(|product| product.sku.to_string()).collect();
    assert_eq!(skus.len(), 7);

    // For the token endpoint, as most providers want it and it is by default, Haat does not take it.
    stage.configure(&section(""));
    let refused = stage.run(&["sync", "there", "--full"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("invalid_client"), "{refused:?}");
    // A key of another kind than is said is a mistake in the settings.
    stage.configure(&section(&format!("{issuer}, algorithm = \"RS256\"")));
    let checked = stage.run(&["config", "check"]).await;
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(
        checked.stderr.contains("auth.algorithm: does not fit `private_key`, which is one for EdDSA"),
        "{checked:?}"
    );
    assert!(!checked.stderr.contains("PRIVATE KEY"), "{checked:?}");
}
