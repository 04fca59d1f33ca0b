//! What is admitted, what waits and what is refused, on paused time.

use super::*;

/// A machine of `cores`: `at_once` pieces of work of 1 ms each take as long as they wait for a core.
async fn work(overload: &Arc<Overload>, offered: usize, cores: usize, rounds: usize) -> (usize, Duration) {
    let mut refused = 0;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let permits: Vec<_> = (0..offered).filter_map(|_| overload.enter()).collect();
        refused += offered - permits.len();
        let latency = Duration::from_millis(1).mul_f64(number(permits.len().max(cores)) / number(cores));
        slowest = latency;
        tokio::time::advance(latency).await;
    }
    (refused, slowest)
}

#[tokio::test(start_paused = true)]
async fn under_too_much_work_the_limit_finds_what_keeps_latency_near_its_baseline() {
    let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
    work(&overload, 2, 2, 500).await;
    let (refused, slowest) = work(&overload, 200, 2, 2_000).await;
    assert!(refused > 100_000, "{refused}");
    assert!(slowest <= Duration::from_millis(2), "{slowest:?} at {}", overload.limit());
    assert!(overload.limit() >= 2);
}

#[tokio::test(start_paused = true)]
async fn on_a_machine_that_can_the_limit_grows() {
    let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
    work(&overload, 100, 1_000, 3_000).await;
    assert!(overload.limit() >= 100, "{}", overload.limit());
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_longer_for_good_is_the_new_baseline() {
    let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
    work(&overload, 100, 20, 2_000).await;
    let before = overload.limit();
    // A fifth of the cores is gone, and all work is slower by it.
    work(&overload, 100, 4, 4_000).await;
    assert!(overload.limit() < before, "{before} to {}", overload.limit());
    work(&overload, 100, 20, 4_000).await;
    assert!(overload.limit() * 2 > before, "{before} to {}", overload.limit());
}

#[tokio::test(start_paused = true)]
async fn an_idle_limit_does_not_grow() {
    let overload = Overload::new(Concurrency::Adaptive { least: 4, most: 500 });
    let before = overload.limit();
    work(&overload, 1, 2, 5_000).await;
    assert_eq!(overload.limit(), before);
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_when_work_is_done_and_leaves_nothing_behind_when_it_goes_away() {
    let overload = Overload::new(Concurrency::Fixed(1));
    let at_work = overload.enter().unwrap();
    let waiting = tokio::spawn({
        let overload = Arc::clone(&overload);
        async move { overload.enter_in_turn().await.is_some() }
    });
    let gone = tokio::spawn({
        let overload = Arc::clone(&overload);
        async move { overload.enter_in_turn().await.is_some() }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    gone.abort();
    drop(at_work);
    assert!(waiting.await.unwrap());
    let at_work = overload.enter().unwrap();
    let began = Instant::now();
    assert!(overload.enter_in_turn().await.is_none());
    assert_eq!(began.elapsed(), LONGEST);
    drop(at_work);
    assert_eq!((overload.at_work(), overload.waiting.load(Ordering::Relaxed)), (0, 0));
}

/// Callers who each ask for one thing after the other, whose work takes so long.
async fn callers(overload: &Arc<Overload>, callers: usize, work: Duration) -> usize {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let overload = Arc::clone(overload);
        running.spawn(async move {
            let mut refused = 0;
            for _ in 0..100 {
                match overload.enter_in_turn().await {
                    Some(_permit) => tokio::time::sleep(work).await,
                    None => refused += 1,
                }
            }
            refused
        });
    }
    running.join_all().await.into_iter().sum()
}

#[tokio::test(start_paused = true)]
async fn a_handful_of_callers_is_never_refused_however_long_their_work_takes() {
    for millis in [1, 20, 200, 1_000] {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        assert_eq!(callers(&overload, 2 + SHORT, Duration::from_millis(millis)).await, 0, "{millis} ms");
    }
    for millis in [1, 20] {
        let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
        assert_eq!(callers(&overload, 50, Duration::from_millis(millis)).await, 0, "fifty, {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn who_came_first_goes_first_and_the_line_has_an_end() {
    let overload = Overload::new(Concurrency::Fixed(1));
    let at_work = overload.enter().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..LINE {
        let (overload, order) = (Arc::clone(&overload), Arc::clone(&order));
        waiting.spawn(async move {
            let permit = overload.enter_in_turn().await.unwrap();
            order.lock().unwrap().push(n);
            drop(permit);
        });
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    assert!(overload.enter_in_turn().await.is_none());
    assert_eq!(began.elapsed(), Duration::ZERO, "where the line is full nobody stands behind it");
    drop(at_work);
    waiting.join_all().await;
    assert!(order.lock().unwrap().iter().copied().eq(0..LINE));
}

#[tokio::test(start_paused = true)]
async fn only_a_handful_waits_while_there_is_far_too_much_for_long() {
    let overload = Overload::new(Concurrency::Fixed(1));
    overload.window().baseline = Some(Duration::from_millis(1));
    let _at_work = overload.enter().unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    let mut ask = async || {
        let overload = Arc::clone(&overload);
        waiting.spawn(async move { overload.enter_in_turn().await.is_some() });
        tokio::task::yield_now().await;
    };
    for _ in 0..LINE + 1 {
        ask().await;
    }
    assert_eq!(overload.waiting.load(Ordering::Relaxed), LINE, "a burst is waited out");
    tokio::time::advance(overload.burst(Some(Duration::from_millis(1)), LINE) + Duration::from_millis(1)).await;
    ask().await;
    tokio::task::yield_now().await;
    assert_eq!(overload.waiting.load(Ordering::Relaxed), SHORT, "it lasts");
    let began = Instant::now();
    overload.waiting.store(0, Ordering::Relaxed);
    assert!(overload.enter_in_turn().await.is_none());
    assert_eq!(began.elapsed(), Duration::from_millis(1), "and who comes now does not wait for long");
}

#[tokio::test(start_paused = true)]
async fn the_line_is_short_while_there_is_too_much_and_grows_again_while_nobody_is_refused() {
    let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
    let line = || overload.demand().line;
    serve(&overload, steady(1_000, 0.6)).await;
    assert_eq!(line(), LINE);
    serve(&overload, steady(2_000, 3.0)).await;
    assert_eq!(line(), FEW);
    // Who comes in pairs waits now and then, and nobody is refused.
    let pairs = |count| (0..count).flat_map(|n| [f64::from(n) * 60.0; 5]);
    serve(&overload, pairs(10)).await;
    let refused = serve(&overload, pairs(60)).await.0;
    assert_eq!((refused, line()), (0, LINE));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_knows_what_work_takes_and_so_how_long_a_burst_lasts() {
    let overload = Overload::new(Concurrency::Fixed(4));
    assert_eq!(overload.burst(overload.window().baseline, LINE), LONGEST, "nothing is known yet");
    for _ in 0..200 {
        let permits: Vec<_> = (0..4).filter_map(|_| overload.enter()).collect();
        tokio::time::advance(Duration::from_millis(2)).await;
        drop(permits);
    }
    assert_eq!(overload.window().baseline, Some(Duration::from_millis(2)));
    assert_eq!((overload.burst(overload.window().baseline, LINE), overload.limit()), (Duration::from_millis(64), 4));
}

/// Requests at these times (ms), each a work of 20 ms for a core, where two cores share what is at work; how many were
/// refused, and the longest that one took.
async fn serve(overload: &Arc<Overload>, arrivals: impl Iterator<Item = f64>) -> (usize, Duration) {
    let began = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for at in arrivals {
        let overload = Arc::clone(overload);
        requests.spawn(async move {
            tokio::time::sleep_until(began + Duration::from_secs_f64(at / 1e3)).await;
            let asked = Instant::now();
            let _permit = overload.enter_in_turn().await?;
            // In pieces, which take the longer the more is at work.
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(5).mul_f64(number(overload.at_work().max(2)) / 2.0)).await;
            }
            Some(asked.elapsed())
        });
    }
    let all = requests.join_all().await;
    (all.iter().filter(|took| took.is_none()).count(), all.into_iter().flatten().max().unwrap_or_default())
}

/// So many requests, evenly, at so many times what two cores can do.
fn steady(count: i32, times: f64) -> impl Iterator<Item = f64> {
    (0..count).map(move |n| f64::from(n) * 10.0 / times)
}

#[tokio::test(start_paused = true)]
async fn bursts_are_answered_and_under_overload_what_is_admitted_is_as_fast_as_ever() {
    let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
    let (refused, _) = serve(&overload, steady(1_000, 0.6)).await;
    assert_eq!(refused, 0, "usually");
    let (refused, _) = serve(&overload, (0..60).flat_map(|n| (0..30).map(move |_| f64::from(n) * 1_500.0))).await;
    assert_eq!(refused, 0, "thirty at once, again and again");
    // At first as long as a burst is waited out.
    serve(&overload, steady(1_000, 3.0)).await;
    let (refused, slowest) = serve(&overload, steady(6_000, 3.0)).await;
    assert!((3_500..4_500).contains(&refused), "{refused} at {}", overload.limit());
    assert!(slowest <= Duration::from_millis(120), "{slowest:?} at {}", overload.limit());
    serve(&overload, steady(100, 0.8)).await;
    let (refused, _) = serve(&overload, steady(1_000, 0.8)).await;
    assert_eq!(refused, 0, "when it is over");
}

#[tokio::test(start_paused = true)]
async fn overload_for_long_does_not_lift_the_limit() {
    let overload = Overload::new(Concurrency::Adaptive { least: 2, most: 500 });
    for _ in 0..20 {
        serve(&overload, steady(6_000, 3.0)).await;
        assert!(overload.limit() <= 5, "{}", overload.limit());
    }
}

#[test]
fn a_fixed_limit_is_what_it_says_and_permits_come_back() {
    let overload = Overload::new(Concurrency::Fixed(2));
    let (a, b) = (overload.enter().unwrap(), overload.enter().unwrap());
    assert!(overload.enter().is_none());
    drop(a);
    assert!(overload.enter().is_some());
    drop(b);
    assert_eq!((overload.at_work(), overload.limit()), (0, 2));
}
