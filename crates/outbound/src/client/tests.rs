//! What a client does in time, on paused time: what carries its attempts keeps to that too, which no socket does. What it does
//! on the wire is in `tests/client`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::breaker::State;

/// Answers the n-th attempt, from 1, by a function, after so long; keeps when it was asked.
struct Upstream {
    takes: Box<dyn Fn(usize) -> Duration + Send + Sync>,
    answer: Box<dyn Fn(usize) -> Result<u16, CallError> + Send + Sync>,
    retry_after: Option<&'static str>,
    asked: Mutex<Vec<Instant>>,
}

#[async_trait]
impl Exchange for Arc<Upstream> {
    async fn exchange(&self, _: &Call) -> Result<Answer, CallError> {
        let n = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(Instant::now());
            asked.len()
        };
        tokio::time::sleep((self.takes)(n)).await;
        let status = StatusCode::from_u16((self.answer)(n)?).unwrap();
        let mut headers = HeaderMap::new();
        headers.extend(self.retry_after.map(|text| (RETRY_AFTER, HeaderValue::from_static(text))));
        Ok(Answer { status, headers, body: Bytes::new(), attempts: 1 })
    }
}

impl Upstream {
    fn new(takes: Duration, answer: impl Fn(usize) -> Result<u16, CallError> + Send + Sync + 'static) -> Self {
        let takes = Box::new(move |_| takes);
        Self { takes, answer: Box::new(answer), retry_after: None, asked: Mutex::default() }
    }

    fn client(self, options: &ClientOptions) -> (Arc<Client>, Arc<Self>) {
        options.check().unwrap();
        let upstream = Arc::new(self);
        // Seeded, so that a run is as the other.
        let seeded = Mutex::new(StdRng::seed_from_u64(13));
        let random = Random::new(move || seeded.lock().unwrap().random());
        let around = Surroundings { random, ..Surroundings::default() };
        let client = Client::over(Box::new(Arc::clone(&upstream)), options, AddressGuard::default(), around);
        (Arc::new(client), upstream)
    }

    fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }
}

fn get() -> Call {
    Call::get("https://upstream.example/".parse().unwrap())
}

fn options() -> ClientOptions {
    ClientOptions::new("upstream")
}

