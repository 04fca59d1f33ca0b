//! The command line from the outside: the real binary, its exit codes and what it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod configuration;
mod demo_upstream;
mod doctor;
mod index;
mod program;
mod serving;
mod sources;
mod transfer;
