//! `kill -9` during a synchronisation, again and again: it ends equal to the upstream, and nothing was removed wrongly.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use haat_demo_upstream::Options;
use haat_testkit::generate::Generator;
use rand::RngExt;
use rstest::rstest;
use serde_json::{Value, json};

use super::market::market;
use crate::harness::{Backend, SOON, Stage, eventually};

const KILLS: usize = 20;
/// How long a run is its holder's without a sign of life.
const LEASE: &str = "lease = \"1s\"\n";

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_during_a_sync_of_20_000_products_remove_and_lose_nothing(#[case] backend: Backend) {
    let options = Options { products: 20_000, ..Options::default() };
    let (stage, upstream) = market(backend, options, LEASE).await;
    let mut generator = Generator::new(93);
    let (mut kills, mut pages, mut taken_over) = (0, 0, false);
    let began = Instant::now();
    while kills < KILLS {
        assert!(began.elapsed() < SOON * 5, "{kills} kills in five minutes");
        let mut child = begin(&stage);
        // The one place where time itself is the condition: a crash comes at any moment.
        let moment = Duration::from_millis(generator.rng().random_range(300..1_500));
        tokio::time::sleep(moment).await;
        // One that finds the lease of the last one still held, or all done, has ended by itself.
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
        let run = standing(&stage).await["run"].clone();
        assert_eq!(run["counts"]["removed"].as_u64().unwrap_or_default(), 0, "kill {kills}: {run}");
        let now = run["counts"]["pages"].as_u64().unwrap_or_default();
        taken_over |= now > pages && pages > 0;
        pages = now;
    }
    assert!(taken_over, "no run went on from where another had stopped");
    let run = finish(&stage).await;
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("done"), &json!(0)), "{run}");
    let again = stage.run(&["sync", "market", "--full", "--json"]).await.succeeded();
    let counts = serde_json::from_str::<Value>(&again.stdout).unwrap()["run"]["counts"].clone();
    assert_eq!((&counts["unchanged"], &counts["removed"]), (&json!(20_000), &json!(0)), "{counts}");
    upstream.is_what_haat_has(&stage).await;
}

fn begin(stage: &Stage) -> Child {
    let mut command = stage.command(&["sync", "market", "--full"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// How the source stands.
async fn standing(stage: &Stage) -> Value {
    let told = stage.run(&["sources", "--json"]).await.succeeded();
    serde_json::from_str::<Value>(&told.stdout).unwrap()["sources"][0].clone()
}

/// Synchronises once the lease of who was killed has run out.
async fn finish(stage: &Stage) -> Value {
    eventually("the lease runs out", SOON, async || {
        let done = stage.run(&["sync", "market", "--full", "--json"]).await;
        (done.code == Some(0)).then(|| serde_json::from_str::<Value>(&done.stdout).unwrap()["run"].clone())
    })
    .await
}

/// The other server finishes what the one that was killed had begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_whose_server_is_killed_is_finished_by_another() {
    let options = Options { products: 2_000, ..Options::default() };
    let (stage, upstream) = market(Backend::MariaDb, options, LEASE).await;
    let (one, other) = (stage.start_replica("one").await, stage.start_replica("two").await);
    upstream.fault("slow 200ms".parse::<haat_demo_upstream::Fault>().unwrap().of_products(), None);
    let begun = one.ask_sync("market", &json!({"mode": "full"})).await.expect(202).json();
    eventually("some pages are written", SOON, async || {
        let pages = other.source("market").await["run"]["counts"]["pages"].as_u64().unwrap();
        (pages >= 3).then_some(())
    })
    .await;
    one.kill();
    let run = other.run_of("market", SOON).await;
    assert_eq!((&run["id"], &run["state"]), (&begun["run"]["id"], &json!("done")), "{run}");
    assert_eq!(run["counts"]["read"], 2_000, "{run}");
    assert_ne!(run["owner"], begun["run"]["owner"], "{run}");
    upstream.is_what_haat_has(&stage).await;
}

/// What vanished is found by full runs alone: whoever asks for one must not be given the rest of one of changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_sync_is_one_although_one_of_changes_was_killed_before() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 100, ..Options::default() }, LEASE).await;
    stage.run(&["sync", "market", "--full"]).await.succeeded();
    upstream.fault("slow 5s".parse::<haat_demo_upstream::Fault>().unwrap().of_products(), None);
    let mut command = stage.command(&["sync", "market"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("a run of changes begins", SOON, async || {
        let run = standing(&stage).await["run"].clone();
        (run["mode"] == "incremental" && run["state"] == "reading").then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    upstream.fault(haat_demo_upstream::Kind::Ok, None);
    upstream.products().iter().take(5).for_each(|product| assert!(upstream.delete(&product.id)));
    let run = finish(&stage).await;
    assert_eq!((&run["mode"], &run["counts"]["removed"]), (&json!("full"), &json!(5)), "{run}");
    upstream.is_what_haat_has(&stage).await;
}
