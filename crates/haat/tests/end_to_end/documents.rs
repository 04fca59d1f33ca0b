//! What the server says about itself: the OpenAPI document, the reference at `/docs`, readiness.

use std::collections::{BTreeSet, VecDeque};

use crate::harness::{Backend, Stage};

#[tokio::test]
async fn the_reference_asks_no_outside_host() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut waiting: VecDeque<String> = VecDeque::from(["/docs".to_owned()]);
    let mut seen = BTreeSet::new();
    while let Some(path) = waiting.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let reply = server.get(&path).await.expect(200);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if !reply.header("content-type").starts_with("text/html") {
            continue;
        }
        for target in loaded(&text) {
            assert!(!target.starts_with("//") && !target.contains("://"), "{path} loads {target}");
            let base = reqwest::Url::parse(&format!("http://h{path}")).unwrap();
            if !target.starts_with("data:") && !target.starts_with('#') {
                waiting.push_back(base.join(&target).unwrap().path().to_owned());
            }
        }
    }
    assert!(seen.len() > 1, "the page loads something: {seen:?}");
    let page = server.get("/docs").await;
    let policy = page.header("content-security-policy");
    assert!(policy.is_empty() || !policy.contains("http"), "{policy}");
}

/// What a page loads by `src=` and `href=`.
fn loaded(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for rest in html.split(attribute).skip(1) {
            found.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    found
}

#[tokio::test]
async fn the_document_served_is_the_one_the_command_prints() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let served = server.get("/openapi.json").await.expect(200).json();
    let printed = stage.run(&["openapi"]).await.succeeded().json();
    assert_eq!(served, printed);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/v1/products", "/v1/products/{key}", "/v1/imports", "/v1/changes", "/v1/suggest"] {
        let known = served["paths"].as_object().unwrap();
        assert!(known.keys().any(|p| p.split('{').next() == path.split('{').next()), "{path} in {:?}", known.keys());
    }
}

#[tokio::test]
async fn readiness_names_every_dependency() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    assert_eq!(server.get("/livez").await.status, 200);
    let ready = server.get("/readyz").await.expect(200).json();
    let text = ready.to_string();
    assert!(text.contains("database") || text.contains("sqlite"), "{ready}");
    assert!(text.contains("index"), "{ready}");
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_takes_over_a_good_one() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let reply = server.get("/v1/products").await.expect(200);
    assert!(!reply.header("x-request-id").is_empty(), "{reply:?}");
    let request = server.request(reqwest::Method::GET, "/v1/products/nobody").header("x-request-id", "my-id-17");
    let problem = server.send(request).await;
    assert_eq!(problem.header("x-request-id"), "my-id-17");
    assert_eq!(problem.problem(404, "product_not_found")["request_id"], "my-id-17");
}
