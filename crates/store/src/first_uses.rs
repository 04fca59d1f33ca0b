//! Things that are good for one use, noted many in one transaction.
//!
//! Each has to be on disk before it counts, and a disk makes some hundreds of commits a second. What arrives while a commit
//! is under way goes into the next one, all of it together, so that the more arrive the less each costs; one that arrives
//! alone is noted at once, in a transaction of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haat_catalog::ports::StoreError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::auth::was_free;
use crate::lane::{Lane, Verdict};
use crate::sql::{RevocationSql, Sql};

/// The most in one transaction.
const GROUP: usize = 256;

/// What waits to be noted.
#[derive(Clone, Default)]
pub(crate) struct FirstUses(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    uses: Vec<Asked>,
    /// Whether somebody is at it, who will also see to what is added now.
    under_way: bool,
}

/// A use that somebody asks about.
struct Asked {
    hash: [u8; 32],
    expires_at: i64,
    since: Instant,
    answer: oneshot::Sender<Result<bool, StoreError>>,
}

impl FirstUses {
    /// Notes a use, and says whether it is the first.
    pub(crate) async fn note<DB>(
        &self,
        lane: &Lane<DB>,
        limit: Duration,
        hash: [u8; 32],
        expires_at: i64,
    ) -> Result<bool, StoreError>
    where
        DB: sqlx::Database<Connection: Sql>,
    {
        let (answer, noted) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting();
            waiting.uses.push(Asked { hash, expires_at, since: Instant::now(), answer });
            !std::mem::replace(&mut waiting.under_way, true)
        };
        if begins {
            // On a task of its own: whoever asked first may go away, and the others must not wait for ever.
            tokio::spawn(self.clone().note_all(lane.clone(), limit));
        }
        // One period for the group that is under way, one for the next. Whoever leaves the line is not noted any more.
        match timeout(lane.longest_write(limit) * 2, noted).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Internal("the task that notes uses ended early".into())),
            Err(_) => Err(StoreError::Timeout("too many uses waited to be noted".into())),
        }
    }

    /// Notes group after group until nothing waits.
    async fn note_all<DB>(self, lane: Lane<DB>, limit: Duration)
    where
        DB: sqlx::Database<Connection: Sql>,
    {
        let mut under_way = UnderWay { of: &self, ended: false };
        while let Some(group) = self.next_group() {
            let mut uses: Vec<_> = group.iter().map(|asked| (asked.hash, asked.expires_at)).collect();
            // In one order everywhere, so that servers that note the same ones never wait for each other in a circle. Each
            // hash once: whoever asked first in this group has it.
            uses.sort_by_key(|(hash, _)| *hash);
            uses.dedup_by_key(|(hash, _)| *hash);
            let noted = note_group(&lane, limit, uses.into()).await;
            match noted {
                Ok(mut first) => group.into_iter().for_each(|asked| {
                    let is_first = first.iter().position(|hash| *hash == asked.hash).map(|at| first.swap_remove(at));
                    // Who hung up has nobody to tell.
                    let _ = asked.answer.send(Ok(is_first.is_some()));
                }),
                Err(error) => {
                    // A database that is silent or gone is so for those in the line too: one after another would wait for
                    // it, each group as long as the one before it. Who has just come may find it well.
                    let patience = lane.turn_limit();
                    let others = if is_out_of_reach(&error) { self.all_that_waited(patience) } else { Vec::new() };
                    group.into_iter().chain(others).for_each(|asked| drop(asked.answer.send(Err(error.clone()))));
                }
            }
        }
        under_way.ended = true;
    }

    /// What waits now, up to a transaction full; nothing ends the work.
    fn next_group(&self) -> Option<Vec<Asked>> {
        let mut waiting = self.waiting();
        // Who went away was given nothing for it: it need not be noted.
        waiting.uses.retain(|asked| !asked.answer.is_closed());
        let size = waiting.uses.len().min(GROUP);
        waiting.under_way = size > 0;
        (size > 0).then(|| waiting.uses.drain(..size).collect())
    }

    /// Those in the line that have waited for so long. The work goes on with the others.
    fn all_that_waited(&self, long: Duration) -> Vec<Asked> {
        self.waiting().uses.extract_if(.., |asked| asked.since.elapsed() >= long).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work on what waits. When it ends before its time (a panic), those that wait are told so, and the next to come begins
/// anew.
struct UnderWay<'a> {
    of: &'a FirstUses,
    /// Nothing waited at its end, and somebody else may have begun since.
    ended: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let mut waiting = self.of.waiting();
            waiting.under_way = false;
            waiting.uses.clear();
        }
    }
}

/// Whether the database did not take part at all, rather than refuse.
fn is_out_of_reach(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::Timeout(_))
}

/// Gives the hashes that were not there before. A transaction even for one: when a connection breaks under a statement
/// without one, nobody knows whether it had its effect, and trying again would take one's own use for another's.
async fn note_group<DB>(
    lane: &Lane<DB>,
    limit: Duration,
    uses: Arc<[([u8; 32], i64)]>,
) -> Result<Vec<[u8; 32]>, StoreError>
where
    DB: sqlx::Database<Connection: Sql>,
{
    lane.transact(limit, move |conn| {
        let uses = Arc::clone(&uses);
        Box::pin(async move {
            let mut first = Vec::with_capacity(uses.len());
            for (hash, expires_at) in uses.iter() {
                if was_free(conn.insert_use(hash, *expires_at).await)? {
                    first.push(*hash);
                }
            }
            Ok(if first.is_empty() { Verdict::Discard(first) } else { Verdict::Commit(first) })
        })
    })
    .await
}
