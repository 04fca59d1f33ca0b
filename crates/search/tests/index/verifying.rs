//! Verification tells apart what is missing, what is surplus, what is different and what is merely on its way.

use std::collections::BTreeSet;

use haat_testkit::generate::Generator;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_after_the_index_stopped_is_pending() {
    let stage = Stage::new().await;
    let mut generator = Generator::new(1);
    let products = generator.products(100);
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    stage.delete(&products[0].sku).await;
    let mut changed = products[1].clone();
    changed.name.push_str(" (new)");
    stage.put(changed).await;
    stage.put(generator.product()).await;
    let report = stage.verify().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.pending, report.documents, report.products), (3, 100, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_although_every_document_can_be_read() {
    let stage = Stage::new().await;
    stage.import(&Generator::new(3).products(200)).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    assert!(stage.verify().await.is_clean());
    let generation = stage.dir().join(std::fs::read_to_string(stage.dir().join("CURRENT")).unwrap());
    let files = std::fs::read_dir(generation).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "fast")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    // Wherever it is, in values or where the file says how it is made up, which tantivy cannot open then.
    for place in (0..whole.len() * 9 / 10).step_by(whole.len() / 25) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let report = stage.verify().await;
        assert!(!report.is_clean());
        assert_eq!(report.damaged.as_ref(), Some(&file), "damaged at {place} of {}", whole.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_does_not_explain_is_named() {
    let (stage, other) = (Stage::new().await, Stage::new().await);
    let mut generator = Generator::new(2);
    let mut products = generator.products(50);
    stage.import(&products).await;
    let running = stage.start().await;
    running.ready().await;
    running.stop().await;
    // Another store with nearly the same products under the same ids, and the same number of changes.
    let gone = products.remove(0);
    products[0].name.push_str(" (new)");
    let (different, new) = (products[0].clone(), generator.product());
    products.push(new.clone());
    other.import(&products).await;
    let report = haat_search::verify(&stage.dir(), other.store.clone(), other.store.clone(), &|_| {}).await.unwrap();
    assert_eq!(report.surplus, [gone.id]);
    assert_eq!(report.missing, [new.id]);
    assert!(report.different.contains(&different.id), "{report:?}");
    assert!(!report.is_clean());
    let named: BTreeSet<_> = report.missing.iter().chain(&report.surplus).chain(&report.different).collect();
    assert_eq!(named.len(), report.missing.len() + report.surplus.len() + report.different.len());
}
