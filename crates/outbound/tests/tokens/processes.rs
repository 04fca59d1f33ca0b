//! Several processes with one Redis: one fetch for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_testkit::servers::RedisServer;

use crate::provider::{Fault, Provider, TOKEN};
use crate::stage::eventually;
use crate::worker::{Report, Setup, Worker};

/// So that a busy machine is not taken for a Redis that is gone.
const PATIENT_MS: u64 = 5_000;

async fn setup(redis: &RedisServer, provider: &Arc<Provider>) -> Setup {
    Setup { redis: redis.url(), provider: provider.listen().await, patience_ms: PATIENT_MS, lock_ms: 3_000 }
}

/// All ask at once; what came of it.
async fn ask_all(workers: &mut [Worker], times: usize) -> Vec<Report> {
    for worker in &mut *workers {
        worker.ask(times).await;
    }
    reports(workers).await
}

async fn reports(workers: &mut [Worker]) -> Vec<Report> {
    let mut reports = Vec::new();
    for worker in workers {
        reports.push(worker.report().await);
    }
    reports
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_in_each_of_four_cold_processes_cost_one_fetch() {
    let (server, provider) = (RedisServer::start(), Provider::new());
    // Long enough for all to come while it is under way.
    provider.next([Fault::Late(Duration::from_millis(700))]);
    let mut workers: [Worker; 4] = Worker::start(&setup(&server, &provider).await).await;
    for report in ask_all(&mut workers, 1_000).await {
        assert_eq!(report.given.keys().collect::<Vec<_>>(), [&format!("{TOKEN}1")]);
    }
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_forced_expiries_in_four_processes_cost_a_hundred_fetches() {
    let (server, provider) = (RedisServer::start(), Provider::new());
    let mut workers: [Worker; 4] = Worker::start(&setup(&server, &provider).await).await;
    for report in ask_all(&mut workers, 20).await {
        assert_eq!(report.given.len(), 1);
    }
    for round in 1..=100 {
        provider.revoke();
        for worker in &mut workers {
            worker.call(20).await;
        }
        for report in reports(&mut workers).await {
            assert_eq!(report.given, [("200".to_owned(), 20)].into(), "round {round}");
        }
        assert_eq!(provider.fetches(), 1 + round, "round {round}");
    }
    assert!(provider.asked().iter().all(|asked| asked.token.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_simultaneous_401s_in_four_processes_cost_one_fetch() {
    let (server, provider) = (RedisServer::start(), Provider::new());
    let mut workers: [Worker; 4] = Worker::start(&setup(&server, &provider).await).await;
    ask_all(&mut workers, 1).await;
    provider.revoke();
    provider.gather(1_000);
    for worker in &mut workers {
        worker.call(250).await;
    }
    for report in reports(&mut workers).await {
        assert_eq!(report.given, [("200".to_owned(), 250)].into());
    }
    assert_eq!(provider.fetches(), 2);
    let rejected = provider.asked().iter().filter(|asked| asked.status == 401).count();
    assert_eq!(rejected, 1_000, "all were rejected once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_killed_in_the_middle_of_a_fetch_costs_the_next_its_lock_and_one_more_fetch() {
    let (server, provider) = (RedisServer::start(), Provider::new());
    provider.next([Fault::Hang]);
    let setup = Setup { lock_ms: 1_500, ..setup(&server, &provider).await };
    let [mut holder, mut next] = Worker::start(&setup).await;
    holder.ask(100).await;
    eventually("the holder asks", || provider.fetches() == 1).await;
    next.ask(100).await;
    let killed = Instant::now();
    holder.kill().await;
    let report = next.report().await;
    let took = killed.elapsed();
    assert_eq!(report.given.keys().collect::<Vec<_>>(), [&format!("{TOKEN}1")]);
    assert!(took <= Duration::from_millis(1_500 + 1_000), "{took:?}");
    assert_eq!(provider.fetches(), 2);
}
