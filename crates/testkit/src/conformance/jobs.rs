//! Import jobs.

use haat_catalog::ports::{ImportCounts, ImportJob, JobState, RecordError};
use haat_catalog::write::{BatchError, BatchRequest, Checkpoint};
use haat_catalog::{Seq, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{Subject, after_noon, batch, create, draft, patch};

fn job(n: u128, owner: &str, created_at: Timestamp) -> ImportJob {
    ImportJob {
        id: Uuid::from_u128(n),
        owner: owner.into(),
        state: JobState::Queued,
        options: json!({"format": "csv", "mapping": {"name": "Título 🥭"}, "dry_run": false}),
        counts: ImportCounts::default(),
        errors: Vec::new(),
        message: None,
        created_at,
        updated_at: created_at,
    }
}

/// Every member comes back.
pub async fn a_job_is_kept_as_it_was_given(s: &Subject) {
    let error = RecordError { line: 7, pointer: "/price".into(), detail: "is 'gratis'\n\"?\"".into() };
    let full = ImportJob {
        state: JobState::Failed,
        counts: ImportCounts { records: 9, created: 1, updated: 2, unchanged: 3, failed: 3 },
        errors: vec![error.clone(), error],
        message: Some("ended by an ö".into()),
        updated_at: after_noon(5),
        ..job(1, "replica-1", after_noon(0))
    };
    s.jobs.create_job(&full).await.unwrap();
    assert_eq!(s.jobs.job(full.id).await.unwrap(), Some(full));
    assert_eq!(s.jobs.job(Uuid::from_u128(2)).await.unwrap(), None);
}

/// State, counts, errors and message are written; a job that is not there cannot move.
pub async fn a_saved_job_moves(s: &Subject) {
    let mut moving = job(1, "r", after_noon(0));
    s.jobs.create_job(&moving).await.unwrap();
    moving.state = JobState::Running;
    moving.counts.records = 5;
    moving.errors.push(RecordError { line: 1, pointer: String::new(), detail: "x".into() });
    moving.message = Some("on its way".into());
    moving.updated_at = after_noon(9);
    assert!(s.jobs.save_job(&moving).await.unwrap());
    // Writing the same again is no error although no row changes.
    assert!(s.jobs.save_job(&moving).await.unwrap());
    assert_eq!(s.jobs.job(moving.id).await.unwrap(), Some(moving));
    assert!(!s.jobs.save_job(&job(2, "r", after_noon(0))).await.unwrap());
}

/// Products and progress are one transaction: nothing is done twice or left out after a restart.
pub async fn a_batch_moves_its_job_in_the_same_transaction(s: &Subject) {
    let id = Uuid::from_u128(1);
    s.jobs.create_job(&job(1, "r", after_noon(0))).await.unwrap();
    s.done(create(draft("A", "a"), 1)).await;
    s.done(create(draft("U", "before"), 2)).await;
    let mut taken = draft("T", "t");
    taken.id = Some(crate::clock::test_id(1));
    let drafts = vec![draft("A", "a"), draft("U", "after"), draft("N", "n"), taken];
    let checkpoint = Some(Checkpoint { job: id, from: 0, records: 6, failed: 2 });
    s.batch(BatchRequest { now: after_noon(60), checkpoint, ..batch(drafts, 10) }).await;
    let kept = s.jobs.job(id).await.unwrap().unwrap();
    assert_eq!(kept.counts, ImportCounts { records: 6, created: 1, updated: 1, unchanged: 1, failed: 3 });
    assert_eq!(kept.updated_at, after_noon(60));
    // The next batch adds to it, even one that changes no product.
    let checkpoint = Some(Checkpoint { job: id, from: 6, records: 7, failed: 3 });
    s.batch(BatchRequest { checkpoint, ..batch(vec![draft("A", "a")], 20) }).await;
    let kept = s.jobs.job(id).await.unwrap().unwrap();
    assert_eq!(kept.counts, ImportCounts { records: 7, created: 1, updated: 1, unchanged: 2, failed: 3 });
    // And one without products.
    let checkpoint = Some(Checkpoint { job: id, from: 7, records: 8, failed: 4 });
    s.batch(BatchRequest { checkpoint, ..batch(Vec::new(), 20) }).await;
    assert_eq!(s.jobs.job(id).await.unwrap().unwrap().counts.records, 8);
}

/// A batch is sent again when its answer was lost; whoever wrote in between is not written over.
pub async fn a_batch_of_a_job_is_written_once_however_often_it_is_sent(s: &Subject) {
    let id = Uuid::from_u128(1);
    s.jobs.create_job(&job(1, "r", after_noon(0))).await.unwrap();
    let checkpoint = Some(Checkpoint { job: id, from: 0, records: 2, failed: 0 });
    let request = BatchRequest { checkpoint, ..batch(vec![draft("A", "a"), draft("B", "b")], 1) };
    s.batch(request.clone()).await;
    s.done(patch("A", json!({"name": "of another writer"}))).await;
    let head = s.log.head().await.unwrap();
    let again = s.writer.write_batch(request).await.unwrap_err();
    let BatchError::Moved(Some(standing)) = again else { panic!("{again}") };
    let counts = ImportCounts { records: 2, created: 2, ..ImportCounts::default() };
    assert_eq!((standing.state, standing.counts), (JobState::Queued, counts));
    assert_eq!(s.jobs.job(id).await.unwrap().unwrap().counts, counts);
    assert_eq!((s.product("A").await.unwrap().name.as_str(), s.log.head().await.unwrap()), ("of another writer", head));
}

/// What a dry run finds out is what its job tells, though no product is written.
pub async fn a_dry_run_moves_its_job_too(s: &Subject) {
    let id = Uuid::from_u128(1);
    s.jobs.create_job(&job(1, "r", after_noon(0))).await.unwrap();
    let checkpoint = Some(Checkpoint { job: id, from: 0, records: 2, failed: 0 });
    let drafts = vec![draft("A", "a"), draft("B", "b")];
    s.batch(BatchRequest { dry_run: true, checkpoint, ..batch(drafts, 1) }).await;
    let counts = s.jobs.job(id).await.unwrap().unwrap().counts;
    assert_eq!(counts, ImportCounts { records: 2, created: 2, ..ImportCounts::default() });
    assert_eq!((s.reader.count().await.unwrap(), s.changes().await.len()), (0, 0));
}

/// A job that was forgotten meanwhile stops its import instead of letting it run unseen.
pub async fn a_batch_of_an_unknown_job_writes_nothing(s: &Subject) {
    let checkpoint = Some(Checkpoint { job: Uuid::from_u128(404), from: 0, records: 1, failed: 0 });
    let request = BatchRequest { checkpoint, ..batch(vec![draft("A", "a")], 1) };
    let error = s.writer.write_batch(request).await.unwrap_err();
    assert!(matches!(error, BatchError::Moved(None)), "{error}");
    assert_eq!((s.reader.count().await.unwrap(), s.changes().await.len()), (0, 0));
}

/// Whether it waits or runs: no batch of it is written afterwards, and what its worker still has to say is not heard.
pub async fn a_cancelled_job_writes_nothing_more_and_stays_cancelled(s: &Subject) {
    let id = Uuid::from_u128(1);
    let running = ImportJob { state: JobState::Running, ..job(1, "r", after_noon(0)) };
    s.jobs.create_job(&running).await.unwrap();
    let checkpoint = |from| Some(Checkpoint { job: id, from, records: from + 1, failed: 0 });
    s.batch(BatchRequest { checkpoint: checkpoint(0), ..batch(vec![draft("A", "a")], 1) }).await;
    assert_eq!(s.jobs.cancel_job(id, after_noon(5)).await.unwrap(), Some(JobState::Cancelled));
    let late = BatchRequest { checkpoint: checkpoint(1), ..batch(vec![draft("B", "b")], 2) };
    let error = s.writer.write_batch(late).await.unwrap_err();
    assert!(matches!(error, BatchError::Moved(Some(job)) if job.state == JobState::Cancelled));
    assert!(!s.jobs.save_job(&ImportJob { state: JobState::Done, ..running }).await.unwrap());
    let kept = s.jobs.job(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.counts.created, kept.updated_at), (JobState::Cancelled, 1, after_noon(5)));
    assert_eq!(s.reader.count().await.unwrap(), 1);
    assert!(s.jobs.unfinished_jobs("r").await.unwrap().is_empty());
    assert_eq!(s.jobs.cancel_job(id, after_noon(6)).await.unwrap(), Some(JobState::Cancelled), "once more");
    s.jobs.create_job(&ImportJob { state: JobState::Done, ..job(2, "r", after_noon(0)) }).await.unwrap();
    assert_eq!(s.jobs.cancel_job(Uuid::from_u128(2), after_noon(6)).await.unwrap(), Some(JobState::Done), "too late");
    assert_eq!(s.jobs.cancel_job(Uuid::from_u128(3), after_noon(6)).await.unwrap(), None);
}

