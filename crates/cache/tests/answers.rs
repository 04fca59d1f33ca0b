//! Answers kept ready: one computation however many ask, nothing older than allowed, and life goes on without Redis.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use haat_cache::Cache;
use haat_cache::answers::{Answer, Answers, AnswersOptions, Generations, Layer, Question, Standing};
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_testkit::servers::RedisServer;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// An answer that is its generation and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(u64, String);

impl Answer for Text {
    fn generation(&self) -> u64 {
        self.0
    }
    fn weight(&self) -> usize {
        self.1.len()
    }
    fn to_bytes(&self) -> Bytes {
        format!("{} {}", self.0, self.1).into()
    }
    fn from_bytes(bytes: Bytes) -> Option<Self> {
        let (generation, text) = std::str::from_utf8(&bytes).ok()?.split_once(' ')?;
        Some(Self(generation.parse().ok()?, text.to_owned()))
    }
}

/// A catalogue that moves on when it is told to.
#[derive(Default)]
struct Catalogue {
    now: AtomicU64,
    moved: Mutex<Vec<(u64, Instant)>>,
    lineage: AtomicU64,
}

impl Catalogue {
    fn move_on(&self) -> u64 {
        let next = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.moved.lock().unwrap().push((next, Instant::now()));
        next
    }

    fn at(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }
}

impl Generations for Catalogue {
    fn lineage(&self) -> u128 {
        self.lineage.load(Ordering::SeqCst).into()
    }

    fn standing(&self, generation: u64) -> Standing {
        let moved = self.moved.lock().unwrap();
        match moved.iter().find(|(next, _)| *next > generation) {
            None => Standing::Current,
            Some((_, at)) => Standing::Superseded(at.elapsed()),
        }
    }
}

