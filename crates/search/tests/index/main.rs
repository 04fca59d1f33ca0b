//! The index over a real store: it follows, comes back by itself from whatever happens to it, and keeps its promises
//! while others write.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cursors;
mod damage;
mod following;
mod gate;
mod oracle;
mod outages;
mod stage;
mod verifying;
