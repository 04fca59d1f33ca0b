//! What tests of several modules need.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haat_cache::{Cache, CacheError, Held, Ordered, Script};

/// What is wrong with a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Counting takes a while.
    Slow,
    /// Counting fails, though it is up.
    Fails,
    /// Counting fails, and it is known to be down after it.
    Breaks,
    /// Counting answers, and it is known to be down after it.
    Fades,
}

/// A cache that counts, badly; it does nothing else.
pub(crate) struct Faulty {
    cache: Arc<dyn Cache>,
    fault: Fault,
    up: AtomicBool,
}

impl Faulty {
    pub fn over(cache: Arc<dyn Cache>, fault: Fault) -> Arc<dyn Cache> {
        Arc::new(Self { cache, fault, up: AtomicBool::new(true) })
    }
}

fn broken<T>() -> Result<T, CacheError> {
    Err(CacheError::Unavailable("broken".into()))
}

#[async_trait]
impl Cache for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    async fn count(&self, key: &str, by: i64, ttl: Duration) -> Result<i64, CacheError> {
        if self.fault == Fault::Slow {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.up.store(!matches!(self.fault, Fault::Breaks | Fault::Fades), Ordering::SeqCst);
        match self.fault {
            Fault::Fails | Fault::Breaks => broken(),
            Fault::Slow | Fault::Fades => self.cache.count(key, by, ttl).await,
        }
    }

    async fn get(&self, _: &str) -> Result<Option<Bytes>, CacheError> {
        broken()
    }

    async fn put(&self, _: &str, _: Bytes, _: Duration) -> Result<(), CacheError> {
        broken()
    }

    async fn remove(&self, _: &str) -> Result<bool, CacheError> {
        broken()
    }

    async fn get_newest(&self, _: &str) -> Result<Option<Ordered>, CacheError> {
        broken()
    }

    async fn put_newest(&self, _: &str, _: Ordered, _: Duration) -> Result<bool, CacheError> {
        broken()
    }

    async fn lock(&self, _: &str, _: Duration) -> Result<Option<Held>, CacheError> {
        broken()
    }

    async fn renew(&self, _: &Held, _: Duration) -> Result<bool, CacheError> {
        broken()
    }

    async fn unlock(&self, _: &Held) -> Result<bool, CacheError> {
        broken()
    }

    async fn run(&self, _: &'static Script, _: &str, _: &[i64]) -> Result<Vec<i64>, CacheError> {
        broken()
    }
}
