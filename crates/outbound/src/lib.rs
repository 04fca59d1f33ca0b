//! Calling other people's APIs: deadline, retry, circuit breaker, bulkhead, and access tokens by client credentials.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod call;
pub mod tokens;

pub use call::{Answer, Call, CallError, Caller, Repeat};
