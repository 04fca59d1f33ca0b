//! Import jobs between their port's form and their row.

use haat_catalog::Timestamp;
use haat_catalog::ports::{ImportCounts, ImportJob, JobState};
use uuid::Uuid;

use crate::fault::Fault;
use crate::lane::Answer;
use crate::sql::{JobRow, signed, unsigned};

/// The states in the order of the numbers by which they are kept.
const STATES: [JobState; 5] =
    [JobState::Queued, JobState::Running, JobState::Done, JobState::Failed, JobState::Cancelled];

/// What is told of a job whose owner has gone for good.
pub(crate) const ABANDONED: &str =
    "the server that took the upload in has not been heard of for a long time; send it again";

/// The state of a number.
pub(crate) fn state(code: i64) -> Answer<JobState> {
    let state = usize::try_from(code).ok().and_then(|at| STATES.get(at));
    state.copied().ok_or_else(|| Fault::corrupt(format!("an import job in state {code}")))
}

fn code(state: JobState) -> i64 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Done => 2,
        JobState::Failed => 3,
        JobState::Cancelled => 4,
    }
}

impl JobRow {
    /// The row of a job.
    pub(crate) fn of(job: &ImportJob) -> Answer<Self> {
        let json = |e: serde_json::Error| Fault::internal(format!("an import job: {e}"));
        Ok(Self {
            id: job.id.as_bytes().to_vec(),
            owner: job.owner.clone(),
            state: code(job.state),
            options: serde_json::to_string(&job.options).map_err(json)?,
            records: signed(job.counts.records),
            created: signed(job.counts.created),
            updated: signed(job.counts.updated),
            unchanged: signed(job.counts.unchanged),
            failed: signed(job.counts.failed),
            errors: serde_json::to_string(&job.errors).map_err(json)?,
            message: job.message.clone(),
            created_at: job.created_at.as_millis(),
            updated_at: job.updated_at.as_millis(),
        })
    }

    /// The job of a row.
    pub(crate) fn job(self) -> Answer<ImportJob> {
        let json = |e: serde_json::Error| Fault::corrupt(format!("an import job: {e}"));
        Ok(ImportJob {
            id: Uuid::from_slice(&self.id).map_err(|e| Fault::corrupt(format!("an import job's id: {e}")))?,
            owner: self.owner,
            state: state(self.state)?,
            options: serde_json::from_str(&self.options).map_err(json)?,
            counts: ImportCounts {
                records: unsigned(self.records)?,
                created: unsigned(self.created)?,
                updated: unsigned(self.updated)?,
                unchanged: unsigned(self.unchanged)?,
                failed: unsigned(self.failed)?,
            },
            errors: serde_json::from_str(&self.errors).map_err(json)?,
            message: self.message,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
        })
    }
}

/// The jobs of those rows that can be read. One that cannot is told to the operators and left out: it must not keep the
/// jobs behind it from being carried out.
pub(crate) fn readable(rows: Vec<JobRow>) -> Vec<ImportJob> {
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let id = Uuid::from_slice(&row.id).unwrap_or_default();
        match row.job() {
            Ok(job) => jobs.push(job),
            Err(fault) => tracing::error!(job = %id, ?fault, "an import job cannot be read and is left out"),
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_read_does_not_hide_the_others() {
        let at = Timestamp::from_millis(0);
        let job = |n| ImportJob {
            id: Uuid::from_u128(n),
            owner: "r".into(),
            state: JobState::Queued,
            options: serde_json::Value::Null,
            counts: ImportCounts::default(),
            errors: Vec::new(),
            message: None,
            created_at: at,
            updated_at: at,
        };
        let rows = [1, 2, 3, 4].map(|n| JobRow::of(&job(n)).unwrap());
        let [first, mut second, mut third, fourth] = rows;
        second.errors = "[{".into();
        third.state = 99;
        let read = readable(vec![first, second, third, fourth]);
        assert_eq!(read.iter().map(|job| job.id.as_u128()).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn every_state_has_its_own_number() {
        for (at, state) in STATES.into_iter().enumerate() {
            assert_eq!(code(state), i64::try_from(at).unwrap());
        }
    }
}
