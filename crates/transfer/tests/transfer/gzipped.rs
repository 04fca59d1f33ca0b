//! Gzip: detected by its first bytes, in one member or several, whole or cut off.

use haat_transfer::{ImportSpec, StopCause};

use crate::market::{Market, counts, csv, gzip, lines, ndjson};

#[tokio::test]
async fn several_members_are_one_input() {
    let market = Market::open().await;
    let text = lines(0..300);
    // Cut in the middle of a line, as tools that write block by block do.
    let (first, second) = text.as_bytes().split_at(text.len() / 2 + 3);
    let report = market.import(ndjson(), [gzip(first), gzip(b""), gzip(second)].concat()).await.unwrap();
    assert_eq!(report.counts, counts(300, 300, 0, 0, 0));
    assert_eq!(report.stopped, None);
}

#[tokio::test]
async fn a_cut_off_file_keeps_the_records_before_the_cut_and_says_where_it_is() {
    let whole = gzip(lines(0..30_000).as_bytes());
    for keep in [whole.len() / 2, whole.len() - 9, whole.len() - 4] {
        let market = Market::open().await;
        let report = market.import(ndjson(), &whole[..keep]).await.unwrap();
        assert_eq!(report.cause, Some(StopCause::Input));
        let records = report.counts.records;
        assert_eq!(report.counts, counts(records, records, 0, 0, 0));
        assert!(records > 1000, "{records}");
        assert_eq!(
            report.stopped.unwrap(),
            format!("the gzip data is cut off after line {records}; the records up to there were read")
        );
        assert_eq!(market.skus().await.len() as u64, records);
    }
}

#[tokio::test]
async fn a_cut_off_csv_never_takes_half_a_row_for_a_row() {
    let header = "sku,name,price.amount,price.currency,stock\n";
    let rows: String = (0..20_000).map(|i| format!("P{i},Name {i},100,INR,123456789\n")).collect();
    let whole = gzip((header.to_owned() + &rows).as_bytes());
    let market = Market::open().await;
    let report = market.import(csv(), &whole[..whole.len() / 2]).await.unwrap();
    assert_eq!(report.cause, Some(StopCause::Input));
    assert_eq!(report.counts.failed, 0);
    assert!(market.products().await.iter().all(|p| p["stock"] == 123_456_789));
    let last = report.counts.records + 1;
    assert!(report.stopped.unwrap().contains(&format!("cut off after line {last};")));
}

#[tokio::test]
async fn damaged_and_empty_gzip_says_so() {
    let market = Market::open().await;
    let mut damaged = gzip(lines(0..5000).as_bytes());
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20].fill(0xff);
    let report = market.import(ImportSpec { max_errors: u64::MAX, ..ndjson() }, damaged).await.unwrap();
    assert_eq!(report.cause, Some(StopCause::Input));
    assert!(report.stopped.unwrap().starts_with("the gzip data is damaged"));

    let report = market.import(ndjson(), [0x1f, 0x8b].to_vec()).await.unwrap();
    assert_eq!(report.stopped.unwrap(), "the gzip data is cut off before the first record");
    let report = market.import(ndjson(), gzip(b"")).await.unwrap();
    assert_eq!((report.counts, report.stopped), (counts(0, 0, 0, 0, 0), None));
}
