//! What holds of a breaker whoever asks, at whatever time, and however they go away.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haat_outbound::{Breaker, BreakerOptions, CallError, Order, Random, State};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::{Barrier, watch};
use tokio::time::{Instant, advance};

const NOTHING: Duration = Duration::ZERO;

fn breaker(options: BreakerOptions) -> Arc<Breaker> {
    Breaker::new("upstream", options, Random::new(|| 0.5))
}

fn fail(breaker: &Arc<Breaker>) {
    breaker.acquire().expect("it lets calls through").failed(NOTHING);
}

/// An open one, at the end of its open time.
async fn open(options: BreakerOptions) -> Arc<Breaker> {
    let breaker = breaker(options);
    (0..options.minimum_calls).for_each(|_| fail(&breaker));
    let retry_in = breaker.snapshot().retry_in.expect("it is open");
    advance(retry_in).await;
    breaker
}

#[tokio::test(start_paused = true)]
async fn opens_as_soon_as_the_minimum_number_of_calls_has_failed() {
    let breaker = breaker(BreakerOptions::default());
    (0..19).for_each(|_| fail(&breaker));
    let before = breaker.snapshot();
    assert_eq!((before.state, before.calls, before.failure_rate), (State::Closed, 19, 1.0));
    advance(Duration::from_secs(1)).await;
    fail(&breaker);
    let after = breaker.snapshot();
    assert_eq!((after.state, after.since), (State::Open, Instant::now()));
    assert_eq!(after.retry_in, Some(Duration::from_millis(4_500)), "5 s, shortened by half of a fifth");
    let Err(CallError::BreakerOpen { retry_in }) = breaker.acquire() else { panic!("it lets calls through") };
    assert_eq!(Some(retry_in), after.retry_in);
}

