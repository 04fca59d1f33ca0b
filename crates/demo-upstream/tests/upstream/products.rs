//! Products over HTTP.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::{Clock, Timestamp};
use haat_demo_upstream::{DemoUpstream, Options, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Session;

#[tokio::test]
async fn a_product_has_the_members_that_the_source_settings_name() {
    let session = Session::start(Options::default()).await;
    let list = session.json("/products?limit=200").await;
    let section: toml::Table = session.upstream.sources_section("market").parse().unwrap();
    let fields = section["sources"][0]["fields"].as_table().unwrap();
    let mut pointers: Vec<&str> = fields.values().filter_map(|field| field.as_str()).collect();
    pointers.extend(fields.values().filter_map(|field| field.get("pointer")?.as_str()));
    pointers.extend(["/price/currency", "/specs"]);
    assert!(pointers.len() >= 18, "{pointers:?}");
    for pointer in pointers {
        let has = |item: &&Value| item.pointer(pointer).is_some_and(|value| !value.is_null());
        let n = list["results"].as_array().unwrap().iter().filter(has).count();
        assert!(n > 10, "{pointer}: {n}");
    }
    let key = list["results"][7]["id"].as_str().unwrap();
    assert_eq!(session.json(&format!("/products/{key}")).await, list["results"][7]);
}

#[tokio::test]
async fn the_catalogue_is_the_same_for_the_same_seed() {
    let draw = async |seed| {
        let options = Options { seed, products: 40, ..Options::default() };
        DemoUpstream::start(options).await.unwrap().products()
    };
    assert_eq!(draw(3).await, draw(3).await);
    assert_ne!(draw(3).await, draw(4).await);
    assert_eq!(DemoUpstream::start(Options::default()).await.unwrap().products().len(), 500);
}

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        "2026-05-01T12:00:00Z".parse().unwrap()
    }
}

#[tokio::test]
async fn what_is_written_counts_its_version_and_says_when() {
    let session = Session::start(Options { products: 10, clock: Arc::new(Still), ..Options::default() }).await;
    let put = async |path: &str, body: Value| {
        let answer = session.request(Method::PUT, path).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let mut product = session.json("/products/p-000003").await;
    let created = product["created"].clone();
    product["title"] = json!("Another Title");
    let (status, written) = put("/products/p-000003", product.clone()).await;
    assert_eq!((status, &written["version"], &written["created"]), (200, &json!(2), &created));
    assert_eq!((&written["modified"], &written["title"]), (&json!("2026-05-01T12:00:00Z"), &json!("Another Title")));
    assert_eq!(session.json("/products/p-000003").await, written);

    let new = json!({"sku": "N", "title": "New", "price": {"cents": 100, "currency": "EUR"}});
    let (status, written) = put("/products/new-one", new).await;
    assert_eq!((status, &written["version"], &written["id"]), (201, &json!(1), &json!("new-one")));
    assert_eq!(session.json("/products?limit=100").await["total"], 11);

    let (status, refused) = put("/products/new-one", json!({"titel": "x"})).await;
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().contains("titel"), "{refused}");
    assert_eq!(put("/products/a%2Fb", product).await.0, 400);
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let session = Session::start(Options { products: 10, ..Options::default() }).await;
    let delete = async || {
        let answer = session.request(Method::DELETE, "/products/p-000003").send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!((delete().await, delete().await), (204, 404));
    assert_eq!(session.status("/products/p-000003").await, 404);
    assert_eq!(session.json("/products?limit=100").await["total"], 9);
}

#[tokio::test]
async fn a_clock_that_is_wrong_shows_in_the_date_and_in_what_is_written() {
    let settings = Settings { skew_ms: -300_000, ..Settings::default() };
    let session = Session::start(Options { settings, clock: Arc::new(Still), ..Options::default() }).await;
    let answer = session.get("/products").await;
    assert_eq!(answer.headers()["date"], "Fri, 01 May 2026 11:55:00 GMT");
    let product = session.upstream.put((*session.upstream.products()[0]).clone()).unwrap();
    assert_eq!(product.modified, Still.now().minus(Duration::from_secs(300)));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let session = Session::start(Options { products: 1, ..Options::default() }).await;
    let huge = "x".repeat((1 << 20) + 1);
    let answer = session.request(Method::PUT, "/products/p-000001").body(huge).send().await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_path_or_method_that_is_not_there_says_what_is() {
    let session = Session::start(Options { products: 1, ..Options::default() }).await;
    let answer = session.get("/produce").await;
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await.unwrap().contains("GET /products"));
    let answer = session.request(Method::POST, "/products").send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(session.upstream.stats().routes["other"].requests, 1);
}
