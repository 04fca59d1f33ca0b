//! What of a source is forgotten: orders that mean nothing any more, and all of a source that nobody declares.

use haat_sources::ports::{
    Begin, BreakerOrder, BreakerReport, ForgetOrders, ForgetSource, Forgotten, Item, ItemOutcome,
};
use haat_sources::run::{Mode, RunState, VanishedItem};

use super::upstream::{Holder, at, begin, is_lost, item, many};
use super::{Subject, after_noon, sku};

/// A wish at an hour past noon, when no lease lasts any more.
fn forget(source: &str, heir: Option<&str>) -> ForgetSource {
    ForgetSource { source: source.into(), heir: heir.map(str::to_owned), now: after_noon(3_600) }
}

async fn orders_of(s: &Subject, source: &str) -> Vec<(String, Option<i64>)> {
    s.items_of(source).await.into_iter().map(|item| (item.key, item.order)).collect()
}

/// Only those of the source, as long as the lease is the newest, and nothing else of the items.
pub async fn orders_are_forgotten_step_by_step_in_order_of_key(s: &Subject) {
    s.synced("s", 1, (0..5).map(|n| at(9, many(n..n + 1, "x").remove(0))).collect()).await;
    s.synced("other", 2, vec![at(9, item("k00001", "X", "x"))]).await;
    let older = s.hold(begin("s", 3)).await;
    let step = |holder: &Holder, after: Option<&str>| {
        let (lease, run) = (holder.lease.clone(), holder.run.id);
        s.sources.forget_orders(ForgetOrders { lease, run, after: after.map(str::to_owned), limit: 2 })
    };
    assert_eq!(step(&older, None).await.unwrap().as_deref(), Some("k00001"));
    let known: Vec<Option<i64>> = orders_of(s, "s").await.into_iter().map(|(_, order)| order).collect();
    assert_eq!(known, [None, None, Some(9), Some(9), Some(9)]);
    let mut holder = s.hold(Begin { now: after_noon(61), ..begin("s", 4) }).await;
    assert!(is_lost(&step(&older, Some("k00001")).await));
    let mut after = None;
    let mut steps = 0;
    loop {
        after = step(&holder, after.as_deref()).await.unwrap();
        steps += 1;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(steps, 4, "two, two, one, none");
    assert!(orders_of(s, "s").await.iter().all(|(_, order)| order.is_none()));
    assert_eq!(orders_of(s, "other").await, [("k00001".to_owned(), Some(9))]);
    assert_eq!(holder.page(vec![at(1, item("k00000", "S00000", "new"))]).await, [ItemOutcome::Updated]);
    assert_eq!(s.there("S00001").await.version, 1);
}

/// They stay as they are, and whoever lists them next may have them.
pub async fn products_of_a_source_that_is_forgotten_are_nobody_s(s: &Subject) {
    s.synced("s", 1, many(0..7, "x")).await;
    s.synced("other", 2, vec![item("k", "X", "x")]).await;
    s.sources.order_breaker("s", BreakerOrder::ForceOpen).await.unwrap();
    let report = BreakerReport {
        replica: "r".into(),
        state: "open".into(),
        since: after_noon(0),
        failure_rate: 1.0,
        slow_rate: 0.0,
        calls: 20,
        seen_at: after_noon(1),
    };
    s.sources.report_breaker("s", &report).await.unwrap();
    let abandoned = s.hold(begin("s", 3)).await;
    let head = s.log.head().await.unwrap();
    assert_eq!(s.sources.forget_source(forget("nobody", None)).await.unwrap(), Forgotten::Unknown);
    assert_eq!(s.sources.forget_source(forget("s", None)).await.unwrap(), Forgotten::Done(7));
    assert_eq!((s.sources.source("s").await.unwrap(), s.owner("S00003").await), (None, None));
    assert!(s.sources.breaker_reports(after_noon(0)).await.unwrap().is_empty());
    assert_eq!((s.log.head().await.unwrap(), s.reader.count().await.unwrap()), (head, 8));
    assert!(is_lost(&abandoned.save().await));
    assert_eq!(s.sources.forget_source(forget("s", None)).await.unwrap(), Forgotten::Unknown);
    assert_eq!(s.synced("other", 4, many(0..7, "x")).await, vec![ItemOutcome::Unchanged; 7]);
    assert_eq!((s.owner("S00003").await.as_deref(), s.items_of("other").await.len()), (Some("other"), 8));
}

/// Under the keys that they have, without orders, which are those of another. Where the heir calls another product so, that of the
/// forgotten source is as one whose item has another sku now.
pub async fn products_of_a_source_that_is_forgotten_are_its_heir_s(s: &Subject) {
    s.synced("s", 1, vec![at(9, item("k1", "A", "a")), at(9, item("k2", "B", "b")), item("k3", "C", "c")]).await;
    s.synced("heir", 2, vec![at(3, item("k2", "D", "d"))]).await;
    s.sources.order_breaker("heir", BreakerOrder::ForceClosed).await.unwrap();
    assert_eq!(s.sources.forget_source(forget("s", Some("heir"))).await.unwrap(), Forgotten::Done(3));
    let expected = [("\u{1}B", "B", None), ("k1", "A", None), ("k2", "D", Some(3)), ("k3", "C", None)];
    let expected = expected.map(|(key, of, order)| Item { key: key.into(), sku: sku(of), order });
    assert_eq!(s.items_of("heir").await, expected);
    let row = s.source("heir").await;
    assert_eq!(
        (row.items, row.breaker_order, row.run.map(|run| run.state)),
        (4, BreakerOrder::ForceClosed, Some(RunState::Done))
    );
    assert_eq!(s.sources.source("s").await.unwrap(), None);
    // Nor need the heir have run before.
    assert_eq!(s.sources.forget_source(forget("heir", Some("new"))).await.unwrap(), Forgotten::Done(4));
    assert_eq!((s.items_of("new").await.len(), s.source("new").await.run), (4, None));
    let page = vec![at(1, item("k1", "A", "a")), at(1, item("k2", "D", "d")), item("k3", "C", "c")];
    assert_eq!(s.synced("new", 3, page).await, vec![ItemOutcome::Unchanged; 3]);
}

/// Else what it had seen would tell that all of them have vanished, and who confirmed some would have confirmed these.
pub async fn what_the_heir_was_about_to_do_ends_where_products_come_to_it(s: &Subject) {
    for (id, state) in [(1, RunState::AwaitingConfirmation), (11, RunState::Reading)] {
        s.synced("s", id, many(0..3, "x")).await;
        let full = s.hold(begin("heir", id + 1)).await;
        full.clone().try_end(RunState::Done, Some(after_noon(50))).await.unwrap();
        let mut holder = s.hold(begin("heir", id + 2)).await;
        holder.page(vec![item("k", "H", "h")]).await;
        holder.run.vanished = vec![VanishedItem { key: Some("k9".into()), sku: "G".into() }];
        if state == RunState::AwaitingConfirmation {
            holder.try_end(state, None).await.unwrap();
        }
        assert_eq!(s.sources.forget_source(forget("s", Some("heir"))).await.unwrap(), Forgotten::Done(3));
        let row = s.source("heir").await;
        let run = row.run.unwrap();
        assert_eq!(
            (run.id, run.state, &run.vanished[..], row.watermark),
            (holder.run.id, RunState::Failed, &[][..], None)
        );
        assert!(run.message.is_some_and(|why| why.contains("'s'")), "{state:?}");
        assert!(is_lost(&holder.save().await));
        let next = s.hold(Begin { mode: Mode::Incremental, now: after_noon(3_600), ..begin("heir", id + 3) }).await;
        assert_eq!((next.run.id.as_u128(), next.run.since), (id + 3, None), "there is nothing to go on from");
        next.done().await;
        assert_eq!(s.sources.forget_source(forget("heir", None)).await.unwrap(), Forgotten::Done(4));
    }
}

/// Neither of the one nor of its heir.
pub async fn a_source_is_not_forgotten_in_the_middle_of_a_run(s: &Subject) {
    s.synced("s", 1, many(0..3, "x")).await;
    s.synced("heir", 2, vec![item("k", "H", "h")]).await;
    for (held, id) in [("s", 3), ("heir", 4)] {
        let holder = s.hold(begin(held, id)).await;
        let early = ForgetSource { now: after_noon(59), ..forget("s", Some("heir")) };
        let Forgotten::Running(run) = s.sources.forget_source(early).await.unwrap() else { panic!("it is held") };
        assert_eq!(run.id, holder.run.id);
        holder.done().await;
    }
    assert_eq!((s.items_of("s").await.len(), s.items_of("heir").await.len()), (3, 1));
    assert_eq!(s.sources.forget_source(forget("s", Some("heir"))).await.unwrap(), Forgotten::Done(3));
}
