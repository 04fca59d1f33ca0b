//! Runs of sources: who may write for them, how they go on and end, what they have seen; and breakers.

use std::collections::BTreeSet;

use haat_sources::ports::{Begin, Begun, BreakerOrder, BreakerReport, SourceRow};
use haat_sources::run::{ItemError, Mode, Run, RunCounts, RunState, key_hash};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::upstream::{Holder, begin, confirm, is_lost, item, many};
use super::{Subject, after_noon, sku};

/// Nothing is known of it, and it has nothing.
pub async fn a_source_that_never_ran_is_not_there(s: &Subject) {
    assert!(s.sources.sources().await.unwrap().is_empty());
    assert_eq!(s.sources.source("s").await.unwrap(), None);
    assert!(s.items_of("s").await.is_empty());
    assert!(s.sources.seen("s", Uuid::from_u128(1)).await.unwrap().is_empty());
    assert_eq!(s.sources.owner_of(&sku("A")).await.unwrap(), None);
}

/// Every member comes back, and names are compared byte by byte.
pub async fn a_run_is_kept_as_it_was_saved(s: &Subject) {
    let mut holder = s.hold(begin("Großmarkt ", 1)).await;
    s.hold(begin("Großmarkt", 2)).await;
    let error = ItemError { key: "ä\n\"7\"".into(), pointer: "/price".into(), detail: "is 'gratis'".into() };
    holder.run = Run {
        state: RunState::Removing,
        moved_at: after_noon(9),
        newest: Some(after_noon(-7)),
        position: Some(json!({"after": [1, "x", null], "n": 1.5})),
        total: Some(1 << 40),
        counts: RunCounts { read: 1, created: 2, updated: 3, unchanged: 4, stale: 5, failed: 6, ..holder.run.counts },
        keyless: true,
        errors: vec![error.clone(), error],
        message: Some("ended by an ö".into()),
        removals_confirmed: true,
        ..holder.run
    };
    holder.save().await.unwrap();
    assert_eq!(s.source("Großmarkt ").await.run, Some(holder.run));
    assert_eq!(s.source("Großmarkt").await.run.unwrap().owner, "replica-2");
    let names: Vec<String> = s.sources.sources().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["Großmarkt", "Großmarkt "]);
}

/// The one of eight who begin at the same time that may.
async fn one_of_many(s: &Subject) -> Holder {
    let mut replicas = JoinSet::new();
    for replica in 0..8 {
        let subject = s.clone();
        replicas.spawn(async move { subject.try_hold(begin("s", replica)).await });
    }
    let mut holders: Vec<Holder> = replicas.join_all().await.into_iter().flatten().collect();
    assert_eq!(holders.len(), 1);
    holders.remove(0)
}

/// However many begin at once, on however many replicas, as long as the one who did holds on to it.
pub async fn a_source_has_one_run_at_a_time(s: &Subject) {
    // The first of all, for which there is no row yet, and those after it.
    for _ in 0..10 {
        one_of_many(s).await.done().await;
    }
    let mut holder = one_of_many(s).await;
    let late = |seconds| Begin { now: after_noon(seconds), ..begin("s", 99) };
    let Begun::Running(run) = s.sources.begin_run(late(59)).await.unwrap() else { panic!("it is held") };
    assert_eq!(*run, holder.run);
    // Whatever is written holds on to it.
    holder.now = after_noon(59);
    holder.save().await.unwrap();
    assert!(s.try_hold(late(118)).await.is_none());
    holder.now = after_noon(118);
    holder.page(many(0..3, "x")).await;
    assert!(s.try_hold(late(177)).await.is_none());
    holder.now = after_noon(177);
    holder.try_remove(Vec::new()).await.unwrap();
    assert!(s.try_hold(late(236)).await.is_none());
    assert!(s.try_hold(late(237)).await.is_some(), "its time is up");
}

/// In its own mode, whatever was asked for; with all that it has seen.
pub async fn a_run_whose_holder_is_gone_goes_on_from_where_it_stood(s: &Subject) {
    let mut gone = s.hold(begin("s", 1)).await;
    gone.page(many(0..5, "x")).await;
    let mode = Mode::Incremental;
    let mut heir = s.hold(Begin { mode, now: after_noon(61), ..begin("s", 2) }).await;
    assert!(heir.lease.fence > gone.lease.fence);
    assert_eq!(heir.run, Run { owner: "replica-2".into(), ..gone.run });
    assert_eq!((heir.run.mode, heir.run.position.clone()), (Mode::Full, Some(json!({"page": 1}))));
    heir.page(many(5..9, "x")).await;
    assert_eq!(s.sources.seen("s", heir.run.id).await.unwrap().len(), 9);
    assert_eq!(heir.run.counts.created, 9);
    heir.done().await;
    let row = s.source("s").await;
    assert_eq!((row.items, row.last_full.map(|run| run.id)), (9, Some(Uuid::from_u128(1))));
}

