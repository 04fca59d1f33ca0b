//! `Idempotency-Key`: whatever happens on the way, a request is carried out once.

use std::sync::Arc;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Backend, Reply, Server, Stage, least};

async fn keyed(server: &Server, method: Method, path: &str, key: &str, body: Option<&Value>) -> Reply {
    let mut request = server.request(method.clone(), path).header("idempotency-key", key);
    if let Some(body) = body {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        request = request.header("content-type", kind).body(body.to_string());
    }
    server.send(request).await
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_repeated_request_is_answered_as_the_first_time_even_after_a_restart(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let first = keyed(&server, Method::POST, "/v1/products", "\"k1\"", Some(&least("A", "Apple", 1))).await.expect(201);
    let patch = json!({"stock": 5});
    let patched = keyed(&server, Method::PATCH, "/v1/products/A", "\"k2\"", Some(&patch)).await.expect(200);
    let deleted = keyed(&server, Method::DELETE, "/v1/products/A", "\"k3\"", None).await.expect(204);
    let head = server.head().await;
    server.kill();

    let server = stage.start().await;
    let again = keyed(&server, Method::POST, "/v1/products", "\"k1\"", Some(&least("A", "Apple", 1))).await.expect(201);
    assert_eq!((again.json(), again.seq(), again.header("etag")), (first.json(), first.seq(), first.header("etag")));
    let again = keyed(&server, Method::PATCH, "/v1/products/A", "\"k2\"", Some(&patch)).await.expect(200);
    assert_eq!((again.json(), again.seq()), (patched.json(), patched.seq()));
    let again = keyed(&server, Method::DELETE, "/v1/products/A", "\"k3\"", None).await.expect(204);
    assert_eq!(again.seq(), deleted.seq());
    assert_eq!(server.head().await, head);
    server.product("A").await.problem(404, "product_not_found");
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_key_belongs_to_one_request(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    keyed(&server, Method::POST, "/v1/products", "\"k\"", Some(&least("A", "Apple", 1))).await.expect(201);
    let other = keyed(&server, Method::POST, "/v1/products", "\"k\"", Some(&least("B", "Bread", 1))).await;
    other.problem(422, "idempotency_key_reused");
    let other = keyed(&server, Method::PUT, "/v1/products/A", "\"k\"", Some(&least("A", "Apple", 1))).await;
    other.problem(422, "idempotency_key_reused");
    for bad in ["k", "\"\"", "\"k", &format!("\"{}\"", "x".repeat(300))] {
        let reply = keyed(&server, Method::POST, "/v1/products", bad, Some(&least("C", "Cake", 1))).await;
        reply.problem(400, "invalid_idempotency_key");
    }
    assert_eq!(server.head().await, 1);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_request_that_was_refused_may_be_repeated_until_it_can_be_carried_out(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let patch = json!({"stock": 5});
    let refused = keyed(&server, Method::PATCH, "/v1/products/A", "\"k\"", Some(&patch)).await;
    refused.problem(404, "product_not_found");
    server.put(&least("A", "Apple", 1)).await.expect(201);
    let done = keyed(&server, Method::PATCH, "/v1/products/A", "\"k\"", Some(&patch)).await.expect(200);
    assert_eq!(done.json()["stock"], 5);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_requests_at_once_one_is_carried_out(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = Arc::new(stage.start().await);
    for round in 1..=8_u64 {
        let mut requests = JoinSet::new();
        for _ in 0..12 {
            let server = Arc::clone(&server);
            requests.spawn(async move {
                let product = least(&format!("S{round}"), "Apple", 1);
                keyed(&server, Method::POST, "/v1/products", &format!("\"k{round}\""), Some(&product)).await
            });
        }
        let replies = requests.join_all().await;
        let (done, waiting): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.status == 201);
        assert!(!done.is_empty());
        for reply in &done {
            assert_eq!((reply.json(), reply.seq()), (done[0].json(), done[0].seq()));
        }
        for reply in waiting {
            reply.problem(409, "idempotency_key_in_flight");
        }
        assert_eq!(server.head().await, round);
    }
}
