//! The `haat` binary: command line, configuration, and the wiring of the parts into commands and a server.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | one file per command |
//! | [`config`] | settings from file, `.env`, environment and flags, checked completely before anything starts |
//! | [`wiring`] | from a configuration to the parts of a server |
//! | [`lifecycle`] | signals, workers, soft then hard shutdown |
//! | [`data_dir`] | what lies where in the data folder, and its lock |
//! | [`housekeeping`] | clears away what nobody may ask for any more |
//! | [`doctor`] | what is wrong with a deployment and what to do |
//! | [`demo`] | the sample catalogue |
//! | [`logging`], [`exit`] | logs on standard error; exit codes |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod authority;
mod cli;
mod config;
mod data_dir;
mod demo;
mod doctor;
mod exit;
mod housekeeping;
mod lifecycle;
mod logging;
mod telemetry;
mod upstreams;
mod wiring;

use std::process::ExitCode;

/// Small allocations on every worker thread at once are what a server does all day, and more than the system's allocator is
/// made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