/// What one saw is no measure for the other.
pub async fn a_run_that_began_under_other_settings_does_not_go_on(s: &Subject) {
    let mut gone = s.hold(begin("s", 1)).await;
    gone.page(many(0..5, "x")).await;
    let other = |id, seconds| Begin { fingerprint: 6, now: after_noon(seconds), ..begin("s", id) };
    assert!(s.try_hold(other(2, 59)).await.is_none(), "as long as it is held, it is the source's");
    let mut anew = s.hold(other(2, 61)).await;
    assert_eq!((anew.run.id.as_u128(), anew.run.position.clone(), anew.run.fingerprint), (2, None, 6));
    assert!(s.sources.seen("s", gone.run.id).await.unwrap().is_empty());
    anew.try_end(RunState::AwaitingConfirmation, None).await.unwrap();
    let third = Begin { now: after_noon(62), ..confirm("s", 3, 2) };
    let begun = s.sources.begin_run(third).await.unwrap();
    assert!(matches!(begun, Begun::NothingToConfirm(Some(run)) if run.id.as_u128() == 2), "nor can it be confirmed");
}

/// What went is found by full runs alone, so the rest of another is none. It begins anew, before anything that the other would
/// have brought is taken for known; but not while somebody is at that.
pub async fn a_full_run_takes_the_place_of_one_of_changes_that_nobody_holds(s: &Subject) {
    let full = s.hold(begin("s", 1)).await;
    full.clone().try_end(RunState::Done, Some(after_noon(50))).await.unwrap();
    let changes = |id, seconds| Begin { mode: Mode::Incremental, now: after_noon(seconds), ..begin("s", id) };
    let mut killed = s.hold(changes(2, 100)).await;
    killed.page(many(0..5, "x")).await;
    let full = |id, seconds| Begin { now: after_noon(seconds), ..begin("s", id) };
    assert!(s.try_hold(full(3, 130)).await.is_none());
    let taken_over = s.hold(changes(4, 161)).await;
    assert_eq!((taken_over.run.id, taken_over.run.mode), (killed.run.id, Mode::Incremental));
    let mut anew = s.hold(full(5, 222)).await;
    assert_eq!((anew.run.id.as_u128(), anew.run.mode, anew.run.since), (5, Mode::Full, None));
    assert_eq!((anew.run.position.clone(), anew.run.counts.read), (None, 0));
    assert!(s.sources.seen("s", killed.run.id).await.unwrap().is_empty());
    assert!(is_lost(&killed.save().await) && is_lost(&taken_over.save().await));
    assert_eq!(s.source("s").await.watermark, Some(after_noon(50)));
    anew.page(many(0..3, "x")).await;
    let gone = s.items_of("s").await.split_off(3);
    anew.try_remove(gone).await.unwrap();
    anew.try_end(RunState::Done, Some(after_noon(90))).await.unwrap();
    assert_eq!((s.items_of("s").await.len(), s.source("s").await.watermark), (3, Some(after_noon(90))));
}

/// It has ended for whoever holds it too, and the next begins anew.
pub async fn a_run_that_is_cancelled_is_written_no_more(s: &Subject) {
    assert_eq!(s.sources.cancel_run("s", after_noon(0)).await.unwrap(), None);
    let mut holder = s.hold(begin("s", 1)).await;
    holder.page(many(0..3, "x")).await;
    let cancelled = s.sources.cancel_run("s", after_noon(5)).await.unwrap().unwrap();
    let stands = (cancelled.id, cancelled.state, cancelled.ended_at, cancelled.counts.created);
    assert_eq!(stands, (holder.run.id, RunState::Cancelled, Some(after_noon(5)), 3));
    let row = s.source("s").await;
    assert_eq!((row.run.as_ref(), row.last_done.as_ref(), row.items), (Some(&cancelled), None, 3));
    assert!(is_lost(&holder.try_page(many(3..5, "x")).await));
    assert!(is_lost(&holder.try_remove(s.items_of("s").await).await));
    assert!(is_lost(&holder.save().await) && is_lost(&holder.clone().try_end(RunState::Done, None).await));
    assert_eq!((s.source("s").await, s.sources.cancel_run("s", after_noon(6)).await.unwrap()), (row, None));
    let mut next = s.hold(Begin { now: after_noon(7), ..begin("s", 2) }).await;
    assert_eq!((next.run.id.as_u128(), next.run.position.clone()), (2, None), "at once, and from the beginning");
    next.try_end(RunState::AwaitingConfirmation, None).await.unwrap();
    let waited = s.sources.cancel_run("s", after_noon(8)).await.unwrap().unwrap();
    assert_eq!((waited.id.as_u128(), waited.state), (2, RunState::Cancelled));
    let begun = s.sources.begin_run(confirm("s", 3, 2)).await.unwrap();
    assert!(matches!(begun, Begun::NothingToConfirm(Some(run)) if run.id.as_u128() == 2));
}

