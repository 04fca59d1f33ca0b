//! Bad products: each is refused with a problem that says where, and nothing is written.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Backend, Reply, Server, Stage, least};

/// A raw body for `POST /v1/products`.
async fn post_raw(server: &Server, content_type: &str, body: impl Into<reqwest::Body>) -> Reply {
    server.send(server.request(Method::POST, "/v1/products").header("content-type", content_type).body(body)).await
}

fn with(pointer: &str, value: Value) -> Value {
    let mut product = least("A", "Apple", 100);
    match pointer.trim_start_matches('/').split_once('/') {
        Some((outer, inner)) => product[outer][inner] = value,
        None => product[&pointer[1..]] = value,
    }
    product
}

#[tokio::test]
async fn a_bad_value_is_refused_at_its_place_and_nothing_is_written() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let long = "x".repeat(501);
    let refused = [
        ("/sku", json!("")),
        ("/sku", json!(" A")),
        ("/sku", json!("A\u{0}")),
        ("/sku", json!("x".repeat(129))),
        ("/sku", json!(7)),
        ("/sku", Value::Null),
        ("/name", json!("")),
        ("/name", json!("   ")),
        ("/name", json!(long)),
        ("/name", json!("a\u{0}b")),
        ("/name", json!(["Apple"])),
        ("/price", json!(100)),
        ("/price", json!("100 INR")),
        ("/price/amount", json!(1.5)),
        ("/price/amount", json!(-1)),
        ("/price/amount", json!("100")),
        ("/price/amount", json!(9_007_199_254_740_992_i64)),
        ("/price/amount", json!(1e30)),
        ("/price/amount", Value::Null),
        ("/price/currency", json!("inr")),
        ("/price/currency", json!("ZZZ")),
        ("/price/currency", json!(356)),
        ("/price/curency", json!("INR")),
        ("/list_price", json!("free")),
        ("/stock", json!(-1)),
        ("/stock", json!(1.5)),
        ("/stock", json!("7")),
        ("/rating", json!(5.1)),
        ("/rating", json!("good")),
        ("/category", json!("Food > Rice")),
        ("/tags", json!("organic")),
        ("/location", json!([18.5, 73.8])),
        ("/images", json!("https://x.example/a.jpg")),
        ("/attributes", json!([1])),
        ("/variants", json!({})),
        ("/status", json!("sold")),
        ("/created_at", json!("yesterday")),
        ("/created_at", json!(1_767_323_045)),
        ("/id", json!("17")),
        ("/version", json!("1")),
        ("/colour", json!("red")),
        ("/nmae", json!("red")),
    ];
    for (pointer, value) in refused {
        // A member that must be there and is not: the pointer names it all the same.
        server.post(&with(pointer, value.clone())).await.problem_at(422, "validation_failed", pointer);
    }
    for (value, pointer) in [
        (json!({"category": ["Food > Rice"]}), "/category/0"),
        (json!({"tags": ["a", ""]}), "/tags/1"),
        (json!({"location": {"lat": 91, "lon": 0}}), "/location/lat"),
        (json!({"location": {"lat": 1}}), "/location/lon"),
        (json!({"images": ["javascript:alert(1)"]}), "/images/0"),
        (json!({"attributes": {"a b": 1}}), "/attributes/a b"),
        (json!({"attributes": {"a": {"b": 1}}}), "/attributes/a"),
        (json!({"attributes": {"a~/b": 1}}), "/attributes/a~0~1b"),
        (json!({"variants": [{"name": "x"}]}), "/variants/0/sku"),
        (json!({"variants": [{"sku": "v"}, {"sku": "v"}]}), "/variants/1/sku"),
        (json!({"variants": [{"sku": "v", "price": {"amount": 1.5, "currency": "INR"}}]}), "/variants/0/price/amount"),
    ] {
        let mut product = least("A", "Apple", 100);
        product.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        server.post(&product).await.problem_at(422, "validation_failed", pointer);
        server.put(&product).await.problem_at(422, "validation_failed", pointer);
    }
    assert_eq!((server.head().await, server.total(&[]).await), (0, 0));
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let reply = server.post(&json!({"sku": " A", "nmae": "x", "price": {"amount": 1.5}, "rating": 9})).await;
    let problem = reply.problem(422, "validation_failed");
    let errors = problem["errors"].as_array().unwrap();
    for pointer in ["/sku", "/nmae", "/name", "/price/amount", "/price/currency", "/rating"] {
        assert!(errors.iter().any(|e| e["pointer"] == pointer), "{pointer} in {problem}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_and_nothing_is_written() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let whole = least("A", "Apple", 100).to_string();
    let deep = format!("{{\"sku\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"   ".to_vec(),
        b"{".to_vec(),
        whole.as_bytes()[..whole.len() - 1].to_vec(),
        format!("{whole}{whole}").into_bytes(),
        b"{\"sku\":\"A\",\"name\":\"n\",\"price\":{\"amount\":NaN,\"currency\":\"INR\"}}".to_vec(),
        b"{\"sku\":\"A\",\"name\":\"n\",\"price\":{\"amount\":1e400,\"currency\":\"INR\"}}".to_vec(),
        b"{\"sku\":\"A\",}".to_vec(),
        b"{'sku':'A'}".to_vec(),
        b"{\"sku\":\"\xff\xfe\",\"name\":\"n\"}".to_vec(),
        b"{\"sku\":\"\\ud800\",\"name\":\"n\"}".to_vec(),
        b"\x1f\x8b\x08".to_vec(),
        deep.into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let reply = post_raw(&server, "application/json", body).await;
        assert_eq!(reply.status, 400, "{shown}: {reply:?}");
        reply.problem(400, "invalid_json");
    }
    for body in ["[]", "null", "7", "\"x\"", "true"] {
        post_raw(&server, "application/json", body).await.problem_at(422, "validation_failed", "");
    }
    assert_eq!((server.head().await, server.total(&[]).await), (0, 0));
}

#[tokio::test]
async fn a_body_of_another_kind_or_too_large_is_refused() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let whole = least("A", "Apple", 100).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"] {
        post_raw(&server, kind, whole.clone()).await.problem(415, "unsupported_media_type");
    }
    let bare = server.request(Method::POST, "/v1/products").body(whole.clone());
    server.send(bare).await.problem(415, "unsupported_media_type");
    let mut large = least("A", "Apple", 100);
    large["description"] = json!("x".repeat(2 << 20));
    server.post(&large).await.problem(413, "payload_too_large");
    assert_eq!(server.head().await, 0);
    post_raw(&server, "application/json; charset=utf-8", whole).await.expect(201);
}

#[tokio::test]
async fn a_bad_patch_leaves_the_product_as_it_was() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let before = server.put(&least("A", "Apple", 100)).await.expect(201);
    for (patch, pointer) in [
        (json!({"price": {"amount": 1.5}}), "/price/amount"),
        (json!({"name": null}), "/name"),
        (json!({"sku": "B"}), "/sku"),
        (json!({"id": "019aa000-0000-7000-8000-000000000001"}), "/id"),
        (json!({"colour": "red"}), "/colour"),
        (json!({"price": 5}), "/price"),
        (json!([1]), ""),
        (json!(null), ""),
    ] {
        server.patch("A", &patch).await.problem_at(422, "validation_failed", pointer);
    }
    let request = server.about(Method::PATCH, "A").header("content-type", "text/plain").body("{}");
    server.send(request).await.problem(415, "unsupported_media_type");
    assert_eq!((server.product("A").await.json(), server.head().await), (before.json(), before.seq()));
}
