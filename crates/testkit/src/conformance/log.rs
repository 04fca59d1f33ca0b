//! The change log.

use std::collections::BTreeSet;

use haat_catalog::ports::Compaction;
use haat_catalog::{ChangeOp, Product, Seq};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Subject, after_noon, batch, create, delete, draft, patch, put};

/// What, in which order, when, and to which version.
pub async fn every_write_has_one_row_in_order(s: &Subject) {
    let made = s.done(create(draft("A", "a"), 1)).await;
    let changed = s.done(haat_catalog::write::WriteRequest { now: after_noon(5), ..put(draft("A", "b"), 2) }).await;
    let gone = s.done(delete("A")).await;
    let changes = s.changes().await;
    let told: Vec<_> = changes.iter().map(|c| (c.seq, c.op, c.version)).collect();
    let expected =
        [(made.seq, ChangeOp::Created, 1), (changed.seq, ChangeOp::Updated, 2), (gone.seq, ChangeOp::Deleted, 2)];
    assert_eq!(told, expected);
    assert!(changes.iter().all(|c| c.id == made.id && c.sku.as_str() == "A"));
    assert_eq!(changes[1].at, after_noon(5));
    assert!(made.seq < changed.seq && changed.seq < gone.seq);
}

/// Nothing is told of what was not done.
pub async fn a_refused_write_has_no_row(s: &Subject) {
    s.refused(delete("A")).await;
    s.done(create(draft("A", "a"), 1)).await;
    s.refused(create(draft("A", "a"), 2)).await;
    s.refused(patch("A", json!({"price": null}))).await;
    assert_eq!(s.changes().await.len(), 1);
    assert_eq!(s.log.head().await.unwrap(), s.changes().await[0].seq, "and no place is taken");
}

/// From any place, in pages of any size, the rest comes without gap and repeat.
pub async fn reading_resumes_anywhere(s: &Subject) {
    s.batch(batch((0..25).map(|n| draft(&format!("S{n}"), "x")).collect(), 1)).await;
    let all = s.changes().await;
    for size in [1, 7, 25, 100] {
        for start in 0..all.len() {
            let after = start.checked_sub(1).map_or(0, |i| all[i].seq.0);
            let page = s.page(after, size).await;
            assert_eq!(page.changes, all[start..(start + size as usize).min(all.len())]);
            assert_eq!(page.head, all[24].seq);
        }
    }
    assert!(s.page(all[24].seq.0, 10).await.changes.is_empty());
    assert!(s.page(0, 0).await.changes.is_empty());
}

/// A follower gets what the product is, not what it was: the newest wins however late the row is read.
pub async fn documents_are_as_of_now(s: &Subject) {
    s.done(create(draft("A", "then"), 1)).await;
    s.done(patch("A", json!({"name": "now"}))).await;
    s.done(create(draft("B", "b"), 2)).await;
    s.done(delete("B")).await;
    let changes = s.changes().await;
    for change in &changes[..2] {
        let product = Product::from_json(change.document.as_ref().unwrap()).unwrap();
        assert_eq!((product.name.as_str(), product.version), ("now", 2));
    }
    assert!(changes[2..].iter().all(|change| change.document.is_none()));
}

/// Whoever has read up to the head has read everything.
pub async fn the_head_is_the_last_change(s: &Subject) {
    for n in 1..6 {
        s.done(create(draft(&format!("S{n}"), "x"), n)).await;
        let page = s.page(0, 100).await;
        assert_eq!(Some(page.head), page.changes.last().map(|c| c.seq));
        assert_eq!(s.log.head().await.unwrap(), page.head);
    }
    assert_eq!(s.page(0, 2).await.head, s.log.head().await.unwrap());
}

/// The sku stays, the id does not.
pub async fn deleted_and_made_again_is_told_in_order(s: &Subject) {
    s.done(create(draft("A", "1"), 1)).await;
    s.done(delete("A")).await;
    s.done(create(draft("A", "2"), 2)).await;
    let told: Vec<_> = s.changes().await.iter().map(|c| (c.op, c.document.is_some())).collect();
    assert_eq!(told, [(ChangeOp::Created, false), (ChangeOp::Deleted, false), (ChangeOp::Created, true)]);
}

