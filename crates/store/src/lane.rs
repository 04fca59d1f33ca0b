//! How database work is run: on a task of its own, within a deadline, again when the database refused it.
//!
//! **A dropped future never touches a connection.** sqlx's MySQL connections do not survive a future that is dropped
//! half way: they go back to the pool with an answer still on the wire, and the test on return waits for ever
//! (issues 563 and 4349 of sqlx). A client that hangs up drops its request's future, so this happens all day. Here,
//! what the caller awaits is a place in the queue (which is free to leave) and then the result of a task that nobody
//! cancels. A connection whose work did not finish is closed, not returned.
//!
//! **A refused transaction is run again.** Deadlocks, lock timeouts, failed certifications on a cluster and a busy
//! SQLite file leave nothing behind; the work is run again after a growing, jittered pause until it succeeds, the
//! tries are used up or the deadline has come.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use haat_catalog::ports::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Pool};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::fault::Fault;

/// What an attempt gives.
pub(crate) type Answer<T> = Result<T, Fault>;

/// Awaited at a place where tests hold the store back.
pub type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The places where tests hold the store back; none outside of tests.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Between the last statement of a writing transaction and its commit.
    pub before_commit: Option<Hook>,
    /// Between a request's claim on its idempotency key and its effect.
    pub claimed: Option<Hook>,
}

/// How work inside a transaction wants it to end.
pub(crate) enum Verdict<T> {
    /// Keep what was written.
    Commit(T),
    /// Undo it.
    Discard(T),
}

/// How often refused work is tried.
const MAX_TRIES: u32 = 15;
/// How often work is tried whose connection broke: a restarted server leaves several broken ones in the pool.
const MAX_TRIES_LOST: u32 = 20;
/// How long closing a broken connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A pool of connections, and the rules for using them.
pub(crate) struct Lane<DB: Database> {
    pool: Pool<DB>,
    /// One permit per connection. Waiting for one is cancel-safe, waiting inside the pool is not.
    permits: Arc<Semaphore>,
    /// Where this lane may not use all of them: as many permits as it may.
    share: Option<Arc<Semaphore>>,
    acquire_timeout: Duration,
    begin: &'static str,
    hooks: Hooks,
}

impl<DB: Database> Clone for Lane<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            permits: Arc::clone(&self.permits),
            share: self.share.clone(),
            acquire_timeout: self.acquire_timeout,
            begin: self.begin,
            hooks: self.hooks.clone(),
        }
    }
}

impl<DB: Database> Lane<DB> {
    /// A lane over all connections of `pool`, whose transactions begin with the statement `begin`.
    pub(crate) fn new(pool: Pool<DB>, acquire_timeout: Duration, begin: &'static str, hooks: Hooks) -> Self {
        let permits = Arc::new(Semaphore::new(pool.options().get_max_connections() as usize));
        Self { pool, permits, share: None, acquire_timeout, begin, hooks }
    }

    /// A lane over the same connections that never holds the last `left` of them (but may always hold one): what waits in
    /// it for locks leaves the others something to work with.
    pub(crate) fn leaving(&self, left: u32) -> Self {
        let all = self.pool.options().get_max_connections();
        let share = all.saturating_sub(left).max(1);
        Self { share: Some(Arc::new(Semaphore::new(share as usize))), ..self.clone() }
    }

    /// A request of this lane has claimed its key.
    pub(crate) async fn claimed(&self) {
        if let Some(hook) = &self.hooks.claimed {
            hook().await;
        }
    }

    /// How long after it was called work with such a limit may still write: it waits for its turn, then, each time it is
    /// tried, for a connection.
    pub(crate) fn longest_write(&self, limit: Duration) -> Duration {
        limit + self.acquire_timeout * 2
    }

    /// How long work may wait for its turn.
    pub(crate) fn turn_limit(&self) -> Duration {
        self.acquire_timeout
    }

    /// Closes all connections once they are free.
    pub(crate) async fn close(&self) {
        // A connection that hangs must not keep the process from ending.
        let _ = timeout(self.acquire_timeout, self.pool.close()).await;
    }

