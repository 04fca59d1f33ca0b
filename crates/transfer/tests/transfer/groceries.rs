//! A real catalogue: 27,555 rows from a grocer's shelves, with the oddities of the field. `HAAT_TEST_DATA` names its
//! folder; without it these tests skip and say so.

use std::collections::BTreeSet;
use std::path::PathBuf;

use haat_transfer::{CsvMapping, Format, ImportSpec};
use serde_json::json;

use crate::market::{Market, counts, csv, errors};

fn groceries() -> Option<Vec<u8>> {
    let named = std::env::var_os("HAAT_TEST_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")));
    let file = folder.join("groceries.csv");
    let read = std::fs::read(&file).ok();
    if read.is_none() {
        eprintln!("skipped: no groceries.csv in {} (set HAAT_TEST_DATA)", folder.display());
    }
    read
}

/// The mapping that docs/importing.md shows, out of that page.
fn documented_mapping() -> CsvMapping {
    let page = include_str!("../../../../docs/importing.md");
    let file = page.split("```toml").find(|block| block.contains("# groceries.toml")).unwrap();
    CsvMapping::from_toml(file.split("```").next().unwrap(), [""; 0]).unwrap()
}

/// The same as flags, out of the same page.
fn documented_flags() -> CsvMapping {
    let page = include_str!("../../../../docs/importing.md");
    let command = page.split("```sh").find(|block| block.contains("haat import groceries.csv --map '")).unwrap();
    let command = command.split("```").next().unwrap();
    let flags =
        command.split("--map ").skip(1).map(|flag| flag.trim_matches(|c: char| c.is_whitespace() || "\\'".contains(c)));
    CsvMapping::parse(flags).unwrap()
}

#[tokio::test]
async fn every_row_of_the_real_file_is_imported_but_the_one_without_a_name() {
    let Some(file) = groceries() else { return };
    let market = Market::open().await;
    let spec = ImportSpec { mapping: Some(documented_mapping()), ..csv() };
    let report = market.import(spec.clone(), file.clone()).await.unwrap();
    assert_eq!(report.counts, counts(27_555, 27_554, 0, 0, 1));
    // Row 14,364, on line 14,366: two names before it are written over two lines.
    assert_eq!(errors(&report), ["14366 product: 'name' is required, and the cell is empty"]);

    let products = market.products().await;
    let product = |sku: &str| products.iter().find(|p| p["sku"] == sku).unwrap();
    let oil = product("G-1");
    assert_eq!(oil["brand"], "Sri Sri Ayurveda");
    assert_eq!(oil["category"], json!(["Beauty & Hygiene", "Hair Care", "Hair Oil & Serum"]));
    assert_eq!(oil["price"], json!({"amount": 22_000, "currency": "INR"}));
    assert_eq!(product("G-6378")["name"], "Unsweetened Peanut Butter Creamy");
    assert_eq!(product("G-9766")["brand"], json!(null));
    assert_eq!(products.iter().filter(|p| p["rating"].is_null()).count(), 8626);

    let head = market.store.head().await.unwrap();
    let again = market.import(spec, file).await.unwrap();
    assert_eq!(again.counts, counts(27_555, 0, 0, 27_554, 1));
    assert_eq!(market.store.head().await.unwrap(), head);
}

#[tokio::test]
async fn the_real_catalogue_survives_an_export_and_import_in_both_formats() {
    let Some(file) = groceries() else { return };
    let market = Market::open().await;
    let sorted = |mapping: CsvMapping| mapping.rules().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(documented_flags()), sorted(documented_mapping()));
    let spec = ImportSpec { mapping: Some(documented_flags()), ..csv() };
    market.import(spec, file).await.unwrap();
    for format in [Format::Csv, Format::Ndjson] {
        let exported = market.export(format, true).await;
        let report = market.import(ImportSpec::new(format), exported).await.unwrap();
        assert_eq!(report.counts, counts(27_554, 0, 0, 27_554, 0), "{format}: {:?}", report.errors);
    }
}