/// A follower that reads while many write sees every place once, in order, each when it is final.
pub async fn concurrent_writers_leave_no_gap_and_no_repeat(s: &Subject) {
    const WRITERS: u64 = 8;
    const WRITES: u64 = 15;
    let mut writers = JoinSet::new();
    for w in 0..WRITERS {
        let s = s.clone();
        writers.spawn(async move {
            for n in 0..WRITES {
                let sku = format!("W{w}-{n}");
                if n % 3 == 2 {
                    let drafts = vec![draft(&sku, "x"), draft(&format!("{sku}b"), "y")];
                    s.batch(batch(drafts, 1_000_000 * (w + 1) + 10 * n)).await;
                } else {
                    s.done(create(draft(&sku, "x"), 1_000_000 * (w + 1) + 10 * n)).await;
                }
            }
        });
    }
    let total = WRITERS * (WRITES + WRITES / 3);
    let mut seen: Vec<Seq> = Vec::new();
    let mut products = BTreeSet::new();
    while (seen.len() as u64) < total {
        let page = s.page(seen.last().map_or(0, |seq| seq.0), 7).await;
        assert!(page.changes.last().is_none_or(|last| last.seq <= page.head));
        seen.extend(page.changes.iter().map(|c| c.seq));
        products.extend(page.changes.iter().map(|c| c.id));
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert_eq!(seen, (1..=total).map(Seq).collect::<Vec<_>>());
    assert_eq!(products.len() as u64, total);
}

/// What tells the log from others is the same before and after anything that is done to it.
pub async fn the_origin_stays_what_it_is(s: &Subject) {
    let origin = s.log.origin().await.unwrap();
    assert_ne!(origin, haat_catalog::Origin::default(), "it was drawn");
    s.done(create(draft("A", "a"), 1)).await;
    s.done(delete("A")).await;
    let policy = Compaction { keep_newest: 0, deletions_before: after_noon(9), followers_since: after_noon(9) };
    s.log.compact(policy).await.unwrap();
    assert_eq!(s.log.origin().await.unwrap(), origin);
}

/// Pages are bounded by bytes as well, a document is there once however many changes a page has of it, and nothing is
/// lost where a page is cut.
pub async fn a_page_of_large_products_is_cut_and_resumed(s: &Subject) {
    const MIB: usize = 1 << 20;
    let large = |sku: String| {
        let list = vec!["x".repeat(900); 80];
        let attributes: serde_json::Map<String, serde_json::Value> =
            (0..10).map(|n| (format!("a{n}"), list.clone().into())).collect();
        super::draft_with(&sku, "large", json!({"attributes": attributes}))
    };
    for n in 0..40 {
        s.done(create(large(format!("L{n:02}")), n + 1)).await;
    }
    for n in 0..60 {
        s.done(patch("L00", json!({"stock": n}))).await;
    }
    let (mut seen, mut at, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = s.page(at, 5_000).await;
        let Some(last) = page.changes.last() else { break };
        let mut documents: Vec<*const u8> =
            page.changes.iter().filter_map(|change| Some(change.document.as_ref()?.as_ptr())).collect();
        documents.sort_unstable();
        documents.dedup();
        assert!(documents.len() <= 40, "{} documents", documents.len());
        at = last.seq.0;
        seen.extend(page.changes.iter().map(|change| change.seq.0));
        pages += 1;
    }
    assert_eq!(seen, (1..=100).collect::<Vec<u64>>());
    assert!(pages >= 2, "{pages} pages of 30 MiB");
    let page = s.reader.scan(None, 5_000).await.unwrap();
    let bytes: usize = page.iter().map(|product| product.document.len()).sum();
    assert!((1..40).contains(&page.len()) && bytes < 24 * MIB, "{} products, {bytes} bytes", page.len());
    assert_eq!(s.products().await.len(), 40);
}
