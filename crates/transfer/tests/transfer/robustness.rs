//! Whatever the input: no panic, every record counted once, every error on the line where its record begins.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use haat_catalog::time::system;
use haat_transfer::{CsvMapping, Format, ImportReport, ImportSpec};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::market::{Market, gzip};

/// A store to try things on: every import here is a dry run.
static STAGE: LazyLock<(Runtime, Market)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let market = runtime.block_on(Market::open());
    (runtime, market)
});

fn dry_run(spec: ImportSpec, input: impl Read + Send + 'static) -> Option<ImportReport> {
    let (runtime, market) = &*STAGE;
    let (clock, ids) = system();
    let spec = ImportSpec { dry_run: true, max_errors: u64::MAX, batch: 7, ..spec };
    let input = Box::new(input);
    let import =
        haat_transfer::import(input, spec, market.store.clone(), clock, ids, &|_, _| {}, CancellationToken::new());
    runtime.block_on(import).ok()
}

/// Gives an input in pieces of odd sizes.
struct Pieces(std::io::Cursor<Vec<u8>>, Arc<[usize]>, usize);

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.2 += 1;
        let size = self.1[self.2 % self.1.len()].min(buf.len()).max(1);
        self.0.read(&mut buf[..size])
    }
}

fn check(report: &ImportReport, input: &[u8]) {
    let counts = report.counts;
    assert_eq!(counts.records, counts.created + counts.updated + counts.unchanged + counts.failed, "{report:?}");
    let lines = input.iter().filter(|b| **b == b'\n').count() as u64 + 1;
    assert!(report.errors.iter().all(|e| (1..=lines).contains(&e.line)), "{report:?}");
    assert!(report.errors.is_sorted_by_key(|e| e.line), "{report:?}");
    assert_eq!(counts.failed == 0, report.errors.is_empty(), "{report:?}");
}

fn mapping() -> CsvMapping {
    let rules = ["sku={id}", "name=t", "price=c:INR", "tags=t|;", "attributes.n=c:number", "category=t>u"];
    CsvMapping::parse(rules).unwrap()
}

