//! The token manager: against a token provider and an API over TCP or called directly, a real Redis, and in several
//! processes where it matters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod clocks;
mod expiry;
mod locks;
mod log;
mod outages;
mod processes;
mod provider;
mod redis;
mod refused;
mod rejected;
mod stage;
mod worker;
