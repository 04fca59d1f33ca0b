//! Imports and exports over a real SQLite store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod csv_reading;
mod demo;
mod ended_jobs;
mod exporting;
mod groceries;
mod gzipped;
mod interruptions;
mod mapping;
mod market;
mod ndjson_reading;
mod robustness;
mod uploads;
