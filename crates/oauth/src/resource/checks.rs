//! What is measured of good tokens: by what each was known to be good. Many signatures beside few requests from memory mean
//! clients that ask for a token per request.
//!
//! | metric | what |
//! |---|---|
//! | `haat_token_checks_total{by}` | tokens found good, by `connection` (the one that its connection showed last), `memory` or `signature` |

use std::sync::OnceLock;

use metrics::{Counter, counter};

/// By what a token was known to be good.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    /// Its connection showed it last.
    Connection,
    /// It was remembered.
    Memory,
    /// Its signature.
    Signature,
}

/// How many there were of each kind. The counters are looked up once, at the first token: an answer from memory takes less
/// than a look-up each time would be worth.
#[derive(Default)]
pub(super) struct Checks(OnceLock<[Counter; 3]>);

impl Checks {
    pub fn count(&self, by: By) {
        let [connection, memory, signature] = self.0.get_or_init(|| {
            ["connection", "memory", "signature"].map(|by| counter!("haat_token_checks_total", "by" => by))
        });
        let counter = match by {
            By::Connection => connection,
            By::Memory => memory,
            By::Signature => signature,
        };
        counter.increment(1);
    }
}