/// Bytes that mean something to a reader, and some that do not.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\"".to_vec()),
        Just(b",".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\"\"".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        Just(b"{\"sku\":\"A\",\"name\":\"n\",\"price\":{\"amount\":1,\"currency\":\"INR\"}}".to_vec()),
        Just(b"1,2,3,4".to_vec()),
        "[ -~\\PC]{0,6}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A cell and how it is written: with quotes where it must be, or for the fun of it.
fn cell() -> impl Strategy<Value = (String, bool)> {
    (prop_oneof!["[a-z ,;\"\n\r]{1,8}", "\\PC{1,5}"].prop_map(|c| format!("x{c}x")), any::<bool>())
}

fn written((cell, fun): &(String, bool)) -> String {
    let must = cell.contains([',', '"', '\n', '\r']);
    if must || *fun { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(soup in soup(), packed in any::<bool>(), keep in 0.0..=1.0_f64) {
        let mut input = if packed { gzip(&soup) } else { soup.clone() };
        input.truncate((input.len() as f64 * keep).ceil() as usize);
        for spec in [
            ImportSpec::new(Format::Ndjson),
            ImportSpec::new(Format::Csv),
            ImportSpec { mapping: Some(mapping()), ..ImportSpec::new(Format::Csv) },
        ] {
            if let Some(report) = dry_run(spec, std::io::Cursor::new(input.clone())) {
                check(&report, &soup);
            }
        }
        let spec = ImportSpec { mapping: Some(mapping()), ..ImportSpec::new(Format::Csv) };
        let headed = [b"id,t,c,u\n".to_vec(), soup].concat();
        check(&dry_run(spec, std::io::Cursor::new(headed.clone())).unwrap(), &headed);
    }

    #[test]
    fn every_csv_error_is_on_the_line_where_its_row_begins(
        rows in vec((cell(), cell(), 0..4_u8, 0..3_usize), 1..30),
        crlf in any::<bool>(),
        mark in any::<bool>(),
        sizes in vec(1..40_usize, 1..6),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = format!("{}id,t,u,c{end}", if mark { "\u{feff}" } else { "" });
        let mut expected = Vec::new();
        for (i, (t, u, fault, blanks)) in rows.iter().enumerate() {
            let line = text.matches('\n').count() as u64 + 1;
            let (id, cost, more) = match fault {
                0 => (format!("R{i}"), "much", ""),
                1 => (format!("R{i}"), "5", ",surplus"),
                _ => (format!("R{i}"), "5", ""),
            };
            expected.extend((*fault < 2).then_some(line));
            text.push_str(&format!("{id},{},{},{cost}{more}{end}", written(t), written(u)));
            text.push_str(&end.repeat(*blanks));
        }
        let rules = ["sku=id", "name=t", "description=u", "price=c:INR"];
        let spec = ImportSpec { mapping: Some(CsvMapping::parse(rules).unwrap()), ..ImportSpec::new(Format::Csv) };
        let pieces = Pieces(std::io::Cursor::new(text.clone().into_bytes()), sizes.into(), 0);
        let report = dry_run(spec.clone(), pieces).unwrap();
        let lines: Vec<u64> = report.errors.iter().map(|e| e.line).collect();
        prop_assert_eq!(&lines, &expected, "{:?}\n{:?}", &report.errors, &text);
        prop_assert_eq!(report.counts.records, rows.len() as u64);
        // However the bytes arrive, the outcome is the same.
        let whole = dry_run(spec, std::io::Cursor::new(text.into_bytes())).unwrap();
        prop_assert_eq!((whole.counts, whole.errors), (report.counts, report.errors));
    }

    #[test]
    fn every_ndjson_error_is_on_its_line(
        kinds in vec(0..5_u8, 1..60),
        crlf in any::<bool>(),
        packed in any::<bool>(),
        sizes in vec(1..40_usize, 1..6),
    ) {
        let (mut text, mut expected, mut records) = (String::new(), Vec::new(), 0);
        for (i, kind) in kinds.iter().enumerate() {
            let line = match kind {
                0 => String::new(),
                1 => "{\"sku\":".to_owned(),
                2 => format!("{{\"sku\":\"P{i}\",\"name\":\"\",\"price\":{{\"amount\":1,\"currency\":\"INR\"}}}}"),
                _ => format!("{{\"sku\":\"P{i}\",\"name\":\"n\",\"price\":{{\"amount\":1,\"currency\":\"INR\"}}}}"),
            };
            text.push_str(&line);
            text.push_str(if crlf { "\r\n" } else { "\n" });
            records += u64::from(*kind != 0);
            expected.extend((1..=2).contains(kind).then_some(i as u64 + 1));
        }
        let input = if packed { gzip(text.as_bytes()) } else { text.into_bytes() };
        let report = dry_run(ImportSpec::new(Format::Ndjson), Pieces(std::io::Cursor::new(input), sizes.into(), 0)).unwrap();
        let lines: Vec<u64> = report.errors.iter().map(|e| e.line).collect();
        prop_assert_eq!(lines, expected);
        prop_assert_eq!(report.counts.records, records);
    }

    #[test]
    fn any_rule_is_read_without_a_panic(rule in "[a-z_.]{0,12}:?=?[a-z\"{}|:>,@= é]{0,12}", file in "\\PC{0,40}") {
        let _ = CsvMapping::parse([&rule]);
        let _ = CsvMapping::parse(["sku=a", "name=b", "price=c:INR", &format!("brand={rule}")]);
        let _ = CsvMapping::from_toml(&file, [""; 0]);
        let _ = CsvMapping::from_toml(&format!("[fields]\n{rule}"), [&rule]);
    }
}
