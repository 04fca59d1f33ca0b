//! Reading products.

use haat_catalog::product::ProductKey;
use haat_catalog::{Product, Seq};

use super::{Subject, batch, create, delete, draft, put};
use crate::clock::test_id;

/// An empty store answers every question with nothing.
pub async fn an_empty_store_has_nothing(s: &Subject) {
    assert!(s.product("A").await.is_none());
    assert!(s.reader.product(&ProductKey::Id(test_id(1))).await.unwrap().is_none());
    assert!(s.reader.scan(None, 10).await.unwrap().is_empty());
    assert_eq!(s.reader.count().await.unwrap(), 0);
    assert_eq!(s.log.head().await.unwrap(), Seq(0));
    let page = s.page(0, 10).await;
    assert!(page.changes.is_empty());
    assert_eq!(page.head, Seq(0));
}

/// Both keys lead to the same product.
pub async fn a_product_is_found_by_id_and_by_sku(s: &Subject) {
    let receipt = s.done(create(draft("A-1", "Apple"), 1)).await;
    s.done(create(draft("B-1", "Banana"), 2)).await;
    let by_sku = s.product("A-1").await.unwrap();
    let by_id = s.reader.product(&ProductKey::Id(receipt.id)).await.unwrap().unwrap();
    assert_eq!(Product::from_json(&by_id.document).unwrap(), by_sku);
    assert_eq!(by_sku.name, "Apple");
    assert!(s.product("C-1").await.is_none());
}

/// Neither case nor accents nor composition make two skus the same.
pub async fn skus_are_compared_byte_by_byte(s: &Subject) {
    let skus = ["cafe", "CAFE", "Cafe", "café", "cafe\u{301}", "ß", "ss", "a b", "a  b", "日本", "🥭"];
    for (i, sku) in (1..).zip(skus) {
        s.done(create(draft(sku, sku), i)).await;
    }
    for sku in skus {
        assert_eq!(s.product(sku).await.unwrap().name, sku);
    }
    assert_eq!(s.reader.count().await.unwrap(), skus.len() as u64);
    // The same for batches.
    let outcomes = s.batch(batch(skus.map(|sku| draft(sku, sku)).to_vec(), 100)).await;
    assert!(outcomes.iter().all(|o| *o == haat_catalog::write::BatchOutcome::Unchanged), "{outcomes:?}");
}

/// Pages of a scan, joined, are all products in order of id, whatever the size of a page.
pub async fn scanning_gives_every_product_once_in_order_of_id(s: &Subject) {
    for n in [5, 3, 9, 1, 7, 2, 8, 4, 6] {
        s.done(create(draft(&format!("S{n}"), "x"), n)).await;
    }
    s.done(delete("S4")).await;
    for size in [1, 2, 3, 8, 9, 100] {
        let mut found = Vec::new();
        while let page = s.reader.scan(found.last().copied(), size).await.unwrap()
            && !page.is_empty()
        {
            assert!(page.len() <= size as usize);
            found.extend(page.iter().map(|stored| stored.id));
        }
        assert_eq!(found, [1, 2, 3, 5, 6, 7, 8, 9].map(test_id));
    }
}

/// Creating and deleting count, changing does not.
pub async fn the_count_follows_every_write(s: &Subject) {
    let count = async || s.reader.count().await.unwrap();
    s.done(create(draft("A", "a"), 1)).await;
    s.batch(batch(vec![draft("A", "other"), draft("B", "b"), draft("C", "c")], 10)).await;
    assert_eq!(count().await, 3);
    s.done(put(draft("B", "changed"), 20)).await;
    assert_eq!(count().await, 3);
    s.done(delete("B")).await;
    s.refused(delete("B")).await;
    s.refused(create(draft("A", "again"), 21)).await;
    assert_eq!(count().await, 2);
}
