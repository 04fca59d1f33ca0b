//! Jobs that somebody or something ends: cancelled, forgotten, or with a report that cannot be kept.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::Timestamp;
use haat_catalog::ports::{ImportJob, ImportJobs, JobState, StoreError};
use haat_transfer::{ImportSpec, InputLimits, UploadOptions, Uploads};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::market::{Gate, Market, counts, csv, gzip, line, lines, ndjson};
use crate::uploads::{body, finished, removed};

#[tokio::test]
async fn an_import_that_waits_or_runs_can_be_cancelled_and_its_upload_goes() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 2, []);
    let server = market.serve(gate.clone());
    let spec = ImportSpec { batch: 5, ..ndjson() };
    let running = server.uploads.submit(body(lines(0..100)), spec).await.unwrap().id;
    let waiting = server.uploads.submit(body(lines(200..210)), ndjson()).await.unwrap().id;
    let last = server.uploads.submit(body(line("Z")), ndjson()).await.unwrap().id;
    // Two batches are written, the third is under way.
    gate.arrived.acquire_many(3).await.unwrap().forget();
    for id in [waiting, running, running] {
        assert_eq!(server.uploads.cancel(id).await.unwrap(), Some(JobState::Cancelled));
    }
    gate.open.add_permits(1_000);
    assert_eq!(finished(&server.uploads, last).await.state, JobState::Done);
    let job = server.uploads.job(running).await.unwrap().unwrap();
    assert_eq!((job.state, job.counts), (JobState::Cancelled, counts(10, 10, 0, 0, 0)));
    assert_eq!(market.store.count().await.unwrap(), 11);
    assert_eq!(server.uploads.cancel(last).await.unwrap(), Some(JobState::Done));
    assert_eq!(server.uploads.cancel(Uuid::from_u128(404)).await.unwrap(), None);
    removed(&market).await;
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_can_be_cancelled() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 1, []);
    let server = market.serve(gate.clone());
    let spec = ImportSpec { batch: 5, dry_run: true, ..ndjson() };
    // The second batch has an error, so that the job is saved behind it.
    let input = lines(0..5) + "{}\n" + &lines(5..100);
    let id = server.uploads.submit(body(input), spec).await.unwrap().id;
    gate.arrived.acquire_many(2).await.unwrap().forget();
    server.uploads.cancel(id).await.unwrap();
    gate.open.add_permits(1_000);
    removed(&market).await;
    let next = server.uploads.submit(body(line("Z")), ndjson()).await.unwrap().id;
    finished(&server.uploads, next).await;
    assert_eq!(server.uploads.job(id).await.unwrap().unwrap().state, JobState::Cancelled);
    assert!(gate.arrived.available_permits() < 5, "it did not go on to its end");
    server.stop().await;
}

#[tokio::test]
async fn whatever_an_input_says_what_is_told_about_it_is_short() {
    let market = Market::open().await;
    let server = market.serve(market.store.clone());
    let long = "x".repeat(300_000);
    let one_line = server.uploads.submit(body(long.clone()), csv()).await.unwrap().id;
    let names = format!("{{\"{long}\":1}}\n{{\"sku\":\"A\",\"{}\":1}}\n", "\u{7}\\n".repeat(50_000));
    let names = server.uploads.submit(body(gzip(names.as_bytes())), ndjson()).await.unwrap().id;
    for id in [one_line, names] {
        let job = finished(&server.uploads, id).await;
        assert!(job.message.is_none_or(|m| m.len() <= 2_000));
        assert!(job.errors.iter().all(|e| e.pointer.len() <= 200 && e.detail.len() <= 500));
    }
    let fine = server.uploads.submit(body(line("A")), ndjson()).await.unwrap().id;
    assert_eq!(finished(&server.uploads, fine).await.state, JobState::Done);
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_was_forgotten_under_way_does_not_hold_up_the_next() {
    let market = Market::open().await;
    let gate = Gate::new(market.store.clone(), 0, []);
    let server = market.serve(gate.clone());
    let mut job = server.uploads.submit(body(lines(0..20)), ndjson()).await.unwrap();
    gate.arrived.acquire().await.unwrap().forget();
    // As when somebody clears the table away.
    job.state = JobState::Done;
    market.store.save_job(&job).await.unwrap();
    assert_eq!(market.store.prune_jobs(market.clock.advance(Duration::from_secs(1))).await.unwrap(), 1);
    let next = server.uploads.submit(body(line("B")), ndjson()).await.unwrap().id;
    gate.open.add_permits(1_000);
    assert_eq!(finished(&server.uploads, next).await.state, JobState::Done);
    assert_eq!(market.skus().await, ["B"], "a batch of no job is not written");
    removed(&market).await;
    server.stop().await;
}

#[tokio::test]
async fn a_report_that_cannot_be_kept_fails_its_job_and_the_next_is_carried_out() {
    let market = Market::open().await;
    let (jobs, writer) = (Arc::new(Narrow(market.store.clone())), market.store.clone());
    let options = UploadOptions {
        dir: market.spool(),
        owner: "replica".into(),
        max_bytes: 1_000_000,
        max_queued: 3,
        limits: InputLimits::default(),
    };
    let uploads = Uploads::new(options, writer, jobs, market.clock.clone(), market.ids.clone());
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(uploads.clone().run(shutdown.clone()));
    let bad = uploads.submit(body("{}\n"), ndjson()).await.unwrap().id;
    let fine = uploads.submit(body(line("A")), ndjson()).await.unwrap().id;
    let bad = finished(&uploads, bad).await;
    assert_eq!((bad.state, bad.counts), (JobState::Failed, counts(1, 0, 0, 0, 1)));
    assert!(bad.message.unwrap().contains("could not be saved"));
    assert_eq!(finished(&uploads, fine).await.state, JobState::Done);
    shutdown.cancel();
    worker.await.unwrap();
}

/// A store whose table has no room for errors.
struct Narrow(Arc<dyn haat_store::Store>);

#[async_trait::async_trait]
impl ImportJobs for Narrow {
    async fn create_job(&self, job: &ImportJob) -> Result<(), StoreError> {
        self.0.create_job(job).await
    }
    async fn job(&self, id: Uuid) -> Result<Option<ImportJob>, StoreError> {
        self.0.job(id).await
    }
    async fn save_job(&self, job: &ImportJob) -> Result<bool, StoreError> {
        match job.errors.is_empty() {
            true => self.0.save_job(job).await,
            false => Err(StoreError::Internal("Data too long for column 'errors'".into())),
        }
    }
    async fn unfinished_jobs(&self, owner: &str) -> Result<Vec<ImportJob>, StoreError> {
        self.0.unfinished_jobs(owner).await
    }
    async fn cancel_job(&self, id: Uuid, now: Timestamp) -> Result<Option<JobState>, StoreError> {
        self.0.cancel_job(id, now).await
    }
    async fn fail_abandoned_jobs(&self, since: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.0.fail_abandoned_jobs(since, now).await
    }
    async fn prune_jobs(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.0.prune_jobs(before).await
    }
}
