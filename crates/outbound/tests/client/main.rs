//! What the client does on the wire, against a server that does everything wrong that a server can.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod addresses;
mod cancelled;
mod limits;
mod processes;
mod retries;
mod server;
mod tls;
