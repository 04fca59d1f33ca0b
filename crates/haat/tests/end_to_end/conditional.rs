//! Conditional requests (RFC 9110 §13): nobody overwrites what they have not seen, nobody reads twice what they have.

use std::sync::Arc;

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Backend, Server, Stage, least};

async fn conditional(server: &Server, method: Method, header: &str, tag: &str, amount: i64) -> crate::harness::Reply {
    let request = server.about(method.clone(), "A").header(header, tag);
    let request = match method {
        Method::PUT => request.json(&least("A", "Apple", amount)),
        Method::PATCH => request
            .header("content-type", "application/merge-patch+json")
            .body(json!({"price": {"amount": amount, "currency": "INR"}}).to_string()),
        _ => request,
    };
    server.send(request).await
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_write_that_expects_another_state_is_refused_and_writes_nothing(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    conditional(&server, Method::PUT, "if-match", "*", 1).await.problem(412, "precondition_failed");
    let first = conditional(&server, Method::PUT, "if-none-match", "*", 1).await.expect(201);
    let old = first.header("etag").to_owned();
    conditional(&server, Method::PUT, "if-none-match", "*", 2).await.problem(412, "precondition_failed");

    let second = conditional(&server, Method::PUT, "if-match", &old, 2).await.expect(200);
    let tag = second.header("etag").to_owned();
    assert_ne!(tag, old);
    let head = server.head().await;
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        for stale in [old.as_str(), "\"other\"", "\"a\", \"b\"", &format!("W/{tag}")] {
            conditional(&server, method.clone(), "if-match", stale, 9).await.problem(412, "precondition_failed");
        }
        conditional(&server, method, "if-match", "no quotes", 9).await.problem(400, "invalid_precondition");
    }
    assert_eq!((server.product("A").await.json(), server.head().await), (second.json(), head));

    let several = format!("\"other\", {tag}");
    let third = conditional(&server, Method::PATCH, "if-match", &several, 3).await.expect(200);
    assert_eq!(third.json()["price"]["amount"], 3);
    conditional(&server, Method::DELETE, "if-match", third.header("etag"), 0).await.expect(204);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_that_expect_the_same_state_exactly_one_wins(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = Arc::new(stage.start().await);
    let mut tag = server.put(&least("A", "Apple", 0)).await.expect(201).header("etag").to_owned();
    for round in 1..=10_i64 {
        let mut rivals = JoinSet::new();
        for rival in 1..=8 {
            let (server, tag) = (Arc::clone(&server), tag.clone());
            rivals.spawn(async move { conditional(&server, Method::PUT, "if-match", &tag, round * 100 + rival).await });
        }
        let replies = rivals.join_all().await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.status == 200);
        assert_eq!(won.len(), 1, "round {round}");
        for reply in lost {
            reply.problem(412, "precondition_failed");
        }
        assert_eq!(won[0].json()["version"], round + 1);
        tag = won[0].header("etag").to_owned();
    }
}

#[tokio::test]
async fn a_product_that_was_read_before_is_not_sent_again() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let tag = server.put(&least("A", "Apple", 1)).await.expect(201).header("etag").to_owned();
    assert_eq!(server.product("A").await.header("etag"), tag);
    for same in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let reply = conditional(&server, Method::GET, "if-none-match", &same, 0).await.expect(304);
        assert!(reply.body.is_empty(), "{same}");
        assert_eq!(reply.header("etag"), tag);
    }
    conditional(&server, Method::GET, "if-none-match", "\"x\"", 0).await.expect(200);
    server.delete("A").await.expect(204);
    let again = server.put(&least("A", "Apple", 1)).await.expect(201);
    assert_ne!(again.header("etag"), tag, "a tag is never used for another product");
}
