//! Leases and debts on a shared cache whose connection the test rules: how often it is asked, how long it takes, when it is
//! gone and what it does not answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use haat_cache::{Cache, CacheError, Held, MemoryCache, Ordered, Script, async_trait};
use haat_limits::{Caller, Group, Limiter, Per, Policy, Quota};
use tokio::time::Instant;

/// What all replicas share.
fn memory() -> Arc<MemoryCache> {
    let began = Instant::now();
    let now_us = move || 1_700_000_000_000_000 + i64::try_from(began.elapsed().as_micros()).unwrap();
    Arc::new(MemoryCache::new(16 << 20, Arc::new(now_us)))
}

/// One replica's connection to it.
struct Link {
    memory: Arc<MemoryCache>,
    /// How long a step takes.
    latency: Duration,
    gone: AtomicBool,
    /// So many steps are lost on the way.
    lost: AtomicU64,
    /// Of so many the answer is.
    unanswered: AtomicU64,
    asked: AtomicU64,
    /// Units in all.
    granted: AtomicU64,
    at_once: AtomicU64,
    most_at_once: AtomicU64,
}

impl Link {
    fn to(memory: &Arc<MemoryCache>, latency: Duration) -> Arc<Self> {
        Arc::new(Self {
            memory: Arc::clone(memory),
            latency,
            gone: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            granted: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            most_at_once: AtomicU64::new(0),
        })
    }

    async fn step(&self, script: &'static Script, key: &str, arguments: &[i64]) -> Result<Vec<i64>, CacheError> {
        let no_answer = Err(CacheError::Unavailable("no answer".into()));
        if one_of(&self.lost) {
            return no_answer;
        }
        let answer = self.memory.run(script, key, arguments).await?;
        tokio::time::sleep(self.latency).await;
        if one_of(&self.unanswered) {
            return no_answer;
        }
        self.granted.fetch_add(answer[0].unsigned_abs(), SeqCst);
        Ok(answer)
    }
}

