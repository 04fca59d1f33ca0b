//! OAuth 2.0 for machine clients: an authorization server, and the check of the tokens that it issues.
//!
//! | module | what |
//! |---|---|
//! | [`server`] | the endpoints: token, introspection, revocation, metadata, key set |
//! | [`resource`] | what a request's token says that it may do |
//! | [`admin`] | making, changing and revoking clients; rotating keys |
//! | [`directory`] | all that is known of clients, keys and revocations, in memory, following the store |
//! | [`client`], [`scope`], [`token`] | the things themselves |
//! | [`keys`], [`vault`] | signing keys, when they sign, and how they are sealed |
//! | [`jwks`], [`dpop`] | the keys of others, and proofs that somebody has one |
//! | [`audit`] | who was given what |
//! | [`ports`] | what it needs: a store, and a way to fetch key sets |
//!
//! The crate does no I/O of its own and knows no web framework: a request is its header fields and its body.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod admin;
pub mod audit;
pub mod client;
pub mod directory;
pub mod dpop;
mod hash;
pub mod jwks;
pub mod keys;
pub mod ports;
pub mod resource;
pub mod scope;
pub mod server;
#[cfg(test)]
mod testing;
pub mod token;
pub mod vault;
