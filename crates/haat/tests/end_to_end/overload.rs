//! More than the server can do at once: it sheds the rest at once, says when to come back, and recovers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_testkit::generate::Generator;
use tokio::task::JoinSet;

use crate::harness::{Backend, Stage, ndjson};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_beyond_the_limit_are_shed_and_the_rest_answered() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_INDEX__MAX_CONCURRENT_SEARCHES", "1").set("HAAT_INDEX__MAX_WAITING_SEARCHES", "2");
    let server = Arc::new(stage.start().await);
    server.import(ndjson(&Generator::new(41).products(3_000))).await;

    let mut crowd = JoinSet::new();
    for n in 0..300 {
        let server = Arc::clone(&server);
        crowd.spawn(async move {
            let price = n.to_string();
            let facets = "brand,category,price,tag,seller,rating,attr.colour,attr.organic,attr.grain";
            let pairs =
                [("q", "organic rice oil"), ("facets", facets), ("price_min", price.as_str()), ("sort", "name")];
            let started = Instant::now();
            (server.list(&pairs).await, started.elapsed())
        });
    }
    let replies = crowd.join_all().await;
    let (answered, shed): (Vec<_>, Vec<_>) = replies.into_iter().partition(|(r, _)| r.status == 200);
    assert!(!answered.is_empty() && !shed.is_empty(), "{} answered, {} shed", answered.len(), shed.len());
    for (reply, _) in &shed {
        reply.problem(503, "overloaded");
        assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1), "{reply:?}");
    }
    assert!(answered.iter().all(|(_, took)| *took < Duration::from_secs(30)));
    // Every permit came back.
    for _ in 0..10 {
        server.list(&[("q", "rice")]).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_of_clients_that_left_give_their_place_back() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_INDEX__MAX_CONCURRENT_SEARCHES", "1").set("HAAT_INDEX__MAX_WAITING_SEARCHES", "2");
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(42).products(1_500))).await;
    for _ in 0..100 {
        let url = server.url("/v1/products?q=organic+rice&facets=brand,price,tag&sort=name");
        let request = reqwest::Client::new().get(url).timeout(Duration::from_millis(3));
        drop(request.send().await);
    }
    crate::harness::eventually("searches are answered", crate::harness::SOON, async || {
        let reply = server.list(&[("q", "rice")]).await;
        (reply.status == 200).then_some(())
    })
    .await;
}
