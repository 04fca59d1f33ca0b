//! Guessing is slowed: after so many failures within a minute an address has to wait, before any of its credentials are
//! looked at. Counted per client and address, so that a stranger cannot lock a client out, and per address, so that going
//! from client to client does not help. Of IPv6, an address here is what one customer usually has, a /64.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use haat_cache::Cache;
use haat_catalog::Timestamp;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Memory;

use crate::hash::sha256;

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
        let hex: String = sha256(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("auth-failures:{hex}")
    }
}

/// Those who failed. What was seen last stays: the usual policy keeps new ones out when it is full, whose failures would
/// not count.
fn failures(most: u64) -> Memory<Key, Failures> {
    Memory::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru()).time_to_live(SPAN).build()
}

impl Throttle {
    pub fn new(shared: Option<Arc<dyn Cache>>, per_client: u32, per_address: u32) -> Self {
        Self { shared, failures: failures(REMEMBERED), per_client, per_address }
    }

    fn keys(&self, client: &str, address: IpAddr) -> [(Key, u32); 2] {
        let client: String = client.chars().take(64).collect();
        let address = whole(address);
        [(Key::Client(client, address), self.per_client), (Key::Address(address), self.per_address)]
    }

    /// Whether credentials from there may be looked at.
    ///
    /// # Errors
    /// With how long they may not.
    pub async fn check(&self, client: &str, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        for (key, most) in self.keys(client, address) {
            if self.here(&key, now).is_none() {
                continue;
            }
            let everywhere = match self.cache() {
                Some(cache) => cache.count(&key.name(), 0, SPAN).await.ok().and_then(|n| u32::try_from(n).ok()),
                None => None,
            };
            self.refuse_from(&key, most, everywhere.unwrap_or(0), now)?;
        }
        self.check_here(client, address, now)
    }

    /// The same by what is known here. Whoever has waited for something asks once more, and does not wait again before it
    /// has failed or not: of many that waited together, each is to see those that went on before it and failed.
    ///
    /// # Errors
    /// With how long they may not.
    pub fn check_here(&self, client: &str, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.keys(client, address).iter().try_for_each(|(key, most)| self.refuse_from(key, *most, 0, now))
    }

    /// Refuses what has failed so often, here or as it is known from everywhere.
    fn refuse_from(&self, key: &Key, most: u32, everywhere: u32, now: Timestamp) -> Result<(), Duration> {
        match self.here(key, now) {
            Some((count, left)) if count.max(everywhere) >= most => Err(left),
            _ => Ok(()),
        }
    }

    /// How often a key has failed here, and how long that still counts.
    fn here(&self, key: &Key, now: Timestamp) -> Option<(u32, Duration)> {
        let failures = self.failures.get(key)?;
        Some((failures.count, failures.left(now)?))
    }

    /// Takes note of a failure: here before anything is waited for, then everywhere.
    pub async fn failed(&self, client: &str, address: IpAddr, now: Timestamp) {
        let keys = self.keys(client, address).map(|(key, _)| key);
        for key in &keys {
            self.failures.entry_by_ref(key).and_upsert_with(|known| {
                match known.map(moka::Entry::into_value).filter(|known| known.left(now).is_some()) {
                    Some(known) => Failures { count: known.count.saturating_add(1), ..known },
                    None => Failures { since: now, count: 1 },
                }
            });
        }
        for key in &keys {
            if let Some(cache) = self.cache() {
                // One that fails now is no reason not to go on: it counts here.
                let _ = cache.count(&key.name(), 1, SPAN).await;
            }
        }
    }

    fn cache(&self) -> Option<&Arc<dyn Cache>> {
        self.shared.as_ref().filter(|cache| cache.is_up())
    }
}

