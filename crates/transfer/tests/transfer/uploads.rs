//! Imports over HTTP: spooled, kept as jobs, resumed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use haat_catalog::ports::{ImportJob, JobState, ProductWriter, StoreError};
use haat_testkit::conformance::patch;
use haat_transfer::{ImportSpec, InputLimits, UploadError, UploadOptions, Uploads};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::market::{Fate, Gate, Market, counts, csv, gzip, line, lines, mapped, ndjson};

type Chunk = Result<Bytes, String>;

/// A server's uploads, its worker running.
pub struct Server {
    pub uploads: Arc<Uploads>,
    shutdown: CancellationToken,
    worker: JoinHandle<()>,
}

impl Market {
    pub fn spool(&self) -> std::path::PathBuf {
        self.dir.path().join("uploads")
    }

    fn uploads(&self, writer: Arc<dyn ProductWriter>) -> Arc<Uploads> {
        let options = UploadOptions {
            dir: self.spool(),
            owner: "replica".into(),
            max_bytes: 1_000_000,
            max_queued: 3,
            limits: InputLimits::default(),
        };
        Uploads::new(options, writer, self.store.clone(), self.clock.clone(), self.ids.clone())
    }

    pub fn serve(&self, writer: Arc<dyn ProductWriter>) -> Server {
        let (uploads, shutdown) = (self.uploads(writer), CancellationToken::new());
        let worker = tokio::spawn(uploads.clone().run(shutdown.clone()));
        Server { uploads, shutdown, worker }
    }

    async fn spooled(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.spool()) else { return Vec::new() };
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Server {
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.worker).await.unwrap().unwrap();
    }
}

pub fn body(text: impl Into<Bytes>) -> impl futures::Stream<Item = Chunk> + Send + Unpin {
    let text: Bytes = text.into();
    let chunks: Vec<Chunk> = text.chunks(1000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(chunks)
}

/// Waits until the job is as wanted.
pub async fn until(uploads: &Uploads, id: Uuid, wanted: impl Fn(&ImportJob) -> bool) -> ImportJob {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let job = uploads.job(id).await.unwrap().unwrap();
        if wanted(&job) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn finished(uploads: &Uploads, id: Uuid) -> ImportJob {
    until(uploads, id, |job| matches!(job.state, JobState::Done | JobState::Failed)).await
}

/// Waits until the folder of uploads is empty.
pub async fn removed(market: &Market) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !market.spooled().await.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", market.spooled().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_upload_is_imported_and_its_errors_are_in_the_job() {
    let market = Market::open().await;
    let server = market.serve(market.store.clone());
    let input = [line("A"), "{}\n".into(), line("B"), "not json\n".into()].concat();
    let job = server.uploads.submit(body(gzip(input.as_bytes())), ndjson()).await.unwrap();
    assert_eq!((job.state, job.counts), (JobState::Queued, counts(0, 0, 0, 0, 0)));
    let job = finished(&server.uploads, job.id).await;
    assert_eq!((job.state, job.message.as_deref()), (JobState::Done, None));
    assert_eq!(job.counts, counts(4, 2, 0, 0, 2));
    let places: Vec<(u64, &str)> = job.errors.iter().map(|e| (e.line, e.pointer.as_str())).collect();
    assert_eq!(places, [(2, "/sku"), (2, "/name"), (2, "/price"), (4, "")]);
    assert_eq!(market.skus().await, ["A", "B"]);
    removed(&market).await;
    server.stop().await;
}

#[tokio::test]
async fn uploads_are_imported_one_after_the_other_with_their_own_specs() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let rules = &["sku=id", "name=title", "price=cost:INR", "brand:=Ours"];
    let first = uploads.submit(body("id,title,cost\nA,Apple,5\n"), mapped(rules)).await.unwrap();
    let dry = ImportSpec { dry_run: true, ..ndjson() };
    let second = uploads.submit(body(line("A") + &line("B")), dry).await.unwrap();
    let third = uploads.submit(body("nonsense\n1\n"), csv()).await.unwrap();
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(uploads.clone().run(shutdown.clone()));
    assert_eq!(finished(&uploads, first.id).await.counts, counts(1, 1, 0, 0, 0));
    assert_eq!(finished(&uploads, second.id).await.counts, counts(2, 1, 1, 0, 0));
    let third = finished(&uploads, third.id).await;
    assert_eq!(third.state, JobState::Failed);
    assert!(third.message.unwrap().contains("none of its columns (nonsense) is a field of a product"));
    assert_eq!(market.products().await[0]["brand"], "Ours");
    assert_eq!(market.store.count().await.unwrap(), 1);
    removed(&market).await;
    shutdown.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_shutdown_stops_between_batches_and_the_next_start_goes_on_behind_them() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 3, []);
    let server = market.serve(gate.clone());
    // Line 5 is bad, line 35 repeats line 1: found although line 1 is not written again.
    let mut text: Vec<String> = lines(0..60).lines().map(|l| l.to_owned() + "\n").collect();
    text[4] = "{}\n".into();
    text[34] = line("P000000");
    let spec = ImportSpec { batch: 10, ..ndjson() };
    let id = server.uploads.submit(body(text.concat()), spec).await.unwrap().id;
    gate.arrived.acquire_many(3).await.unwrap().forget();
    server.shutdown.cancel();
    gate.open.add_permits(1);
    let uploads = server.uploads.clone();
    server.stop().await;
    let job = uploads.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Running);
    assert_eq!(job.counts.records % 10, 0);
    let (done, written) = (job.counts.records, market.store.count().await.unwrap());
    assert!((20..=40).contains(&done), "{done}");
    assert_eq!(job.counts.created, written);

    let later = Gate::new(market.store.clone(), 1000, []);
    let server = market.serve(later.clone());
    let job = finished(&server.uploads, id).await;
    assert_eq!(job.state, JobState::Done);
    assert_eq!(job.counts, counts(60, 58, 0, 0, 2));
    let found: Vec<(u64, &str)> = job.errors.iter().map(|e| (e.line, e.pointer.as_str())).collect();
    assert_eq!(found, [(5, "/sku"), (5, "/name"), (5, "/price"), (35, "/sku")]);
    // Nothing was written twice.
    assert_eq!(later.arrived.available_permits() as u64, (60 - done) / 10);
    removed(&market).await;
    server.stop().await;
}

