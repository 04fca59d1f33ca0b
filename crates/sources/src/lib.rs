//! Upstream catalogues: connectors, field mapping, synchronisation, live values.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod connector;
pub mod declared;
pub mod kinds;
pub mod ports;
pub mod run;
