//! The cache in this process: for one server without Redis, and for tests.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::port::{Cache, CacheError, Held, Ordered};
use crate::script::{Cell, Script};

const SHARDS: usize = 32;
/// What an entry costs beside its key and value.
const OVERHEAD: usize = 120;
/// How many entries are looked at for one to give up when a shard is full.
const SAMPLE: usize = 16;

/// A cache bounded by bytes. When it is full, what would end soonest of a few goes.
pub struct MemoryCache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    shard_bytes: usize,
    fences: AtomicU64,
    now_us: Arc<dyn Fn() -> i64 + Send + Sync>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<String, Entry>,
    bytes: usize,
}

struct Entry {
    content: Content,
    until: Instant,
}

enum Content {
    Bytes(Bytes),
    Ordered(Ordered),
    Number(i64),
    Owner(String),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(value) | Self::Ordered(Ordered { value, .. }) => value.len(),
            Self::Number(_) => 8,
            Self::Owner(owner) => owner.len(),
        }
    }
}

impl MemoryCache {
    /// A cache of at most so many bytes, overhead included. `now_us` is the time in microseconds since 1970, for
    /// scripts.
    pub fn new(max_bytes: usize, now_us: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            shard_bytes: max_bytes / SHARDS,
            fences: AtomicU64::new(0),
            now_us,
        }
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let place = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        // `place` is below the number of shards. What a panic left half done is an entry too many or too few.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mismatch<T>(key: &str) -> Result<T, CacheError> {
        Err(CacheError::Failed(format!("the value of '{key}' is of another kind")))
    }
}

impl Shard {
    /// The entry of a key, unless its time is up.
    fn live(&mut self, key: &str) -> Option<&mut Entry> {
        if self.entries.get(key).is_some_and(|entry| entry.until <= Instant::now()) {
            self.take(key);
        }
        self.entries.get_mut(key)
    }

    fn take(&mut self, key: &str) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes = self.bytes.saturating_sub(key.len() + entry.content.len() + OVERHEAD);
        Some(entry)
    }

    fn set(&mut self, key: &str, content: Content, ttl: Duration, max_bytes: usize) {
        self.take(key);
        let size = key.len() + content.len() + OVERHEAD;
        if size > max_bytes {
            return;
        }
        while self.bytes + size > max_bytes {
            let soonest = self.entries.iter().take(SAMPLE).min_by_key(|(_, entry)| entry.until);
            let Some(key) = soonest.map(|(key, _)| key.clone()) else { break };
            self.take(&key);
        }
        self.bytes += size;
        self.entries.insert(key.to_owned(), Entry { content, until: Instant::now() + ttl });
    }
}

#[async_trait]
impl Cache for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_up(&self) -> bool {
        true
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        match self.shard(key).live(key).map(|entry| &entry.content) {
            None => Ok(None),
            Some(Content::Bytes(value)) => Ok(Some(value.clone())),
            Some(_) => Self::mismatch(key),
        }
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.shard(key).set(key, Content::Bytes(value), ttl, self.shard_bytes);
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<bool, CacheError> {
        let mut shard = self.shard(key);
        Ok(shard.live(key).is_some() && shard.take(key).is_some())
    }

    async fn get_newest(&self, key: &str) -> Result<Option<Ordered>, CacheError> {
        match self.shard(key).live(key).map(|entry| &entry.content) {
            None => Ok(None),
            Some(Content::Ordered(value)) => Ok(Some(value.clone())),
            Some(_) => Self::mismatch(key),
        }
    }

    async fn put_newest(&self, key: &str, value: Ordered, ttl: Duration) -> Result<bool, CacheError> {
        let mut shard = self.shard(key);
        match shard.live(key).map(|entry| &entry.content) {
            Some(Content::Ordered(there)) if there.order > value.order => return Ok(false),
            None | Some(Content::Ordered(_)) => {}
            Some(_) => return Self::mismatch(key),
        }
        shard.set(key, Content::Ordered(value), ttl, self.shard_bytes);
        Ok(true)
    }

