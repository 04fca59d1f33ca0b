//! Clients, tokens and keys on the real binary: on one server, and across several that share a database and a Redis.

mod base64url;
mod guards;
mod rotation;
pub mod secrets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_testkit::servers::RedisServer;
use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::harness::{Backend, Reply, SOON, Server, Stage, eventually, least};

/// Two servers on one MariaDB and one Redis.
async fn pair(settings: &[(&str, &str)]) -> (Stage, RedisServer, Arc<Server>, Arc<Server>) {
    let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
    let mut stage = Stage::new(Backend::MariaDb).await;
    stage.set("HAAT_REDIS__URL", &redis.url()).set("HAAT_AUTH__TOKEN_REQUESTS", "0");
    for (name, value) in settings {
        stage.set(name, value);
    }
    let one = stage.start_replica("one").await;
    let other = stage.start_replica("other").await;
    (stage, redis, Arc::new(one), Arc::new(other))
}

impl Server {
    async fn form(&self, path: &str, client: (&str, &str), body: String) -> Reply {
        let request = self.bare(Method::POST, path).basic_auth(client.0, Some(client.1));
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    async fn changes_with(&self, token: &str) -> Reply {
        self.send(self.bare(Method::GET, "/v1/changes?after=0&limit=1").bearer_auth(token)).await
    }

    /// Makes a client by the API; gives id and secret.
    async fn client_with(&self, scopes: &[&str]) -> (String, String) {
        let input = json!({"name": "Partner", "scopes": scopes});
        let made = self.send(self.request(Method::POST, "/v1/clients").json(&input)).await.expect(201).json();
        (made["id"].as_str().unwrap().to_owned(), made["client_secret"].as_str().unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_on_the_other_server_within_a_second() {
    let (_stage, _redis, one, other) = pair(&[]).await;
    let (id, secret) = one.client_with(&["changes:read"]).await;
    for round in 0..5 {
        let token = one.token_of(&id, &secret, &[]).await;
        eventually("the other server knows the client", SOON, async || {
            (other.changes_with(&token).await.status == 200).then_some(())
        })
        .await;
        one.form("/oauth/revoke", (&id, &secret), format!("token={token}")).await.expect(200);
        let revoked = Instant::now();
        one.changes_with(&token).await.problem(401, "invalid_token");
        while other.changes_with(&token).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(revoked.elapsed() < Duration::from_secs(1), "round {round}: {:?}", revoked.elapsed());
        let told = other.form("/oauth/introspect", (&id, &secret), format!("token={token}")).await.expect(200);
        assert_eq!(told.json(), json!({"active": false}));
    }
}

/// What a connection has shown before is remembered beside it, and no better for it.
#[tokio::test]
async fn a_token_that_a_connection_showed_before_is_refused_on_it_once_it_is_revoked() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_AUTH__PUBLIC_READ", "false");
    let server = stage.start().await;
    let (id, secret) = server.client_with(&["products:read"]).await;
    let list =
        async |token: &str| server.send(server.bare(Method::GET, "/v1/products?limit=1").bearer_auth(token)).await;
    let (first, second) = (server.token_of(&id, &secret, &[]).await, server.token_of(&id, &secret, &[]).await);
    for token in [&first, &first, &first, &second, &second, &first] {
        list(token).await.expect(200);
    }
    assert!(list(&first).await.is_hit(), "it was answered at hand");
    let known_by_connection = async || {
        let metrics = server.send(server.bare(Method::GET, "/metrics").bearer_auth(server.token())).await.expect(200);
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let line = metrics.lines().find(|line| line.starts_with("haat_token_checks_total{by=\"connection\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = known_by_connection().await;
    for _ in 0..5 {
        list(&first).await.expect(200);
    }
    // The first of them came after another token on that connection.
    assert_eq!(known_by_connection().await - before, 4, "the connection remembers it");
    server.form("/oauth/revoke", (&id, &secret), format!("token={first}")).await.expect(200);
    for _ in 0..3 {
        list(&first).await.problem(401, "invalid_token");
    }
    list(&second).await.expect(200);
    let narrower = json!({"scopes": ["changes:read"]});
    server.send(server.request(Method::PATCH, &format!("/v1/clients/{id}")).json(&narrower)).await.expect(200);
    list(&second).await.problem(403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_disabled_or_loses_a_scope_is_refused_on_the_other_server_within_a_second() {
    let (_stage, _redis, one, other) = pair(&[]).await;
    let (id, secret) = one.client_with(&["changes:read", "imports"]).await;
    let token = one.token_of(&id, &secret, &[]).await;
    let change = async |patch: serde_json::Value, status: u16| {
        let request = one.request(Method::PATCH, &format!("/v1/clients/{id}")).json(&patch);
        one.send(request).await.expect(200);
        let changed = Instant::now();
        while other.changes_with(&token).await.status != status {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(changed.elapsed() < SOON, "{patch} never came to the other server");
        }
        assert!(changed.elapsed() < Duration::from_secs(1), "{patch}: {:?}", changed.elapsed());
        assert_eq!(one.changes_with(&token).await.status, status, "{patch}");
    };
    change(json!({"enabled": false}), 401).await;
    change(json!({"enabled": true}), 200).await;
    change(json!({"scopes": ["imports"]}), 403).await;
    one.send(one.request(Method::DELETE, &format!("/v1/clients/{id}"))).await.expect(204);
    one.changes_with(&token).await.problem(401, "invalid_token");
    one.form("/oauth/token", (&id, &secret), "grant_type=client_credentials".into()).await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_that_start_at_once_one_makes_the_first_client() {
    let stage = Stage::new(Backend::MariaDb).await;
    stage.run(&["migrate"]).await.succeeded();
    let (one, other) = tokio::join!(stage.start_replica("one"), stage.start_replica("other"));
    let told = [&one, &other].map(|server| server.log().matches("client_secret  ").count());
    assert_eq!(told.iter().sum::<usize>(), 1, "{told:?}");
    for server in [&one, &other] {
        eventually("both servers take the token", SOON, async || {
            (server.changes_with(&server.token()).await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_a_server_still_issues_and_takes_tokens() {
    let mut stage = Stage::with_own_engine().await;
    stage.set("HAAT_AUTH__PUBLIC_READ", "false");
    let server = stage.start().await;
    let (id, secret) = server.client_with(&["products:read"]).await;
    stage.engine().kill();
    let token = server.token_of(&id, &secret, &[]).await;
    server.send(server.bare(Method::GET, "/v1/products").bearer_auth(&token)).await.expect(200);
    server.send(server.bare(Method::GET, "/v1/products")).await.problem(401, "unauthorized");
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn another_encryption_key_is_told_before_anything_is_served(#[case] backend: Backend) {
    let mut stage = Stage::new(backend).await;
    stage.start().await.stop().await;
    stage.set("HAAT_AUTH__ENCRYPTION_KEY", "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=");
    let finished = stage.run(&["serve"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("HAAT_AUTH__ENCRYPTION_KEY"), "{finished:?}");
    let finished = stage.run(&["clients", "create", "--name", "N", "--scope", "imports"]).await;
    assert_eq!(finished.code, Some(1), "a secret kept under another key would be good for nothing: {finished:?}");
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_client_is_made_rotated_disabled_and_revoked_by_command_beside_a_server(#[case] backend: Backend) {
    let mut stage = Stage::new(backend).await;
    // It asks until the answer is another one, which would count as guessing.
    stage.set("HAAT_AUTH__FAILURES_PER_CLIENT", "1000000").set("HAAT_AUTH__FAILURES_PER_ADDRESS", "1000000");
    let server = stage.start().await;
    let json = async |args: &[&str]| stage.run(&[&["--json", "clients"], args].concat()).await.succeeded().json();
    let made = json(&["create", "--name", "Shop", "--id", "shop", "--scope", "imports"]).await;
    let first = made["client_secret"].as_str().unwrap().to_owned();
    let asks = async |secret: &str| {
        server.form("/oauth/token", ("shop", secret), "grant_type=client_credentials".into()).await.status
    };
    let comes_to = async |secret: &str, status: u16| {
        eventually("the server follows", SOON, async || (asks(secret).await == status).then_some(())).await;
    };
    comes_to(&first, 200).await;
    let second = json(&["rotate", "shop"]).await["client_secret"].as_str().unwrap().to_owned();
    comes_to(&second, 200).await;
    assert_eq!(asks(&first).await, 200, "two secrets are good while clients change over");
    let third = json(&["rotate", "shop", "--keep", "0s"]).await["client_secret"].as_str().unwrap().to_owned();
    comes_to(&third, 200).await;
    comes_to(&second, 401).await;
    json(&["disable", "shop"]).await;
    comes_to(&third, 401).await;
    json(&["enable", "shop"]).await;
    comes_to(&third, 200).await;
    json(&["revoke", "shop"]).await;
    comes_to(&third, 401).await;
    assert_eq!(stage.run(&["clients", "show", "shop"]).await.code, Some(1));
    assert_eq!(stage.run(&["clients", "create", "--name", "", "--scope", "imports"]).await.code, Some(2));
    assert_eq!(stage.run(&["clients", "create", "--name", "N", "--scope", "import"]).await.code, Some(2));
}

#[tokio::test]
async fn nobody_gives_a_scope_that_it_does_not_have_or_takes_over_who_has_more() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let (id, secret) = server.client_with(&["clients:manage", "imports"]).await;
    let manager = server.token_of(&id, &secret, &[]).await;
    let create = |scopes: &[&str]| {
        let input = json!({"name": "New", "scopes": scopes});
        server.send(server.bare(Method::POST, "/v1/clients").bearer_auth(&manager).json(&input))
    };
    create(&["imports"]).await.expect(201);
    create(&["imports", "operate"]).await.problem_at(422, "validation_failed", "/scopes");
    create(&["imprts"]).await.problem_at(422, "validation_failed", "/scopes");
    let too_long = server.request(Method::POST, "/v1/clients/administrator/rotate");
    let too_long = server.send(too_long.json(&json!({"keep_seconds": 31_536_001}))).await;
    too_long.problem_at(422, "validation_failed", "/keep_seconds");
    for path in ["/v1/clients/administrator", "/v1/clients/administrator/rotate"] {
        let method = if path.ends_with("rotate") { Method::POST } else { Method::PATCH };
        let request = server.bare(method, path).bearer_auth(&manager).json(&json!({}));
        server.send(request).await.problem(403, "insufficient_scope");
    }
    server.put(&least("A", "Apple", 1)).await.expect(201);
}

#[tokio::test]
async fn what_is_wrong_at_an_oauth_address_is_said_in_its_own_form() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for path in ["/oauth/jwks", "/oauth/nothing", "/.well-known/oauth-authorization-server"] {
        let reply = server.send(server.bare(Method::POST, path)).await;
        assert!(matches!(reply.status, 404 | 405), "{path}: {}", reply.status);
        assert_eq!(reply.header("content-type"), "application/json", "{path}");
        assert!(reply.json()["error"].is_string(), "{path}");
    }
}