/// Even if the holder before is only slow, and commits a page at that very moment.
pub async fn whoever_takes_a_run_over_has_all_that_was_written_for_it(s: &Subject) {
    let mut holder = s.hold(begin("s", 1)).await;
    for round in 1..6 {
        s.gate.close();
        let page = tokio::spawn(async move {
            holder.page(many(round * 3..round * 3 + 3, "x")).await;
            holder
        });
        s.gate.someone_waits().await;
        let heir = tokio::spawn({
            let (subject, now) = (s.clone(), after_noon(i64::from(round) * 61));
            async move { subject.hold(Begin { now, ..begin("s", 2) }).await }
        });
        // Time enough to look at the row, if it could be looked at.
        for _ in 0..20 {
            assert_eq!(s.source("s").await.run.unwrap().counts.pages, u64::from(round) - 1);
        }
        assert!(!heir.is_finished(), "it waits for the page");
        s.gate.open();
        let before = page.await.unwrap();
        let heir = heir.await.unwrap();
        assert_eq!((heir.run.counts, &heir.run.position), (before.run.counts, &before.run.position));
        assert_eq!((heir.run.counts.created, heir.lease.fence), (u64::from(round) * 3, before.lease.fence + 1));
        holder = heir;
    }
    assert_eq!(s.items_of("s").await.len(), 15);
}

/// The holder before is told so, whatever it tries, and nothing of it is written.
pub async fn of_two_holders_only_the_newer_writes(s: &Subject) {
    let mut older = s.hold(begin("s", 1)).await;
    older.page(vec![item("k1", "A", "a")]).await;
    let newer = s.hold(Begin { now: after_noon(61), ..begin("s", 2) }).await;
    older.now = after_noon(61);
    let (head, row) = (s.log.head().await.unwrap(), s.source("s").await);
    assert!(is_lost(&older.try_page(vec![item("k1", "A", "late"), item("k2", "B", "late")]).await));
    assert!(is_lost(&older.try_remove(s.items_of("s").await).await));
    assert!(is_lost(&older.save().await));
    assert!(is_lost(&older.clone().try_end(RunState::Done, Some(after_noon(0))).await));
    assert_eq!((s.log.head().await.unwrap(), s.source("s").await), (head, row));
    assert_eq!((s.there("A").await.name.as_str(), s.product("B").await), ("a", None));
    newer.save().await.unwrap();
    newer.done().await;
}

/// Nor one that is not the newest, although the lease is, nor one of a source that nobody knows.
pub async fn a_run_that_has_ended_is_written_no_more(s: &Subject) {
    for state in [RunState::Done, RunState::Failed, RunState::AwaitingConfirmation] {
        let mut holder = s.hold(begin("s", state as u128)).await;
        holder.page(vec![item("k1", "A", "a")]).await;
        holder.try_end(state, None).await.unwrap();
        let row = s.source("s").await;
        assert!(is_lost(&holder.try_page(vec![item("k2", "B", "b")]).await));
        assert!(is_lost(&holder.try_remove(s.items_of("s").await).await));
        assert!(is_lost(&holder.save().await));
        assert!(is_lost(&holder.try_end(RunState::Failed, None).await));
        assert_eq!(s.source("s").await, row);
    }
    let mut other = s.hold(begin("s", 9)).await;
    assert!(other.clone().try_end(RunState::Reading, None).await.is_err(), "that is no end");
    other.run.id = Uuid::from_u128(10);
    assert!(is_lost(&other.save().await));
    other.lease.source = "nobody".into();
    assert!(is_lost(&other.save().await));
}