    async fn count(&self, key: &str, by: i64, ttl: Duration) -> Result<i64, CacheError> {
        let mut shard = self.shard(key);
        match shard.live(key).map(|entry| &mut entry.content) {
            Some(Content::Number(number)) => {
                *number = number.saturating_add(by);
                Ok(*number)
            }
            Some(_) => Self::mismatch(key),
            None => {
                shard.set(key, Content::Number(by), ttl, self.shard_bytes);
                Ok(by)
            }
        }
    }

    async fn lock(&self, name: &str, hold: Duration) -> Result<Option<Held>, CacheError> {
        let mut shard = self.shard(name);
        if shard.live(name).is_some() {
            return Ok(None);
        }
        // One count for all locks of this process is as good as one each: it grows with every holder.
        let fence = self.fences.fetch_add(1, Atomic::Relaxed) + 1;
        let owner = fence.to_string();
        shard.set(name, Content::Owner(owner.clone()), hold, self.shard_bytes);
        Ok(Some(Held { name: name.to_owned(), fence, owner }))
    }

    async fn renew(&self, held: &Held, hold: Duration) -> Result<bool, CacheError> {
        let mut shard = self.shard(&held.name);
        let Some(entry) = shard.live(&held.name).filter(|entry| entry.is_of(&held.owner)) else { return Ok(false) };
        entry.until = Instant::now() + hold;
        Ok(true)
    }

    async fn unlock(&self, held: &Held) -> Result<bool, CacheError> {
        let mut shard = self.shard(&held.name);
        let own = shard.live(&held.name).is_some_and(|entry| entry.is_of(&held.owner));
        Ok(own && shard.take(&held.name).is_some())
    }

    async fn run(&self, script: &'static Script, key: &str, arguments: &[i64]) -> Result<Vec<i64>, CacheError> {
        let mut shard = self.shard(key);
        let value = match shard.live(key).map(|entry| &entry.content) {
            None => None,
            Some(Content::Number(number)) => Some(*number),
            Some(_) => return Self::mismatch(key),
        };
        let mut cell = Cell { value, ttl_ms: 0 };
        let answer = (script.native)((self.now_us)(), &mut cell, arguments);
        if let (Some(number), ttl @ 1..) = (cell.value, cell.ttl_ms) {
            let ttl = Duration::from_millis(ttl.unsigned_abs());
            shard.set(key, Content::Number(number), ttl, self.shard_bytes);
        }
        Ok(answer)
    }
}

impl Entry {
    fn is_of(&self, owner: &str) -> bool {
        matches!(&self.content, Content::Owner(of) if of == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(bytes: usize) -> MemoryCache {
        MemoryCache::new(bytes, Arc::new(|| 0))
    }

    #[tokio::test]
    async fn it_never_grows_beyond_its_bytes_and_keeps_what_lives_longest() {
        let cache = cache(SHARDS * 10_000);
        for n in 0..5_000 {
            let ttl = Duration::from_secs(if n % 10 == 0 { 1_000 } else { 10 });
            cache.put(&format!("k{n}"), Bytes::from(vec![0; 200]), ttl).await.unwrap();
        }
        let held: usize = cache.shards.iter().map(|s| s.lock().unwrap().bytes).sum();
        assert!(held <= SHARDS * 10_000, "{held}");
        let counted: usize = cache
            .shards
            .iter()
            .flat_map(|s| {
                s.lock().unwrap().entries.iter().map(|(k, e)| k.len() + e.content.len() + OVERHEAD).collect::<Vec<_>>()
            })
            .sum();
        assert_eq!(held, counted);
        let mut kept = [0, 0];
        for n in 0..5_000 {
            if cache.get(&format!("k{n}")).await.unwrap().is_some() {
                kept[usize::from(n % 10 == 0)] += 1;
            }
        }
        assert!(kept[1] * 2 > kept[0], "{kept:?}");
        cache.put("big", Bytes::from(vec![0; 20_000]), Duration::from_secs(9)).await.unwrap();
        assert_eq!(cache.get("big").await.unwrap(), None, "what does not fit is not kept");
    }

    #[tokio::test]
    async fn a_value_is_not_taken_for_one_of_another_kind() {
        let cache = cache(1 << 20);
        cache.count("n", 1, Duration::from_secs(1)).await.unwrap();
        assert!(matches!(cache.get("n").await, Err(CacheError::Failed(_))));
    }
}
