//! Reading: every answer that depends on the catalogue alone is kept ready and shared by all who ask the same
//! ([`haat_cache::answers`]); what has to be computed is let in as far as the machine can carry it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::Response;
use bytes::Bytes;
use foldhash::quality::RandomState;
use haat_cache::answers::{Answers, Found, Generations, Question, Standing};
use haat_catalog::ports::ListingIndex;
use haat_catalog::{ProductId, Seq};
use haat_limits::Group;
use haat_limits::overload::Overload;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use moka::sync::Cache;

use crate::answer::ready::{Document, Ready, respond};
use crate::middleware::rate;
use crate::options::{HttpOptions, Services};
use crate::problem::{Code, Problem};
use crate::state::App;

/// How many bytes of addresses are remembered with the question they ask, so that a hot one need not be read again.
const ADDRESSES: u64 = 8 << 20;
/// For how long a reader on this server is kept from answers that are older than a write on this server: longer than the
/// index should ever stand still.
const OWN_WRITES: Duration = Duration::from_secs(3_600);
/// How many written products are remembered for that.
const OWN_WRITTEN: u64 = 100_000;

/// Answers to readers.
pub(crate) struct Pages {
    answers: Answers<Ready, Problem>,
    /// What is asked for, by the address.
    addresses: Cache<Arc<str>, Arc<Address>, RandomState>,
    /// The change up to which an answer must know of a product that was written here.
    written: Cache<Box<str>, u64>,
    /// Of listings, searches and suggestions.
    pub overload: Arc<Overload>,
    /// Of single products: they take so much less that both would be misled by each other.
    pub product_overload: Arc<Overload>,
    index: Arc<dyn ListingIndex>,
}

/// What is known of an address that was asked for.
pub(crate) struct Address {
    /// What it asks.
    pub question: Question,
    /// The route that it belongs to.
    pub route: &'static str,
    /// What it counts as for rate limits.
    pub group: Option<Group>,
    /// The product it names, as it names it.
    pub product: Option<Box<str>>,
}

/// The index tells what is out of date.
struct OfIndex(Arc<dyn ListingIndex>);

impl Generations for OfIndex {
    fn lineage(&self) -> u128 {
        self.0.lineage()
    }

    fn standing(&self, generation: u64) -> Standing {
        self.0.superseded(Seq(generation)).map_or(Standing::Current, Standing::Superseded)
    }
}

impl Pages {
    pub fn new(services: &Services, options: &HttpOptions) -> Self {
        let generations = Arc::new(OfIndex(services.index.clone()));
        Self {
            answers: Answers::new(options.answers.clone(), generations, services.cache.clone()),
            addresses: Cache::builder()
                .max_capacity(ADDRESSES)
                .weigher(|address: &Arc<str>, _| u32::try_from(address.len() * 2 + 200).unwrap_or(u32::MAX))
                .build_with_hasher(RandomState::default()),
            written: Cache::builder().max_capacity(OWN_WRITTEN).time_to_live(OWN_WRITES).build(),
            overload: Overload::new(options.concurrency),
            product_overload: Overload::new(options.concurrency),
            index: services.index.clone(),
        }
    }

    /// The answer that is at hand for an address, if it was asked for before in just these words and nothing has to be
    /// computed or looked up elsewhere, now or for those who ask next.
    pub fn at_hand(&self, uri: &Uri, headers: &HeaderMap) -> Option<(Arc<Address>, Found<Ready>)> {
        let address = self.addresses.get(uri.path_and_query()?.as_str())?;
        if wants_newest(headers) {
            return None;
        }
        let at_least = address.product.as_deref().map_or(0, |name| self.written(name));
        let found = self.answers.at_hand(&address.question, at_least)?;
        (!found.answer.is_heavy_for(headers)).then_some((address, found))
    }

