//! Import jobs between their port's form and their row.

use haat_catalog::Timestamp;
use haat_catalog::ports::{ImportCounts, ImportJob, JobState};
use uuid::Uuid;

use crate::fault::Fault;
use crate::lane::Answer;
use crate::sql::{JobRow, signed, unsigned};

/// The states in the order of the numbers by which they are kept.
const STATES: [JobState; 4] = [JobState::Queued, JobState::Running, JobState::Done, JobState::Failed];

fn code(state: JobState) -> i64 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Done => 2,
        JobState::Failed => 3,
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
        let state = usize::try_from(self.state).ok().and_then(|at| STATES.get(at));
        Ok(ImportJob {
            id: Uuid::from_slice(&self.id).map_err(|e| Fault::corrupt(format!("an import job's id: {e}")))?,
            owner: self.owner,
            state: *state.ok_or_else(|| Fault::corrupt(format!("an import job in state {}", self.state)))?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_number() {
        for (at, state) in STATES.into_iter().enumerate() {
            assert_eq!(code(state), i64::try_from(at).unwrap());
        }
    }
}
