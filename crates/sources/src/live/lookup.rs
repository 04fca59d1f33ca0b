//! Looking up what an upstream says of one product: once however many ask, and never more at once than there is room for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use haat_catalog::ports::StoredProduct;
use haat_catalog::product::overlay::Overlay;
use haat_catalog::{Clock, Product, Sku, Timestamp};
use haat_outbound::CallError;
use moka::sync::Cache;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{LiveAnswer, LiveField, LiveFields, LiveOptions, LiveStatus, StoredBecause};
use crate::connector::ReadError;
use crate::measure;
use crate::ports::{Item, SourceRow, SourceStore};
use crate::run::{MAX_ERRORS, Run};
use crate::upstream::{Asked, Upstream, UpstreamError};

/// How often it is looked how the synchronisation of a source stands.
const LOOK: Duration = Duration::from_secs(1);

/// A source with live members.
pub struct LiveSource {
    name: String,
    upstream: Upstream,
    fields: LiveFields,
    room: Semaphore,
    /// How it stood when somebody last looked.
    row: Mutex<Option<(Instant, Arc<SourceRow>)>>,
}

/// Looks up live values.
pub struct Live {
    sources: HashMap<String, Arc<LiveSource>>,
    store: Arc<dyn SourceStore>,
    clock: Arc<dyn Clock>,
    options: LiveOptions,
    memory: Cache<Sku, Known>,
    flights: Mutex<HashMap<Sku, Flight>>,
}

/// Which item of which source a product is.
type Owner = (Arc<LiveSource>, Item);

/// What a lookup came to.
#[derive(Clone)]
enum Outcome {
    /// The members that the upstream names of those that are live, and when it was asked.
    Values(Arc<BTreeMap<LiveField, Value>>, Timestamp),
    /// None, and why.
    Stored(StoredBecause),
}

/// A lookup that was made.
#[derive(Clone)]
struct Known {
    owner: Option<Owner>,
    outcome: Outcome,
    /// When it was begun.
    at: Instant,
}

/// A lookup that is under way.
#[derive(Clone)]
struct Flight {
    owner: Arc<OnceLock<Owner>>,
    landed: Shared<BoxFuture<'static, Known>>,
}

impl LiveSource {
    /// A source whose products have these members live.
    pub fn new(name: String, upstream: Upstream, fields: LiveFields, options: &LiveOptions) -> Self {
        let room = Semaphore::new(options.lookups.min(Semaphore::MAX_PERMITS));
        Self { name, upstream, fields, room, row: Mutex::default() }
    }

    fn row(&self) -> Option<(Instant, Arc<SourceRow>)> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks how the source stands, unless somebody has just done so.
    async fn look(&self, store: &dyn SourceStore) {
        if self.row().is_some_and(|(at, _)| at.elapsed() < LOOK) {
            return;
        }
        let at = Instant::now();
        match store.source(&self.name).await {
            Ok(row) => {
                let row = Arc::new(row.unwrap_or_default());
                *self.row.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, row));
            }
            // What was known makes the values older than they are, at worst.
            Err(error) => tracing::debug!(source = self.name, %error, "how a source stands cannot be read"),
        }
    }

    /// The beginning of the newest run that would have carried a change of the item; `None` where there is none, or where
    /// one of them may have refused it.
    fn carried(&self, item: &Item) -> Option<Timestamp> {
        let (_, row) = self.row()?;
        let took = |run: &&Run| {
            !run.keyless && run.errors.len() < MAX_ERRORS && run.errors.iter().all(|error| error.key != item.key)
        };
        // What a full run refused, no incremental one brings until it changes.
        let full = row.last_full.as_ref().filter(took)?;
        let carries = |mode| self.fields.iter().all(|field| self.upstream.connector.carries(*field, mode));
        let done = row.last_done.as_ref().filter(took).filter(|done| carries(done.mode));
        Some(done.map_or(full.started_at, |done| done.started_at.max(full.started_at)))
    }
}

impl Live {
    /// Live values of these sources; those without live members may be left out.
    pub fn new(
        sources: Vec<LiveSource>,
        store: Arc<dyn SourceStore>,
        clock: Arc<dyn Clock>,
        options: LiveOptions,
    ) -> Self {
        let sources = sources.into_iter().filter(|source| !source.fields.is_empty());
        let sources = sources.map(|source| (source.name.clone(), Arc::new(source))).collect();
        let memory = Cache::builder().max_capacity(options.kept).time_to_live(options.fresh).build();
        Self { sources, store, clock, options, memory, flights: Mutex::default() }
    }