/// A replica that never comes back does not leave its jobs queued for ever; one that is heard of keeps them.
pub async fn jobs_of_a_replica_that_is_gone_fail(s: &Subject) {
    s.log.follow("here", Seq(0), after_noon(100)).await.unwrap();
    s.log.follow("gone", Seq(0), after_noon(10)).await.unwrap();
    for (n, owner, state, moved) in [
        (1, "gone", JobState::Queued, 5),
        (2, "gone", JobState::Running, 20),
        (3, "gone", JobState::Running, 60),
        (4, "here", JobState::Queued, 5),
        (5, "never heard of", JobState::Queued, 5),
        (6, "gone", JobState::Done, 5),
    ] {
        let kept = ImportJob { state, updated_at: after_noon(moved), ..job(n, owner, after_noon(0)) };
        s.jobs.create_job(&kept).await.unwrap();
    }
    assert_eq!(s.jobs.fail_abandoned_jobs(after_noon(50), after_noon(200)).await.unwrap(), 3);
    for (n, state) in [
        (1, JobState::Failed),
        (2, JobState::Failed),
        (3, JobState::Running),
        (4, JobState::Queued),
        (5, JobState::Failed),
        (6, JobState::Done),
    ] {
        let kept = s.jobs.job(Uuid::from_u128(n)).await.unwrap().unwrap();
        assert_eq!((kept.state, kept.message.is_some()), (state, state == JobState::Failed), "{n}");
    }
    assert_eq!(s.jobs.fail_abandoned_jobs(after_noon(50), after_noon(200)).await.unwrap(), 0);
}

