//! NDJSON: the product format as it is, a line a product.

use haat_transfer::{CsvMapping, ImportError, ImportSpec};
use rstest::rstest;

use haat_transfer::spec::MAX_RECORD_BYTES;

use crate::market::{Market, counts, errors, gzip, line, lines, mapped, ndjson};

#[tokio::test]
async fn good_lines_are_kept_and_bad_ones_named_by_line_and_field() {
    let market = Market::open().await;
    let input = [
        line("A"),
        "{\"sku\":\"B\",\"nmae\":\"x\",\"price\":{\"amount\":1.5,\"currency\":\"INR\"}}\n".into(),
        "not json\n".into(),
        "\n  \t\n".into(),
        line("C"),
        "[1]\n".into(),
        "{\"sku\":\"D\",\"name\":\"d\",\"price\":{\"amount\":NaN,\"currency\":\"INR\"}}\n".into(),
        "{\"sku\":\"E\",\"name\":\"e\",\"price\":{\"amount\":1e400,\"currency\":\"INR\"}}".into(),
    ]
    .concat();
    let report = market.import(ndjson(), input).await.unwrap();
    assert_eq!(report.counts, counts(7, 2, 0, 0, 5));
    assert_eq!(report.stopped, None);
    assert_eq!(market.skus().await, ["A", "C"]);
    let found = errors(&report);
    for expected in [
        "2 /nmae: unknown member; did you mean 'name'?",
        "2 /name: 'name' is required",
        "2 /price/amount: must be an integer",
        "3 : not JSON at column 2: expected ident",
        "7 : a product is a JSON object, not an array",
        "8 : not JSON at column",
        "9 : not JSON at column",
    ] {
        assert!(found.iter().any(|e| e.starts_with(expected)), "{expected} in {found:#?}");
    }
}

#[tokio::test]
async fn an_import_of_the_same_file_again_changes_nothing_and_logs_nothing() {
    let market = Market::open().await;
    let spec = ImportSpec { batch: 100, ..ndjson() };
    let first = market.import(spec.clone(), lines(0..1050)).await.unwrap();
    assert_eq!(first.counts, counts(1050, 1050, 0, 0, 0));
    let head = market.store.head().await.unwrap();
    let again = market.import(spec.clone(), lines(0..1050)).await.unwrap();
    assert_eq!(again.counts, counts(1050, 0, 0, 1050, 0));
    assert_eq!(market.store.head().await.unwrap(), head);
    let changed = lines(0..1050).replace("Name of P000007", "Other").replace("Name of P001000", "Other");
    let third = market.import(spec, changed + &line("NEW")).await.unwrap();
    assert_eq!(third.counts, counts(1051, 1, 2, 1048, 0));
}

#[tokio::test]
async fn a_sku_that_repeats_is_an_error_of_the_later_line() {
    let market = Market::open().await;
    let broken = "{\"sku\":\"B\"}\n".to_owned();
    // In batches of one, so that it is found whether or not the two meet in a batch.
    let spec = ImportSpec { batch: 1, ..ndjson() };
    let report = market.import(spec, [line("A"), broken, line("C"), line("A"), line("B")].concat()).await.unwrap();
    assert_eq!(report.counts, counts(5, 3, 0, 0, 2));
    assert!(errors(&report).contains(&"4 /sku: the sku 'A' is already on line 1 of this input".to_owned()));
    // The broken line 2 does not take the sku away from line 5.
    assert_eq!(market.skus().await, ["A", "C", "B"]);
}

#[rstest]
#[case::byte_order_mark([b"\xef\xbb\xbf".to_vec(), line("A").into_bytes(), line("B").into_bytes()].concat())]
#[case::crlf((line("A") + &line("B")).replace('\n', "\r\n").into_bytes())]
#[case::no_line_end((line("A") + &line("B")).trim_end().as_bytes().to_vec())]
#[case::blank_lines(format!("\n\n{}  \r\n\n{}\n\n", line("A"), line("B")).into_bytes())]
#[case::spaces(format!("  {}\t {}", line("A"), line("B")).into_bytes())]
#[tokio::test]
async fn line_ends_blank_lines_and_byte_order_marks_do_not_matter(#[case] input: Vec<u8>) {
    for input in [gzip(&input), input] {
        let market = Market::open().await;
        let report = market.import(ndjson(), input).await.unwrap();
        assert_eq!(report.counts, counts(2, 2, 0, 0, 0), "{:?}", report.errors);
    }
}

#[tokio::test]
async fn broken_utf_8_is_an_error_of_its_line() {
    let market = Market::open().await;
    let mut bad = line("B").into_bytes();
    bad[10] = 0xff;
    let input = [line("A").into_bytes(), bad, line("C").into_bytes()].concat();
    let report = market.import(ndjson(), input).await.unwrap();
    assert_eq!(report.counts, counts(3, 2, 0, 0, 1));
    assert_eq!(errors(&report), ["2 : byte 11 of the line is not UTF-8; save the file in UTF-8"]);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_an_error_and_the_next_one_is_read() {
    let market = Market::open().await;
    let huge = format!("{{\"sku\":\"{}\"}}\n", "x".repeat(MAX_RECORD_BYTES));
    let report = market.import(ndjson(), [line("A"), huge.clone(), line("B"), huge].concat()).await.unwrap();
    assert_eq!(report.counts, counts(4, 2, 0, 0, 2));
    let too_long = |line| format!("{line} : the line is longer than {MAX_RECORD_BYTES} bytes");
    assert_eq!(errors(&report), [too_long(2), too_long(4)]);
}

#[tokio::test]
async fn what_is_no_ndjson_says_so() {
    let market = Market::open().await;
    let report = market.import(ndjson(), "[\n").await.unwrap();
    assert!(errors(&report)[0].contains("a JSON array is not NDJSON"));
    let utf_16 = market.import(ndjson(), [0xff, 0xfe, b'{', 0].to_vec()).await.unwrap_err();
    assert!(utf_16.to_string().contains("UTF-16"), "{utf_16}");
    let zip = market.import(ndjson(), b"PK\x03\x04....".to_vec()).await.unwrap_err();
    assert!(zip.to_string().contains("spreadsheet"), "{zip}");
    let mapped = mapped(&["sku=a", "name=b", "price=c:INR"]);
    let mapping = market.import(ImportSpec { format: ndjson().format, ..mapped }, line("A")).await;
    assert_eq!(mapping.unwrap_err(), ImportError::MappingWithoutCsv);
    assert_eq!(market.import(ndjson(), "").await.unwrap().counts, counts(0, 0, 0, 0, 0));
    assert!(market.products().await.is_empty());
}

#[test]
fn a_spec_survives_being_kept_as_json() {
    let mapping = CsvMapping::parse(["sku=G-{a}", "name=b", "price=\"c,d\":INR", "attributes.x:=\"1\""]).unwrap();
    let spec = ImportSpec {
        mapping: Some(mapping),
        dry_run: true,
        max_errors: 7,
        ..mapped(&["sku=a", "name=b", "price=c:INR"])
    };
    let json = serde_json::to_value(&spec).unwrap();
    assert_eq!(serde_json::from_value::<ImportSpec>(json).unwrap(), spec);
}