#[tokio::test(start_paused = true)]
async fn closes_within_the_open_time_and_a_second_of_recovery() {
    let breaker = breaker(BreakerOptions::default());
    let began = Instant::now();
    let mut open_time = Duration::from_secs(5);
    // An upstream that is called ten times a second and answers again after so long.
    for down_for in [1u64, 7, 30, 200] {
        let recovers = Instant::now() + Duration::from_secs(down_for);
        let mut closed = None;
        while closed.is_none() {
            if let Ok(permit) = breaker.acquire() {
                let well = Instant::now() >= recovers;
                if well { permit.succeeded(NOTHING) } else { permit.failed(NOTHING) }
            }
            let now = breaker.snapshot();
            match (now.state, now.retry_in) {
                (State::Open, Some(left)) if now.since == Instant::now() => open_time = left,
                (State::Closed, _) if Instant::now() >= recovers => closed = Some(Instant::now()),
                _ => {}
            }
            advance(Duration::from_millis(100)).await;
            assert!(began.elapsed() < Duration::from_secs(1_000), "it never closes");
        }
        let took = closed.expect("it is closed").saturating_duration_since(recovers);
        assert!(took <= open_time + Duration::from_secs(1), "{took:?} after an outage of {down_for} s");
        advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn opens_for_slow_calls_that_do_not_fail() {
    let breaker = breaker(BreakerOptions::default());
    (0..20).for_each(|_| breaker.acquire().expect("it lets calls through").succeeded(Duration::from_secs(2)));
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_away_count_nothing_and_give_their_probes_back() {
    let breaker = open(BreakerOptions::default()).await;
    for _ in 0..1_000 {
        let probes: Vec<_> = (0..3).map(|_| breaker.acquire().expect("a probe")).collect();
        assert!(breaker.acquire().is_err());
        drop(probes);
    }
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.calls), (State::HalfOpen, 0));
    (0..3).for_each(|_| breaker.acquire().expect("a probe").succeeded(NOTHING));
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_panics_gives_its_probe_back() {
    let breaker = open(BreakerOptions { probes: 1, ..BreakerOptions::default() }).await;
    let probing = Arc::clone(&breaker);
    let panicked = tokio::spawn(async move {
        let _permit = probing.acquire().expect("a probe");
        panic!("a caller");
    });
    assert!(panicked.await.is_err_and(|e| e.is_panic()));
    breaker.acquire().expect("the probe is there again").succeeded(NOTHING);
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn results_of_before_it_opened_do_not_decide_what_the_probes_do() {
    let breaker = breaker(BreakerOptions::default());
    let early: Vec<_> = (0..40).map(|_| breaker.acquire().expect("it lets calls through")).collect();
    assert!(early.iter().all(haat_outbound::Permit::is_current));
    (0..20).for_each(|_| fail(&breaker));
    assert!(!early.iter().any(haat_outbound::Permit::is_current));
    advance(Duration::from_secs(5)).await;
    let probe = breaker.acquire().expect("a probe");
    for (n, late) in early.into_iter().enumerate() {
        if n % 2 == 0 { late.succeeded(NOTHING) } else { late.failed(NOTHING) }
    }
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    assert!(probe.is_current());
}

#[tokio::test(start_paused = true)]
async fn an_operators_order_holds_until_the_next_one() {
    let breaker = breaker(BreakerOptions::default());
    breaker.force(Order::Open);
    advance(Duration::from_secs(3_600)).await;
    assert!(breaker.acquire().is_err());
    breaker.force(Order::Closed);
    (0..100).for_each(|_| fail(&breaker));
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.calls, snapshot.failure_rate), (State::ForcedClosed, 100, 1.0));
    breaker.force(Order::Auto);
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[test]
fn its_state_and_its_transitions_are_in_the_metrics() {
    const NAMES: [&str; 5] = ["closed", "half_open", "open", "forced_open", "forced_closed"];
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // The gauge, and how often it went to which state.
    let are = |state: &str, transitions: [u32; 5]| {
        let text = metrics.render();
        let all: Vec<_> = text.lines().filter(|line| line.starts_with("haat_outbound_breaker_")).collect();
        let mut expected: Vec<_> = NAMES
            .iter()
            .zip(transitions)
            .filter(|(_, times)| *times > 0)
            .map(|(to, times)| {
                format!(r#"haat_outbound_breaker_transitions_total{{upstream="upstream",to="{to}"}} {times}"#)
            })
            .collect();
        expected.push(format!(r#"haat_outbound_breaker_state{{upstream="upstream"}} {state}"#));
        assert_eq!(all.len(), expected.len(), "{text}");
        for line in expected {
            assert!(all.contains(&&*line), "{line} is not in {text}");
        }
    };
    let work = async {
        let breaker = breaker(BreakerOptions::default());
        are("0", [0, 0, 0, 0, 0]);
        (0..20).for_each(|_| fail(&breaker));
        are("2", [0, 0, 1, 0, 0]);
        advance(Duration::from_secs(5)).await;
        let probe = breaker.acquire().expect("a probe");
        are("1", [0, 1, 1, 0, 0]);
        probe.failed(NOTHING);
        are("2", [0, 1, 2, 0, 0]);
        advance(Duration::from_secs(10)).await;
        (0..3).for_each(|_| breaker.acquire().expect("a probe").succeeded(NOTHING));
        are("0", [1, 2, 2, 0, 0]);
        breaker.force(Order::Open);
        are("3", [1, 2, 2, 1, 0]);
        breaker.force(Order::Closed);
        are("4", [1, 2, 2, 1, 1]);
        breaker.force(Order::Auto);
        are("0", [2, 2, 2, 1, 1]);
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
    metrics::with_local_recorder(&recorder, || runtime.block_on(work));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_contending_callers_get_three_probes() {
    let options = BreakerOptions { open: Duration::from_millis(5), ..BreakerOptions::default() };
    let breaker = breaker(options);
    (0..20).for_each(|_| fail(&breaker));
    // Real time, for paused time has one thread: until the open time is over.
    while breaker.snapshot().retry_in.is_some_and(|left| !left.is_zero()) {
        tokio::task::yield_now().await;
    }
    const CALLERS: usize = 10_000;
    let (start, probing, staying) =
        (Arc::new(Barrier::new(CALLERS)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (end, ended) = watch::channel(false);
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (breaker, start, probing, staying, mut ended) =
                (Arc::clone(&breaker), Arc::clone(&start), Arc::clone(&probing), Arc::clone(&staying), ended.clone());
            tokio::spawn(async move {
                start.wait().await;
                // Those that are refused come again, as callers do; every fifth of those let through goes away at once.
                for _ in 0..20 {
                    let Ok(permit) = breaker.acquire() else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let at_once = probing.fetch_add(1, Ordering::SeqCst) + 1;
                    if n % 5 != 0 {
                        staying.fetch_add(1, Ordering::SeqCst);
                        ended.wait_for(|ended| *ended).await.expect("the test lives");
                    }
                    probing.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                    return at_once;
                }
                0
            })
        })
        .collect();
    let begun = Instant::now();
    while staying.load(Ordering::SeqCst) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody probes");
        tokio::task::yield_now().await;
    }
    let refused_while_full = breaker.acquire().is_err();
    end.send_replace(true);
    let mut most = 0;
    for caller in callers {
        most = most.max(caller.await.expect("no caller panics"));
    }
    assert!(refused_while_full);
    assert_eq!(most, 3, "probes at once");
}
