//! Whatever happens to the index's folder or to the database, the index comes back by itself.

use std::fs;
use std::path::{Path, PathBuf};

use haat_testkit::generate::Generator;

use crate::stage::{Stage, store_at};

/// The current generation's folder.
fn generation(stage: &Stage) -> PathBuf {
    stage.dir().join(fs::read_to_string(stage.dir().join("CURRENT")).unwrap())
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.extension().is_some_and(|e| e == ending)).collect()
}

fn truncate(path: &Path, share: f64) {
    let len = fs::metadata(path).unwrap().len();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len((len as f64 * share) as u64).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

/// Builds an index, stops, damages, starts, and expects a clean index with everything in it.
async fn comes_back_from(damage: impl Fn(&Stage)) {
    let stage = Stage::new().await;
    stage.import(&Generator::new(1).products(300)).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    let marked = generation(&stage).join("marker");
    fs::write(&marked, "").unwrap();
    damage(&stage);
    let running = stage.start().await;
    running.ready().await;
    // Damage inside a file shows only when the checksums are looked at, in the background.
    running.until("the index was built anew", || !marked.exists()).await;
    running.ready().await;
    assert_eq!(running.list(&[]).await.total.unwrap().value, 300);
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_files() {
    for ending in ["term", "idx", "store", "fast", "fieldnorm"] {
        for share in [0.0, 0.5, 0.99] {
            comes_back_from(|stage| files(&generation(stage), ending).iter().for_each(|f| truncate(f, share))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes() {
    for ending in ["term", "idx", "store", "fast"] {
        comes_back_from(|stage| files(&generation(stage), ending).iter().for_each(|f| flip(f))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_files() {
    comes_back_from(|stage| fs::remove_file(generation(stage).join("meta.json")).unwrap()).await;
    comes_back_from(|stage| fs::remove_file(&files(&generation(stage), "store")[0]).unwrap()).await;
    comes_back_from(|stage| fs::remove_file(stage.dir().join("CURRENT")).unwrap()).await;
    comes_back_from(|stage| fs::remove_dir_all(generation(stage)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_place_of_what_the_index_says_of_itself() {
    comes_back_from(|stage| fs::write(generation(stage).join("meta.json"), "{").unwrap()).await;
    comes_back_from(|stage| fs::write(stage.dir().join("CURRENT"), "generation-9").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_version() {
    comes_back_from(|stage| {
        let meta = generation(stage).join("meta.json");
        let text = fs::read_to_string(&meta).unwrap();
        let now = format!(r#"\"schema\":{}"#, haat_search::schema::SCHEMA_VERSION);
        let other = text.replace(&now, r#"\"schema\":0"#);
        assert_ne!(text, other);
        fs::write(&meta, other).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_folder() {
    let stage = Stage::new().await;
    stage.import(&Generator::new(1).products(100)).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    fs::remove_dir_all(stage.dir()).unwrap();
    let running = stage.start().await;
    running.ready().await;
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_to_an_earlier_day() {
    let stage = Stage::new().await;
    stage.import(&Generator::new(1).products(300)).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    let mut earlier = Stage::new().await;
    earlier.import(&Generator::new(1).products(20)).await;
    copy(&stage.dir(), &earlier.dir());
    let running = earlier.start().await;
    running.ready().await;
    assert_eq!(running.list(&[]).await.total.unwrap().value, 20);
    earlier.assert_clean(&running).await;
    running.stop().await;
    earlier.store = store_at(&earlier.folder.path().join("another.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_that_has_seen_as_many_changes_of_the_same_products() {
    let stage = Stage::new().await;
    let mut products = Generator::new(1).products(200);
    stage.import(&products).await;
    // Built in a quiet moment: no change was ever followed.
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    let other = Stage::new().await;
    products.iter_mut().for_each(|product| product.name = format!("Another {}", product.name));
    other.import(&products).await;
    copy(&stage.dir(), &other.dir());
    let running = other.start().await;
    running.ready().await;
    other.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_put_back_that_has_come_as_far_again() {
    let stage = Stage::new().await;
    let mut generator = Generator::new(1);
    stage.import(&generator.products(100)).await;
    stage.store.close().await;
    let (now, backup) = (stage.folder.path().join("haat.db"), stage.folder.path().join("backup.db"));
    fs::copy(&now, &backup).unwrap();
    let stage = Stage { store: store_at(&now).await, ..stage };
    stage.import(&generator.products(50)).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    let stage = Stage { store: store_at(&backup).await, ..stage };
    stage.import(&generator.products(50)).await;
    let running = stage.start().await;
    running.ready().await;
    stage.assert_clean(&running).await;
    running.stop().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
