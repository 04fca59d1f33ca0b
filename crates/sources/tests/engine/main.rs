//! Promises of synchronisation, of live values and of the service, on paused time: against a store in memory and an upstream that
//! does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod failing;
mod live;
mod measured;
mod memory;
mod reading;
mod service;
mod shop;
mod takeover;
mod vanishing;
mod world;