    /// The product with the live members as its upstream has them now, or by `deadline` the stored one.
    ///
    /// Of a product that no source has, or one without live members, the stored one is given, with
    /// [`StoredBecause::NotDeclared`]: who asks need not know which products are live.
    pub async fn live(self: &Arc<Self>, product: &StoredProduct, deadline: Instant) -> LiveAnswer {
        let Ok(stored) = Product::from_json(&product.document) else {
            tracing::error!(product = %product.id, "the stored document of a product cannot be read");
            let epoch = Timestamp::from_millis(0);
            return self.fall_back(product.document.clone(), epoch, None, StoredBecause::Unreadable);
        };
        let document = product.document.clone();
        let fall_back = |owner: Option<&Owner>, why| self.fall_back(document.clone(), stored.updated_at, owner, why);
        let known = match self.known(&stored) {
            Some(known) => known,
            None => {
                let Some(flight) = self.flight(&stored.sku) else { return fall_back(None, StoredBecause::Saturated) };
                match timeout_at(deadline, flight.landed).await {
                    Ok(known) => known,
                    Err(_) => return fall_back(flight.owner.get(), StoredBecause::Timeout),
                }
            }
        };
        match (&known.outcome, &known.owner) {
            (Outcome::Values(values, as_of), Some((source, _))) => match lay(&stored, values) {
                Some(document) => self.fresh(document, source, values, *as_of),
                None => fall_back(known.owner.as_ref(), StoredBecause::Unreadable),
            },
            (Outcome::Stored(why), owner) => fall_back(owner.as_ref(), *why),
            (Outcome::Values(..), None) => fall_back(None, StoredBecause::NotDeclared),
        }
    }

    /// How many lookups are under way.
    pub fn under_way(&self) -> usize {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was looked up lately, unless the product was written since.
    fn known(&self, stored: &Product) -> Option<Known> {
        let known = self.memory.get(&stored.sku).filter(|known| known.at.elapsed() < self.options.fresh)?;
        let outdated = matches!(known.outcome, Outcome::Values(_, as_of) if as_of < stored.updated_at);
        (!outdated).then_some(known)
    }

    /// The lookup of a product that is under way, or a new one; `None` where there is no room for one.
    fn flight(self: &Arc<Self>, sku: &Sku) -> Option<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(sku) {
            return Some(flight.clone());
        }
        // Those of each source, and as many that wait for the database to say whose they are.
        if flights.len() >= self.options.lookups.saturating_mul(self.sources.len() + 1) {
            return None;
        }
        let owner = Arc::new(OnceLock::new());
        let (live, place) = (Arc::clone(self), Place { live: Arc::clone(self), sku: sku.clone() });
        let found = Arc::clone(&owner);
        // On its own: whoever asks may go away, and must not take the answer from those who wait as well.
        let task = tokio::spawn(async move {
            let at = Instant::now();
            let outcome = live.look(&place.sku, &found).await;
            let source = found.get().map_or("", |(source, _)| source.name.as_str());
            measure::looked_up(source, outcome.name(), at.elapsed());
            let known = Known { owner: found.get().cloned(), outcome, at };
            if known.outcome.is_kept() {
                live.memory.insert(place.sku.clone(), known.clone());
            }
            known
        });
        let landed = async move {
            task.await.unwrap_or_else(|error| {
                tracing::error!(%error, "the lookup of a live value has failed");
                let outcome = Outcome::Stored(StoredBecause::UpstreamError);
                Known { owner: None, outcome, at: Instant::now() }
            })
        };
        let flight = Flight { owner, landed: landed.boxed().shared() };
        flights.insert(sku.clone(), flight.clone());
        Some(flight)
    }

    async fn look(&self, sku: &Sku, found: &OnceLock<Owner>) -> Outcome {
        let deadline = Instant::now() + self.options.longest;
        let looked = timeout_at(deadline, async {
            let (name, item) = match self.store.owner_of(sku).await {
                Ok(owner) => owner?,
                Err(error) => {
                    tracing::warn!(%error, "the source of a product cannot be read");
                    return Some(Outcome::Stored(StoredBecause::StoreUnavailable));
                }
            };
            let source = self.sources.get(&name)?;
            // Set once, here.
            let _ = found.set((Arc::clone(source), item.clone()));
            source.look(&*self.store).await;
            let Ok(_room) = source.room.try_acquire() else {
                return Some(Outcome::Stored(StoredBecause::Saturated));
            };
            self.ask(source, &item, deadline).await
        });
        match looked.await {
            Ok(outcome) => outcome.unwrap_or(Outcome::Stored(StoredBecause::NotDeclared)),
            Err(_) => Outcome::Stored(StoredBecause::Timeout),
        }
    }