/// One process: its answers, and how often it computed.
#[derive(Clone)]
struct Process {
    answers: Arc<Answers<Text, String>>,
    catalogue: Arc<Catalogue>,
    computed: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Process {
    fn new(catalogue: &Arc<Catalogue>, shared: Option<Arc<dyn Cache>>) -> Self {
        let options =
            AnswersOptions { max_bytes: 1 << 20, max_stale: Duration::from_secs(1), ..AnswersOptions::default() };
        Self {
            answers: Arc::new(Answers::new(options, catalogue.clone(), shared)),
            catalogue: catalogue.clone(),
            computed: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    async fn ask_for(&self, question: &str, at_least: u64) -> Result<(Text, Layer, Duration), String> {
        let this = self.clone();
        let compute = move || async move {
            this.computed.fetch_add(1, Ordering::SeqCst);
            this.gate.acquire().await.unwrap().forget();
            Ok(Text(this.catalogue.at(), "answer".into()))
        };
        let found = self.answers.get(Question::new(question), at_least, compute).await?;
        Ok((found.answer, found.layer, found.stale))
    }

    async fn ask(&self, question: &str) -> (Text, Layer, Duration) {
        self.ask_for(question, 0).await.unwrap()
    }

    fn computed(&self) -> usize {
        self.computed.load(Ordering::SeqCst)
    }
}

async fn redis(server: &RedisServer, patience: Duration) -> Arc<dyn Cache> {
    let cache =
        RedisCache::open(RedisOptions { urls: vec![server.url()], patience, ..RedisOptions::default() }).unwrap();
    assert!(cache.reached(Duration::from_secs(20)).await);
    Arc::new(cache)
}

const PATIENT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_askers_of_a_cold_question_in_four_processes_cost_one_computation() {
    let server = RedisServer::start();
    let catalogue = Arc::new(Catalogue::default());
    let mut processes = Vec::new();
    for _ in 0..4 {
        let process = Process::new(&catalogue, Some(redis(&server, PATIENT).await));
        process.gate.forget_permits(Semaphore::MAX_PERMITS);
        processes.push(process);
    }
    let mut askers = JoinSet::new();
    for n in 0..1_000 {
        let process = processes[n % 4].clone();
        askers.spawn(async move { process.ask("q").await });
    }
    // Whoever computes is held back until everyone has had time to ask.
    while processes.iter().map(Process::computed).sum::<usize>() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    processes.iter().for_each(|process| process.gate.add_permits(1_000));
    let answers = askers.join_all().await;
    assert!(answers.len() == 1_000 && answers.iter().all(|(answer, ..)| answer.1 == "answer"));
    assert_eq!(processes.iter().map(Process::computed).sum::<usize>(), 1);
    let told = |layer| answers.iter().filter(|(_, told, _)| *told == layer).count();
    assert_eq!(told(Layer::Computed), 1, "one asker is told that it was computed for it");
    assert!(told(Layer::Collapsed) > 0 && told(Layer::Shared) > 0, "the others waited for it");
}

#[tokio::test(start_paused = true)]
async fn a_hot_question_is_answered_stale_for_a_second_at_most_while_one_task_refreshes_it() {
    let catalogue = Arc::new(Catalogue::default());
    let process = Process::new(&catalogue, None);
    assert_eq!(process.ask("q").await.1, Layer::Computed);
    assert_eq!(process.ask("q").await.1, Layer::Memory);
    let next = catalogue.move_on();
    process.gate.forget_permits(Semaphore::MAX_PERMITS);
    // For as long as the refresh takes, the old answer is given, but no longer than a second.
    let began = Instant::now();
    for _ in 0..99 {
        tokio::time::advance(Duration::from_millis(10)).await;
        let (answer, layer, stale) = process.ask("q").await;
        assert_eq!((answer.0, layer), (0, Layer::Memory));
        assert!(stale <= Duration::from_secs(1) && stale == began.elapsed());
        assert!(process.computed() <= 2);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(process.computed(), 2, "one refresh, however often it was asked for");
    tokio::time::advance(Duration::from_millis(30)).await;
    let waiting = tokio::spawn({
        let process = process.clone();
        async move { process.ask("q").await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!waiting.is_finished(), "nothing older than a second is given");
    process.gate.add_permits(1_000);
    assert_eq!(waiting.await.unwrap().0.0, next);
    assert_eq!((process.ask("q").await.1, process.computed()), (Layer::Memory, 2));
}

#[tokio::test(start_paused = true)]
async fn under_steady_writing_a_question_is_computed_a_few_times_a_second_and_not_once_per_write() {
    let catalogue = Arc::new(Catalogue::default());
    let process = Process::new(&catalogue, None);
    for _ in 0..1_000 {
        catalogue.move_on();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (_, _, stale) = process.ask("q").await;
        assert!(stale <= Duration::from_millis(500), "{stale:?}");
    }
    assert!((20..=40).contains(&process.computed()), "{} in ten seconds", process.computed());
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_change_is_not_answered_from_before_it() {
    let catalogue = Arc::new(Catalogue::default());
    let process = Process::new(&catalogue, None);
    process.ask("q").await;
    let next = catalogue.move_on();
    assert_eq!(process.ask_for("q", next).await.unwrap().0.0, next);
    assert_eq!(process.ask("q").await.0.0, next, "and everybody has the newer one");
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
    let catalogue = Arc::new(Catalogue::default());
    let answers: Answers<Text, String> = Answers::new(AnswersOptions::default(), catalogue, None);
    let answers = Arc::new(answers);
    let failing = || answers.get(Question::new("q"), 0, || async { Err("broken".to_owned()) });
    let (a, b) = tokio::join!(failing(), failing());
    assert_eq!((a.unwrap_err(), b.unwrap_err()), ("broken".into(), "broken".into()));
    let found = answers.get(Question::new("q"), 0, || async { Ok(Text(0, "well".into())) }).await.unwrap();
    assert_eq!(found.answer.1, "well");
}

#[tokio::test]
async fn an_asker_that_goes_away_does_not_take_the_computation_along() {
    let catalogue = Arc::new(Catalogue::default());
    let process = Process::new(&catalogue, None);
    process.gate.forget_permits(Semaphore::MAX_PERMITS);
    let first = tokio::spawn({
        let process = process.clone();
        async move { process.ask("q").await }
    });
    while process.computed() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    process.gate.add_permits(10);
    process.ask("q").await;
    assert_eq!(process.computed(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_leaves_one_computation_per_process() {
    let server = RedisServer::start();
    let catalogue = Arc::new(Catalogue::default());
    let process = Process::new(&catalogue, Some(redis(&server, Duration::from_millis(10)).await));
    server.pause();
    let began = std::time::Instant::now();
    for n in 0..100 {
        let question = format!("q{n}");
        assert_eq!(process.ask(&question).await.1, Layer::Computed);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?} for a hundred", began.elapsed());
    server.resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_finds_what_one_has_computed() {
    let server = RedisServer::start();
    let catalogue = Arc::new(Catalogue::default());
    let one = Process::new(&catalogue, Some(redis(&server, PATIENT).await));
    let other = Process::new(&catalogue, Some(redis(&server, PATIENT).await));
    one.ask("q").await;
    assert_eq!((other.ask("q").await.1, other.computed()), (Layer::Shared, 0));
    assert_eq!(other.ask("q").await.1, Layer::Memory);
    catalogue.move_on();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(other.ask("q").await.1, Layer::Computed, "what is out of date is not taken from Redis either");
    // Everything in Redis ends by itself.
    for key in server.command(&["KEYS", "*"]).lines() {
        let ttl: i64 = server.command(&["PTTL", key]).trim().parse().unwrap();
        assert!(ttl > 0, "{key} lives {ttl} ms");
    }
}

#[tokio::test]
async fn memory_is_bounded_by_bytes() {
    let catalogue = Arc::new(Catalogue::default());
    let options = AnswersOptions { max_bytes: 100_000, ..AnswersOptions::default() };
    let answers: Answers<Text, String> = Answers::new(options, catalogue, None);
    for n in 0..1_000 {
        let text = "x".repeat(1_000);
        answers.get(Question::new(format!("q{n}")), 0, || async { Ok(Text(0, text)) }).await.unwrap();
    }
    let (entries, bytes) = answers.size();
    assert!(bytes <= 100_000 && entries >= 50, "{entries} entries of {bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_catalogue_that_was_put_back_is_not_answered_from_before() {
    let shared: Arc<dyn Cache> = Arc::new(haat_cache::MemoryCache::new(1 << 20, Arc::new(|| 1_700_000_000_000_000)));
    let catalogue = Arc::new(Catalogue::default());
    for _ in 0..5 {
        catalogue.move_on();
    }
    let process = Process::new(&catalogue, Some(shared));
    assert_eq!(process.ask("q").await.0.0, 5);
    assert_eq!(process.ask("q").await.1, Layer::Memory);
    // Its places begin again; that what is kept has a later one says nothing.
    catalogue.now.store(2, Ordering::SeqCst);
    catalogue.lineage.store(1, Ordering::SeqCst);
    assert_eq!(process.ask("q").await.0.0, 2);
    let (answer, layer, _) = process.ask("q").await;
    assert_eq!((answer.0, layer), (2, Layer::Memory));
}

#[tokio::test]
async fn what_was_begun_before_a_catalogue_was_put_back_is_kept_nowhere() {
    let shared: Arc<dyn Cache> = Arc::new(haat_cache::MemoryCache::new(1 << 20, Arc::new(|| 1_700_000_000_000_000)));
    let (catalogue, elsewhere) = (Arc::new(Catalogue::default()), Arc::new(Catalogue::default()));
    let process = Process::new(&catalogue, Some(Arc::clone(&shared)));
    process.gate.forget_permits(Semaphore::MAX_PERMITS);
    let first = tokio::spawn({
        let process = process.clone();
        async move { process.ask("q").await }
    });
    while process.computed() == 0 {
        tokio::task::yield_now().await;
    }
    catalogue.lineage.store(1, Ordering::SeqCst);
    process.gate.add_permits(10);
    first.await.unwrap();
    assert_eq!(process.ask("q").await.1, Layer::Computed);
    // One that has not heard of it yet.
    let other = Process::new(&elsewhere, Some(shared));
    assert_eq!(other.ask("q").await.1, Layer::Computed, "that answer is of another catalogue");
}
