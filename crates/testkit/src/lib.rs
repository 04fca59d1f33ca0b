//! What the tests of every crate share: real servers on free ports, the conformance suite of the stores, an oracle
//! for listings, random catalogues, and a clock that tests move. Development only; nothing shipped depends on it.
//!
//! | module | what |
//! |---|---|
//! | [`servers`] | MariaDB and Redis as child processes in a folder of their own, gone when the test ends; the demonstration upstream |
//! | [`conformance`] | the promises of the store's ports as functions, run against every implementation |
//! | [`clock`] | a clock and a source of ids that tests move |
//! | [`oracle`] | a naive evaluation of a listing query over products in memory |
//! | [`generate`] | random products and random queries from a seed |
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set up its stage fails")]

pub mod clock;
pub mod conformance;
pub mod generate;
pub mod oracle;
pub mod servers;
