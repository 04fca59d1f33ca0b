//! Values of this moment, and what there is instead.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haat_catalog::ports::{StoreError, StoredProduct};
use haat_catalog::{Clock, Product, Sku};
use haat_outbound::CallError;
use haat_sources::live::{Live, LiveAnswer, LiveField, LiveFields, LiveOptions, LiveSource, StoredBecause};
use haat_sources::run::Mode;
use haat_sources::upstream::Upstream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::shop::{Fault, Shop, item};
use crate::world::{CHANGES, FULL, START, World};

const PATIENCE: Duration = Duration::from_millis(800);

fn live_of(world: &World, fields: &[LiveField], options: LiveOptions) -> Arc<Live> {
    let upstream = Upstream { connector: world.shop.clone(), caller: world.shop.clone() };
    let fields: LiveFields = fields.iter().copied().collect();
    let source = LiveSource::new("shop".into(), upstream, fields, &options);
    Arc::new(Live::new(vec![source], world.store.clone(), world.clock.clone(), options))
}

fn stock_of(world: &World) -> Arc<Live> {
    live_of(world, &[LiveField::Stock], LiveOptions::default())
}

async fn ask(live: &Arc<Live>, product: &StoredProduct) -> LiveAnswer {
    live.live(product, Instant::now() + PATIENCE).await
}

fn read(document: &Bytes) -> Value {
    serde_json::from_slice(document).unwrap()
}

/// A shop that was synchronised.
async fn synced(count: usize) -> World {
    let world = World::new(count);
    world.sync(FULL).await;
    world
}