/// Of that run. Whoever asks without one begins anew. With one, what was seen is still there to tell what vanished; a second time,
/// or of another run, it begins nothing.
pub async fn a_run_that_waits_for_a_confirmation_goes_on_with_one_alone(s: &Subject) {
    s.synced("s", 1, many(0..10, "x")).await;
    let mut holder = s.hold(begin("s", 2)).await;
    holder.page(many(0..4, "x")).await;
    holder.run.counts.vanished = 6;
    holder.run.message = Some("six of ten vanished".into());
    holder.try_end(RunState::AwaitingConfirmation, None).await.unwrap();
    assert_eq!(s.source("s").await.last_full.unwrap().id, Uuid::from_u128(1), "it has not come to its end");
    assert!(s.try_hold(confirm("s", 3, 1)).await.is_none(), "another's");
    let mut confirmed = s.hold(Begin { mode: Mode::Incremental, ..confirm("s", 3, 2) }).await;
    let state = (confirmed.run.id.as_u128(), confirmed.run.state, confirmed.run.removals_confirmed);
    assert_eq!(state, (2, RunState::Removing, true));
    let seen: BTreeSet<_> = s.sources.seen("s", confirmed.run.id).await.unwrap().into_iter().collect();
    let vanished = s.items_of("s").await.into_iter().filter(|item| !seen.contains(&key_hash(&item.key))).collect();
    let again = s.sources.begin_run(confirm("s", 4, 2)).await.unwrap();
    assert!(matches!(again, Begun::Running(run) if run.id.as_u128() == 2));
    let heir = s.hold(Begin { now: after_noon(61), ..confirm("s", 4, 2) }).await;
    assert_eq!((heir.run.id.as_u128(), heir.run.state), (2, RunState::Removing), "its holder is gone: it goes on");
    confirmed.lease = heir.lease;
    confirmed.try_remove(vanished).await.unwrap();
    assert_eq!((confirmed.run.counts.removed, confirmed.run.counts.vanished), (6, 6));
    confirmed.done().await;
    assert_eq!((s.items_of("s").await.len(), s.reader.count().await.unwrap()), (4, 4));

    let mut waiting = s.hold(begin("s", 4)).await;
    waiting.page(many(0..1, "x")).await;
    waiting.try_end(RunState::AwaitingConfirmation, None).await.unwrap();
    let anew = s.hold(begin("s", 5)).await;
    assert_eq!((anew.run.id.as_u128(), anew.run.state), (5, RunState::Reading));
    assert!(s.sources.seen("s", waiting.run.id).await.unwrap().is_empty());
    anew.done().await;
    for waits in [2, 4, 5] {
        let begun = s.sources.begin_run(confirm("s", 6, waits)).await.unwrap();
        let nothing = matches!(begun, Begun::NothingToConfirm(Some(run)) if run.id.as_u128() == 5);
        assert!(nothing, "a confirmation is of what waits, not ahead");
    }
}

/// The newest run of each kind, and up to which change everything is known, which incremental runs only ever move forward.
pub async fn an_end_is_kept_where_it_belongs(s: &Subject) {
    let full = s.hold(begin("s", 1)).await;
    assert_eq!(full.run.since, None);
    full.clone().try_end(RunState::Done, Some(after_noon(50))).await.unwrap();
    let incremental = |id| Begin { mode: Mode::Incremental, ..begin("s", id) };
    let mut second = s.hold(incremental(2)).await;
    assert_eq!(second.run.since, Some(after_noon(50)));
    second.try_end(RunState::Done, Some(after_noon(40))).await.unwrap();
    let row = s.source("s").await;
    let id = |run: Option<Run>| run.map(|run| run.id.as_u128());
    assert_eq!((id(row.last_full), id(row.last_done), id(row.run)), (Some(1), Some(2), Some(2)));
    assert_eq!(row.watermark, Some(after_noon(50)), "never backwards");
    let mut third = s.hold(incremental(3)).await;
    third.run.message = Some("it did not answer".into());
    third.try_end(RunState::Failed, None).await.unwrap();
    let row = s.source("s").await;
    assert_eq!((id(row.last_full), id(row.last_done), id(row.run.clone())), (Some(1), Some(2), Some(3)));
    assert_eq!((row.run, row.watermark), (Some(third.run), Some(after_noon(50))));
    let mut fourth = s.hold(begin("s", 4)).await;
    assert_eq!(fourth.run.since, None, "a full run reads everything");
    fourth.try_end(RunState::Done, Some(after_noon(60))).await.unwrap();
    let row = s.source("s").await;
    assert_eq!((id(row.last_full), id(row.last_done), row.watermark), (Some(4), Some(4), Some(after_noon(60))));
    let mut fifth = s.hold(begin("s", 5)).await;
    fifth.try_end(RunState::Done, Some(after_noon(30))).await.unwrap();
    assert_eq!(s.source("s").await.watermark, Some(after_noon(30)), "a full run puts right what was too late");
    let mut sixth = s.hold(begin("s", 6)).await;
    sixth.try_end(RunState::Failed, None).await.unwrap();
    assert_eq!(s.source("s").await.watermark, Some(after_noon(30)), "one that failed does not know");
}