    /// Runs `work` on a connection, without a transaction around it.
    pub(crate) async fn run<T, F>(&self, limit: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, Answer<T>> + Send + Sync + 'static,
    {
        self.in_own_task(limit, move |conn| work(conn)).await
    }

    /// Runs `work` in a transaction.
    pub(crate) async fn transact<T, F>(&self, limit: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, Answer<Verdict<T>>> + Send + Sync + 'static,
    {
        let (begin, before_commit) = (self.begin, self.hooks.before_commit.clone());
        let work = Arc::new(work);
        self.in_own_task(limit, move |conn| {
            let (work, before_commit) = (Arc::clone(&work), before_commit.clone());
            Box::pin(async move { in_transaction::<DB, T>(conn, begin, before_commit.as_ref(), &*work).await })
        })
        .await
    }

    async fn in_own_task<T, F>(&self, limit: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, Answer<T>> + Send + Sync + 'static,
    {
        let permit = timeout(self.acquire_timeout, self.permit())
            .await
            .map_err(|_| StoreError::Timeout(format!("no connection was free within {:?}", self.acquire_timeout)))?
            .map_err(|_| StoreError::Unavailable("the store is closed".into()))?;
        let (answer, result) = oneshot::channel();
        let lane = self.clone();
        tokio::spawn(async move {
            lane.attempts(limit, work, answer).await;
            // Only now: the connection is back in the pool, or gone.
            drop(permit);
        });
        result.await.unwrap_or_else(|_| Err(StoreError::Internal("the task of a transaction ended early".into())))
    }

    /// The right to one connection.
    async fn permit(&self) -> Result<Permit, AcquireError> {
        // The share first: who waits for it must not keep a connection from the others.
        let share = match &self.share {
            Some(share) => Some(Arc::clone(share).acquire_owned().await?),
            None => None,
        };
        Ok(Permit { _connection: Arc::clone(&self.permits).acquire_owned().await?, _share: share })
    }

    async fn attempts<T, F>(&self, limit: Duration, work: F, answer: oneshot::Sender<Result<T, StoreError>>)
    where
        F: for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, Answer<T>>,
    {
        let deadline = Instant::now() + limit;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut lease = match self.pool.acquire().await.map_err(Fault::from) {
                Ok(conn) => Lease { conn: Some(conn), sound: false },
                Err(fault) => {
                    let _ = answer.send(Err(unreachable(fault)));
                    return;
                }
            };
            let result = lease.attempt(deadline, &work).await;
            match result {
                Err(fault) if worth_another_try(&fault, tries) && Instant::now() < deadline => {
                    tracing::debug!(?fault, tries, "the database refused a transaction; trying again");
                    lease.give_back().await;
                    tokio::time::sleep(pause_after(tries)).await;
                }
                result => {
                    // A caller that hung up meanwhile has left nobody to tell.
                    let _ = answer.send(result.map_err(StoreError::from));
                    lease.give_back().await;
                    return;
                }
            }
        }
    }
}

/// The right to one connection, given back when it is dropped.
struct Permit {
    _connection: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
}

/// Runs `work` between `begin` and commit or rollback.
async fn in_transaction<DB: Database, T>(
    conn: &mut DB::Connection,
    begin: &'static str,
    before_commit: Option<&Hook>,
    work: &(impl for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, Answer<Verdict<T>>> + Sync + ?Sized),
) -> Answer<T> {
    let mut transaction = conn.begin_with(begin).await?;
    match work(&mut transaction).await {
        Ok(Verdict::Commit(value)) => {
            if let Some(hook) = before_commit {
                hook().await;
            }
            transaction.commit().await.map_err(|e| Fault::from(e).at_commit())?;
            Ok(value)
        }
        Ok(Verdict::Discard(value)) => {
            transaction.rollback().await?;
            Ok(value)
        }
        Err(fault) => {
            if fault.leaves_connection_sound()
                && let Err(e) = transaction.rollback().await
            {
                return Err(Fault::Lost(format!("{fault:?}, and then rolling back failed: {e}")));
            }
            Err(fault)
        }
    }
}

/// Any failure to get a connection means that the database is out of reach: a permit was there.
fn unreachable(fault: Fault) -> StoreError {
    match StoreError::from(fault) {
        StoreError::Internal(why) => StoreError::Unavailable(why),
        other => other,
    }
}

fn worth_another_try(fault: &Fault, tries: u32) -> bool {
    match fault {
        Fault::Refused(_) | Fault::Duplicate(_) => tries < MAX_TRIES,
        Fault::Lost(_) => tries < MAX_TRIES_LOST,
        Fault::Failed(_) => false,
    }
}

/// Doubles from 4 ms to 256 ms, less a random part of up to a half, so that rivals do not meet again.
fn pause_after(tries: u32) -> Duration {
    let full = 4_000_u64 << tries.saturating_sub(1).min(6);
    Duration::from_micros(full / 2 + random_u64() % (full / 2))
}

/// A random number; not for secrets. `RandomState` is seeded by the system and differs with every call.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A connection in use. Dropped without [`Self::give_back`] (a panic, a runtime that ends) it closes.
struct Lease<DB: Database> {
    conn: Option<PoolConnection<DB>>,
    /// Whether every question asked on it was answered to the end.
    sound: bool,
}

impl<DB: Database> Lease<DB> {
    async fn attempt<T, F>(&mut self, deadline: Instant, work: &F) -> Answer<T>
    where
        F: for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, Answer<T>>,
    {
        let Some(conn) = self.conn.as_mut() else { return Err(Fault::internal("the connection is gone")) };
        let Ok(result) = timeout_at(deadline, work(conn)).await else {
            return Err(Fault::Failed(StoreError::Timeout("the transaction took longer than allowed".into())));
        };
        self.sound = result.as_ref().err().is_none_or(Fault::leaves_connection_sound);
        result
    }

    /// Returns the connection to the pool, or closes it when its work did not finish.
    async fn give_back(mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        if self.sound {
            // It is tested on return, and a server that fell silent must not hold the place for ever.
            let _ = timeout(CLOSE_LIMIT, conn.return_to_pool()).await;
        } else {
            let _ = timeout(CLOSE_LIMIT, conn.detach().close_hard()).await;
        }
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.as_mut() {
            conn.close_on_drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        assert!(pause_after(1) <= Duration::from_millis(4));
        assert!(pause_after(40) >= Duration::from_millis(128));
        assert!(pause_after(40) <= Duration::from_millis(256));
        let distinct: std::collections::HashSet<_> = (0..100).map(|_| pause_after(7)).collect();
        assert!(distinct.len() > 50, "jitter gave only {} distinct pauses", distinct.len());
    }
}
