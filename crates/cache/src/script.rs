//! Scripts: steps on the number under a key that nobody can come in between of, written twice: in Lua for Redis, in
//! Rust for memory. A test runs both against each other.

/// The number under a key, while a script works on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell {
    /// The number; none when there is no such key.
    pub value: Option<i64>,
    /// For how long it shall be kept, in milliseconds from now; required where the script sets [`Self::value`].
    pub ttl_ms: i64,
}

/// An atomic step on one key.
pub struct Script {
    /// For logs.
    pub name: &'static str,
    /// The step for Redis: `KEYS[1]` is the key, `ARGV` the arguments, `redis.call('TIME')` the time. Gives an array of
    /// integers, and sets the key with `PX` or not at all.
    pub lua: &'static str,
    /// The same step: the time in microseconds since 1970, the cell, the arguments.
    pub native: fn(i64, &mut Cell, &[i64]) -> Vec<i64>,
}
