//! A small product API with OAuth 2.0, limits, latency and scripted faults, to try sources against.
//!
//! It is what `haat demo-upstream` serves ([`serve`]), so that a new user can watch Haat stand a slow, broken or absent
//! upstream; and it is a real server for tests ([`DemoUpstream`]). Its catalogue is drawn from a seed and lives in memory.
//!
//! | module | what |
//! |---|---|
//! | [`script`] [`fault`] | what goes wrong and when, as text and as values |
//! | [`options`] | clients, limits, latency, lifetime of tokens, skew of the clock |
//! | [`product`] [`catalogue`] | what it serves |
//! | [`stats`] | what it has seen of its clients |
//!
//! `docs/demo-upstream.md` tells users how to run it.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set up its stage fails")
)]

pub mod catalogue;
pub mod fault;
pub mod options;
pub mod plan;
pub mod product;
pub mod script;
pub mod span;
pub mod stats;

mod gate;
mod handle;
mod rate;
mod refusal;
mod routes;
mod section;
mod server;
mod tokens;
mod upstream;

pub use fault::{Fault, Kind, Percent};
pub use handle::DemoUpstream;
pub use options::{Client, Options, Settings};
pub use product::{Choice, Price, Product, State};
pub use script::{Script, ScriptError};
pub use section::sources_section;
pub use server::serve;
pub use stats::{Arrival, RouteStats, Stats};
