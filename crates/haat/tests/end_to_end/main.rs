//! Haat from the outside: the real binary on a free port, real databases, real signals.
//!
//! Every module keeps promises of one kind; every test is named after the promise it keeps. Where a promise holds on
//! both databases its test runs on both.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

mod access;
mod bad_imports;
mod bad_products;
mod bad_queries;
mod caching;
mod changes;
mod command_line;
mod conditional;
mod crash;
mod cursors;
mod database_gone;
mod documents;
mod exports;
mod freshness;
mod idempotency;
mod imports;
mod index_recovery;
mod limits;
mod listing;
mod overload;
mod raw_http;
mod redis_faults;
mod searching;
mod short_way;
mod shutdown;
mod sources;
mod writes;
