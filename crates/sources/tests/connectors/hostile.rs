//! Upstreams that mean no good: nothing that they answer panics, and what is refused is refused with words of our own.

use haat_catalog::Timestamp;
use haat_sources::connector::ReadError;
use haat_sources::kinds::Connection;
use http::StatusCode;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::{answer, raw, source};

fn every_field() -> Connection {
    let settings = r#"
        base_url = "https://api.example/"
        [list]
        path = "products"
        items = "/a"
        total = "/b"
        pagination = { type = "cursor", pointer = "/c" }
        [item]
        path = "products/{key}"
        item = "/a"
        [fields]
        key = "/a"
        sku = "/b"
        order = "/c"
        updated_at = "/d"
        created_at = { pointer = "/a", format = "millis" }
        name = "/a"
        description = "/b"
        brand = { pointer = "/c", map = { a = "x" }, default = "y" }
        category = { pointer = "/a", split = ">" }
        tags = { pointer = "/b", each = "/a" }
        price = { pointer = "/c", unit = "major", currency = "EUR" }
        list_price = { pointer = "/d", unit = "minor", currency = { pointer = "/a" } }
        stock = "/d"
        rating = { pointer = "/a", scale = 100 }
        location = { lat = "/a", lon = "/b" }
        images = "/b"
        status = "/c"
        attributes = { all = "/a", one = { pointer = "/b", type = "integer" } }
        variants = { pointer = "/a", fields = { sku = "/a", stock = "/b", attributes = { all = "/c" } } }
    "#;
    source("rest", settings).unwrap()
}

fn commercetools() -> Connection {
    let settings = r#"
        api_url = "https://api.example"
        auth_url = "https://auth.example"
        project_key = "p"
        client_id = "c"
        client_secret = "s"
        locales = ["a"]
        currency = "EUR"
        brand_attribute = "a"
        supply_channel = "a"
    "#;
    source("commercetools", settings).unwrap()
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_i64..5).prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "EUR",
            "active",
            "2026-01-02T03:04:05Z",
            "9999-12-31T23:59:59.999999999Z",
            "1e400",
            "-0",
            "\0",
            "..",
            "https://evil.example/",
            "/a",
            "?a=b",
            "1.10",
            "1e-400",
            "category"
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

fn value(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 64, 6, move |inner| {
        let name = prop::sample::select(names.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

const LETTERS: &[&str] = &["a", "b", "c", "d"];
const WORDS: &[&str] = &[
    "id",
    "name",
    "masterVariant",
    "variants",
    "sku",
    "price",
    "value",
    "discounted",
    "centAmount",
    "currencyCode",
    "fractionDigits",
    "attributes",
    "images",
    "url",
    "availability",
    "availableQuantity",
    "channels",
    "categories",
    "obj",
    "ancestors",
    "parent",
    "a",
    "key",
    "label",
    "typeId",
    "version",
    "lastModifiedAt",
    "results",
    "limit",
];

/// Everything that can be asked of a connector, with that for an answer, an item and a kept place.
fn ask_everything(source: &Connection, value: &Value) -> Result<(), TestCaseError> {
    let connector = &*source.connector;
    for since in [None, Some(Timestamp::from_millis(i64::MIN)), Some(Timestamp::from_millis(0))] {
        let call = connector.list(since, Some(value));
        prop_assert_eq!(call.url.origin(), source.base_url.origin());
        let _ = connector.read_page(since, Some(value), &answer(value));
        if let Ok(page) = connector.read_page(since, None, &answer(value)) {
            let next = connector.list(since, page.next.as_ref());
            prop_assert_eq!(next.url.origin(), source.base_url.origin());
        }
    }
    let _ = connector.read_item(&answer(value));
    match connector.map(value) {
        Ok(mapped) => {
            prop_assert_eq!(connector.key(value), Some(mapped.item.key));
            // A product, or violations: the store asks the same.
            let _ = mapped.overlay.over(None);
        }
        Err(errors) => prop_assert!(!errors.is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
    #[test]
    fn no_document_panics_a_declared_source(value in value(LETTERS)) {
        ask_everything(&every_field(), &value)?;
    }

    #[test]
    fn no_document_panics_commercetools(value in value(WORDS)) {
        ask_everything(&commercetools(), &value)?;
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for source in [every_field(), commercetools()] {
            let _ = source.connector.read_page(None, None, &raw(StatusCode::OK, bytes.clone()));
            let _ = source.connector.read_item(&raw(StatusCode::OK, bytes.clone()));
        }
    }
}

#[rstest]
#[case::nothing("")]
#[case::cut_off(r#"{"a": [{"id": "#)]
#[case::a_page("<html>s3cret</html>")]
#[case::no_text("\u{0}\u{1}")]
#[case::too_large_a_number(r#"{"a": [1e999]}"#)]
#[case::wrong_type(r#"{"a": {"s3cret": 1}}"#)]
#[case::wrong_type_of_all("\"s3cret\"")]
#[case::absent("{}")]
fn what_is_no_page_is_refused_without_its_text(#[case] body: &'static str) {
    let refused = every_field().connector.read_page(None, None, &raw(StatusCode::OK, body)).unwrap_err();
    assert!(matches!(&refused, ReadError::Malformed(text) if !text.contains("s3cret")), "{refused}");
}

#[test]
fn a_body_nested_without_end_is_refused() {
    let body = format!("{{\"a\": {}", "[".repeat(1_000_000));
    assert!(every_field().connector.read_page(None, None, &raw(StatusCode::OK, body)).is_err());
}

#[test]
fn a_status_that_is_no_success_is_told() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY, StatusCode::FOUND] {
        let refused = every_field().connector.read_page(None, None, &raw(status, "{\"a\": []}")).unwrap_err();
        assert_eq!(refused, ReadError::Status(status));
    }
}

#[test]
fn of_members_that_repeat_the_last_one_counts() {
    let body = r#"{"a": 5, "a": [{"id": 1}]}"#;
    let page = every_field().connector.read_page(None, None, &raw(StatusCode::OK, body)).unwrap();
    assert_eq!(page.items, [json!({"id": 1})]);
}

#[test]
fn refusals_repeat_nothing_of_an_item() {
    let item = json!({"a": ["s3cret"], "b": " s3cret", "c": "s3cret", "d": "s3cret"});
    let errors = every_field().connector.map(&item).unwrap_err();
    assert!(errors.len() > 5 && errors.iter().all(|error| !error.detail.contains("s3cret")), "{errors:?}");
}
