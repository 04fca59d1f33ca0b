//! Calling other people's APIs: deadline, retry, circuit breaker, bulkhead, and access tokens by client credentials.
//!
//! ```text
//! call.rs       what is asked of an upstream, and how that ends
//! client.rs     the client of one upstream: total timeout → retry → circuit breaker → bulkhead → attempt timeout
//! options.rs    what an operator may set for it
//! address.rs    which addresses may be called, checked when a connection is opened
//! wire.rs       one exchange over HTTP
//! retry.rs      whether a call is sent again, and when
//! budget.rs     how much of what is sent may be retries
//! breaker.rs    nothing is sent while most of it fails
//! bulkhead.rs   how many calls may be under way at once
//! window.rs     counts over the last so many seconds
//! random.rs     where jitter comes from
//! telemetry.rs  what is counted of calls
//! tokens/       access tokens by client credentials, one for all processes
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod address;
mod breaker;
mod budget;
mod bulkhead;
mod call;
mod client;
mod options;
mod random;
mod retry;
mod telemetry;
pub mod tokens;
mod window;
mod wire;

pub use address::{AddressGuard, Forbidden, GuardedResolver, Lookup, SystemLookup};
pub use breaker::{Breaker, BreakerOptions, Order, Permit, Snapshot, State};
pub use call::{Answer, Call, CallError, Caller, Repeat};
pub use client::{Client, ClientError, Load, Surroundings};
pub use options::{ClientOptions, OptionsError};
pub use random::Random;
pub use retry::RetryOptions;
