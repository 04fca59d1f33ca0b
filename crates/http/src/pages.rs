//! Reading: every answer that depends on the catalogue alone is kept ready and shared by all who ask the same
//! ([`haat_cache::answers`]); what has to be computed is let in as far as the machine can carry it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::Response;
use bytes::Bytes;
use haat_cache::answers::{Answers, Found, Generations, Question, Standing};
use haat_catalog::Seq;
use haat_catalog::ports::ListingIndex;
use haat_limits::overload::Overload;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};
use moka::sync::Cache;

use crate::answer::ready::{Document, Ready, respond};
use crate::extract::precondition;
use crate::options::{HttpOptions, Services};
use crate::problem::{Code, Problem};
use crate::state::App;

/// How many addresses are remembered with the question they ask, so that a hot one need not be read again.
const ADDRESSES: u64 = 20_000;
/// For how long a reader on this server is kept from answers that are older than a write on this server.
const OWN_WRITES: Duration = Duration::from_secs(30);
/// How many written products are remembered for that.
const OWN_WRITTEN: u64 = 100_000;

/// Answers to readers.
pub(crate) struct Pages {
    answers: Answers<Ready, Problem>,
    /// Questions by the address they were asked at.
    addresses: Cache<Box<str>, Question>,
    /// The change up to which an answer must know of a product that was written here.
    written: Cache<Box<str>, u64>,
    pub overload: Arc<Overload>,
    index: Arc<dyn ListingIndex>,
}

/// The index tells what is out of date.
struct OfIndex(Arc<dyn ListingIndex>);

impl Generations for OfIndex {
    fn standing(&self, generation: u64) -> Standing {
        self.0.superseded(Seq(generation)).map_or(Standing::Current, Standing::Superseded)
    }
}

impl Pages {
    pub fn new(services: &Services, options: &HttpOptions) -> Self {
        let generations = Arc::new(OfIndex(services.index.clone()));
        Self {
            answers: Answers::new(options.answers.clone(), generations, services.cache.clone()),
            addresses: Cache::new(ADDRESSES),
            written: Cache::builder().max_capacity(OWN_WRITTEN).time_to_live(OWN_WRITES).build(),
            overload: Overload::new(options.concurrency),
            index: services.index.clone(),
        }
    }

    /// The answer that is at hand for an address, if it was asked for before in just these words.
    pub fn at_hand(&self, asked: &Asked) -> Option<Found<Ready>> {
        let question = self.addresses.get(asked.address())?;
        self.answers.at_hand(&question, self.least(asked))
    }

    /// Remembers what an address asks for.
    pub fn remember(&self, asked: &Asked, question: &Question) {
        self.addresses.insert(asked.address().into(), question.clone());
    }

    /// The answer to a question, of the change `at_least` or a later one, kept or computed.
    pub async fn answer<W>(
        &self,
        asked: &Asked,
        question: Question,
        at_least: u64,
        compute: impl FnOnce() -> W + Send + 'static,
    ) -> Result<Found<Ready>, Problem>
    where
        W: Future<Output = Result<Ready, Problem>> + Send + 'static,
    {
        let overload = Arc::clone(&self.overload);
        let admitted = move || async move {
            let Some(mut permit) = overload.enter() else {
                let detail = "The server has as much to do as it can; try again in a second.";
                return Err(Problem::new(Code::Overloaded, detail));
            };
            let computed = compute().await;
            // What failed or waited for a change tells nothing about the load.
            if computed.is_err() || at_least > 0 {
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

    /// The change that an answer about a product must know.
    pub fn written(&self, name: &str) -> u64 {
        self.written.get(name).unwrap_or(0)
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

    /// `Cache-Control: no-cache` (RFC 9111 §5.2.1.4), or `no-store`.
    pub fn wants_newest(&self) -> bool {
        let wants = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| text.contains("no-cache") || text.contains("no-store"))
        };
        self.headers.get_all(header::CACHE_CONTROL).iter().any(wants)
    }

    /// The response to this request that is a document of the program's own.
    pub fn respond_with(&self, ready: &Ready, document: &Document) -> Response {
        ready.respond(&self.headers, precondition::known(&self.headers).as_ref(), document)
    }

    /// The response to this request.
    pub fn respond(&self, app: &App, found: &Found<Ready>) -> Response {
        let known = precondition::known(&self.headers);
        respond(found, &self.headers, known.as_ref(), &app.cache_control, app.services.clock.now())
    }
}

/// An answer from the index.
pub(crate) fn of_index(app: &App, seq: Seq, complete: bool, link: Option<HeaderValue>, body: Vec<u8>) -> Ready {
    Ready::new(seq.0, app.services.clock.now(), complete, link, Bytes::from(body))
}
