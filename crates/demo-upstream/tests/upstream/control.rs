//! Breaking and mending it over HTTP, and what it tells about itself.

use haat_demo_upstream::Options;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Session, eventually, token};

#[tokio::test]
async fn a_fault_can_be_put_on_and_taken_off_while_it_runs() {
    let session = Session::start(Options::default()).await;
    let standing: Value = session.control(json!({"fault": "down", "for": "20s"})).await.json().await.unwrap();
    assert_eq!(standing["fault"], json!({"fault": "down", "left": "20s", "scripted": false}));
    assert_eq!(session.status("/products").await, 503);
    assert_eq!(session.json("/stats").await["fault"]["fault"], "down", "stats answer all the same");
    session.control(json!({"fault": "ok"})).await;
    assert_eq!(session.status("/products").await, 200);
    session.control(json!({"fault": "flaky 100% products", "for": "100ms"})).await;
    eventually("it ends by itself", async || session.status("/products").await == 200).await;
    let standing: Value = session.control(json!({"script": "hang token 5s, down, "})).await.json().await.unwrap();
    assert_eq!(standing["error"], "bad_request");
    let standing: Value = session.control(json!({"script": "down 5s, ok 5s, loop"})).await.json().await.unwrap();
    assert_eq!((&standing["script"], &standing["fault"]["fault"]), (&json!("down 5s, ok 5s, loop"), &json!("down")));
    assert_eq!(session.status("/products").await, 503);
}

#[tokio::test]
async fn what_cannot_be_understood_changes_nothing_and_says_what_to_write() {
    let session = Session::start(Options::default()).await;
    let before = session.json("/control").await;
    for (order, says) in [
        (json!({"fault": "dwon"}), "no kind of fault; write one of ok, slow, down"),
        (json!({"fault": "down 20s"}), "write 'down', and '20s' beside it"),
        (json!({"fault": "down", "for": "20"}), "for: '20' is no length of time"),
        (json!({"for": "20s"}), "name one beside it"),
        (json!({"script": "ok 1s, slow", "latency": "1s"}), "step 2 of the script, 'slow'"),
        (json!({"latency": "1s", "skew": "+5m"}), "skew: "),
        (json!({"flaut": "down"}), "flaut"),
    ] {
        let answer = session.control(order.clone()).await;
        assert_eq!(answer.status(), 400, "{order}");
        let message = answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{order}: {message}");
    }
    assert_eq!(session.json("/control").await, before);
}

#[tokio::test]
async fn settings_can_be_changed_while_it_runs() {
    let session = Session::start(Options::default()).await;
    let order = json!({
        "latency": "1ms", "jitter": "2ms", "rate_limit": 7, "expires_in": "90s", "expire_early": "30s", "skew": "-5m"
    });
    let standing: Value = session.control(order).await.json().await.unwrap();
    let settings = json!({
        "latency": "1ms", "jitter": "2ms", "rate_limit": 7, "expires_in": "90s", "expire_early": "30s",
        "skew_ms": -300_000
    });
    assert_eq!(standing["settings"], settings);
    let standing: Value = session.control(json!({"rate_limit": 0})).await.json().await.unwrap();
    assert_eq!(
        (&standing["settings"]["rate_limit"], &standing["settings"]["expires_in"]),
        (&Value::Null, &json!("90s"))
    );
    assert_eq!(session.status("/products").await, 200);
    session.control(json!({"revoke_tokens": true})).await;
    assert_eq!(session.status("/products").await, 401);
}

#[tokio::test]
async fn stats_say_what_was_asked_and_how_it_was_answered() {
    let session = Session::start(Options::default()).await;
    session.json("/products").await;
    session.json("/products/p-000001").await;
    assert_eq!(session.status("/products/none").await, 404);
    token(&session.upstream, &session.http).await;
    let stats = session.json("/stats").await;
    assert_eq!(
        (&stats["requests"], &stats["token_requests"], &stats["tokens_issued"]),
        (&json!(5), &json!(2), &json!(2))
    );
    assert_eq!((&stats["unauthorized"], &stats["in_flight"], &stats["products"]), (&json!(0), &json!(0), &json!(500)));
    let one = json!({"requests": 2, "unanswered": 0, "statuses": {"200": 1, "404": 1}});
    assert_eq!(stats["routes"]["GET /products/{id}"], one);
    assert!(stats.get("arrivals").is_none());
    let arrivals = session.json("/stats?arrivals=true").await["arrivals"].clone();
    let arrivals = arrivals.as_array().unwrap();
    assert_eq!((arrivals.len(), &arrivals[1]["route"]), (5, &json!("GET /products")));
    let at = |n: usize| arrivals[n]["at_us"].as_u64().unwrap();
    assert!((1..5).all(|n| at(n - 1) <= at(n)));
    let answer = session.request(Method::DELETE, "/stats").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &session.json("/stats").await["requests"]), (204, &json!(0)));
}
