//! Exports, and that importing one changes nothing.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::GzDecoder;
use haat_catalog::ports::{ProductReader, StoreError, StoredProduct};
use haat_catalog::product::{ProductId, ProductKey, limits};
use haat_testkit::generate::Generator;
use haat_transfer::{ExportError, Format, ImportSpec};
use serde_json::json;

use crate::market::{Market, Shared, counts, csv, ndjson};

/// Products with everything that could get lost on the way through a spreadsheet.
fn odd_products() -> String {
    let odd = [
        json!({"name": " white space \n and lines\r\n ", "description": "a \"quote\", a comma;\ttab"}),
        json!({"description": "", "category": ["a | b", "c >d"], "tags": ["a|b", "c"], "unit": "[kg]"}),
        json!({"category": ["[x]"], "tags": ["[1]"], "images": ["https://example.org/?a|b", "http://example.org/ "]}),
        json!({"category": ["A>", "B"], "tags": [" spaced ", "in  side"], "brand": "two\nlines"}),
        json!({"attributes": {"f": 1.0, "i": 1, "t": "1", "b": false, "l": [1, "1", true], "e": "", "s": " x "}}),
        json!({"location": {"lat": 18.520_430_000_000_003, "lon": -73.856_743_999_999_99}, "rating": 4.299_999_999_999_999}),
        json!({"variants": [{"sku": "V1", "name": "5 kg", "price": {"amount": 5, "currency": "EUR"}, "attributes": {"w": 5}},
                            {"sku": "V,2", "stock": 0}], "stock": 0}),
        json!({"status": "archived", "created_at": "2020-02-29T23:59:59.123Z", "list_price": {"amount": 0, "currency": "JPY"}}),
        json!({"name": "\u{feff}=SUM(A1)", "description": "   ", "seller": "Ünïcödé 🥭"}),
    ];
    let mut text = String::new();
    for (i, product) in odd.into_iter().enumerate() {
        let mut whole =
            json!({"sku": format!("ODD {i}, \"x\""), "name": "n", "price": {"amount": 100, "currency": "INR"}});
        whole.as_object_mut().unwrap().extend(product.as_object().unwrap().clone());
        text.push_str(&format!("{whole}\n"));
    }
    text
}

async fn stocked() -> Market {
    let market = Market::open().await;
    let drawn = Generator::new(7).products(2500);
    let text: String = drawn.iter().map(|p| String::from_utf8(p.to_json()).unwrap() + "\n").collect();
    let report = market.import(ndjson(), odd_products() + &text).await.unwrap();
    assert_eq!(report.counts, counts(2509, 2509, 0, 0, 0), "{:?}", report.errors);
    market
}

#[tokio::test]
async fn importing_an_export_changes_nothing() {
    let market = stocked().await;
    let head = market.store.head().await.unwrap();
    for format in Format::ALL {
        for gzip in [false, true] {
            let exported = market.export(format, gzip).await;
            let report = market.import(ImportSpec::new(format), exported).await.unwrap();
            assert_eq!(report.counts, counts(2509, 0, 0, 2509, 0), "{format}: {:?}", report.errors);
        }
    }
    assert_eq!(market.store.head().await.unwrap(), head);
}

#[tokio::test]
async fn the_longest_product_that_can_be_stored_comes_back_from_either_format() {
    let market = Market::open().await;
    // Of all texts these grow most on the way: what JSON escapes, CSV doubles.
    let text = "\"\\".repeat(499);
    let mut attributes = serde_json::Map::new();
    let product = |attributes: &serde_json::Map<_, _>| {
        let least = json!({"sku": "L", "name": "long", "price": {"amount": 1, "currency": "INR"}});
        let mut product = least.as_object().unwrap().clone();
        product.insert("attributes".into(), attributes.clone().into());
        serde_json::Value::Object(product).to_string() + "\n"
    };
    let room =
        |attributes: &serde_json::Map<_, _>| limits::DOCUMENT_BYTES.saturating_sub(product(attributes).len() + 2_000);
    for n in 0..room(&attributes) / 210_000 {
        attributes.insert(format!("a{n:03}"), json!(vec![&text; 100]));
    }
    while room(&attributes) > 2_000 {
        let items = (room(&attributes) / 1_010).min(100);
        attributes.insert(format!("b{:03}", attributes.len()), json!(vec!["x".repeat(1_000); items]));
    }
    let report = market.import(ndjson(), product(&attributes)).await.unwrap();
    assert_eq!(report.counts, counts(1, 1, 0, 0, 0), "{:?}", report.errors);
    let longest = market.export(Format::Ndjson, false).await.len();
    assert!(longest > limits::DOCUMENT_BYTES - 5_000, "{longest}");
    for format in Format::ALL {
        let report = market.import(ImportSpec::new(format), market.export(format, false).await).await.unwrap();
        assert_eq!(report.counts, counts(1, 0, 0, 1, 0), "{format}: {:?}", report.errors);
    }
}

#[tokio::test]
async fn numbers_of_many_digits_come_back_to_the_last_bit() {
    let market = Market::open().await;
    // Neighbours of 18.5 with all their digits: a JSON reader that rounds twice gets one in eight of them wrong. CSV
    // cells are read otherwise, so that this starts from the right numbers.
    let rows: String = (0..2000_u64)
        .map(|i| format!("P{i},n,1,INR,{},0\n", f64::from_bits(18.5_f64.to_bits() + i * 7_919_317)))
        .collect();
    let header = "sku,name,price.amount,price.currency,location.lat,location.lon\n";
    market.import(csv(), header.to_owned() + &rows).await.unwrap();
    for format in Format::ALL {
        let report = market.import(ImportSpec::new(format), market.export(format, false).await).await.unwrap();
        assert_eq!(report.counts, counts(2000, 0, 0, 2000, 0), "{format}");
    }
}

