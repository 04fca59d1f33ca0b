//! How much a caller may ask for, and how much work there may be at once.
//!
//! ```text
//! policy.rs    what is limited: so many units in so long, per client, per address, for which routes, at which cost
//! gcra.rs      the arithmetic, in Rust and in Lua
//! lease.rs     quota taken from the shared cache in advance, so that most requests ask nobody
//! runs.rs      the units of such leases
//! entry.rs     the one step on the shared cache, for a key
//! debts.rs     what was spent while the shared cache was gone, told to it when it is back
//! limiter.rs   all policies of a request: checked, then charged
//! address.rs   whose request it is behind trusted proxies
//! overload.rs  work at once, and how long it may wait
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod address;
mod debts;
mod entry;
mod gcra;
mod lease;
mod limiter;
pub mod overload;
mod policy;
mod runs;

pub use gcra::{Quota, TAKE};
pub use limiter::{Caller, Decision, Limiter, Standing};
pub use policy::{Group, Per, Policy, PolicyError};
