//! The index is derived: whatever happens to it, it comes back by itself from what the database holds.

use std::fs;
use std::path::Path;

use haat_testkit::generate::{Generator, written};
use rstest::rstest;

use crate::harness::{Backend, SOON, Stage, eventually, least, ndjson};

/// What can befall an index while no server looks.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    Deleted,
    Emptied,
    Cut,
    Overwritten,
    FilesMissing,
}

impl Mishap {
    fn befall(self, index: &Path) {
        let files = files(index);
        assert!(!files.is_empty(), "{}", index.display());
        match self {
            Self::Deleted => fs::remove_dir_all(index).unwrap(),
            Self::Emptied => files.iter().for_each(|f| fs::write(f, []).unwrap()),
            Self::Cut => files.iter().for_each(|f| {
                let bytes = fs::read(f).unwrap();
                fs::write(f, &bytes[..bytes.len() / 2]).unwrap();
            }),
            Self::Overwritten => files.iter().for_each(|f| {
                let bytes = vec![0xa5; fs::metadata(f).unwrap().len() as usize];
                fs::write(f, bytes).unwrap();
            }),
            Self::FilesMissing => files.iter().step_by(2).for_each(|f| fs::remove_file(f).unwrap()),
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[rstest]
#[tokio::test]
async fn a_lost_or_damaged_index_comes_back_by_itself(
    #[values(Mishap::Deleted, Mishap::Emptied, Mishap::Cut, Mishap::Overwritten, Mishap::FilesMissing)] mishap: Mishap,
) {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(51).products(800))).await;
    server.stop().await;
    mishap.befall(&stage.index());

    let server = stage.start().await;
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 800);
    stage.verify_index().await;
    // It follows on.
    let seq = server.put(&least("fresh", "Fresh", 1)).await.expect(201).seq().to_string();
    assert_eq!(server.total(&[("min_seq", &seq)]).await, 801);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_replica_that_starts_empty_is_not_ready_lists_what_it_has_and_catches_up(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let lines = ndjson(&Generator::new(53).products(2_000));
    stage.run_with_input(&["import", "-"], lines).await.succeeded();

    // While a file is where the new index's folder should be, the index cannot be built.
    fs::create_dir_all(stage.index()).unwrap();
    let obstacle = stage.index().join("generation-00000001");
    fs::write(&obstacle, "").unwrap();
    let server = stage.launch(&[]).await;
    let first = server.list::<&str, &str>(&[]).await.expect(200).json();
    assert_eq!(first["index"], "building", "{first}");
    assert_eq!(server.get("/readyz").await.status, 503);
    fs::remove_file(obstacle).unwrap();
    server.ready().await;
    eventually("the index has everything", SOON, async || (server.total(&[]).await == 2_000).then_some(())).await;
    assert_ne!(server.list::<&str, &str>(&[]).await.json()["index"], "building");
    stage.verify_index().await;
}

#[tokio::test]
async fn an_index_rebuild_beside_a_running_server_is_carried_out_and_listings_go_on() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(54).products(1_000))).await;
    let current = || fs::read_to_string(stage.index().join("CURRENT")).unwrap();
    let before = current();
    stage.run(&["index", "rebuild"]).await.succeeded();
    for _ in 0..20 {
        assert_eq!(server.total(&[]).await, 1_000, "what there was goes on serving");
    }
    eventually("a new index is in use", SOON, async || (current() != before).then_some(())).await;
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 1_000);
    stage.verify_index().await;
}

#[tokio::test]
async fn an_index_rebuilds_without_a_server() {
    let stage = Stage::new(Backend::Sqlite).await;
    stage.run_with_input(&["import", "-"], ndjson(&Generator::new(55).products(1_000))).await.succeeded();
    stage.run(&["index", "rebuild"]).await.succeeded();
    stage.verify_index().await;
    let server = stage.start().await;
    assert_eq!(server.total(&[]).await, 1_000);
}

#[tokio::test]
async fn an_index_of_another_catalogue_is_noticed() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(56).products(300))).await;
    server.stop().await;
    // The database is set back to its beginning; the index does not know.
    let database = stage.sqlite_file();
    for suffix in ["", "-wal", "-shm"] {
        drop(fs::remove_file(format!("{}{suffix}", database.display())));
    }
    let server = stage.start().await;
    let product = Generator::new(57).product();
    let seq = server.put(&written(&product)).await.expect(201).seq().to_string();
    eventually("the old products are gone", SOON, async || {
        (server.total(&[("min_seq", &seq)]).await == 1).then_some(())
    })
    .await;
    stage.verify_index().await;
}

#[tokio::test]
async fn verifying_tells_what_differs_from_what_is_only_pending() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(58).products(200))).await;
    server.stop().await;
    let lines: String = (0..50).map(|n| format!("{}\n", least(&format!("later-{n}"), "Later", 1))).collect();
    stage.run_with_input(&["import", "-"], lines.into_bytes()).await.succeeded();
    let verified = stage.run(&["--json", "index", "verify"]).await.succeeded().json();
    assert_eq!(verified["pending"], 50, "{verified}");

    // The index of a catalogue of which every product is another.
    let other = Stage::new(Backend::Sqlite).await;
    let server = other.start().await;
    server.import(ndjson(&Generator::new(60).products(200))).await;
    server.stop().await;
    std::fs::remove_dir_all(stage.index()).unwrap();
    copy_folder(&other.index(), &stage.index());
    let verified = stage.run(&["index", "verify"]).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_folder(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}