/// As long as the run goes on or waits; not after its end, and an abandoned one's not after the next has begun. However many
/// pages those were, and only those of that source.
pub async fn what_was_seen_is_kept_until_the_run_has_ended(s: &Subject) {
    const PAGES: u32 = 230;
    let mut other = s.hold(begin("other", 7)).await;
    other.page(many(50_000..50_003, "x")).await;
    let mut holder = s.hold(begin("s", 1)).await;
    for page in 0..PAGES {
        holder.page(many(page..page + 1, "x")).await;
    }
    // A page of which nothing could be read but the keys.
    let unread: Vec<[u8; 16]> = ["u1", "u2"].map(key_hash).to_vec();
    let page = haat_sources::ports::WritePage { seen: unread.clone(), ..holder.write(Vec::new()) };
    holder.run = s.sources.write_page(page).await.unwrap().0;
    let mut expected: Vec<[u8; 16]> = (0..PAGES).map(|n| key_hash(&format!("k{n:05}"))).collect();
    expected.extend(unread);
    assert_eq!(s.sources.seen("s", holder.run.id).await.unwrap(), expected);
    holder.try_end(RunState::Failed, None).await.unwrap();
    assert!(s.sources.seen("s", holder.run.id).await.unwrap().is_empty());

    let mut waiting = s.hold(begin("s", 2)).await;
    for page in 0..PAGES {
        waiting.page(many(page..page + 1, "x")).await;
    }
    waiting.try_end(RunState::AwaitingConfirmation, None).await.unwrap();
    assert_eq!(s.sources.seen("s", waiting.run.id).await.unwrap().len(), PAGES as usize);
    let next = s.hold(begin("s", 3)).await;
    assert!(s.sources.seen("s", waiting.run.id).await.unwrap().is_empty());
    next.done().await;
    assert_eq!(s.sources.seen("other", other.run.id).await.unwrap().len(), 3);
}

/// Before the first run as well as during one, which does not notice.
pub async fn an_order_to_a_breaker_is_kept(s: &Subject) {
    s.sources.order_breaker("s", BreakerOrder::ForceOpen).await.unwrap();
    let expected = SourceRow { name: "s".into(), breaker_order: BreakerOrder::ForceOpen, ..SourceRow::default() };
    assert_eq!(s.sources.sources().await.unwrap(), [expected]);
    let mut holder = s.hold(begin("s", 1)).await;
    assert_eq!(s.source("s").await.breaker_order, BreakerOrder::ForceOpen);
    for order in [BreakerOrder::ForceClosed, BreakerOrder::ForceClosed, BreakerOrder::Auto] {
        s.sources.order_breaker("s", order).await.unwrap();
        holder.page(vec![item("k1", "A", "a")]).await;
        let row = s.source("s").await;
        assert_eq!((row.breaker_order, row.run, row.items), (order, Some(holder.run.clone()), 1));
    }
    holder.done().await;
}

fn report(replica: &str, seconds: i64) -> BreakerReport {
    BreakerReport {
        replica: replica.into(),
        state: "half_open".into(),
        since: after_noon(-9),
        failure_rate: 0.55,
        slow_rate: 1.0 / 3.0,
        calls: 20,
        seen_at: after_noon(seconds),
    }
}

/// The newest of each replica and source; those that are too old are forgotten and do not come back.
pub async fn reports_of_breakers_are_given_until_they_are_old(s: &Subject) {
    assert!(s.sources.breaker_reports(after_noon(0)).await.unwrap().is_empty());
    for (source, of) in [("b", report("r1", 1)), ("a", report("r2", 9)), ("a", report("r1", 5)), ("a", report("r1", 6))]
    {
        s.sources.report_breaker(source, &of).await.unwrap();
    }
    let all = [("a".to_owned(), report("r1", 6)), ("a".into(), report("r2", 9)), ("b".into(), report("r1", 1))];
    assert_eq!(s.sources.breaker_reports(after_noon(1)).await.unwrap(), all);
    assert_eq!(s.sources.breaker_reports(after_noon(2)).await.unwrap(), all[..2]);
    assert_eq!(s.sources.breaker_reports(after_noon(1)).await.unwrap(), all[..2], "forgotten");
    assert!(s.sources.sources().await.unwrap().is_empty(), "a report makes no source");
}
