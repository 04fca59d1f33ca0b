//! The change feed: everything, in order, once; by asking, by waiting, by listening.

use std::time::{Duration, Instant};

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Backend, SOON, Server, Stage, eventually, least};

async fn page(server: &Server, query: &str) -> Value {
    server.get(&format!("/v1/changes?{query}")).await.expect(200).json()
}

fn seqs(page: &Value) -> Vec<u64> {
    page["data"].as_array().unwrap().iter().map(|c| c["seq"].as_u64().unwrap()).collect()
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_follows_sees_every_change_once_and_in_order(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = std::sync::Arc::new(stage.start().await);
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let server = std::sync::Arc::clone(&server);
        writers.spawn(async move {
            let mut made = Vec::new();
            for n in 0..25 {
                made.push(server.put(&least(&format!("W{writer}-{}", n % 5), "Apple", n)).await.seq());
            }
            made.push(server.delete(&format!("W{writer}-0")).await.expect(204).seq());
            made
        });
    }
    let mut seen: Vec<u64> = Vec::new();
    let mut after = 0;
    let started = Instant::now();
    while seen.len() < 8 * 26 {
        assert!(started.elapsed() < SOON, "only {} changes", seen.len());
        let found = page(&server, &format!("after={after}&limit=7&wait=1")).await;
        seen.extend(seqs(&found));
        after = seen.last().copied().unwrap_or(0);
    }
    let mut made: Vec<u64> = writers.join_all().await.concat();
    made.sort();
    assert_eq!(seen, made);
    assert!(seqs(&page(&server, &format!("after={after}")).await).is_empty());
}

#[tokio::test]
async fn a_change_says_what_happened_to_what() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.put(&least("A", "Apple", 1)).await.expect(201);
    server.put(&least("A", "Apple", 2)).await.expect(200);
    server.put(&least("B", "Bread", 1)).await.expect(201);
    server.delete("A").await.expect(204);
    let found = page(&server, "after=0").await;
    assert_eq!(seqs(&found), [1, 2, 3, 4]);
    let told: Vec<_> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["op"].clone(), c["sku"].clone(), c["version"].clone()))
        .collect();
    let expected = [("created", "A", 1), ("updated", "A", 2), ("created", "B", 1), ("deleted", "A", 2)];
    assert_eq!(told, expected.map(|(op, sku, version)| (json!(op), json!(sku), json!(version))));
    assert_eq!(seqs(&page(&server, "after=2&limit=1").await), [3]);
    assert_eq!(server.get("/v1/changes?after=x").await.problem(400, "invalid_parameter")["status"], 400);
    assert_eq!(server.get("/v1/changes?aftr=1").await.problem(400, "invalid_parameter")["status"], 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_waits_is_told_as_soon_as_something_happens() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = std::sync::Arc::new(stage.start().await);
    let started = Instant::now();
    assert!(seqs(&page(&server, "after=0&wait=1").await).is_empty());
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());

    let waiting = tokio::spawn({
        let server = std::sync::Arc::clone(&server);
        async move { page(&server, "after=0&wait=30").await }
    });
    // Whether the reader waits already when the write comes makes no difference to what it is told.
    server.put(&least("A", "Apple", 1)).await.expect(201);
    let found = tokio::time::timeout(Duration::from_secs(25), waiting).await.expect("told before its time").unwrap();
    assert_eq!(seqs(&found), [1]);
}

/// Reads events of a stream until there are `n`: their ids and data.
async fn events(server: &Server, path: &str, last: Option<&str>, n: usize) -> Vec<(String, Value)> {
    let mut request = server.request(Method::GET, path).header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut text = String::new();
    let mut found = Vec::new();
    while found.len() < n {
        let part = tokio::time::timeout(SOON, response.chunk())
            .await
            .expect("events go on")
            .unwrap()
            .expect("the stream goes on");
        text.push_str(std::str::from_utf8(&part).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let line = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
            if let (Some(id), Some(data)) = (line("id:"), line("data:")) {
                found.push((id, serde_json::from_str(&data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    found
}

#[tokio::test]
async fn a_listener_whose_token_is_revoked_is_told_nothing_more() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let listener = json!({ "id": "listener", "name": "Listener", "scopes": ["changes:read"] });
    let made = server.send(server.request(Method::POST, "/v1/clients").json(&listener)).await.expect(201).json();
    let token = server.token_of("listener", made["client_secret"].as_str().unwrap(), &[]).await;
    let request = server.bare(Method::GET, "/v1/changes").bearer_auth(&token).header("accept", "text/event-stream");
    let mut response = request.send().await.unwrap();
    server.put(&least("A", "Apple", 1)).await.expect(201);
    let mut text = String::new();
    while !text.contains("event: change") {
        let part = tokio::time::timeout(SOON, response.chunk()).await.expect("the change").unwrap().unwrap();
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    let revoked = server.request(Method::DELETE, "/v1/clients/listener");
    server.send(revoked).await.expect(204);
    server.put(&least("B", "Banana", 1)).await.expect(201);
    let rest = tokio::time::timeout(SOON, response.text()).await.expect("the stream ends").unwrap();
    assert!(rest.contains("event: problem") && rest.contains("invalid_token") && !rest.contains("Banana"), "{rest}");
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_cut_off_goes_on_where_it_was(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = std::sync::Arc::new(stage.start().await);
    let writer = tokio::spawn({
        let server = std::sync::Arc::clone(&server);
        async move {
            for n in 0..60 {
                server.put(&least(&format!("S{n}"), "Apple", n)).await.expect(201);
            }
        }
    });
    let mut seen: Vec<u64> = Vec::new();
    let mut last: Option<String> = None;
    while seen.len() < 60 {
        let wanted = (60 - seen.len()).min(12);
        let found = events(&server, "/v1/changes", last.as_deref(), wanted).await;
        last = found.last().map(|(id, _)| id.clone());
        seen.extend(found.iter().map(|(_, data)| data["seq"].as_u64().unwrap()));
    }
    writer.await.unwrap();
    assert_eq!(seen, (1..=60).collect::<Vec<u64>>());
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_product_that_changed_often_ends_up_as_one_row_of_the_log(#[case] backend: Backend) {
    let mut stage = Stage::new(backend).await;
    stage.set("HAAT_RETENTION__EVERY", "1s").set("HAAT_RETENTION__NEWEST_CHANGES", "0");
    let server = stage.start().await;
    server.put(&least("B", "Bread", 1)).await.expect(201);
    let mut last = 0;
    for n in 0..200 {
        last = server.put(&least("A", "Apple", n)).await.seq();
    }
    let found = eventually("the log is compacted", SOON, async || {
        let found = page(&server, "after=0").await;
        (seqs(&found).len() == 2).then_some(found)
    })
    .await;
    assert_eq!(seqs(&found), [1, last]);
    assert_eq!(found["head"], last);
    server.caught_up().await;
    stage.verify_index().await;
    // Whoever starts afresh from what is left has the whole catalogue.
    server.stop().await;
    std::fs::remove_dir_all(stage.index()).unwrap();
    let server = stage.start().await;
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 2);
    stage.verify_index().await;
}
