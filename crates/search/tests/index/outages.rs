//! Busy writers, broken connections and a database that is put back while the index runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_catalog::Sku;
use haat_catalog::ports::ListingIndex;
use haat_testkit::generate::Generator;

use crate::gate::Gate;
use crate::stage::{Stage, store_at};

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_although_somebody_writes_all_the_time() {
    let stage = Arc::new(Stage::new().await);
    stage.import(&Generator::new(1).products(300)).await;
    let writer = Arc::clone(&stage);
    // Whoever looks at the log finds something new in it, every time.
    let write = move |n: usize| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let stage = Arc::clone(&writer);
        Box::pin(async move {
            let mut product = Generator::new(1_000 + n as u64).product();
            product.sku = Sku::new(format!("busy-{n}")).unwrap();
            stage.put(product).await;
        })
    };
    let gate = Arc::new(Gate::with_writer(stage.store.clone(), Box::new(write)));
    let running = stage.start_behind(&gate).await;
    running.ready().await;
    assert!(running.list(&[]).await.total.unwrap().value >= 300);
    assert!(gate.reads() < 50, "{} looks at the log until the index was ready", gate.reads());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_put_back_to_an_earlier_day_while_the_index_runs() {
    let stage = Stage::new().await;
    let mut generator = Generator::new(2);
    stage.import(&generator.products(100)).await;
    stage.store.close().await;
    let (now, backup) = (stage.folder.path().join("haat.db"), stage.folder.path().join("backup.db"));
    std::fs::copy(&now, &backup).unwrap();
    let stage = Stage { store: store_at(&now).await, ..stage };
    stage.import(&generator.products(250)).await;
    let gate = Arc::new(Gate::new(stage.store.clone()));
    let running = stage.start_behind(&gate).await;
    running.ready().await;
    assert_eq!(running.list(&[]).await.total.unwrap().value, 350);

    let restored = store_at(&backup).await;
    gate.replace(restored.clone());
    running.until("the newer products are gone", || running.index.status().documents < 350).await;
    running.ready().await;
    assert_eq!(running.list(&[]).await.total.unwrap().value, 100);
    let stage = Stage { store: restored, ..stage };
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_after_an_outage_is_listed_at_once() {
    let stage = Stage::new().await;
    stage.import(&Generator::new(3).products(50)).await;
    let gate = Arc::new(Gate::new(stage.store.clone()));
    let running = stage.start_behind(&gate).await;
    running.ready().await;
    gate.set_down(true);
    // After four failures the next look is more than 3 s away.
    tokio::time::timeout(Duration::from_secs(60), gate.refused(4)).await.unwrap();
    gate.set_down(false);
    let mut product = Generator::new(31).product();
    product.sku = Sku::new("fresh").unwrap();
    let seq = stage.put(product).await.seq;
    let written = Instant::now();
    running.index.nudge(&[]);
    running.until("the write is in", || running.index.status().seq >= seq).await;
    assert!(written.elapsed() < Duration::from_secs(2), "{:?}", written.elapsed());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_leads_to_another_database_after_an_outage() {
    let (stage, other) = (Stage::new().await, Stage::new().await);
    stage.import(&Generator::new(4).products(60)).await;
    other.import(&Generator::new(41).products(90)).await;
    let gate = Arc::new(Gate::new(stage.store.clone()));
    let running = stage.start_behind(&gate).await;
    running.ready().await;
    gate.set_down(true);
    tokio::time::timeout(Duration::from_secs(60), gate.refused(1)).await.unwrap();
    gate.replace(other.store.clone());
    gate.set_down(false);
    running.until("the other database is listed", || running.index.status().documents == 90).await;
    running.ready().await;
    let stage = Stage { store: other.store.clone(), ..stage };
    stage.assert_clean(&running).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_here_is_shown_before_its_turn_behind_a_long_log() {
    let stage = Stage::new().await;
    let mut generator = Generator::new(4);
    stage.import(&generator.products(50)).await;
    let gate = Arc::new(Gate::new(stage.store.clone()));
    let running = stage.start_behind(&gate).await;
    running.ready().await;
    gate.set_down(true);
    stage.import(&generator.products(4_000)).await;
    let mut product = generator.product();
    product.sku = Sku::new("fresh").unwrap();
    product.brand = Some("Only This".to_owned());
    let receipt = stage.put(product).await;
    running.index.nudge(&[receipt.id]);
    gate.set_down(false);
    let began = Instant::now();
    loop {
        let come = running.index.status().seq;
        if running.list(&[("brand", "Only This")]).await.total.unwrap().value == 1 {
            assert!(come < receipt.seq, "it had to wait for all that was written before");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never shown");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // And nothing is there twice when its turn comes.
    running.until("the log is followed", || running.index.status().seq >= receipt.seq).await;
    stage.assert_clean(&running).await;
    running.stop().await;
}