#[tokio::test]
async fn an_export_fills_an_empty_catalogue_with_the_same_products() {
    let market = stocked().await;
    for format in Format::ALL {
        let other = Market::open().await;
        let report = other.import(ImportSpec::new(format), market.export(format, false).await).await.unwrap();
        assert_eq!(report.counts.created, 2509, "{:?}", report.errors);
        let stamped = |mut p: serde_json::Value| {
            let o = p.as_object_mut().unwrap();
            o.remove("updated_at");
            p
        };
        let mut ours: Vec<_> = market.products().await.into_iter().map(stamped).collect();
        let theirs: Vec<_> = other.products().await.into_iter().map(stamped).collect();
        ours.iter_mut().for_each(|p| p["version"] = 1.into());
        assert_eq!(ours, theirs, "{format}");
    }
}

#[tokio::test]
async fn ndjson_has_the_documents_as_they_are_stored_in_order_of_id() {
    let market = stocked().await;
    let mut expected = Vec::new();
    let mut after = None;
    loop {
        let page = market.store.scan(after, 700).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for product in page {
            expected.extend_from_slice(&product.document);
            expected.push(b'\n');
        }
    }
    assert!(market.export(Format::Ndjson, false).await == expected);
    let mut unpacked = Vec::new();
    GzDecoder::new(market.export(Format::Ndjson, true).await.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == expected);
}

#[tokio::test]
async fn every_member_of_a_product_has_a_column() {
    let market = stocked().await;
    let exported = String::from_utf8(market.export(Format::Csv, false).await).unwrap();
    let header: Vec<&str> = exported.lines().next().unwrap().split(',').collect();
    let mut members: Vec<&str> = header.iter().map(|column| column.split('.').next().unwrap()).collect();
    members.dedup();
    assert_eq!(members, haat_catalog::product::MEMBERS);
    // Each column is written somewhere, or it would be lost without a word.
    let mut rows = csv_rows(&exported);
    let mut filled = vec![false; header.len()];
    rows.drain(..1);
    for row in rows {
        for (filled, cell) in filled.iter_mut().zip(row) {
            *filled |= !cell.is_empty();
        }
    }
    let empty: Vec<&&str> = header.iter().zip(&filled).filter(|(_, f)| !**f).map(|(h, _)| h).collect();
    assert!(empty.is_empty(), "{empty:?}");
}

/// Another reader than the one under test.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn an_empty_catalogue_exports_nothing_but_the_header() {
    let market = Market::open().await;
    assert!(market.export(Format::Ndjson, false).await.is_empty());
    let header = market.export(Format::Csv, false).await;
    assert_eq!(header.iter().filter(|b| **b == b'\n').count(), 1);
    assert_eq!(market.import(csv(), header).await.unwrap().counts, counts(0, 0, 0, 0, 0));
}

#[tokio::test]
async fn progress_is_told_and_an_output_that_fails_is_an_error() {
    let market = stocked().await;
    let told = AtomicU64::new(0);
    let reader: Arc<dyn ProductReader> = market.store.clone();
    let out = Box::new(Shared::default());
    let observe = |n| told.store(n, Ordering::Relaxed);
    let count = haat_transfer::export(reader.clone(), Format::Csv, false, out, &observe).await.unwrap();
    assert_eq!((count, told.into_inner()), (2509, 2509));

    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = haat_transfer::export(reader, Format::Ndjson, false, Box::new(Full), &|_| {}).await.unwrap_err();
    assert!(matches!(error, ExportError::Output(e) if e.kind() == std::io::ErrorKind::StorageFull));
}

/// A store whose second page cannot be read.
struct HalfReadable(Arc<dyn ProductReader>);

#[async_trait::async_trait]
impl ProductReader for HalfReadable {
    async fn product(&self, key: &ProductKey) -> Result<Option<StoredProduct>, StoreError> {
        self.0.product(key).await
    }
    async fn scan(&self, after: Option<ProductId>, limit: u32) -> Result<Vec<StoredProduct>, StoreError> {
        match after {
            None => self.0.scan(after, limit).await,
            Some(_) => Err(StoreError::Unavailable("gone".into())),
        }
    }
    async fn count(&self) -> Result<u64, StoreError> {
        self.0.count().await
    }
}

#[tokio::test]
async fn an_export_that_fails_half_way_does_not_look_whole() {
    let market = stocked().await;
    let out = Shared::default();
    let reader = Arc::new(HalfReadable(market.store.clone()));
    let result = haat_transfer::export(reader, Format::Ndjson, true, Box::new(out.clone()), &|_| {}).await;
    assert!(matches!(result, Err(ExportError::Store(StoreError::Unavailable(_)))));
    // The writing thread lets go of the output when it has seen that nothing more comes.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while Arc::strong_count(&out.0) > 1 {
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let written = out.0.lock().unwrap().clone();
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(written.as_slice()).read_to_end(&mut unpacked);
    assert!(read.is_err() || unpacked.is_empty(), "{} bytes read as a whole file", unpacked.len());
}