async fn calling(client: Arc<Client>) -> Result<Answer, CallError> {
    client.call(get()).await
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_costs_a_call_its_total_timeout_and_no_more() {
    let (client, upstream) = Upstream::new(Duration::from_secs(3_600), |_| Ok(200)).client(&options());
    let began = Instant::now();
    assert_eq!(client.call(get()).await.unwrap_err(), CallError::Timeout(MS * 3_000));
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(upstream.asked().len(), 3);
    let began = Instant::now();
    let deadline = Some(began + MS * 700);
    assert_eq!(client.call(Call { deadline, ..get() }).await.unwrap_err(), CallError::Timeout(MS * 700));
    assert!((MS * 700..=MS * 702).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(client.load(), Load { at_work: 0, waiting: 0 });
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_given_up_and_the_next_one_answers() {
    let hour = Duration::from_secs(3_600);
    let hangs_once = Box::new(move |n| if n == 1 { hour } else { MS });
    let upstream = Upstream { takes: hangs_once, ..Upstream::new(MS, |_| Ok(200)) };
    let (client, upstream) = upstream.client(&options());
    let answer = client.call(get()).await.unwrap();
    assert_eq!((answer.status, answer.attempts), (StatusCode::OK, 2));
    let asked = upstream.asked();
    let waited = asked[1] - asked[0];
    assert!((MS * 3_000..=MS * 3_102).contains(&waited), "the attempt timeout and a wait of up to 100 ms: {waited:?}");
    let snapshot = client.breaker();
    assert_eq!((snapshot.calls, snapshot.failure_rate), (2, 0.5), "it was a failure");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_opens_the_breaker_also_for_callers_of_little_patience() {
    let (client, upstream) = Upstream::new(Duration::from_secs(3_600), |_| Ok(200)).client(&options());
    for _ in 0..20 {
        let deadline = Some(Instant::now() + MS * 300);
        assert!(client.call(Call { deadline, ..get() }).await.is_err());
    }
    assert_eq!(client.breaker().state, State::Open);
    let (client, _) = Upstream::new(MS * 40, |_| Ok(200)).client(&options());
    for _ in 0..100 {
        let deadline = Some(Instant::now() + MS * 20);
        assert!(client.call(Call { deadline, ..get() }).await.is_err());
    }
    let snapshot = client.breaker();
    assert_eq!((snapshot.state, snapshot.calls), (State::Closed, 0), "nobody waits for 20 ms and says that it hangs");
    assert_eq!(upstream.asked().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn retries_arrive_spread_over_the_whole_time() {
    const CALLS: usize = 10_000;
    const PARTS: usize = 20;
    let mut options = ClientOptions { concurrency: CALLS, ..options() };
    options.retry.budget_percent = 100;
    options.retry.base = Duration::from_secs(2);
    options.retry.max_attempts = 2;
    let (client, upstream) = Upstream::new(Duration::ZERO, |_| Ok(503)).client(&options);
    client.force(Order::Closed);
    let began = Instant::now();
    let calls: Vec<_> = (0..CALLS).map(|_| tokio::spawn(calling(Arc::clone(&client)))).collect();
    futures::future::join_all(calls).await;
    let mut parts = [0usize; PARTS];
    let retries = upstream.asked().split_off(CALLS);
    assert_eq!(retries.len(), CALLS);
    for at in retries {
        let part = (at - began).as_millis() as usize * PARTS / 2_000;
        parts[part.min(PARTS - 1)] += 1;
    }
    let uniform = CALLS / PARTS;
    assert!(parts.iter().all(|n| (uniform / 2..=uniform * 2).contains(n)), "{parts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_wish_to_wait_is_kept_to_and_never_beyond_the_deadline() {
    let recovers = |n| if n == 1 { Ok(503) } else { Ok(200) };
    let upstream = Upstream { retry_after: Some("4"), ..Upstream::new(Duration::ZERO, recovers) };
    let (client, upstream) = upstream.client(&options());
    assert_eq!(client.call(get()).await.unwrap().attempts, 2);
    let asked = upstream.asked();
    let waited = asked[1] - asked[0];
    assert!((MS * 4_000..=MS * 4_101).contains(&waited), "{waited:?}");

    let upstream = Upstream { retry_after: Some("60"), ..Upstream::new(Duration::ZERO, |_| Ok(429)) };
    let (client, upstream) = upstream.client(&options());
    let began = Instant::now();
    let answer = client.call(get()).await.unwrap();
    assert_eq!((answer.status, answer.attempts), (StatusCode::TOO_MANY_REQUESTS, 1));
    assert_eq!(upstream.asked().len(), 1);
    assert!(began.elapsed() < MS * 10, "it is told at once");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_spares_the_upstream_and_closes_when_it_is_well() {
    let began = Instant::now();
    let down_for = Duration::from_secs(20);
    let well = move |_| if began.elapsed() < down_for { Err(CallError::Connect("refused".into())) } else { Ok(200) };
    let (client, upstream) = Upstream::new(MS, well).client(&options());
    let mut refused = 0;
    while began.elapsed() < down_for {
        refused += usize::from(matches!(client.call(get()).await, Err(CallError::BreakerOpen { .. })));
        tokio::time::sleep(MS * 100).await;
    }
    let during = upstream.asked().len();
    assert!(refused > 100 && during < 40, "{refused} refused, {during} sent");
    let open_for = client.breaker().retry_in.unwrap_or_default();
    while client.call(get()).await.is_err() || client.breaker().state != State::Closed {
        tokio::time::sleep(MS * 100).await;
        assert!(began.elapsed() <= down_for + open_for + MS * 1_000, "it does not close");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_in_line_while_the_breaker_opened_is_not_sent() {
    let mut options = ClientOptions { concurrency: 1, max_waiting: 60, ..options() };
    options.retry.max_attempts = 1;
    let (client, upstream) = Upstream::new(MS * 100, |_| Ok(500)).client(&options);
    let calls: Vec<_> = (0..60).map(|_| tokio::spawn(calling(Arc::clone(&client)))).collect();
    let ended = futures::future::join_all(calls).await;
    assert_eq!(upstream.asked().len(), 20, "as many as it takes to open");
    let open = ended.iter().filter(|e| matches!(e, Ok(Err(CallError::BreakerOpen { .. })))).count();
    assert_eq!(open, 40);
}

#[tokio::test(start_paused = true)]
async fn too_many_at_once_are_refused_and_say_nothing_of_the_upstream() {
    let options = ClientOptions { concurrency: 2, max_waiting: 3, ..options() };
    let (client, upstream) = Upstream::new(MS * 100, |_| Ok(200)).client(&options);
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(calling(Arc::clone(&client)))).collect();
    let ended = futures::future::join_all(calls).await;
    let saturated = ended.iter().filter(|e| matches!(e, Ok(Err(CallError::Saturated)))).count();
    assert_eq!((saturated, upstream.asked().len()), (45, 5));
    let snapshot = client.breaker();
    assert_eq!((snapshot.calls, snapshot.failure_rate), (5, 0.0));
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_did_wrong_is_no_failure_and_throttling_is_one() {
    for (status, state) in [(404, State::Closed), (400, State::Closed), (429, State::Open), (500, State::Open)] {
        let (client, _) = Upstream::new(MS, move |_| Ok(status)).client(&options());
        for _ in 0..20 {
            let _ = client.call(get()).await;
        }
        assert_eq!(client.breaker().state, state, "{status}");
    }
}

/// Calls that are aborted wherever they are, upstreams that hang, fail and make their callers panic, orders: a thousand steps.
async fn disturb(client: &Arc<Client>, random: &mut StdRng) {
    let mut calls = Vec::new();
    for _ in 0..1_000 {
        match random.random_range(0..20) {
            0..8 => {
                let client = Arc::clone(client);
                let patience = MS * random.random_range(1..6_000_u32);
                let deadline = random.random::<bool>().then(|| Instant::now() + patience);
                calls.push(tokio::spawn(async move { client.call(Call { deadline, ..get() }).await }));
            }
            8..14 if !calls.is_empty() => calls.swap_remove(random.random_range(0..calls.len())).abort(),
            14..18 => tokio::time::sleep(MS * random.random_range(0..500_u32)).await,
            18 if random.random_range(0..5) == 0 => {
                let orders = [Order::Auto, Order::Open, Order::Closed];
                client.force(orders[random.random_range(0..orders.len())]);
            }
            _ => tokio::task::yield_now().await,
        }
    }
    for (n, call) in calls.into_iter().enumerate() {
        if n % 2 == 0 {
            call.abort();
        }
        let _ = call.await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_aborted_anywhere_leave_a_client_that_recovers() {
    let mut attempts = 0;
    for seed in 0..40 {
        let well = Arc::new(AtomicBool::new(false));
        let (is_well, was_well) = (Arc::clone(&well), Arc::clone(&well));
        let takes = move |n: usize| {
            let is_slow = !is_well.load(Ordering::SeqCst) && (n * 7 + seed).is_multiple_of(3);
            if is_slow { MS * (n as u32 * 97 % 5_000) } else { MS }
        };
        let answer = move |n: usize| match (n * 5 + seed) % 7 {
            _ if was_well.load(Ordering::SeqCst) => Ok(200),
            0 | 1 => Ok(503),
            2 => Err(CallError::Connect("refused".into())),
            3 => std::panic::resume_unwind(Box::new(())),
            _ => Ok(200),
        };
        let upstream = Upstream { takes: Box::new(takes), ..Upstream::new(MS, answer) };
        let mut options = ClientOptions { concurrency: 4, max_waiting: 8, ..options() };
        options.breaker.minimum_calls = 5;
        options.breaker.open = MS * 1_000;
        options.breaker.max_open = MS * 4_000;
        let (client, upstream) = upstream.client(&options);
        disturb(&client, &mut StdRng::seed_from_u64(seed as u64)).await;
        assert_eq!(client.load(), Load { at_work: 0, waiting: 0 }, "seed {seed}");
        attempts += upstream.asked().len();
        well.store(true, Ordering::SeqCst);
        client.force(Order::Auto);
        let (began, mut passed) = (Instant::now(), 0);
        while passed < 50 {
            match client.call(get()).await {
                Ok(_) => passed += 1,
                Err(_) => {
                    passed = 0;
                    tokio::time::sleep(MS * 100).await;
                }
            }
            assert!(began.elapsed() < MS * 10_000, "seed {seed} does not recover: {client:?}");
        }
        assert_eq!(client.breaker().state, State::Closed, "seed {seed}");
    }
    assert!(attempts > 4_000, "only {attempts} attempts");
}
