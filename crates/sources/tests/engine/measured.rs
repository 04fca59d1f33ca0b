//! What is measured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio_util::sync::CancellationToken;

use crate::world::{FULL, World};

/// Keeps counters and gauges by name and labels, and how often a histogram was recorded.
#[derive(Default)]
struct Kept {
    values: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

struct Times(Arc<AtomicU64>);

impl HistogramFn for Times {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Kept {
    fn value(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::clone(self.values.lock().unwrap().entry(format!("{} {}", key.name(), labels.join(" "))).or_default())
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.values.lock().unwrap().get(name).map(|value| value.load(Ordering::SeqCst))
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Times(self.value(key))))
    }
}

#[tokio::test(start_paused = true)]
async fn items_runs_lag_and_the_last_success_are_measured_by_source() {
    let kept = Kept::default();
    let _guard = metrics::set_default_local_recorder(&kept);
    let world = World::new(40);
    world.sync(FULL).await;
    world.shop.remove("k000");
    world.shop.put("k001", serde_json::json!({"id": "k001", "bad": true}));
    world.shop.put("k002", crate::shop::item("k002", 9));
    world.sync(FULL).await;
    let items = |outcome: &str| kept.of(&format!("haat_source_items_total source=shop outcome={outcome}"));
    let seen = ["created", "updated", "unchanged", "failed", "removed", "stale"].map(items);
    assert_eq!(seen, [Some(40), Some(1), Some(37), Some(1), Some(1), None]);
    assert_eq!(kept.of("haat_source_runs_total source=shop mode=full state=done"), Some(2));
    assert_eq!(kept.of("haat_source_run_duration_seconds source=shop mode=full"), Some(2));
    let stop = CancellationToken::new();
    let worker = tokio::spawn(world.sources("a", |_, _| {}).run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(90)).await;
    let gauge = |name: &str| kept.of(&format!("{name} source=shop")).map(f64::from_bits);
    assert!(gauge("haat_source_lag_seconds").is_some_and(|lag| (89.0..=91.0).contains(&lag)));
    let success = world.row().await.last_done.unwrap().ended_at.unwrap().as_millis() as f64 / 1_000.0;
    assert_eq!(gauge("haat_source_last_success_timestamp_seconds"), Some(success));
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn how_a_source_stands_is_measured_from_the_first_second_on() {
    let kept = Kept::default();
    let _guard = metrics::set_default_local_recorder(&kept);
    let world = World::new(40);
    let stop = CancellationToken::new();
    let worker = tokio::spawn(world.sources("a", |_, _| {}).run(stop.clone()));
    let gauge = |name: &str, more: &str| kept.of(&format!("{name} source=shop{more}")).map(f64::from_bits);
    let states = || {
        ["idle", "running", "awaiting_confirmation", "failing"]
            .map(|state| gauge("haat_source_state", &format!(" state={state}")))
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(states(), [Some(1.0), Some(0.0), Some(0.0), Some(0.0)]);
    assert_eq!(gauge("haat_source_products", ""), Some(0.0));
    let lag = gauge("haat_source_lag_seconds", "");
    assert!(
        lag.is_some_and(|lag| (58.0..=61.0).contains(&lag)),
        "one that never works lags from the start on: {lag:?}"
    );
    world.sync(FULL).await;
    world.shop.state().items.clear();
    world.sync(FULL).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(states(), [Some(0.0), Some(0.0), Some(1.0), Some(0.0)]);
    assert_eq!(gauge("haat_source_products", ""), Some(40.0));
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn live_values_are_counted_by_source_and_by_what_became_of_them() {
    let kept = Kept::default();
    let _guard = metrics::set_default_local_recorder(&kept);
    let world = World::new(3);
    world.sync(FULL).await;
    let sources = world.sources("a", |parts, _| parts.live = [haat_sources::live::LiveField::Stock].into());
    let live = async |sku: &str| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        sources.live(&world.store.stored(sku), deadline).await.live.reason
    };
    assert_eq!(live("S-k000").await, None);
    assert_eq!(live("S-k000").await, None, "what was looked up a moment ago is not looked up again");
    world.shop.state().asks_fail = Some(crate::shop::Fault::Status(500));
    assert!(live("S-k001").await.is_some());
    let lookups = |outcome: &str| kept.of(&format!("haat_live_lookups_total source=shop outcome={outcome}"));
    assert_eq!((lookups("fresh"), lookups("upstream_error")), (Some(1), Some(1)));
    assert_eq!(kept.of("haat_live_lookup_duration_seconds source=shop"), Some(2));
}
