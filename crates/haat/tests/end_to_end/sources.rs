//! Upstream catalogues: the demonstration upstream in this process, `haat` beside it.

mod crash;
mod live;
mod market;
mod operating;
mod tokens;

use haat_demo_upstream::{Kind, Options};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Backend, SOON, eventually};
use market::{Market, market};

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sync_the_catalogue_is_the_upstream_s_and_a_second_one_writes_nothing(#[case] backend: Backend) {
    let (stage, upstream) = market(backend, Options::default(), "").await;
    let first = stage.run(&["sync", "market", "--full", "--json"]).await.succeeded();
    let told: Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!(told["run"]["counts"]["created"], 500, "{told}");
    upstream.is_what_haat_has(&stage).await;
    let server = stage.start().await;
    let head = server.head().await;
    let second = stage.run(&["sync", "market", "--full", "--json"]).await.succeeded();
    let counts = serde_json::from_str::<Value>(&second.stdout).unwrap()["run"]["counts"].clone();
    assert_eq!((&counts["read"], &counts["unchanged"]), (&json!(500), &json!(500)), "{counts}");
    assert_eq!(server.head().await, head, "nothing was written");
    assert_eq!(upstream.stats().unauthorized, 0);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_upstream_changes_here_and_what_goes_there_goes(#[case] backend: Backend) {
    let (stage, upstream) = market(backend, Options { products: 120, ..Options::default() }, "").await;
    let server = stage.start().await;
    server.synchronize("market", &json!({"mode": "full"})).await;
    // What others know of a product, and the upstream does not say, stays.
    let one = upstream.products()[3].sku.clone();
    let patch = server.patch(&one, &json!({"seller": "Ours", "unit": "crate"})).await;
    patch.expect(200);
    for n in [5, 7, 11] {
        let mut product = (*upstream.products()[n]).clone();
        product.quantity += 1;
        product.title = format!("{} of today", product.title);
        upstream.put(product).unwrap();
    }
    let run = server.synchronize("market", &json!({})).await;
    assert_eq!((&run["mode"], &run["counts"]["updated"]), (&json!("incremental"), &json!(3)), "{run}");
    let gone: Vec<_> = upstream.products().iter().skip(20).take(9).map(|p| p.id.clone()).collect();
    gone.iter().for_each(|id| assert!(upstream.delete(id)));
    let run = server.synchronize("market", &json!({"mode": "full"})).await;
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("done"), &json!(9)), "{run}");
    upstream.is_what_haat_has_but_for(&stage, &["seller", "unit"]).await;
    let product = server.product(&one).await.expect(200).json();
    assert_eq!((&product["seller"], &product["unit"]), (&json!("Ours"), &json!("crate")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_item_is_reported_and_skipped_and_does_not_vanish() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 200, ..Options::default() }, "").await;
    let server = stage.start().await;
    server.synchronize("market", &json!({"mode": "full"})).await;
    upstream.fault("poison 10%".parse::<haat_demo_upstream::Fault>().unwrap(), None);
    let run = server.synchronize("market", &json!({"mode": "full"})).await;
    let failed = run["counts"]["failed"].as_u64().unwrap();
    assert!((5..60).contains(&failed), "{run}");
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("done"), &json!(0)), "{run}");
    let error = &run["errors"][0];
    assert!(error["key"].as_str().is_some_and(|key| key.starts_with("p-")), "{error}");
    assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 200);
    // The command tells the same, and its exit code too.
    let told = stage.run(&["sync", "market", "--full"]).await;
    assert_eq!(told.code, Some(65), "{told:?}");
    assert!(told.stderr.contains("p-0"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_share_goes_only_when_somebody_confirms_it() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 100, ..Options::default() }, "").await;
    let server = stage.start().await;
    server.synchronize("market", &json!({"mode": "full"})).await;
    let ids: Vec<_> = upstream.products().iter().map(|p| p.id.clone()).collect();
    ids.iter().skip(40).for_each(|id| assert!(upstream.delete(id)));
    let run = server.synchronize("market", &json!({"mode": "full"})).await;
    assert_eq!((&run["state"], &run["counts"]["vanished"]), (&json!("awaiting_confirmation"), &json!(60)), "{run}");
    assert!(run["message"].as_str().is_some_and(|text| text.contains("confirm")), "{run}");
    let vanished = run["vanished"].as_array().unwrap();
    let named =
        vanished.iter().all(|of| ids.contains(&of["key"].as_str().unwrap().to_owned()) && of["sku"].is_string());
    assert!(named && vanished.len() == 60, "{run}");
    let told = stage.run(&["sources"]).await.succeeded().stdout;
    assert!(told.contains("would go: ") && told.contains("and 40 more would go"), "{told}");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 100);
    let source = server.source("market").await;
    assert_eq!(source["state"], "awaiting_confirmation", "{source}");
    let another = json!({"confirm_removals": "01890a5d-ac96-774b-bcce-b302099a8057"});
    assert_eq!(server.ask_sync("market", &another).await.problem(409, "nothing_to_confirm")["run"], run["id"]);
    let id = run["id"].clone();
    let run = server.synchronize("market", &json!({"confirm_removals": id})).await;
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("done"), &json!(60)), "{run}");
    // Once more, as a request that is sent again or a nightly job would: it lets nothing else go.
    ids.iter().take(40).for_each(|id| assert!(upstream.delete(id)));
    for again in [json!({"confirm_removals": true}), json!({"confirm_removals": id})] {
        assert_eq!(server.ask_sync("market", &again).await.problem(409, "nothing_to_confirm")["run"], Value::Null);
    }
    let refused = stage.run(&["sync", "market", "--confirm-removals"]).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("nothing to confirm"), "{refused:?}");
    // The listing was asked for before the removals: an answer kept ready may be shown for up to a second more.
    eventually("the listing is without them", SOON, async || (server.total(&[]).await == 40).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_goes_through_an_upstream_that_fails_and_ends_equal_to_it() {
    let (stage, upstream) = market(Backend::Sqlite, Options { products: 400, ..Options::default() }, "").await;
    let server = stage.start().await;
    for (fault, lasts) in [(Kind::Cut, 1_500), (Kind::Garbage, 1_500), (Kind::Limit, 1_500), (Kind::Down, 1_500)] {
        upstream.fault(fault, Some(std::time::Duration::from_millis(lasts)));
        let run = server.synchronize("market", &json!({"mode": "full"})).await;
        assert_eq!((&run["state"], &run["counts"]["failed"]), (&json!("done"), &json!(0)), "{fault:?}: {run}");
        // In the middle of it, all tokens are gone.
        upstream.revoke_tokens();
    }
    upstream.is_what_haat_has(&stage).await;
}

/// Of two servers and a command exactly one is at it, and what one hears of the breaker the others know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sync_of_a_source_at_a_time_across_replicas() {
    let (stage, upstream) = market(Backend::MariaDb, Options { products: 300, ..Options::default() }, "").await;
    let (one, other) = (stage.start_replica("one").await, stage.start_replica("two").await);
    upstream.fault("slow 700ms".parse::<haat_demo_upstream::Fault>().unwrap().of_products(), None);
    let begun = one.ask_sync("market", &json!({"mode": "full"})).await.expect(202).json();
    assert_eq!(begun["state"], "running", "{begun}");
    let refused = other.ask_sync("market", &json!({"mode": "full"})).await;
    let problem = refused.problem(409, "sync_running");
    assert_eq!(problem["run"], begun["run"]["id"]);
    let refused = stage.run(&["sync", "market"]).await;
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.stderr.contains("under way"), "{refused:?}");
    let run = other.run_of("market", SOON).await;
    assert_eq!(run["state"], "done", "{run}");
    let source = other.source("market").await;
    let replicas: Vec<&Value> = source["breakers"].as_array().unwrap().iter().map(|b| &b["state"]).collect();
    assert_eq!(replicas, ["closed", "closed"], "{source}");
    upstream.is_what_haat_has(&stage).await;
}

impl Market {
    fn put(&self, product: haat_demo_upstream::Product) -> Result<(), ()> {
        self.upstream().put(product).map(drop).map_err(|_| ())
    }
}
