//! Answers kept ready: found by their question in memory, then in the shared cache, else computed, once however many
//! ask.
//!
//! An answer belongs to a state of the catalogue, its *generation* (the place in the change log that the index had
//! come to). It is right for as long as the catalogue stays in that state. When the catalogue has moved on, a hot answer
//! is still given for at most [`AnswersOptions::max_stale`] while one request's task computes the next; what is older is
//! never given. So the worst that happens to a hot question under steady writing is one computation per that time, not
//! one per write and not one per asker.
//!
//! Across processes: whoever computes holds a lock in the shared cache, the others look there until the answer has come.
//! A shared cache that fails is left out; then there is one computation per process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foldhash::quality::RandomState;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use moka::sync::Cache as Memory;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::port::{Cache, Ordered};

/// Something that can be kept.
pub trait Answer: Clone + Send + Sync + 'static {
    /// The state of the catalogue that it was made from.
    fn generation(&self) -> u64;
    /// Whether it may be given to others at all.
    fn is_kept(&self) -> bool {
        true
    }
    /// What it costs in memory, in bytes.
    fn weight(&self) -> usize;
    /// It as bytes, for the shared cache.
    fn to_bytes(&self) -> Bytes;
    /// The answer of those bytes; `None` when another version of Haat wrote them.
    fn from_bytes(bytes: Bytes) -> Option<Self>;
}

/// When the catalogue moved on from a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not: answers of it are right.
    Current,
    /// So long ago.
    Superseded(Duration),
}

/// Tells how generations stand.
pub trait Generations: Send + Sync + 'static {
    /// Tells one run of generations from another. Answers of different runs are never mixed: what was computed while this
    /// was the same all the time must be of that run, so it has to change in one step with what computations see.
    fn lineage(&self) -> u128 {
        0
    }
    /// How this one stands. One that is newer than the newest known is current.
    fn standing(&self, generation: u64) -> Standing;
}

/// How much is kept and for how long.
#[derive(Debug, Clone)]
pub struct AnswersOptions {
    /// Memory for answers, in bytes; 0 keeps none.
    pub max_bytes: u64,
    /// How long a superseded answer may still be given.
    pub max_stale: Duration,
    /// How long an answer is kept in the shared cache.
    pub shared_ttl: Duration,
    /// How long to wait for another process's computation before computing as well.
    pub patience: Duration,
}

impl Default for AnswersOptions {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_stale: Duration::from_millis(700),
            shared_ttl: Duration::from_secs(60),
            patience: Duration::from_secs(1),
        }
    }
}

/// Who had the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// This process's memory.
    Memory,
    /// The shared cache.
    Shared,
    /// Nobody: it was computed for this asker.
    Computed,
    /// Nobody: it was being computed for another asker in this process, and this one waited for it.
    Collapsed,
}

/// An answer and where it comes from.
#[derive(Debug, Clone)]
pub struct Found<A> {
    /// The answer.
    pub answer: A,
    /// Who had it.
    pub layer: Layer,
    /// For how long it has been out of date; zero when it is right.
    pub stale: Duration,
}

/// A question: a text that is the same exactly when the answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question(Arc<str>);

