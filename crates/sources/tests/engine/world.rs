//! A store, an upstream and the services between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haat_catalog::{Clock, Timestamp};
use haat_sources::breaker::{BreakerControl, BreakerStanding};
use haat_sources::ports::{BreakerOrder, SourceRow, SourceStore};
use haat_sources::run::{Mode, Run};
use haat_sources::service::{Confirmation, SourceParts, Sources, SourcesOptions, StartError, SyncRequest};
use haat_testkit::clock::TestIds;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::memory::MemoryStore;
use crate::shop::Shop;

/// Where the clock begins.
pub const START: i64 = 1_767_323_045_000;

/// A clock that goes with tokio's, which tests pause.
pub struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START).plus(self.0.elapsed())
    }
}

/// A breaker that remembers what it was told.
pub struct Lever {
    pub state: Mutex<&'static str>,
    pub orders: Mutex<Vec<BreakerOrder>>,
}

impl BreakerControl for Lever {
    fn report(&self) -> BreakerStanding {
        let state = (*self.state.lock().unwrap()).to_owned();
        BreakerStanding { state, since: Timestamp::from_millis(START), failure_rate: 0.0, slow_rate: 0.0, calls: 0 }
    }

    fn order(&self, order: BreakerOrder) {
        let mut orders = self.orders.lock().unwrap();
        if orders.last() != Some(&order) {
            orders.push(order);
        }
    }
}

pub struct World {
    pub store: Arc<MemoryStore>,
    pub shop: Arc<Shop>,
    pub clock: Arc<PausedClock>,
    pub ids: Arc<TestIds>,
}

/// A request for everything.
pub const FULL: SyncRequest = SyncRequest { mode: Some(Mode::Full), confirms: None };
/// A request for what changed.
pub const CHANGES: SyncRequest = SyncRequest { mode: None, confirms: None };
/// A request with a confirmation of whatever waits.
pub const CONFIRMED: SyncRequest = SyncRequest { mode: None, confirms: Some(Confirmation::Waiting) };

/// A request with a confirmation of one run.
pub fn confirmed(run: &Run) -> SyncRequest {
    SyncRequest { mode: None, confirms: Some(Confirmation::Run(run.id)) }
}

impl World {
    /// A shop of that many items in pages of ten.
    pub fn new(items: usize) -> Self {
        Self::of(Shop::new(10), items)
    }

    pub fn of(shop: Shop, items: usize) -> Self {
        shop.fill(items);
        let (store, shop) = (Arc::new(MemoryStore::default()), Arc::new(shop));
        Self { store, shop, clock: Arc::new(PausedClock(Instant::now())), ids: Arc::new(TestIds::default()) }
    }

    pub fn lever() -> Arc<Lever> {
        Arc::new(Lever { state: Mutex::new("closed"), orders: Mutex::default() })
    }

    pub fn parts(&self) -> SourceParts {
        SourceParts {
            name: "shop".into(),
            kind: "rest".into(),
            connector: self.shop.clone(),
            caller: self.shop.clone(),
            breaker: Self::lever(),
            schedule: None,
            full_every: None,
            live: Default::default(),
            max_vanished: 0.2,
            give_up_after: Duration::from_secs(900),
            hold: haat_sources::sync::SyncOptions::default().hold,
        }
    }

    /// The service of a replica, with the parts as they are set up.
    pub fn sources(&self, replica: &str, set_up: impl FnOnce(&mut SourceParts, &mut SourcesOptions)) -> Arc<Sources> {
        let (mut parts, mut options) = (self.parts(), SourcesOptions::new(replica));
        set_up(&mut parts, &mut options);
        let (store, clock, ids) = (self.store.clone(), self.clock.clone(), self.ids.clone());
        Arc::new(Sources::new(vec![parts], store, clock, ids, options))
    }

    pub async fn try_sync(&self, request: SyncRequest) -> Result<Run, StartError> {
        let sources = self.sources("command", |_, _| {});
        sources.run_here("shop", request, Arc::new(|_| {}), CancellationToken::new()).await
    }

    /// Synchronises to the end.
    pub async fn sync(&self, request: SyncRequest) -> Run {
        self.try_sync(request).await.unwrap()
    }

    pub async fn row(&self) -> SourceRow {
        self.store.source("shop").await.unwrap().unwrap()
    }

    /// What the catalogue has: stock by key.
    pub fn catalogue(&self) -> BTreeMap<String, Option<i64>> {
        let state = self.store.state();
        state.products.values().map(|(product, _, item)| (item.key.clone(), product.stock)).collect()
    }

    /// What the upstream has that can be understood: stock by key.
    pub fn upstream(&self) -> BTreeMap<String, Option<i64>> {
        let state = self.shop.state();
        let good = state.items.iter().filter(|(_, item)| item["bad"] != true && item["id"].is_string());
        good.map(|(key, item)| (key.clone(), item["stock"].as_i64())).collect()
    }

    /// Waits, for at most an hour of paused time, until something is so.
    pub async fn until(&self, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(3_600);
        while !is_so().await {
            assert!(Instant::now() < deadline, "it never becomes so");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