#[tokio::test(start_paused = true)]
async fn the_live_members_are_the_upstreams_and_all_others_the_stored_ones() {
    let world = synced(3).await;
    let changed = json!({"id": "k001", "name": "Another", "stock": 2, "price": 777});
    world.shop.put("k001", changed);
    let stored = world.store.stored("S-k001");
    let written = world.store.state().pages.len();
    let answer = ask(&stock_of(&world), &stored).await;
    let mut expected = read(&stored.document);
    expected["stock"] = json!(2);
    assert_eq!(read(&answer.document), expected);
    let live = &answer.live;
    assert_eq!((live.fresh, live.reason, live.age_seconds, &live.fields[..]), (true, None, 0, &[LiveField::Stock][..]));
    assert_eq!(serde_json::to_value(live).unwrap()["source"], "shop");
    let both = live_of(&world, &[LiveField::Stock, LiveField::Price, LiveField::ListPrice], LiveOptions::default());
    let answer = ask(&both, &stored).await;
    assert_eq!(read(&answer.document)["price"]["amount"], 777);
    assert_eq!(answer.live.fields, [LiveField::Stock, LiveField::Price], "of those that it names");
    assert_eq!(world.store.state().pages.len(), written, "nothing is written");
    assert_eq!(world.store.stored("S-k001"), stored);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_are_one_call() {
    let world = synced(1).await;
    world.shop.state().slow = Duration::from_millis(100);
    world.shop.put("k000", item("k000", 42));
    let (live, stored) = (stock_of(&world), world.store.stored("S-k000"));
    let answers = futures::future::join_all((0..1_000).map(|_| ask(&live, &stored))).await;
    assert!(answers.iter().all(|answer| answer.live.fresh && read(&answer.document)["stock"] == 42));
    assert_eq!(world.shop.state().asks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_to_others_for_a_moment_unless_the_product_was_written_since() {
    let world = synced(1).await;
    let live = stock_of(&world);
    let asked = || world.shop.state().asks.len();
    ask(&live, &world.store.stored("S-k000")).await;
    sleep(Duration::from_millis(900)).await;
    ask(&live, &world.store.stored("S-k000")).await;
    assert_eq!(asked(), 1);
    world.shop.put("k000", item("k000", 8));
    world.sync(FULL).await;
    let answer = ask(&live, &world.store.stored("S-k000")).await;
    assert_eq!((asked(), read(&answer.document)["stock"].as_i64()), (2, Some(8)), "what is stored is newer");
    sleep(Duration::from_millis(1_100)).await;
    ask(&live, &world.store.stored("S-k000")).await;
    assert_eq!(asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_does_not_take_the_answer_from_those_who_wait() {
    let world = synced(1).await;
    world.shop.state().slow = Duration::from_millis(200);
    let (live, stored) = (stock_of(&world), world.store.stored("S-k000"));
    assert!(tokio::time::timeout(Duration::from_millis(50), ask(&live, &stored)).await.is_err());
    let answer = ask(&live, &stored).await;
    assert!(answer.live.fresh && world.shop.state().asks.len() == 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_the_stored_product_is_given_and_why_is_said() {
    let world = synced(2).await;
    let stored = world.store.stored("S-k000");
    let open = CallError::BreakerOpen { retry_in: PATIENCE };
    let faults = [
        (Fault::Error(CallError::Timeout(PATIENCE)), StoredBecause::Timeout),
        (Fault::Error(open), StoredBecause::BreakerOpen),
        (Fault::Error(CallError::Saturated), StoredBecause::Saturated),
        (Fault::Error(CallError::NoToken("refused".into())), StoredBecause::UpstreamError),
        (Fault::Status(500), StoredBecause::UpstreamError),
        (Fault::Hang, StoredBecause::Timeout),
    ];
    for (fault, why) in faults {
        world.shop.state().asks_fail = Some(fault);
        let (begun, answer) = (Instant::now(), ask(&stock_of(&world), &stored).await);
        assert_eq!((answer.live.reason, answer.live.fresh, &answer.document), (Some(why), false, &stored.document));
        assert_eq!(answer.live.source.as_deref(), Some("shop"), "{why:?}");
        assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(1));
    }
    world.shop.state().asks_fail = None;
    for (value, why) in [
        (json!({"id": "k000", "bad": true}), StoredBecause::Unreadable),
        (json!({"id": "k001", "name": "n", "stock": 1}), StoredBecause::Unreadable),
        (json!({"id": "k000", "name": "n", "stock": -7}), StoredBecause::Unreadable),
    ] {
        world.shop.put("k000", value);
        assert_eq!(ask(&stock_of(&world), &stored).await.live.reason, Some(why));
    }
    world.shop.remove("k000");
    assert_eq!(ask(&stock_of(&world), &stored).await.live.reason, Some(StoredBecause::NotFound));
    world.store.state().faults.push_back(StoreError::Unavailable("gone".into()));
    let answer = ask(&stock_of(&world), &stored).await;
    assert_eq!((answer.live.reason, answer.document), (Some(StoredBecause::StoreUnavailable), stored.document));
}

#[tokio::test(start_paused = true)]
async fn a_product_whose_item_has_another_sku_now_is_one_that_the_upstream_does_not_have() {
    let world = synced(1).await;
    world.store.retire("S-k000");
    let answer = ask(&stock_of(&world), &world.store.stored("S-k000")).await;
    assert_eq!((answer.live.reason, world.shop.state().asks.len()), (Some(StoredBecause::NotFound), 0));
}

#[tokio::test(start_paused = true)]
async fn a_product_that_is_not_live_is_given_as_it_is_stored() {
    let world = World::of(Shop { single: false, ..Shop::new(10) }, 2);
    world.sync(FULL).await;
    world.store.state().products.get_mut(&Sku::new("S-k001").unwrap()).unwrap().1 = "other".into();
    for sku in ["S-k000", "S-k001"] {
        let answer = ask(&stock_of(&world), &world.store.stored(sku)).await;
        assert_eq!((answer.live.fresh, answer.live.reason), (false, Some(StoredBecause::NotDeclared)));
        assert_eq!(answer.document, world.store.stored(sku).document);
    }
    let none = live_of(&world, &[], LiveOptions::default());
    assert_eq!(ask(&none, &world.store.stored("S-k000")).await.live.reason, Some(StoredBecause::NotDeclared));
}

#[tokio::test(start_paused = true)]
async fn stored_values_are_as_old_as_the_last_run_that_would_have_carried_a_change() {
    let world = synced(2).await;
    world.shop.state().asks_fail = Some(Fault::Status(500));
    let stored = world.store.stored("S-k000");
    let updated_at = Product::from_json(&stored.document).unwrap().updated_at;
    sleep(Duration::from_secs(100)).await;
    let age = async || ask(&stock_of(&world), &stored).await.live;
    assert_eq!((age().await.as_of, age().await.age_seconds), (updated_at, 100));
    let again = world.clock.now();
    world.sync(FULL).await;
    sleep(Duration::from_secs(7)).await;
    assert_eq!((age().await.as_of, age().await.age_seconds), (again, 7), "it did not change, so it was not written");
    world.shop.put("k000", json!({"id": "k000", "bad": true}));
    world.sync(FULL).await;
    assert_eq!(
        (age().await.as_of, age().await.age_seconds),
        (updated_at, 107),
        "a run that refused it says nothing of it"
    );
    world.shop.state().list_fails = Some(Fault::Error(CallError::ForbiddenUrl("none")));
    world.shop.put("k000", item("k000", 5));
    world.sync(FULL).await;
    assert_eq!(age().await.as_of, updated_at, "nor does one that failed");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_carry_a_member_does_not_make_its_stored_value_younger() {
    for (stock_apart, field, expected) in
        [(true, LiveField::Stock, 100), (true, LiveField::Price, 0), (false, LiveField::Stock, 0)]
    {
        let world = World::of(Shop { incremental: true, stock_apart, ..Shop::new(10) }, 0);
        world.shop.put("a", json!({"id": "a", "name": "n", "stock": 1, "changed": START}));
        world.sync(FULL).await;
        sleep(Duration::from_secs(100)).await;
        assert_eq!(world.sync(CHANGES).await.mode, Mode::Incremental);
        world.shop.state().asks_fail = Some(Fault::Status(500));
        let live = live_of(&world, &[field], LiveOptions::default());
        let age = ask(&live, &world.store.stored("S-a")).await.live.age_seconds;
        assert_eq!(age, expected, "{field} {stock_apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_upstream_gathers_neither_callers_nor_lookups() {
    let world = synced(300).await;
    world.shop.state().asks_fail = Some(Fault::Hang);
    let live = stock_of(&world);
    let products: Vec<StoredProduct> = (0..300).map(|n| world.store.stored(&format!("S-k{n:03}"))).collect();
    let mut callers = tokio::task::JoinSet::new();
    let (mut most, mut waiting) = (0, 0);
    let mut reasons = HashSet::new();
    // A minute of 500 a second.
    for n in 0..30_000 {
        let (asked, product) = (Arc::clone(&live), products[n % 300].clone());
        callers.spawn(async move { ask(&asked, &product).await.live });
        if n % 50 == 0 {
            sleep(Duration::from_millis(100)).await;
            while let Some(answered) = callers.try_join_next() {
                let answered = answered.unwrap();
                assert!(!answered.fresh);
                reasons.insert(answered.reason.unwrap());
            }
            (most, waiting) = (most.max(live.under_way()), waiting.max(callers.len()));
        }
    }
    assert!(most <= 64, "{most} lookups under way");
    assert!(waiting <= 450, "{waiting} callers wait: more than come within their patience");
    assert_eq!(reasons, [StoredBecause::Timeout, StoredBecause::Saturated].into());
    assert!(world.shop.state().asks.len() <= 64 * 7, "{} calls", world.shop.state().asks.len());
    callers.join_all().await;
    world.shop.state().asks_fail = None;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(live.under_way(), 0);
    assert!(ask(&live, &products[7]).await.live.fresh, "and it is well again at once");
}

#[test]
fn only_small_members_that_stand_for_themselves_can_be_live() {
    for field in LiveField::ALL {
        assert_eq!(field.name().parse(), Ok(field));
        assert_eq!(serde_json::to_value(field).unwrap(), field.name());
    }
    let error = "sku".parse::<LiveField>().unwrap_err().to_string();
    assert!(error.contains("'sku'") && error.contains("list_price"), "{error}");
}