impl Question {
    /// A question of that text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

type Computed<A, E> = Result<(A, Layer), E>;
type Flight<A, E> = Shared<BoxFuture<'static, Computed<A, E>>>;

/// Answers by question. `E` is why there may be none; failures are given to all who wait and then forgotten.
pub struct Answers<A, E> {
    inner: Arc<Inner<A, E>>,
}

struct Inner<A, E> {
    memory: Memory<Question, A, RandomState>,
    shared: Option<Arc<dyn Cache>>,
    generations: Arc<dyn Generations>,
    options: AnswersOptions,
    /// The one that the answers in memory are of.
    lineage: Mutex<u128>,
    flights: Mutex<HashMap<Question, Flight<A, E>>>,
}

/// Of [`AnswersOptions::max_stale`], the part that passes before a computation is begun: it must be done before the rest
/// has passed, and the catalogue may well move on again meanwhile.
const REFRESH_AFTER: f32 = 0.4;
/// How long another process may hold the lock of a computation.
const HOLD: Duration = Duration::from_secs(3);
/// How often it is looked whether another process is done.
const LOOK: Duration = Duration::from_millis(3);
/// What an entry costs beside its question and answer.
const OVERHEAD: usize = 256;

impl<A, E> Answers<A, E>
where
    A: Answer,
    E: Clone + Send + Sync + 'static,
{
    /// No answers yet. `shared` is a cache that other processes use as well.
    pub fn new(options: AnswersOptions, generations: Arc<dyn Generations>, shared: Option<Arc<dyn Cache>>) -> Self {
        let memory = Memory::builder()
            .max_capacity(options.max_bytes)
            .weigher(|question: &Question, answer: &A| {
                u32::try_from(question.0.len() + answer.weight() + OVERHEAD).unwrap_or(u32::MAX)
            })
            // What is right for longer is made anew: should something that nobody thought of ever keep a wrong answer,
            // it is not kept for ever.
            .time_to_live(options.shared_ttl)
            .build_with_hasher(RandomState::default());
        let lineage = Mutex::new(generations.lineage());
        let inner = Inner { memory, shared, generations, options, lineage, flights: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The answer in memory, if it may be given, without a computation begun or waited for; it is not refreshed either.
    pub fn at_hand(&self, question: &Question, at_least: u64) -> Option<Found<A>> {
        let found = self.inner.in_memory(question, at_least)?;
        (found.stale <= self.inner.refresh_after()).then_some(found)
    }

    /// The answer of a question, of the generation `at_least` or a newer one, from wherever it is; else `compute` gives
    /// it. The computation goes on when the asker goes away: others may wait for it, and the next will ask again.
    ///
    /// # Errors
    /// What `compute` fails with.
    pub async fn get<F, W>(&self, question: Question, at_least: u64, compute: F) -> Result<Found<A>, E>
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<A, E>> + Send + 'static,
    {
        if let Some(found) = self.inner.in_memory(&question, at_least) {
            if found.stale > self.inner.refresh_after() {
                // Nobody waits for it; whoever asks after the answer may no longer be given does.
                drop(self.inner.flight(&question, at_least, compute));
            }
            return Ok(found);
        }
        let (flight, mine) = self.inner.flight(&question, at_least, compute);
        let Some(compute) = mine else { return self.inner.landed(flight, false).await };
        let found = self.inner.landed(flight, true).await?;
        if found.stale <= self.inner.options.max_stale {
            return Ok(found);
        }
        // It was begun long before this question was asked, from a state that is too old for it.
        let (flight, mine) = self.inner.flight(&question, at_least, compute);
        self.inner.landed(flight, mine.is_some()).await
    }

    /// How many answers are in memory, and their weight in bytes.
    pub fn size(&self) -> (u64, u64) {
        self.inner.memory.run_pending_tasks();
        (self.inner.memory.entry_count(), self.inner.memory.weighted_size())
    }
}

impl<A, E> Inner<A, E>
where
    A: Answer,
    E: Clone + Send + Sync + 'static,
{
    fn refresh_after(&self) -> Duration {
        self.options.max_stale.mul_f32(REFRESH_AFTER)
    }

    fn staleness(&self, answer: &A) -> Duration {
        match self.generations.standing(answer.generation()) {
            Standing::Current => Duration::ZERO,
            Standing::Superseded(ago) => ago,
        }
    }

    fn may_be_given(&self, answer: &A, at_least: u64) -> Option<Duration> {
        let stale = self.staleness(answer);
        (answer.generation() >= at_least && stale <= self.options.max_stale).then_some(stale)
    }

    /// The lineage of now; what is in memory of another is dropped.
    fn lineage(&self) -> u128 {
        let now = self.generations.lineage();
        let mut last = self.lineage.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != now {
            *last = now;
            self.memory.invalidate_all();
        }
        now
    }

    fn in_memory(&self, question: &Question, at_least: u64) -> Option<Found<A>> {
        self.lineage();
        let answer = self.memory.get(question)?;
        let stale = self.may_be_given(&answer, at_least)?;
        Some(Found { answer, layer: Layer::Memory, stale })
    }

    /// The computation of a question that is under way, with `compute` given back, or a new one by it.
    fn flight<F, W>(self: &Arc<Self>, question: &Question, at_least: u64, compute: F) -> (Flight<A, E>, Option<F>)
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<A, E>> + Send + 'static,
    {
        // A demand for a generation is part of the computation's name: one that waits for a change must not make those
        // wait who did not ask for it, nor be given what they are content with.
        let name = match at_least {
            0 => question.clone(),
            seq => Question::new(format!("{seq} {}", question.0)),
        };
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&name) {
            return (flight.clone(), Some(compute));
        }
        let (inner, question, key) = (Arc::clone(self), question.clone(), name.clone());
        let task = tokio::spawn(async move {
            let lineage = inner.lineage();
            let done = std::panic::AssertUnwindSafe(inner.find(lineage, &question, at_least, compute));
            let done = done.catch_unwind().await;
            if let Ok(Ok((answer, _))) = &done {
                inner.keep(lineage, question, answer.clone());
            }
            inner.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            done
        });
        let flight = async move {
            match task.await {
                Ok(Ok(done)) => done,
                // A fault in the computation is every asker's, as if each had computed for itself.
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(e) => match e.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is shutting down, and with it everyone who could wait.
                    Err(_) => std::future::pending().await,
                },
            }
        };
        let flight = flight.boxed().shared();
        flights.insert(name, flight.clone());
        (flight, None)
    }

    /// What a computation came to.
    async fn landed(&self, flight: Flight<A, E>, joined: bool) -> Result<Found<A>, E> {
        let (answer, layer) = match flight.await? {
            (answer, Layer::Computed) if joined => (answer, Layer::Collapsed),
            found => found,
        };
        let stale = self.staleness(&answer);
        Ok(Found { answer, layer, stale })
    }

    /// Keeps an answer that was begun in this lineage, unless another has begun since.
    fn keep(&self, lineage: u128, question: Question, answer: A) {
        // Until it is kept: who drops the answers of a lineage must not come in between.
        let last = self.lineage.lock().unwrap_or_else(PoisonError::into_inner);
        if !answer.is_kept() || *last != lineage || self.generations.lineage() != lineage {
            return;
        }
        let newer = |there: &A| there.generation() > answer.generation();
        if !self.memory.get(&question).as_ref().is_some_and(newer) {
            self.memory.insert(question, answer);
        }
    }

    async fn find<F, W>(&self, lineage: u128, question: &Question, at_least: u64, compute: F) -> Computed<A, E>
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<A, E>> + Send + 'static,
    {
        let Some(shared) = self.shared.as_ref().filter(|shared| shared.is_up()) else {
            return Ok((compute().await?, Layer::Computed));
        };
        let key = key_of(lineage, question);
        if let Some(answer) = self.in_shared(&**shared, &key, question, at_least).await {
            return Ok((answer, Layer::Shared));
        }
        let lock = format!("{key}:lock");
        let deadline = Instant::now() + self.options.patience;
        loop {
            match shared.lock(&lock, HOLD).await {
                Err(_) => return Ok((compute().await?, Layer::Computed)),
                Ok(Some(held)) => {
                    // It may have come between the look and the lock.
                    let found = self.in_shared(&**shared, &key, question, at_least).await;
                    let done = match found {
                        Some(answer) => Ok((answer, Layer::Shared)),
                        None => self.compute_for_all(&**shared, lineage, question, compute).await,
                    };
                    // The next one finds the answer there; that the lock ends by itself is soon enough if this fails.
                    let _ = shared.unlock(&held).await;
                    return done;
                }
                Ok(None) => {}
            }
            tokio::time::sleep(LOOK).await;
            if let Some(answer) = self.in_shared(&**shared, &key, question, at_least).await {
                return Ok((answer, Layer::Shared));
            }
            if Instant::now() >= deadline {
                return Ok((compute().await?, Layer::Computed));
            }
        }
    }

    async fn compute_for_all<F, W>(
        &self,
        shared: &dyn Cache,
        lineage: u128,
        question: &Question,
        compute: F,
    ) -> Computed<A, E>
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<A, E>> + Send + 'static,
    {
        let answer = compute().await?;
        // Other processes may still be in the lineage that this one has left.
        if !answer.is_kept() || self.lineage() != lineage {
            return Ok((answer, Layer::Computed));
        }
        let value = Ordered { order: answer.generation(), value: with_question(question, &answer.to_bytes()) };
        if let Err(error) = shared.put_newest(&key_of(lineage, question), value, self.options.shared_ttl).await {
            tracing::debug!(%error, "an answer is not shared");
        }
        Ok((answer, Layer::Computed))
    }

    /// The answer in the shared cache, if it is the question's and not too old.
    async fn in_shared(&self, shared: &dyn Cache, key: &str, question: &Question, at_least: u64) -> Option<A> {
        let found = shared.get_newest(key).await.ok()??;
        let answer = A::from_bytes(without_question(question, found.value)?)?;
        // Not while it would be computed anew at once.
        let stale = self.may_be_given(&answer, at_least)?;
        (stale <= self.refresh_after()).then_some(answer)
    }
}

/// The key of a question: short, whatever was asked. The question itself stands in the value, so that two questions of
/// one hash are told apart.
fn key_of(lineage: u128, question: &Question) -> String {
    format!("answer:{:016x}", xxh3_64_with_seed(question.0.as_bytes(), (lineage as u64) ^ ((lineage >> 64) as u64)))
}

fn with_question(question: &Question, answer: &[u8]) -> Bytes {
    let text = question.0.as_bytes();
    let mut out = Vec::with_capacity(4 + text.len() + answer.len());
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(answer);
    out.into()
}

fn without_question(question: &Question, stored: Bytes) -> Option<Bytes> {
    let length = u32::from_be_bytes(stored.get(..4)?.try_into().ok()?);
    let end = 4 + usize::try_from(length).ok()?;
    (stored.get(4..end)? == question.0.as_bytes()).then(|| stored.slice(end..))
}