/// The address that a failure counts for.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use haat_cache::MemoryCache;

    use super::*;
    use crate::testing::{Fault, Faulty};

    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn memory() -> Arc<dyn Cache> {
        Arc::new(MemoryCache::new(1 << 20, Arc::new(|| 0)))
    }

    #[tokio::test]
    async fn addresses_of_one_network_fail_together() {
        let throttle = Throttle::new(None, 100, 3);
        for n in 0..3 {
            throttle.failed("c", ip(&format!("2001:db8:1:2:{n}::9")), now()).await;
        }
        assert!(throttle.check("d", ip("2001:db8:1:2:ffff::1"), now()).await.is_err());
        assert!(throttle.check("d", ip("2001:db8:1:3::1"), now()).await.is_ok());
        for _ in 0..3 {
            throttle.failed("c", ip("::ffff:192.0.2.1"), now()).await;
        }
        assert!(throttle.check("d", ip("192.0.2.1"), now()).await.is_err(), "the same address written otherwise");
        assert!(throttle.check("d", ip("192.0.2.2"), now()).await.is_ok());
    }

    #[tokio::test]
    async fn new_failures_count_however_many_there_were() {
        let few = 100;
        let throttle = Throttle { failures: failures(few), ..Throttle::new(None, 2, u32::MAX) };
        let fail = async |client: String, times| {
            for _ in 0..times {
                throttle.failed(&client, ip("192.0.2.1"), now()).await;
                throttle.failures.run_pending_tasks();
            }
        };
        // Those seen often would keep others out of a memory that goes by how often.
        for n in 0..few {
            fail(format!("frequent-{n}"), 10).await;
        }
        for n in 0..few {
            fail(format!("new-{n}"), 2).await;
            assert!(throttle.check(&format!("new-{n}"), ip("192.0.2.1"), now()).await.is_err(), "{n}");
        }
        assert!(throttle.failures.entry_count() <= few);
    }

    #[tokio::test]
    async fn failures_at_one_replica_count_at_the_other() {
        let shared = memory();
        let [one, other] = [(); 2].map(|()| Throttle::new(Some(Arc::clone(&shared)), 5, 100));
        for replica in [&one, &one, &one, &one] {
            replica.failed("c", ip("192.0.2.1"), now()).await;
        }
        assert!(other.check("c", ip("192.0.2.1"), now()).await.is_ok());
        other.failed("c", ip("192.0.2.1"), now()).await;
        assert!(other.check("c", ip("192.0.2.1"), now()).await.is_err(), "four there and one here");
        assert!(one.check("c", ip("192.0.2.1"), now()).await.is_err(), "and there");
        assert!(other.check("d", ip("192.0.2.1"), now()).await.is_ok());
        assert!(other.check("c", ip("192.0.2.2"), now()).await.is_ok());
    }

    #[tokio::test]
    async fn while_the_shared_cache_fails_each_replica_counts_its_own() {
        let throttle = Throttle::new(Some(Faulty::over(memory(), Fault::Fails)), 3, 100);
        for _ in 0..3 {
            assert!(throttle.check("c", ip("192.0.2.1"), now()).await.is_ok());
            throttle.failed("c", ip("192.0.2.1"), now()).await;
        }
        assert!(throttle.check("c", ip("192.0.2.1"), now()).await.is_err());
    }

    /// Guesses sent together all wait for the shared cache at once.
    #[tokio::test(start_paused = true)]
    async fn a_burst_has_no_more_guesses_than_one_after_the_other() {
        let throttle = Arc::new(Throttle::new(Some(Faulty::over(memory(), Fault::Slow)), 5, 100));
        throttle.failed("c", ip("192.0.2.1"), now()).await;
        let mut burst = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let throttle = Arc::clone(&throttle);
            burst.spawn(async move {
                let looked_at = throttle.check("c", ip("192.0.2.1"), now()).await.is_ok();
                if looked_at {
                    throttle.failed("c", ip("192.0.2.1"), now()).await;
                }
                usize::from(looked_at)
            });
        }
        assert_eq!(burst.join_all().await.iter().sum::<usize>(), 4);
    }
}
