//! Upstream catalogues: connectors, field mapping, synchronisation, live values.
//!
//! | module | what |
//! |---|---|
//! | [`connector`] | what a kind of source is: requests made, answers read, items mapped |
//! | [`kinds`], [`declared`] | the kinds, and what they are declared with: requests, pages, fields |
//! | [`ports`], [`breaker`] | what sources need of the store, and of the breaker in front of an upstream |
//! | [`mod@run`] | a synchronisation as it is kept and shown |
//! | [`upstream`] | a connector's requests, sent |
//! | [`sync`] | a run from its first page to its end |
//! | [`live`] | values of this moment for one product |
//! | [`service`] | what HTTP, the command line and the server's worker use |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod breaker;
pub mod connector;
pub mod declared;
pub mod kinds;
pub mod live;
mod measure;
pub mod ports;
pub mod run;
pub mod service;
pub mod sync;
pub mod upstream;
