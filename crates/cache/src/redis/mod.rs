//! The cache in Redis: a server, or a cluster.
//!
//! All commands share one connection per node, pipelined. In front of it is a gate (`gate`): a command that has no
//! answer within the patience (10 ms) closes it, and then every call fails at once, without a look at the network,
//! until a probe in the background has had an answer. So a Redis that is down, slow or frozen costs those requests one
//! patience that were under way when it failed, and the others nothing.

mod connect;
mod gate;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, cmd};

pub use connect::RedisOptions;
use gate::Gate;

use crate::port::{Cache, CacheError, Held, Ordered};
use crate::script::Script;

/// How long a lock's fence is remembered after the lock was last taken. Fences are at least the time in microseconds,
/// so a forgotten one is still lower than the next.
const FENCE_TTL: Duration = Duration::from_secs(24 * 3600);
/// Digits of an order in front of an ordered value.
const ORDER_DIGITS: usize = 16;

/// `KEYS` lock, fence; `ARGV` owner, hold and the fence's time to live in ms. Gives the fence, 0 when it is taken.
const LOCK: &str = r"
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return '0' end
local time = redis.call('TIME')
local fence = math.max(time[1] * 1000000 + time[2], tonumber(redis.call('GET', KEYS[2]) or '0') + 1)
local text = string.format('%.0f', fence)
redis.call('SET', KEYS[2], text, 'PX', ARGV[3])
return text";
/// `KEYS` lock; `ARGV` owner, hold in ms.
const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";
/// `KEYS` lock; `ARGV` owner.
const UNLOCK: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
/// `KEYS` key; `ARGV` order, value, ttl in ms.
const PUT_NEWEST: &str = r"
local there = redis.call('GETRANGE', KEYS[1], 0, 15)
if there ~= '' and tonumber(there) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1";
/// `KEYS` key; `ARGV` by, ttl in ms.
const COUNT: &str = r"
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum";

/// A cache in Redis.
pub struct RedisCache {
    gate: Arc<Gate>,
    prefix: String,
}

impl RedisCache {
    /// A cache under keys that begin with `prefix`. Connects in the background: a Redis that is not there yet is used
    /// once it is.
    ///
    /// # Errors
    /// When the options make no sense: an address that is none, a certificate that cannot be read.
    pub fn open(options: RedisOptions) -> Result<Self, CacheError> {
        let prefix = options.prefix.clone();
        Ok(Self { gate: Gate::open(options)?, prefix })
    }

    /// Waits until the server has answered, at most so long; says whether it has.
    pub async fn reached(&self, within: Duration) -> bool {
        self.gate.opened(within).await
    }

    /// The key as Redis has it. The braces make the whole of it decide upon the slot of a cluster, so that what belongs
    /// to one key is in one slot.
    fn key(&self, key: &str) -> String {
        format!("{}{{{key}}}", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CacheError> {
        let value = self.gate.ask(command).await?;
        T::from_redis_value(value).map_err(|e| CacheError::Failed(e.to_string()))
    }

    async fn eval<T: FromRedisValue>(&self, text: &str, keys: &[String], arguments: &[&[u8]]) -> Result<T, CacheError> {
        let value = self.gate.eval(text, keys, arguments).await?;
        T::from_redis_value(value).map_err(|e| CacheError::Failed(e.to_string()))
    }
}

fn millis(ttl: Duration) -> String {
    // 0 would be refused by Redis.
    ttl.as_millis().clamp(1, i64::MAX as u128).to_string()
}

#[async_trait]
impl Cache for RedisCache {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_up(&self) -> bool {
        self.gate.is_open()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let value: Option<Vec<u8>> = self.ask(cmd("GET").arg(self.key(key))).await?;
        Ok(value.map(Bytes::from))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.ask(cmd("SET").arg(self.key(key)).arg(&value[..]).arg("PX").arg(millis(ttl))).await
    }

    async fn remove(&self, key: &str) -> Result<bool, CacheError> {
        self.ask(cmd("DEL").arg(self.key(key))).await
    }

    async fn get_newest(&self, key: &str) -> Result<Option<Ordered>, CacheError> {
        let Some(stored) = self.get(key).await? else { return Ok(None) };
        let order = stored.get(..ORDER_DIGITS).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let order = order.ok_or_else(|| CacheError::Failed(format!("the value of '{key}' has no order")))?;
        Ok(Some(Ordered { order, value: stored.slice(ORDER_DIGITS..) }))
    }

    async fn put_newest(&self, key: &str, value: Ordered, ttl: Duration) -> Result<bool, CacheError> {
        let order = format!("{:0ORDER_DIGITS$}", value.order);
        let ttl = millis(ttl);
        self.eval(PUT_NEWEST, &[self.key(key)], &[order.as_bytes(), &value.value, ttl.as_bytes()]).await
    }

    async fn count(&self, key: &str, by: i64, ttl: Duration) -> Result<i64, CacheError> {
        let (by, ttl) = (by.to_string(), millis(ttl));
        self.eval(COUNT, &[self.key(key)], &[by.as_bytes(), ttl.as_bytes()]).await
    }

    async fn lock(&self, name: &str, hold: Duration) -> Result<Option<Held>, CacheError> {
        let owner = gate::unique();
        let keys = [self.key(name), format!("{}:fence", self.key(name))];
        let (hold, fence_ttl) = (millis(hold), millis(FENCE_TTL));
        let fence: u64 = self.eval(LOCK, &keys, &[owner.as_bytes(), hold.as_bytes(), fence_ttl.as_bytes()]).await?;
        Ok((fence > 0).then(|| Held { name: name.to_owned(), fence, owner }))
    }

    async fn renew(&self, held: &Held, hold: Duration) -> Result<bool, CacheError> {
        self.eval(RENEW, &[self.key(&held.name)], &[held.owner.as_bytes(), millis(hold).as_bytes()]).await
    }

    async fn unlock(&self, held: &Held) -> Result<bool, CacheError> {
        self.eval(UNLOCK, &[self.key(&held.name)], &[held.owner.as_bytes()]).await
    }

    async fn run(&self, script: &'static Script, key: &str, arguments: &[i64]) -> Result<Vec<i64>, CacheError> {
        let texts: Vec<String> = arguments.iter().map(i64::to_string).collect();
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        self.eval(script.lua, &[self.key(key)], &arguments).await
    }
}
