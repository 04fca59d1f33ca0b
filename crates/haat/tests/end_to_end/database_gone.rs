//! The database goes away and comes back: listings do not notice, everything else says so and recovers by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_testkit::generate::Generator;
use tokio::task::JoinSet;

use crate::harness::{Reply, SOON, Server, Stage, eventually, least, ndjson};

async fn stage() -> Stage {
    let mut stage = Stage::with_own_engine().await;
    stage
        .set("HAAT_DATABASE__ACQUIRE_TIMEOUT", "1s")
        .set("HAAT_DATABASE__QUERY_TIMEOUT", "1s")
        .set("HAAT_DATABASE__MAX_CONNECTIONS", "4");
    stage
}

/// Listings are answered with everything there was, and do not wait: whoever asks the database waits for a second.
async fn listings_go_on(server: &Server, products: u64) {
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        assert_eq!(server.total(&[("sort", "price")]).await, products);
        quickest = quickest.min(started.elapsed());
    }
    assert!(quickest < Duration::from_millis(900), "{quickest:?}");
    server.list(&[("q", "rice"), ("facets", "brand")]).await.expect(200);
    assert_eq!(server.get("/livez").await.status, 200);
}

fn assert_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    let code = reply.json()["code"].as_str().unwrap().to_owned();
    assert!(code == "database_unavailable" || code == "timeout", "{reply:?}");
    reply.problem(503, &code);
    assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{reply:?}");
}

async fn everything_else_says_so(server: &Arc<Server>) {
    let mut asked = JoinSet::new();
    for n in 0..12 {
        let server = Arc::clone(server);
        asked.spawn(async move {
            let started = Instant::now();
            let reply = match n % 3 {
                0 => server.put(&least("gone", "Apple", 1)).await,
                1 => server.product("G00000001").await,
                _ => server.get("/v1/changes?after=0&limit=1").await,
            };
            (reply, started.elapsed())
        });
    }
    for (reply, took) in asked.join_all().await {
        assert_unavailable(&reply);
        assert!(took < Duration::from_secs(30), "nobody waits for the dead: {took:?}");
    }
    let ready = server.get("/readyz").await;
    ready.problem(503, "not_ready");
}

async fn comes_back(server: &Server) {
    let seq = eventually("writes are accepted again", SOON, async || {
        let reply = server.put(&least("back", "Apple", 1)).await;
        matches!(reply.status, 200 | 201).then(|| reply.seq())
    })
    .await;
    eventually("the write is listed", SOON, async || {
        let page = server.list(&[("limit", "1")]).await.expect(200).json();
        (page["seq"].as_u64().unwrap() >= seq).then_some(())
    })
    .await;
    server.ready().await;
    // Every connection of the pool works.
    for n in 0..20 {
        server.put(&least(&format!("after-{n}"), "Apple", 1)).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_database_is_not_waited_for_and_taken_up_again() {
    let stage = stage().await;
    let server = Arc::new(stage.start().await);
    server.import(ndjson(&Generator::new(61).products(300))).await;
    stage.engine().pause();
    listings_go_on(&server, 300).await;
    everything_else_says_so(&server).await;
    listings_go_on(&server, 300).await;
    stage.engine().resume();
    comes_back(&server).await;
    stage.verify_index().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_is_not_waited_for_and_taken_up_again() {
    let stage = stage().await;
    let server = Arc::new(stage.start().await);
    server.import(ndjson(&Generator::new(62).products(300))).await;
    stage.engine().kill();
    listings_go_on(&server, 300).await;
    everything_else_says_so(&server).await;
    stage.engine().restart();
    comes_back(&server).await;
    stage.verify_index().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_outlives_the_database() {
    let stage = stage().await;
    let server = stage.start().await;
    let products = Generator::new(63).products(8_000);
    let job = server.submit("", "application/x-ndjson", ndjson(&products)).await;
    let written = eventually("some of it is written", SOON, async || {
        let job = server.get(&job).await.expect(200).json();
        job["counts"]["created"].as_u64().filter(|n| *n > 0)
    })
    .await;
    assert!(written < 8_000, "the database was to go away in the middle");
    stage.engine().kill();
    stage.engine().restart();
    let done = eventually("the import ends", SOON, async || {
        let reply = server.get(&job).await;
        (reply.status == 200).then(|| reply.json()).filter(|j| j["state"] == "done" || j["state"] == "failed")
    })
    .await;
    assert_eq!((&done["state"], &done["counts"]["created"]), (&"done".into(), &8_000.into()), "{done}");
    server.caught_up().await;
    assert_eq!((server.total(&[]).await, server.head().await), (8_000, 8_000), "none is lost, none written twice");
}
