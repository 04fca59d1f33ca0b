//! The port: what can be asked of a cache, whatever it is made of.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::script::Script;

/// Why a cache gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// It cannot be reached, or did not answer in time. The caller goes on without it.
    #[error("the cache is unavailable: {0}")]
    Unavailable(String),
    /// It answered, but not as it should: a fault in Haat, or another program's data under Haat's keys.
    #[error("the cache failed: {0}")]
    Failed(String),
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What is locked.
    pub name: String,
    /// Grows with every holder of this lock: a write under an older one than that of the last write is too late
    /// ([`Cache::put_newest`]).
    pub fence: u64,
    /// Tells this holder from others.
    pub(crate) owner: String,
}

/// A value and its place in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The place: below 10^16.
    pub order: u64,
    /// The value.
    pub value: Bytes,
}

/// Bytes by key with a time to live, counters, locks with fencing, and scripts. Everything has a time to live: what is
/// forgotten by its writer goes by itself.
///
/// Keys are short texts. On a cluster all that belongs to one key is in one slot; no call touches two keys.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// `memory` or `redis`, as it is called in `Cache-Status` and in logs.
    fn name(&self) -> &'static str;
    /// Whether other processes see the same.
    fn is_shared(&self) -> bool;
    /// Whether it answered when it was last asked. Whoever has another way may take that at once if not.
    fn is_up(&self) -> bool;

    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError>;
    /// Sets the value of a key for so long.
    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError>;
    /// Removes a key; says whether it was there.
    async fn remove(&self, key: &str) -> Result<bool, CacheError>;

    /// The value that was put by [`Self::put_newest`].
    async fn get_newest(&self, key: &str) -> Result<Option<Ordered>, CacheError>;
    /// Sets the value of a key unless there is one of a later place; says whether it did. The order is a change's number
    /// or a lock's [`Held::fence`], so that whoever was overtaken does not undo what overtook it.
    async fn put_newest(&self, key: &str, value: Ordered, ttl: Duration) -> Result<bool, CacheError>;

    /// Adds to a counter and gives the sum. A counter begins at 0 and lives for `ttl` from its first count.
    async fn count(&self, key: &str, by: i64, ttl: Duration) -> Result<i64, CacheError>;

    /// Takes a lock, unless another holds it. It ends by itself after `hold`.
    async fn lock(&self, name: &str, hold: Duration) -> Result<Option<Held>, CacheError>;
    /// Holds on to a lock; false when it is no longer this holder's.
    async fn renew(&self, held: &Held, hold: Duration) -> Result<bool, CacheError>;
    /// Gives a lock back; false when it was no longer this holder's.
    async fn unlock(&self, held: &Held) -> Result<bool, CacheError>;

    /// Runs a script on one key, atomically, with the cache's own clock.
    async fn run(&self, script: &'static Script, key: &str, arguments: &[i64]) -> Result<Vec<i64>, CacheError>;
}
