//! Guessing is slowed: after so many failures within a minute an address has to wait, before any of its credentials are
//! looked at. Counted per client and address, so that a stranger cannot lock a client out, and per address, so that going
//! from client to client does not help.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use haat_cache::Cache;
use haat_catalog::Timestamp;
use moka::sync::Cache as Memory;

/// Over how long failures count.
const SPAN: Duration = Duration::from_secs(60);
/// The most addresses and clients that are remembered in this process.
const REMEMBERED: u64 = 100_000;

/// Counts failures. Those whom nobody has seen fail here cost no call of the shared cache.
pub(super) struct Throttle {
    shared: Option<Arc<dyn Cache>>,
    failures: Memory<Key, Failures>,
    per_client: u32,
    per_address: u32,
}

/// Failures within the same [`SPAN`].
#[derive(Clone, Copy)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Failures {
    /// How long they still count.
    fn left(self, now: Timestamp) -> Option<Duration> {
        SPAN.checked_sub(now.since(self.since)).filter(|left| !left.is_zero())
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Client(String, IpAddr),
    Address(IpAddr),
}

impl Key {
    /// Its name in the shared cache: of one length, whatever somebody says to be called.
    fn name(&self) -> String {
        let text = match self {
            Self::Client(client, address) => format!("{address} {client}"),
            Self::Address(address) => address.to_string(),
        };
        let hash = digest(&SHA256, text.as_bytes());
        let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("auth-failures:{hex}")
    }
}

impl Throttle {
    pub fn new(shared: Option<Arc<dyn Cache>>, per_client: u32, per_address: u32) -> Self {
        let failures = Memory::builder().max_capacity(REMEMBERED).time_to_live(SPAN).build();
        Self { shared, failures, per_client, per_address }
    }

    fn keys(&self, client: &str, address: IpAddr) -> [(Key, u32); 2] {
        let client: String = client.chars().take(64).collect();
        [(Key::Client(client, address), self.per_client), (Key::Address(address), self.per_address)]
    }

    /// Whether credentials from there may be looked at.
    ///
    /// # Errors
    /// With how long they may not.
    pub async fn check(&self, client: &str, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        for (key, most) in self.keys(client, address) {
            let Some(here) = self.failures.get(&key) else { continue };
            let Some(left) = here.left(now) else { continue };
            let everywhere = match self.cache() {
                Some(cache) => cache.count(&key.name(), 0, SPAN).await.ok().and_then(|n| u32::try_from(n).ok()),
                None => None,
            };
            if here.count.max(everywhere.unwrap_or(0)) >= most {
                return Err(left);
            }
        }
        Ok(())
    }

    /// Takes note of a failure.
    pub async fn failed(&self, client: &str, address: IpAddr, now: Timestamp) {
        for (key, _) in self.keys(client, address) {
            if let Some(cache) = self.cache() {
                // A cache that fails now is no reason not to count here.
                let _ = cache.count(&key.name(), 1, SPAN).await;
            }
            self.failures.entry(key).and_upsert_with(|known| {
                match known.map(moka::Entry::into_value).filter(|known| known.left(now).is_some()) {
                    Some(known) => Failures { count: known.count.saturating_add(1), ..known },
                    None => Failures { since: now, count: 1 },
                }
            });
        }
    }

    fn cache(&self) -> Option<&Arc<dyn Cache>> {
        self.shared.as_ref().filter(|cache| cache.is_up())
    }
}
