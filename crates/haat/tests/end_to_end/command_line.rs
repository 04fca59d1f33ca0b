//! The command line: import and export beside a server and without one, and mistakes that are told before anything
//! starts.

use std::path::PathBuf;
use std::process::Stdio;

use haat_testkit::generate::Generator;
use rstest::rstest;

use crate::harness::{Backend, SOON, Stage, eventually, least, ndjson, products_of};

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn what_was_exported_can_be_imported_and_is_the_same(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let products = Generator::new(91).products(400);
    stage.run_with_input(&["import", "-"], ndjson(&products)).await.succeeded();
    let exported = products_of(&stage).await;
    assert_eq!(exported.len(), 400);

    let other = Stage::new(Backend::Sqlite).await;
    for name in ["all.ndjson", "all.ndjson.gz", "all.csv", "all.csv.gz"] {
        let file = stage.file(name);
        stage.run(&["export", "--output", file.to_str().unwrap()]).await.succeeded();
        other.run(&["import", file.to_str().unwrap()]).await.succeeded();
        let arrived = products_of(&other).await;
        assert_eq!(arrived.len(), 400, "{name}");
        for (before, after) in exported.iter().zip(&arrived) {
            assert_eq!((&before.id, before.created_at), (&after.id, after.created_at), "{name}");
            let (mut before, after) = (before.clone(), after.clone());
            (before.updated_at, before.version) = (after.updated_at, after.version);
            assert_eq!(before, after, "{name}");
        }
        assert!(arrived.iter().all(|p| p.version == 1), "{name} changes nothing the second time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_loses_nothing_it_reported_and_can_be_run_again() {
    let stage = Stage::new(Backend::Sqlite).await;
    let file = stage.file("rows.ndjson");
    std::fs::write(&file, ndjson(&Generator::new(92).products(12_000))).unwrap();
    let path = file.to_str().unwrap();
    let mut command = stage.command(&["import", path]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = stage.start().await;
    let written =
        eventually("some of it is written", SOON, async || Some(server.head().await).filter(|head| *head > 0)).await;
    process.kill().unwrap();
    process.wait().unwrap();
    let kept = server.head().await;
    assert!(kept >= written);
    stage.run(&["import", path]).await.succeeded();
    assert_eq!(server.head().await, 12_000, "what was there was not written again");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 12_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_asked_to_stop_keeps_what_it_has() {
    let stage = Stage::new(Backend::Sqlite).await;
    let file = stage.file("rows.ndjson");
    std::fs::write(&file, ndjson(&Generator::new(93).products(12_000))).unwrap();
    let mut command = stage.command(&["import", file.to_str().unwrap()]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = stage.start().await;
    eventually("some of it is written", SOON, async || (server.head().await > 0).then_some(())).await;
    crate::harness::signal(process.id(), "INT");
    let status = eventually("the import ends", SOON, async || process.try_wait().unwrap()).await;
    let head = server.head().await;
    assert!(head == 12_000 || !status.success(), "a part is no success: {head} {status}");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, head);
}

#[tokio::test]
async fn errors_are_told_by_line_and_the_exit_code_says_so() {
    let stage = Stage::new(Backend::Sqlite).await;
    let lines = format!("{}\nnonsense\n{}\n", least("A", "Apple", 1), least("B", "Bread", 1));
    let finished = stage.run_with_input(&["import", "-"], lines.clone().into_bytes()).await;
    assert_eq!(finished.code, Some(65), "{finished:?}");
    assert!(finished.stderr.contains("line 2"), "{finished:?}");
    assert_eq!(products_of(&stage).await.len(), 2, "good lines are kept");

    let json = stage.run_with_input(&["--json", "import", "-"], lines.into_bytes()).await;
    let report: serde_json::Value = serde_json::from_str(json.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(report["counts"]["unchanged"], 2, "{report}");
    assert_eq!(report["errors"][0]["line"], 2, "{report}");
}

/// The real catalogue, where there is one.
fn groceries() -> Option<PathBuf> {
    let named = std::env::var_os("HAAT_TEST_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")));
    Some(folder.join("groceries.csv")).filter(|file| file.is_file())
}

#[tokio::test]
async fn a_real_catalogue_can_be_imported_with_a_mapping() {
    let Some(file) = groceries() else {
        eprintln!("skipped: no groceries.csv (set HAAT_TEST_DATA)");
        return;
    };
    let stage = Stage::new(Backend::Sqlite).await;
    let rules = [
        "sku=G{index}",
        "name=product",
        "brand=brand",
        "category=category > sub_category > type",
        "price=sale_price:INR",
        "list_price=market_price:INR",
        "rating=rating",
        "description=description",
    ];
    let mut args = vec!["--json", "import", file.to_str().unwrap()];
    for rule in rules.iter().filter(|r| !r.starts_with("description") || has_column(&file, "description")) {
        args.extend(["--map", rule]);
    }
    let finished = stage.run(&args).await;
    let report: serde_json::Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    let created = report["counts"]["created"].as_u64().unwrap();
    let failed = report["counts"]["failed"].as_u64().unwrap();
    assert!(created > 27_000 && failed < 100, "{report}");
    let again = stage.run(&args).await;
    let report: serde_json::Value = serde_json::from_str(again.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(report["counts"]["unchanged"], created, "{report}");
    let server = stage.start().await;
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, created);
    assert!(server.total(&[("q", "garlic oil"), ("brand", "Sri Sri Ayurveda")]).await >= 1, "brands are trimmed");
}

fn has_column(file: &std::path::Path, name: &str) -> bool {
    let text = std::fs::read(file).unwrap();
    let header = text.split(|b| *b == b'\n').next().unwrap();
    String::from_utf8_lossy(header).trim().split(',').any(|c| c == name)
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_named_before_anything_starts() {
    for (name, value, words) in [
        ("PORT", "http", "PORT"),
        ("HAAT_HTTP__PROT", "3000", "http.port"),
        ("DB_HOST", "127.0.0.1", "DB_NAME"),
        ("HAAT_INDEX__BATCH", "0", "index.batch"),
    ] {
        let mut stage = Stage::new(Backend::Sqlite).await;
        stage.set(name, value);
        for command in [&["serve"][..], &["config", "check"]] {
            let finished = stage.run(command).await;
            assert_eq!(finished.code, Some(78), "{name}: {finished:?}");
            let told = format!("{}{}", finished.stdout, finished.stderr);
            assert!(told.to_lowercase().contains(&words.to_lowercase()), "{name}: {told}");
        }
        assert!(!stage.data().exists(), "nothing was created");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_shows_a_catalogue_to_look_at() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.launch(&["--demo"]).await;
    server.ready().await;
    eventually("the sample is listed", SOON, async || (server.total(&[]).await > 100).then_some(())).await;
    // Once the samples are listed, and not before.
    let told = async || server.log().contains("/v1/products?limit=5").then_some(());
    eventually("it says what to open", SOON, told).await;
    let page =
        server.list(&[("facets", "category,brand,price_range"), ("near", "18.52,73.86"), ("sort", "distance")]).await;
    let page = page.expect(200).json();
    assert!(page["facets"]["category"].as_array().unwrap().len() > 5, "{page}");
    // Starting it again adds nothing.
    let head = server.head().await;
    server.stop().await;
    let server = stage.launch(&["--demo"]).await;
    server.ready().await;
    assert_eq!(server.head().await, head);
}

#[tokio::test]
async fn the_doctor_and_the_migration_say_how_things_are() {
    let stage = Stage::new(Backend::Sqlite).await;
    stage.run(&["migrate"]).await.succeeded();
    stage.run(&["migrate"]).await.succeeded();
    let server = stage.start().await;
    let finished = stage.run(&["doctor"]).await.succeeded();
    assert!(!finished.stdout.is_empty());
    server.stop().await;
}