/// Those of one owner, queued or running.
pub async fn unfinished_jobs_are_given_oldest_first(s: &Subject) {
    let states = [JobState::Running, JobState::Queued, JobState::Done, JobState::Queued, JobState::Failed];
    for (n, state) in (1..).zip(states) {
        let kept = ImportJob { state, ..job(n, "mine", after_noon(100 - i64::try_from(n).unwrap())) };
        s.jobs.create_job(&kept).await.unwrap();
    }
    s.jobs.create_job(&job(9, "theirs", after_noon(0))).await.unwrap();
    let mine: Vec<u128> = s.jobs.unfinished_jobs("mine").await.unwrap().iter().map(|j| j.id.as_u128()).collect();
    assert_eq!(mine, [4, 2, 1]);
    assert!(s.jobs.unfinished_jobs("nobody").await.unwrap().is_empty());
}

/// Finished long enough ago; unfinished ones stay however old.
pub async fn finished_jobs_are_forgotten(s: &Subject) {
    for (n, state, moved) in [
        (1, JobState::Done, 10),
        (2, JobState::Failed, 20),
        (3, JobState::Running, 10),
        (4, JobState::Queued, 10),
        (5, JobState::Done, 50),
        (6, JobState::Cancelled, 10),
    ] {
        let kept = ImportJob { state, updated_at: after_noon(moved), ..job(n, "r", after_noon(0)) };
        s.jobs.create_job(&kept).await.unwrap();
    }
    assert_eq!(s.jobs.prune_jobs(after_noon(50)).await.unwrap(), 3);
    for (n, there) in [(1, false), (2, false), (3, true), (4, true), (5, true), (6, false)] {
        assert_eq!(s.jobs.job(Uuid::from_u128(n)).await.unwrap().is_some(), there, "{n}");
    }
}