    /// Asks the upstream; `None` where the source has no such request.
    async fn ask(&self, source: &LiveSource, item: &Item, deadline: Instant) -> Option<Outcome> {
        if item.is_retired() {
            return Some(Outcome::Stored(StoredBecause::NotFound));
        }
        let as_of = self.clock.now();
        let why = match source.upstream.item(&item.key, &item.sku, Some(deadline)).await {
            Ok(Asked::Unasked) => return None,
            Ok(Asked::Gone) => StoredBecause::NotFound,
            Ok(Asked::There(value)) => match source.upstream.connector.map(&value) {
                Ok(mapped) if mapped.item.key == item.key => {
                    let mut named = mapped.overlay.members;
                    let values = source.fields.iter().filter_map(|field| Some((*field, named.remove(field.name())?)));
                    return Some(Outcome::Values(Arc::new(values.collect()), as_of));
                }
                _ => StoredBecause::Unreadable,
            },
            Err(error) => {
                tracing::debug!(source = source.name, %error, "a live value cannot be had");
                because(&error)
            }
        };
        Some(Outcome::Stored(why))
    }

    fn fresh(
        &self,
        document: Bytes,
        source: &LiveSource,
        values: &BTreeMap<LiveField, Value>,
        as_of: Timestamp,
    ) -> LiveAnswer {
        let live = LiveStatus {
            source: Some(source.name.clone()),
            fields: values.keys().copied().collect(),
            fresh: true,
            as_of,
            age_seconds: self.clock.now().since(as_of).as_secs(),
            reason: None,
        };
        LiveAnswer { document, live }
    }

    fn fall_back(
        &self,
        document: Bytes,
        updated_at: Timestamp,
        owner: Option<&Owner>,
        why: StoredBecause,
    ) -> LiveAnswer {
        let carried = owner.and_then(|(source, item)| source.carried(item));
        let as_of = carried.map_or(updated_at, |carried| carried.max(updated_at));
        let live = LiveStatus {
            source: owner.map(|(source, _)| source.name.clone()),
            fields: owner.map(|(source, _)| source.fields.iter().copied().collect()).unwrap_or_default(),
            fresh: false,
            as_of,
            age_seconds: self.clock.now().since(as_of).as_secs(),
            reason: Some(why),
        };
        LiveAnswer { document, live }
    }
}

impl Outcome {
    /// As it is measured.
    fn name(&self) -> &'static str {
        match self {
            Self::Values(..) => "fresh",
            Self::Stored(why) => why.name(),
        }
    }

    /// Whether it is given to others for a moment: what the upstream said, and what needs no upstream. Failures are not: the
    /// next who asks may be luckier, and the breaker sees to it that nobody hammers.
    fn is_kept(&self) -> bool {
        match self {
            Self::Values(..) => true,
            Self::Stored(why) => {
                matches!(why, StoredBecause::NotFound | StoredBecause::Unreadable | StoredBecause::NotDeclared)
            }
        }
    }
}

/// Gives a lookup's place back, however it ends.
struct Place {
    live: Arc<Live>,
    sku: Sku,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.sku);
    }
}

fn because(error: &UpstreamError) -> StoredBecause {
    match error {
        UpstreamError::Call(CallError::Timeout(_)) => StoredBecause::Timeout,
        UpstreamError::Call(CallError::BreakerOpen { .. }) => StoredBecause::BreakerOpen,
        UpstreamError::Call(CallError::Saturated) => StoredBecause::Saturated,
        UpstreamError::Call(_) | UpstreamError::Read(ReadError::Status(_)) => StoredBecause::UpstreamError,
        UpstreamError::Read(ReadError::Malformed(_)) => StoredBecause::Unreadable,
    }
}

/// The stored product with these members laid over it; `None` when that is no valid product.
fn lay(stored: &Product, values: &BTreeMap<LiveField, Value>) -> Option<Bytes> {
    let mut overlay = Overlay::new(stored.sku.clone());
    overlay.members = values.iter().map(|(field, value)| (field.name().to_owned(), value.clone())).collect();
    let draft = overlay.over(Some(stored)).ok()?;
    let product = draft.into_product(stored.id, stored.version, stored.created_at, stored.updated_at);
    Some(product.to_json().into())
}
