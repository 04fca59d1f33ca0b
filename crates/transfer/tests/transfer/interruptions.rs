//! What ends an import early, what it does in spite of it, and what it tells.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haat_catalog::ports::StoreError;
use haat_transfer::{ImportSpec, InputLimits, StopCause};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::market::{Fate, Gate, Market, counts, errors, gzip, line, lines, mapped, ndjson};

fn unavailable() -> StoreError {
    StoreError::Unavailable("connection refused".into())
}

#[rstest]
// Stops at the first: what stands before it is written, what stands behind it is not.
#[case(0, 4, 1, 3)]
// Tolerates two, stops at the third.
#[case(2, 8, 3, 5)]
#[case(3, 12, 3, 9)]
#[case(u64::MAX, 12, 3, 9)]
#[tokio::test]
async fn it_stops_when_more_records_are_refused_than_allowed(
    #[case] max_errors: u64,
    #[case] records: u64,
    #[case] failed: u64,
    #[case] created: u64,
) {
    let market = Market::open().await;
    let bad = "{\"sku\":\"X\",\"what\":1}\n";
    let good = |from: usize, to: usize| lines(from..to);
    let input = [good(0, 3), bad.into(), good(3, 4), bad.into(), good(4, 5), bad.into(), good(5, 9)].concat();
    for batch in [1000, 1, 3] {
        let market = if batch == 1000 { &market } else { &Market::open().await };
        let report = market.import(ImportSpec { max_errors, batch, ..ndjson() }, input.clone()).await.unwrap();
        assert_eq!(report.counts, counts(records, created, 0, 0, failed));
        assert_eq!(report.cause, (failed > max_errors).then_some(StopCause::TooManyErrors));
        assert_eq!(report.stopped.is_some(), failed > max_errors);
        assert_eq!(market.skus().await.len() as u64, created);
    }
}

#[tokio::test]
async fn records_that_the_store_refuses_count_as_errors_with_their_line() {
    let market = Market::open().await;
    let id = "019b0000-0000-7000-8000-000000000001";
    let with_id = |sku: &str| line(sku).replace("{\"sku\"", &format!("{{\"id\":\"{id}\",\"sku\""));
    market.import(ndjson(), with_id("A")).await.unwrap();
    let input = [line("A"), line("B"), with_id("C"), line("D")].concat();
    let report = market.import(ImportSpec { max_errors: 0, ..ndjson() }, input).await.unwrap();
    assert_eq!(report.counts, counts(4, 2, 0, 1, 1));
    assert_eq!(errors(&report), [format!("3 /id: the id {id} belongs to another product")]);
    assert_eq!(report.cause, Some(StopCause::TooManyErrors));
}

#[tokio::test]
async fn a_thousand_errors_are_kept_and_the_rest_counted() {
    let market = Market::open().await;
    let input = "{}\n".repeat(1500) + &line("A");
    let report = market.import(ImportSpec { max_errors: u64::MAX, ..ndjson() }, input).await.unwrap();
    assert_eq!(report.counts, counts(1501, 1, 0, 0, 1500));
    assert_eq!(report.errors.len(), 1000);
    assert!(report.errors.is_sorted_by_key(|e| e.line));
}

#[tokio::test]
async fn more_records_than_allowed_are_not_read_and_that_is_said() {
    let market = Market::open().await;
    let limits = InputLimits { records: 25, ..InputLimits::default() };
    let spec = ImportSpec { limits, batch: 10, ..ndjson() };
    let enough = market.import(spec.clone(), lines(0..25)).await.unwrap();
    assert_eq!((enough.counts.created, enough.cause), (25, None));
    let report = market.import(spec, lines(100..126)).await.unwrap();
    assert_eq!((report.counts, report.cause), (counts(25, 25, 0, 0, 0), Some(StopCause::Input)));
    let why = report.stopped.unwrap();
    assert!(why.contains("more than 25 records") && why.contains("imports.max_records"), "{why}");
}

