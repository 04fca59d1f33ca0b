//! What the authorization server answers and what the check of tokens accepts, over a real store: tables of requests and
//! tokens with the sections that they are about, and the promises that no single request shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod any_bytes;
mod between;
mod clients;
mod fetch;
mod first_start;
mod hang_up;
mod jwt;
mod keys;
mod log;
mod outages;
mod registration;
mod request;
mod resource;
mod rotation;
mod same_path;
mod shared;
mod stage;
mod table;
mod throttle;
mod upkeep;