    /// Remembers what an address asks for.
    pub fn remember(&self, asked: &Asked, question: &Question, route: &'static str, product: Option<&str>) {
        let group = rate::group_of(&Method::GET, route, asked.uri.query());
        let address = Address { question: question.clone(), route, group, product: product.map(Into::into) };
        self.addresses.insert(asked.address().into(), Arc::new(address));
    }

    /// The answer to a question, of the change `at_least` or a later one, kept or computed.
    pub async fn answer<W>(
        &self,
        overload: &Arc<Overload>,
        asked: &Asked,
        question: Question,
        at_least: u64,
        compute: impl FnOnce() -> W + Send + 'static,
    ) -> Result<Found<Ready>, Problem>
    where
        W: Future<Output = Result<Ready, Problem>> + Send + 'static,
    {
        let overload = Arc::clone(overload);
        let admitted = move || async move {
            let Some(mut permit) = overload.enter_in_turn().await else {
                let detail = "The server has as much to do as it can; try again in a second.";
                return Err(Problem::new(Code::Overloaded, detail));
            };
            let computed = compute().await;
            // What failed tells nothing about the load.
            if computed.is_err() {
                permit.forget_latency();
            }
            computed
        };
        self.answers.get(question, at_least.max(self.least(asked)), admitted).await
    }

    /// Whoever wants no cached answer wants one that is right now.
    fn least(&self, asked: &Asked) -> u64 {
        if asked.wants_newest() { self.index.status().seq.0 } else { 0 }
    }

    /// Notes that a product was written here: no reader here is given what was before.
    pub fn wrote(&self, names: impl IntoIterator<Item = String>, seq: Seq) {
        for name in names {
            self.written.insert(name.into(), seq.0);
        }
    }

    /// The change that an answer about a product must know. Ids may be written in capitals.
    pub fn written(&self, name: &str) -> u64 {
        let by_name = self.written.get(name).unwrap_or(0);
        let id: Option<ProductId> = name.parse().ok();
        by_name.max(id.and_then(|id| self.written.get(id.to_string().as_str())).unwrap_or(0))
    }
}

/// What a reader's request says beside its address, taken out of it instead of copied.
#[derive(Default)]
pub(crate) struct Asked {
    uri: Uri,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { uri: parts.uri.clone(), headers: std::mem::take(&mut parts.headers) })
    }
}

impl Asked {
    /// The query string as it was sent.
    pub fn query(&self) -> &str {
        self.uri.query().unwrap_or("")
    }

    fn address(&self) -> &str {
        self.uri.path_and_query().map_or("", |address| address.as_str())
    }

    /// See [`wants_newest`].
    pub fn wants_newest(&self) -> bool {
        wants_newest(&self.headers)
    }

    /// The response to this request that is a document of the program's own.
    pub fn respond_with(&self, ready: &Ready, document: &Document) -> Response {
        ready.respond(&self.headers, document).map(Body::from)
    }

    /// The response to this request.
    pub async fn respond(&self, app: &App, found: &Found<Ready>) -> Response {
        if found.answer.is_heavy_for(&self.headers) {
            let (answer, headers) = (found.answer.clone(), self.headers.clone());
            // Should it fail, it is done below, where it holds others up.
            drop(tokio::task::spawn_blocking(move || answer.prepare(&headers)).await);
        }
        respond(found, &self.headers, &app.caching).map(Body::from)
    }
}

/// `Cache-Control: no-cache` (RFC 9111 §5.2.1.4), or `no-store`.
fn wants_newest(headers: &HeaderMap) -> bool {
    let wants =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("no-cache") || text.contains("no-store"));
    headers.get_all(header::CACHE_CONTROL).iter().any(wants)
}

/// An answer from the index. `documents` are the products in it.
pub(crate) fn of_index<'a>(
    app: &App,
    seq: Seq,
    complete: bool,
    documents: impl IntoIterator<Item = &'a [u8]>,
    body: impl Into<Bytes>,
) -> Ready {
    let answer = Ready::new(seq.0, complete, body.into());
    answer.with_surrogates(app.caching.keys(documents))
}