#[tokio::test]
async fn a_small_file_that_unpacks_without_end_is_given_up() {
    let market = Market::open().await;
    let bomb = gzip(&[lines(0..3).as_bytes(), &[b'\n'; 5_000_000]].concat());
    assert!(bomb.len() < 100_000);
    let limits = InputLimits { unpacked_bytes: 1_000_000, ..InputLimits::default() };
    for spec in
        [ImportSpec { limits, ..ndjson() }, ImportSpec { limits, ..mapped(&["sku=a", "name=b", "price=c:INR"]) }]
    {
        let bomb = if spec.mapping.is_some() {
            gzip(&[b"a,b,c\n".as_slice(), &[b'\n'; 5_000_000]].concat())
        } else {
            bomb.clone()
        };
        let report = market.import(spec, bomb).await.unwrap();
        assert_eq!(report.cause, Some(StopCause::Input));
        let why = report.stopped.unwrap();
        assert!(why.contains("longer than 1000000 bytes") && why.contains("imports.max_unpacked"), "{why}");
    }
    assert_eq!(market.store.count().await.unwrap(), 3);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_and_writes_nothing() {
    let market = Market::open().await;
    market.import(ndjson(), lines(0..10)).await.unwrap();
    let before = market.products().await;
    let dry = ImportSpec { dry_run: true, batch: 4, ..ndjson() };
    let input = lines(0..15).replace("Name of P000003", "Other") + "{}\n";
    let report = market.import(dry, input.clone()).await.unwrap();
    assert_eq!(report.counts, counts(16, 5, 1, 9, 1));
    assert_eq!(market.products().await, before);
    let real = market.import(ndjson(), input).await.unwrap();
    assert_eq!((real.counts, real.errors), (report.counts, report.errors));
}

#[tokio::test]
async fn a_dry_run_foresees_ids_that_repeat_however_far_apart() {
    let market = Market::open().await;
    let id = "019b0000-0000-7000-8000-000000000001";
    let with_id = |sku: &str| line(sku).replace("{\"sku\"", &format!("{{\"id\":\"{id}\",\"sku\""));
    let input = [with_id("A"), lines(0..10), with_id("C")].concat();
    let spec = ImportSpec { batch: 3, ..ndjson() };
    let dry = market.import(ImportSpec { dry_run: true, ..spec.clone() }, input.clone()).await.unwrap();
    assert_eq!(dry.counts, counts(12, 11, 0, 0, 1));
    assert_eq!(errors(&dry), [format!("12 /id: the id {id} is already on line 1 of this input")]);
    let real = market.import(spec, input).await.unwrap();
    assert_eq!((real.counts, real.errors), (dry.counts, dry.errors));
}

#[tokio::test]
async fn cancelling_finishes_the_batch_in_hand_and_tells_what_was_done() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 2, []);
    let cancel = CancellationToken::new();
    let import = tokio::spawn({
        let (clock, ids, cancel, gate) = (market.clock.clone(), market.ids.clone(), cancel.clone(), gate.clone());
        let input = Box::new(std::io::Cursor::new(lines(0..100)));
        let spec = ImportSpec { batch: 10, ..ndjson() };
        async move { haat_transfer::import(input, spec, gate, clock, ids, &|_, _| {}, cancel).await }
    });
    // The third batch is under way when the word comes.
    gate.arrived.acquire_many(3).await.unwrap().forget();
    cancel.cancel();
    gate.open.add_permits(100);
    let report = import.await.unwrap().unwrap();
    assert_eq!(report.cause, Some(StopCause::Cancelled));
    assert_eq!(report.counts, counts(30, 30, 0, 0, 0));
    assert_eq!(market.store.count().await.unwrap(), 30);
    let rest = market.import(ndjson(), lines(0..100)).await.unwrap();
    assert_eq!(rest.counts, counts(100, 70, 0, 30, 0));
}

#[tokio::test]
async fn cancelling_does_not_wait_for_an_input_that_says_nothing() {
    let market = Market::open().await;
    let (input, _held) = std::io::pipe().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (clock, ids) = (market.clock.clone(), market.ids.clone());
    let import = haat_transfer::import(Box::new(input), ndjson(), market.store.clone(), clock, ids, &|_, _| {}, cancel);
    let report = tokio::time::timeout(Duration::from_secs(10), import).await.unwrap().unwrap();
    assert_eq!(report.cause, Some(StopCause::Cancelled));
}

#[tokio::test]
async fn a_store_that_comes_back_in_time_is_waited_for() {
    let market = Market::open().await;
    let fates = [
        Fate::Pass,
        Fate::Fail(unavailable()),
        Fate::Fail(StoreError::Timeout("slow".into())),
        Fate::Lose(StoreError::Contention("deadlock".into())),
    ];
    let gate = Gate::new(market.store.clone(), 1000, fates);
    let report = market.import_through(gate, ImportSpec { batch: 5, ..ndjson() }, lines(0..20)).await.unwrap();
    assert_eq!(report.stopped, None);
    // The answer to one batch was lost, so that it is found to be there already.
    assert_eq!(report.counts, counts(20, 15, 0, 5, 0));
    assert_eq!(market.store.count().await.unwrap(), 20);
}

