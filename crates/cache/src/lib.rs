//! What may be lost: bytes by key, counters, locks and scripts, in memory or in Redis; and, on top of them, answers
//! kept ready.
//!
//! ```text
//! port.rs      Cache: what can be asked of either          script.rs   atomic steps, in Lua and in Rust
//! memory.rs    in this process                             redis/      in a Redis server or cluster, behind a gate
//! answers.rs   answers by question: memory, then Redis, one computation however many ask
//! ```
//!
//! Nothing here is the truth. Whoever uses a [`Cache`] has another way when it fails, and every call fails within the
//! patience it was given: a Redis that is down, slow or frozen costs one call that long, and then nothing until it is
//! back ([`redis::RedisCache`]).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod answers;
mod memory;
mod port;
pub mod redis;
mod script;

/// What [`Cache`] is implemented with, elsewhere as well.
pub use async_trait::async_trait;
pub use memory::MemoryCache;
pub use port::{Cache, CacheError, Held, Ordered};
pub use script::{Cell, Script};