fn one_of(left: &AtomicU64) -> bool {
    left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Cache for Link {
    fn name(&self) -> &'static str {
        "link"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_up(&self) -> bool {
        !self.gone.load(SeqCst)
    }

    async fn run(&self, script: &'static Script, key: &str, arguments: &[i64]) -> Result<Vec<i64>, CacheError> {
        assert!(self.is_up(), "who is gone is not asked");
        self.asked.fetch_add(1, SeqCst);
        let at_once = self.at_once.fetch_add(1, SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, SeqCst);
        let answer = self.step(script, key, arguments).await;
        self.at_once.fetch_sub(1, SeqCst);
        answer
    }

    async fn get(&self, _: &str) -> Result<Option<Bytes>, CacheError> {
        unreachable!("limits are steps")
    }

    async fn put(&self, _: &str, _: Bytes, _: Duration) -> Result<(), CacheError> {
        unreachable!("limits are steps")
    }

    async fn remove(&self, _: &str) -> Result<bool, CacheError> {
        unreachable!("limits are steps")
    }

    async fn get_newest(&self, _: &str) -> Result<Option<Ordered>, CacheError> {
        unreachable!("limits are steps")
    }

    async fn put_newest(&self, _: &str, _: Ordered, _: Duration) -> Result<bool, CacheError> {
        unreachable!("limits are steps")
    }

    async fn count(&self, _: &str, _: i64, _: Duration) -> Result<i64, CacheError> {
        unreachable!("limits are steps")
    }

    async fn lock(&self, _: &str, _: Duration) -> Result<Option<Held>, CacheError> {
        unreachable!("limits are steps")
    }

    async fn renew(&self, _: &Held, _: Duration) -> Result<bool, CacheError> {
        unreachable!("limits are steps")
    }

    async fn unlock(&self, _: &Held) -> Result<bool, CacheError> {
        unreachable!("limits are steps")
    }
}

const MS: Duration = Duration::from_millis(1);
/// So long that nothing comes back during a test.
const LONG: Duration = Duration::from_secs(1_000_000);

fn limiter(link: &Arc<Link>, units: u64, window: Duration) -> Limiter {
    let policy = Policy {
        name: "burst".into(),
        quota: Quota { units, window_us: window.as_micros().try_into().unwrap() },
        per: Per::Client,
        groups: vec![],
        costs: BTreeMap::new(),
        dry_run: false,
        assigned: false,
    };
    Limiter::new(vec![policy], vec![], Some(Arc::<Link>::clone(link)), 4)
}

fn caller(name: &str) -> Caller {
    Caller { client: Some(name.into()), policy: None, address: "192.0.2.1".parse().unwrap() }
}

async fn admitted(limiter: &Limiter, name: &str, asked: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..asked {
        admitted += usize::from(limiter.charge(&caller(name), Group::Read).await.is_allowed());
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn steady_traffic_never_waits_for_a_lease_and_costs_ten_calls_a_second() {
    // Slower than the requests come.
    let link = Link::to(&memory(), 5 * MS);
    let limiter = limiter(&link, 10_000, Duration::from_secs(10));
    let mut before = 0;
    for n in 0..4_000 {
        let at_once = limiter.charge_now(&caller("shop"), Group::Read);
        assert!(at_once.is_some() || n < 500, "request {n} has to wait");
        if at_once.is_none() {
            assert!(limiter.charge(&caller("shop"), Group::Read).await.is_allowed());
        }
        if n == 1_999 {
            before = link.asked.load(SeqCst);
        }
        tokio::time::sleep(2 * MS).await;
    }
    // Four seconds' worth.
    let asked = link.asked.load(SeqCst) - before;
    assert!((35..=60).contains(&asked), "{asked} calls in four seconds");
}

#[tokio::test(start_paused = true)]
async fn who_is_quicker_than_the_lease_that_is_on_its_way_does_not_ask_for_another() {
    for refill_first in [true, false] {
        let link = Link::to(&memory(), MS);
        let limiter = Arc::new(limiter(&link, 1_000, LONG));
        // So much traffic that leases are as large as they may be: fifty units, the next asked for when twelve are left.
        let mut spent = admitted(&limiter, "shop", 400).await as u64;
        tokio::time::sleep(10 * MS).await;
        let asked = link.asked.load(SeqCst);
        while link.granted.load(SeqCst) - spent > 12 {
            assert!(limiter.charge_now(&caller("shop"), Group::Read).is_some());
            spent += 1;
        }
        // What is left, and half of the next lease; one by one, the first to ask is there before the lease's own task.
        if refill_first {
            let mut burst = tokio::task::JoinSet::new();
            for _ in 0..37 {
                let limiter = Arc::clone(&limiter);
                burst.spawn(async move { admitted(&limiter, "shop", 1).await });
            }
            assert_eq!(burst.join_all().await.into_iter().sum::<usize>(), 37);
        } else {
            assert_eq!(admitted(&limiter, "shop", 37).await, 37);
        }
        tokio::time::sleep(10 * MS).await;
        assert_eq!(link.asked.load(SeqCst) - asked, 1, "refill first: {refill_first}");
        assert_eq!(link.most_at_once.load(SeqCst), 1, "of a key one asks at a time");
    }
}

#[tokio::test(start_paused = true)]
async fn what_replicas_spent_alone_counts_from_the_first_request_on_when_the_cache_is_back() {
    let memory = memory();
    let links: Vec<_> = std::iter::repeat_with(|| Link::to(&memory, MS)).take(4).collect();
    // So few that there are no leases.
    let replicas: Vec<_> = links.iter().map(|link| limiter(link, 36, LONG)).collect();
    let mut all = admitted(&replicas[0], "shop", 8).await;
    for replica in &replicas {
        assert_eq!(replica.look(&caller("shop")).await[0].left, 28);
    }
    links.iter().for_each(|link| link.gone.store(true, SeqCst));
    for replica in &replicas {
        all += admitted(replica, "shop", 5).await;
    }
    assert_eq!(all, 28);
    links.iter().for_each(|link| link.gone.store(false, SeqCst));
    // Not a moment for anything but the requests.
    for n in [1, 100] {
        for replica in &replicas {
            all += admitted(replica, "shop", n).await;
        }
    }
    assert_eq!(all, 36);
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_told_until_it_has_arrived_and_does_no_more_than_empty_the_bucket() {
    let memory = memory();
    let (link, other) = (Link::to(&memory, 10 * MS), Link::to(&memory, MS));
    let (here, there) = (limiter(&link, 36, LONG), limiter(&other, 36, LONG));
    let left = async || there.look(&caller("shop")).await[0].left;
    link.gone.store(true, SeqCst);
    assert_eq!(admitted(&here, "shop", 100).await, 9);
    link.gone.store(false, SeqCst);
    link.lost.store(1, SeqCst);
    assert_eq!(admitted(&here, "shop", 1).await, 0);
    assert_eq!(left().await, 36, "nobody knows yet");
    // One request goes away before its answer is there, and what it told is told again.
    assert!(tokio::time::timeout(5 * MS, here.charge(&caller("shop"), Group::Read)).await.is_err());
    assert_eq!(admitted(&here, "shop", 1).await, 1);
    assert_eq!(left().await, 36 - 9 - 1 - 9 - 1);
    // However often.
    tokio::time::sleep(LONG).await;
    link.gone.store(true, SeqCst);
    assert_eq!(admitted(&here, "shop", 100).await, 9);
    link.gone.store(false, SeqCst);
    link.unanswered.store(50, SeqCst);
    assert_eq!(admitted(&here, "shop", 50).await, 0);
    assert_eq!(left().await, 0);
    tokio::time::sleep(LONG / 36 + Duration::from_secs(60)).await;
    assert_eq!(left().await, 1, "nobody is locked out for longer than the bucket takes to fill");
}

#[tokio::test(start_paused = true)]
async fn debts_of_clients_that_have_gone_elsewhere_are_told_when_the_cache_is_back() {
    let memory = memory();
    let (link, other) = (Link::to(&memory, MS), Link::to(&memory, MS));
    let (here, there) = (limiter(&link, 40, LONG), limiter(&other, 40, LONG));
    link.gone.store(true, SeqCst);
    for n in 0..500 {
        assert_eq!(admitted(&here, &format!("client {n}"), 20).await, 10);
    }
    link.gone.store(false, SeqCst);
    // The first of them are not answered.
    link.lost.store(5, SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for n in 0..500 {
        assert_eq!(there.look(&caller(&format!("client {n}"))).await[0].left, 30, "client {n}");
    }
    assert!(link.most_at_once.load(SeqCst) <= 32, "{} at once", link.most_at_once.load(SeqCst));
    let asked = link.asked.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(link.asked.load(SeqCst), asked, "told once");
    // The next time as well.
    tokio::time::sleep(LONG).await;
    link.gone.store(true, SeqCst);
    assert_eq!(admitted(&here, "client 0", 20).await, 10);
    link.gone.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(there.look(&caller("client 0")).await[0].left, 30);
}