#[tokio::test]
async fn errors_that_a_crash_kept_from_being_saved_are_found_again() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let text = [line("A"), "{}\n".into(), line("B"), line("C")].concat();
    let spec = ImportSpec { batch: 2, ..ndjson() };
    let mut job = uploads.submit(body(text), spec).await.unwrap();
    // As after a crash right behind the first batch: its checkpoint is there, its errors are not.
    market.import(ndjson(), line("A")).await.unwrap();
    job.state = JobState::Running;
    job.counts = counts(2, 1, 0, 0, 1);
    market.store.save_job(&job).await.unwrap();
    let server = market.serve(market.store.clone());
    let job = finished(&server.uploads, job.id).await;
    assert_eq!(job.counts, counts(4, 3, 0, 0, 1));
    assert_eq!(job.errors.iter().map(|e| e.line).collect::<Vec<_>>(), [2, 2, 2]);
    server.stop().await;
}

#[tokio::test]
async fn an_import_that_had_too_many_errors_when_its_server_died_does_not_go_on() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let spec = ImportSpec { max_errors: 1, batch: 2, ..ndjson() };
    let mut job = uploads.submit(body("{}\n".repeat(2) + &lines(0..4)), spec).await.unwrap();
    // As after a crash between the batch with the second error and the end of the job.
    job.state = JobState::Running;
    job.counts = counts(2, 0, 0, 0, 2);
    market.store.save_job(&job).await.unwrap();
    let server = market.serve(market.store.clone());
    let job = finished(&server.uploads, job.id).await;
    assert_eq!((job.state, job.counts), (JobState::Failed, counts(2, 0, 0, 0, 2)));
    assert_eq!(job.message.as_deref(), Some("more than 1 records were refused"));
    assert_eq!(market.store.count().await.unwrap(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_not_counted_twice() {
    let market = Market::open().await;
    let lost = StoreError::Timeout("no answer".into());
    let gate = Gate::new(market.store.clone(), 1000, [Fate::Pass, Fate::Lose(lost)]);
    let server = market.serve(gate);
    let spec = ImportSpec { batch: 5, ..ndjson() };
    let id = server.uploads.submit(body(lines(0..20)), spec).await.unwrap().id;
    assert_eq!(finished(&server.uploads, id).await.counts, counts(20, 20, 0, 0, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_does_not_write_over_who_wrote_in_between() {
    let market = Market::open().await;
    let lost = StoreError::Unavailable("the connection broke during commit".into());
    let other = patch("P000007", serde_json::json!({"name": "of another writer"}));
    let gate = Gate::new(market.store.clone(), 1000, [Fate::Pass, Fate::LoseThen(lost, Box::new(other))]);
    let server = market.serve(gate);
    let spec = ImportSpec { batch: 5, ..ndjson() };
    let id = server.uploads.submit(body(lines(0..20)), spec).await.unwrap().id;
    assert_eq!(finished(&server.uploads, id).await.counts, counts(20, 20, 0, 0, 0));
    let products = market.products().await;
    let written = products.iter().find(|p| p["sku"] == "P000007").unwrap();
    assert_eq!((&written["name"], &written["version"]), (&"of another writer".into(), &2.into()));
    assert_eq!(market.store.head().await.unwrap().0, 21);
    server.stop().await;
}

#[tokio::test]
async fn a_database_that_stays_away_delays_an_import_and_does_not_fail_it() {
    let market = Market::open().await;
    let away = || Fate::Fail(StoreError::Unavailable("connection refused".into()));
    let gate = Gate::new(market.store.clone(), 1000, std::iter::once(Fate::Pass).chain((0..5).map(|_| away())));
    let server = market.serve(gate.clone());
    let spec = ImportSpec { batch: 5, retry_for: Duration::from_millis(150), ..ndjson() };
    let id = server.uploads.submit(body(lines(0..20)), spec).await.unwrap().id;
    let waits = until(&server.uploads, id, |job| job.message.is_some()).await;
    assert!(waits.message.unwrap().contains("does not take the records"));
    // More often than one attempt at the import tries.
    gate.arrived.acquire_many(6).await.unwrap().forget();
    let job = finished(&server.uploads, id).await;
    assert_eq!((job.state, job.counts, job.message), (JobState::Done, counts(20, 20, 0, 0, 0), None));
    server.stop().await;
}

#[tokio::test]
async fn a_broken_database_fails_the_job_without_its_own_words() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 1000, [Fate::Fail(StoreError::Corrupt("secret path".into()))]);
    let server = market.serve(gate);
    let id = server.uploads.submit(body(lines(0..20)), ndjson()).await.unwrap().id;
    let job = finished(&server.uploads, id).await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.message.as_deref(), Some("the database failed; the server's log says how"));
    removed(&market).await;
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let chunks: Vec<Chunk> = vec![Ok(Bytes::from(lines(0..10))), Err("connection reset".into())];
    let error = uploads.submit(stream::iter(chunks), ndjson()).await.unwrap_err();
    assert!(matches!(&error, UploadError::Interrupted(why) if why == "connection reset"), "{error:?}");
    // A client that hangs up makes the server drop the request.
    let half = futures::StreamExt::chain(body(lines(0..10)), stream::pending());
    let submission = uploads.submit(Box::pin(half), ndjson());
    assert!(tokio::time::timeout(Duration::from_millis(300), submission).await.is_err());
    assert_eq!(market.spooled().await, [""; 0]);
    assert!(market.store.unfinished_jobs("replica").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_large_or_makes_no_sense_is_refused_and_leaves_nothing() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let error = uploads.submit(body("x".repeat(1_000_001)), ndjson()).await.unwrap_err();
    assert!(matches!(error, UploadError::TooLarge { limit: 1_000_000 }), "{error:?}");
    let spec = ImportSpec { format: ndjson().format, ..mapped(&["sku=a", "name=b", "price=c:INR"]) };
    assert!(matches!(uploads.submit(body(line("A")), spec).await, Err(UploadError::Spec(_))));
    assert_eq!(market.spooled().await, [""; 0]);
    assert!(uploads.submit(body("x".repeat(1_000_000)), ndjson()).await.is_ok());
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_until_there_is_room() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    for sku in ["A", "B", "C"] {
        uploads.submit(body(line(sku)), ndjson()).await.unwrap();
    }
    assert!(matches!(uploads.submit(body(line("D")), ndjson()).await, Err(UploadError::Busy)));
    assert_eq!(market.spooled().await.len(), 3);
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(uploads.clone().run(shutdown.clone()));
    removed(&market).await;
    uploads.submit(body(line("D")), ndjson()).await.unwrap();
    removed(&market).await;
    assert_eq!(market.store.count().await.unwrap(), 4);
    shutdown.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn uploads_being_received_count_towards_the_queue() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let pending = || {
        let uploads = uploads.clone();
        tokio::spawn(async move { uploads.submit(Box::pin(stream::pending::<Chunk>()), ndjson()).await })
    };
    let held = [pending(), pending(), pending()];
    let deadline = Instant::now() + Duration::from_secs(10);
    while market.spooled().await.len() < 3 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(uploads.submit(body(line("D")), ndjson()).await, Err(UploadError::Busy)));
    for held in held {
        held.abort();
        assert!(held.await.unwrap_err().is_cancelled());
    }
    assert!(uploads.submit(body(line("D")), ndjson()).await.is_ok());
}

#[tokio::test]
async fn a_start_removes_what_a_crash_left_and_fails_what_cannot_go_on() {
    let market = Market::open().await;
    let uploads = market.uploads(market.store.clone());
    let lost = uploads.submit(body(line("A")), ndjson()).await.unwrap().id;
    let kept = uploads.submit(body(line("B")), ndjson()).await.unwrap().id;
    std::fs::remove_file(market.spool().join(format!("{lost}.upload"))).unwrap();
    let write = |name: String| std::fs::write(market.spool().join(name), "x").unwrap();
    let orphan = Uuid::from_u128(7);
    write(format!("{orphan}.upload"));
    write(format!("{orphan}.part"));
    write(format!("{kept}.part.txt"));
    write("README".into());
    let server = market.serve(market.store.clone());
    let lost = finished(&server.uploads, lost).await;
    assert_eq!(
        (lost.state, lost.message.as_deref()),
        (JobState::Failed, Some("the upload is no longer there; send it again"))
    );
    assert_eq!(finished(&server.uploads, kept).await.state, JobState::Done);
    server.stop().await;
    let mut left = market.spooled().await;
    left.sort();
    assert_eq!(left, [format!("{kept}.part.txt"), "README".to_owned()]);
}

#[tokio::test]
async fn a_job_of_another_replica_is_left_to_it() {
    let market = Market::open().await;
    let options = UploadOptions {
        dir: market.dir.path().join("other"),
        owner: "other".into(),
        max_bytes: 1000,
        max_queued: 1,
        limits: InputLimits::default(),
    };
    let other =
        Uploads::new(options, market.store.clone(), market.store.clone(), market.clock.clone(), market.ids.clone());
    let theirs = other.submit(body(line("A")), ndjson()).await.unwrap().id;
    let server = market.serve(market.store.clone());
    let ours = server.uploads.submit(body(line("B")), ndjson()).await.unwrap().id;
    assert_eq!(finished(&server.uploads, ours).await.state, JobState::Done);
    // Every replica can answer for it, only its own carries it out.
    assert_eq!(server.uploads.job(theirs).await.unwrap().unwrap().state, JobState::Queued);
    assert!(Path::new(&market.dir.path().join("other").join(format!("{theirs}.upload"))).exists());
    server.stop().await;
}
