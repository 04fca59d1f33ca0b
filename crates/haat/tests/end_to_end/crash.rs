//! `kill -9`, again and again: what was acknowledged is there, the index agrees with the database.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haat_testkit::generate::Generator;
use rand::RngExt;
use reqwest::Client;
use rstest::rstest;
use tokio::task::JoinSet;

use crate::harness::{Backend, Stage, least};

const KILLS: usize = 20;

/// The price last acknowledged for each sku; `None` where the last answer never came.
type Ledger = Arc<Mutex<BTreeMap<String, Option<i64>>>>;

#[rstest]
#[case::sqlite(Backend::Sqlite, 100_000)]
#[case::mariadb(Backend::MariaDb, 30_000)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_during_an_import_and_writes_lose_nothing(#[case] backend: Backend, #[case] rows: usize) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let job = server.submit("", "application/x-ndjson", lines(rows)).await;
    let ledger = Ledger::default();
    let mut generator = Generator::new(71);
    let mut server = Some(server);
    for kill in 0..KILLS {
        let running = match server.take() {
            Some(server) => server,
            None => stage.launch(&[]).await,
        };
        check_ledger(&running, &ledger).await;
        let writers = write(format!("http://{}", running.address()), &ledger, kill);
        let moment = Duration::from_millis(generator.rng().random_range(50..1_200));
        // The one place where time itself is the condition: a crash comes at any moment.
        tokio::time::sleep(moment).await;
        running.kill();
        writers.join_all().await;
    }
    let server = stage.launch(&[]).await;
    check_ledger(&server, &ledger).await;
    let done = server.job(&job, Duration::from_secs(180)).await;
    assert_eq!((&done["state"], &done["counts"]["failed"]), (&"done".into(), &0.into()), "{done}");
    assert_eq!(done["counts"]["created"], rows, "every row was counted once: {done}");
    server.caught_up().await;
    server.ready().await;
    let written = ledger.lock().unwrap().len() as u64;
    let total = server.total(&[]).await;
    assert_eq!(server.total(&[("category", "Imported")]).await, rows as u64);
    assert!(total >= rows as u64 && total <= rows as u64 + written);
    stage.verify_index().await;
}

/// Products as short lines.
fn lines(rows: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows * 128);
    for n in 0..rows {
        let price = n % 1_000;
        writeln!(
            out,
            r#"{{"sku":"I{n}","name":"Imported rice {n}","price":{{"amount":{price},"currency":"INR"}},"category":["Imported"]}}"#
        )
        .unwrap();
    }
    out
}

/// Four writers that go on until the server is gone.
fn write(base: String, ledger: &Ledger, round: usize) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (base, ledger) = (base.clone(), Arc::clone(ledger));
        writers.spawn(async move {
            let client = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
            for n in 0.. {
                let sku = format!("W{writer}-{}", n % 40);
                let price = (round * 1_000_000 + n) as i64;
                let url = format!("{base}/v1/products/{sku}");
                let answer = client.put(url).json(&least(&sku, "Written", price)).send().await;
                // With the answer lost nobody knows; with an answer everybody does.
                let known = match answer {
                    Ok(reply) if reply.status().is_success() => Some(price),
                    _ => None,
                };
                ledger.lock().unwrap().insert(sku, known);
                if known.is_none() {
                    return;
                }
            }
        });
    }
    writers
}

async fn check_ledger(server: &crate::harness::Server, ledger: &Ledger) {
    let ledger = ledger.lock().unwrap().clone();
    for (sku, price) in ledger {
        if let Some(price) = price {
            let product = server.product(&sku).await.expect(200).json();
            assert_eq!(product["price"]["amount"], price, "{sku} was acknowledged");
        }
    }
}