#[tokio::test]
async fn a_store_that_stays_away_ends_the_import_with_what_was_acknowledged() {
    let market = Market::open().await;
    let fates = std::iter::once(Fate::Pass).chain((0..1000).map(|_| Fate::Fail(unavailable())));
    let gate = Gate::new(market.store.clone(), 2000, fates);
    let spec = ImportSpec { batch: 5, retry_for: Duration::from_millis(400), ..ndjson() };
    let report = market.import_through(gate.clone(), spec, lines(0..20)).await.unwrap();
    // At once, after 0.1 s and after 0.3 s; a fourth attempt would come too late.
    assert!((2..=4).contains(&gate.arrived.available_permits()), "{}", gate.arrived.available_permits());
    assert_eq!(report.cause, Some(StopCause::StoreUnavailable));
    assert_eq!(report.counts, counts(5, 5, 0, 0, 0));
    assert!(report.stopped.unwrap().contains("after 5 records"));
    assert_eq!(market.store.count().await.unwrap(), 5);
}

#[tokio::test]
async fn a_store_that_is_broken_is_not_asked_again() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 1000, [Fate::Fail(StoreError::Corrupt("row".into()))]);
    let report = market.import_through(gate.clone(), ndjson(), lines(0..20)).await.unwrap();
    assert_eq!(report.cause, Some(StopCause::StoreFailed));
    assert_eq!(gate.arrived.available_permits(), 1);
}

#[tokio::test]
async fn progress_counts_records_and_the_bytes_of_the_file_as_it_is() {
    let market = Market::open().await;
    let text = lines(0..20_000);
    for input in [text.clone().into_bytes(), gzip(text.as_bytes())] {
        let size = input.len() as u64;
        let seen = Mutex::new(Vec::new());
        let observe = |counts: &haat_catalog::ports::ImportCounts, bytes: u64| {
            seen.lock().unwrap().push((counts.records, bytes));
        };
        let (clock, ids) = (market.clock.clone(), market.ids.clone());
        let (input, cancel) = (Box::new(std::io::Cursor::new(input)), CancellationToken::new());
        haat_transfer::import(input, ndjson(), market.store.clone(), clock, ids, &observe, cancel).await.unwrap();
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.len(), 20);
        assert!(seen.is_sorted());
        assert_eq!(*seen.last().unwrap(), (20_000, size));
        assert!(seen[0].1 < size || size < 300_000, "{seen:?}");
    }
}

/// Counts how much of an endless input was taken.
struct Endless(Arc<Mutex<u64>>);

impl Read for Endless {
    fn read(&mut self, mut buf: &mut [u8]) -> std::io::Result<usize> {
        let mut taken = self.0.lock().unwrap();
        let mut n = 0;
        while buf.len() > 200 {
            let text = line(&format!("E{}", *taken + n as u64));
            buf.write_all(text.as_bytes()).unwrap();
            n += text.len();
        }
        *taken += n as u64;
        Ok(n)
    }
}

#[tokio::test]
async fn no_more_is_read_ahead_than_a_few_batches() {
    let market = Market::open().await;
    let taken = Arc::new(Mutex::new(0));
    let gate = Gate::new(market.store.clone(), 0, []);
    let cancel = CancellationToken::new();
    let import = tokio::spawn({
        let (clock, ids, cancel, gate) = (market.clock.clone(), market.ids.clone(), cancel.clone(), gate.clone());
        let input = Box::new(Endless(taken.clone()));
        async move { haat_transfer::import(input, ndjson(), gate, clock, ids, &|_, _| {}, cancel).await }
    });
    gate.arrived.acquire().await.unwrap().forget();
    // The reader fills the channel and then waits: five batches of 1,000 records of less than 90 bytes, and buffers.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let mut before = u64::MAX;
    while before != *taken.lock().unwrap() {
        assert!(std::time::Instant::now() < deadline);
        before = *taken.lock().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 5 * 90_000 + 2 * 262_144, "{before}");
    cancel.cancel();
    gate.open.add_permits(1);
    assert_eq!(import.await.unwrap().unwrap().counts.records, 1000);
}
