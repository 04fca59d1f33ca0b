//! `?live=true`: the values of this moment, and what is told where they cannot be had.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_demo_upstream::{Kind, Options};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::market::{Market, market};
use crate::harness::{Backend, Server, Stage};

/// A synchronised market of a hundred products.
async fn synchronised(more: &str) -> (Stage, Market, Arc<Server>) {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 100, ..Options::default() }, more).await;
    let server = stage.start().await;
    server.synchronize("market", &json!({"mode": "full"})).await;
    (stage, upstream, Arc::new(server))
}

async fn live(server: &Server, sku: &str) -> Value {
    let mut url = server.url("/v1/products");
    url.path_segments_mut().unwrap().push(sku);
    let path = format!("{}?live=true", url.path());
    let reply = server.send(server.request(Method::GET, &path)).await.expect(200);
    assert_eq!((reply.header("cache-control"), reply.header("etag")), ("no-store", ""), "{reply:?}");
    reply.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_members_are_the_upstream_s_and_nothing_is_written() {
    let (_stage, upstream, server) = synchronised("").await;
    let head = server.head().await;
    let mut product = (*upstream.products()[0]).clone();
    let before = server.product(&product.sku).await.expect(200).json();
    product.quantity += 17;
    product.price.cents += 5;
    product.title = "Another title".into();
    upstream.put(product.clone()).unwrap();
    let now = live(&server, &product.sku).await;
    assert_eq!((&now["stock"], &now["price"]["amount"]), (&json!(product.quantity), &json!(product.price.cents)));
    assert_eq!(now["name"], before["name"], "what is not live is as it is stored");
    let told = &now["live"];
    assert_eq!((&told["fresh"], &told["source"], &told["reason"]), (&json!(true), &json!("market"), &Value::Null));
    assert_eq!(told["fields"], json!(["stock", "price"]), "{told}");
    let after = server.product(&product.sku).await.expect(200).json();
    assert_eq!((&after["stock"], server.head().await), (&before["stock"], head), "nothing was written");
    // A parameter that is none, and one that is not yes or no.
    server.get("/v1/products/A?live=maybe").await.problem_at(400, "invalid_parameter", "/live");
    server.get("/v1/products/A?life=true").await.problem_at(400, "invalid_parameter", "/life");
    server.get("/v1/products/A?live=true").await.problem(404, "product_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_of_no_source_says_that_it_has_no_live_values() {
    let (_stage, _upstream, server) = synchronised("").await;
    server.put(&crate::harness::least("OWN", "Own", 5)).await.expect(201);
    let own = live(&server, "OWN").await;
    assert_eq!((&own["live"]["fresh"], &own["live"]["reason"]), (&json!(false), &json!("not_declared")), "{own}");
    assert_eq!(own["price"]["amount"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_in_time_is_as_it_is_stored_with_its_age() {
    // Once: whether a second attempt is made before nobody waits any more is a matter of luck.
    let (_stage, upstream, server) = synchronised("attempts = 1\n").await;
    for (n, (fault, reason)) in [
        (Kind::Hang, "timeout"),
        (Kind::Garbage, "unreadable"),
        (Kind::Down, "upstream_error"),
        (Kind::Refuse, "upstream_error"),
        (Kind::Cut, "upstream_error"),
        (Kind::Limit, "upstream_error"),
    ]
    .into_iter()
    .enumerate()
    {
        let sku = upstream.products()[n].sku.clone();
        let stored = server.product(&sku).await.expect(200).json();
        upstream.fault(fault, None);
        let asked = Instant::now();
        let answer = live(&server, &sku).await;
        assert!(asked.elapsed() < Duration::from_secs(5), "{fault:?} took {:?}", asked.elapsed());
        assert_eq!((&answer["live"]["fresh"], &answer["stock"]), (&json!(false), &stored["stock"]), "{answer}");
        assert_eq!(answer["live"]["reason"], reason, "{fault:?}: {answer}");
        assert!(answer["live"]["age_seconds"].is_u64() && answer["live"]["as_of"].is_string(), "{answer}");
    }
    upstream.fault(Kind::Ok, None);
    let gone = upstream.products()[9].clone();
    assert!(upstream.delete(&gone.id));
    assert_eq!(live(&server, &gone.sku).await["live"]["reason"], "not_found");
    let breaker = json!({"order": "force_open"});
    let order = server.request(Method::PUT, "/v1/sources/market/breaker").json(&breaker);
    assert_eq!(server.send(order).await.expect(200).json()["breaker_order"], "force_open");
    assert_eq!(live(&server, &upstream.products()[2].sku).await["live"]["reason"], "breaker_open");
    let seen = upstream.stats().requests;
    let order = server.request(Method::PUT, "/v1/sources/market/breaker").json(&json!({"order": "auto"}));
    server.send(order).await.expect(200);
    let fresh = crate::harness::eventually("the breaker closes", crate::harness::SOON, async || {
        let answer = live(&server, &upstream.products()[3].sku).await;
        (answer["live"]["fresh"] == true).then_some(())
    });
    fresh.await;
    assert!(upstream.stats().requests > seen);
}

/// However many ask at once, the upstream is asked once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_ask_for_one_product_share_one_call() {
    let (_stage, upstream, server) = synchronised("").await;
    let sku = upstream.products()[4].sku.clone();
    upstream.fault("slow 300ms".parse::<haat_demo_upstream::Fault>().unwrap(), None);
    upstream.reset_stats();
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (server, sku) = (Arc::clone(&server), sku.clone());
        asking.spawn(async move { live(&server, &sku).await["live"]["fresh"] == true });
    }
    assert!(asking.join_all().await.into_iter().all(|fresh| fresh), "all of them are told");
    let asked = upstream.stats().routes.get("GET /products/{id}").map_or(0, |route| route.requests);
    assert_eq!(asked, 1);
}

/// Listings do not care, and no more lookups are under way than there is room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_upstream_hangs_listings_are_answered_and_live_requests_fall_back() {
    let (_stage, upstream, server) = synchronised("").await;
    let skus: Vec<String> = upstream.products().iter().map(|p| p.sku.clone()).collect();
    // As they are stored they are at hand: so many that have to be read at once would be too much for this server.
    for sku in &skus {
        server.product(sku).await.expect(200);
    }
    upstream.fault(Kind::Hang, None);
    let mut asking = JoinSet::new();
    for n in 0..400 {
        let (server, sku) = (Arc::clone(&server), skus[n % skus.len()].clone());
        asking.spawn(async move {
            let asked = Instant::now();
            let answer = live(&server, &sku).await;
            assert_eq!(answer["live"]["fresh"], false, "{answer}");
            asked.elapsed()
        });
    }
    for page in 0..50 {
        let asked = Instant::now();
        server.list(&[("limit", "5"), ("price_min", &page.to_string())]).await.expect(200);
        assert!(asked.elapsed() < Duration::from_secs(5), "a listing took {:?}", asked.elapsed());
    }
    let slowest = asking.join_all().await.into_iter().max().unwrap();
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    // So many lookups at once, and no more, reached the upstream.
    assert!(upstream.stats().max_in_flight <= 16, "{:?}", upstream.stats());
}
