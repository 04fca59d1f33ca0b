//! What the client does on the wire, against a server that does everything wrong that a server can.

mod addresses;
mod cancelled;
mod limits;
mod retries;
mod server;
