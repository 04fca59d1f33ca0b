//! What an item of a declared source becomes, and how a single one is asked for.

use haat_catalog::Sku;
use haat_sources::kinds::Connection;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Value, json};

use super::{answer, raw, source};

fn shop() -> Connection {
    let settings = r#"
        base_url = "https://api.example/v2/"
        auth = { type = "basic", username = "haat", password = "s3cret" }
        headers = { accept = "application/vnd.shop+json" }
        [list]
        path = "products"
        items = "/results"
        [item]
        path = "products/{sku}"
        query = { id = "{key}" }
        item = "/product"
        [fields]
        key = "/id"
        sku = "/sku"
        updated_at = "/modified"
        created_at = { pointer = "/made", format = "seconds" }
        name = "/title"
        description = "/text"
        brand = { pointer = "/brand", default = "No name" }
        category = { pointer = "/categories", each = "/name" }
        tags = { pointer = "/tags", split = "," }
        price = { pointer = "/price/now", unit = "major", currency = { pointer = "/price/currency" } }
        list_price = { pointer = "/price/before", unit = "minor", currency = "EUR" }
        stock = "/stock"
        unit = { constant = "piece" }
        rating = { pointer = "/stars", scale = 10 }
        seller = "/seller"
        location = { lat = "/geo/lat", lon = "/geo/lng" }
        images = { pointer = "/pictures", each = "/url" }
        status = { pointer = "/on", map = { true = "active", false = "archived" } }
        attributes = { weight_g = { pointer = "/weight", type = "number" }, colour = "/colour" }
        [fields.variants]
        pointer = "/variants"
        [fields.variants.fields]
        sku = "/sku"
        name = "/title"
        price = { pointer = "/cents", unit = "minor", currency = "EUR" }
        stock = "/stock"
        attributes = { all = "/options" }
    "#;
    source("rest", settings).unwrap()
}

fn item() -> Value {
    json!({"id": 17, "sku": "A-1", "modified": "2026-01-02T03:04:05.678Z", "made": 86_400, "title": "Rice", "text": "White.",
        "categories": [{"name": "Food"}, {"name": "Rice"}], "tags": "organic, long ,", "price": {"now": "19.99", "currency":
        "EUR", "before": 2_500}, "stock": "37", "stars": 9, "seller": "Green Acre", "geo": {"lat": 18.52, "lng": "73.86"},
        "pictures": [{"url": "https://img.example/a.jpg"}], "on": true, "weight": "1000", "unknown": {"to": "us"},
        "variants": [{"sku": "A-2", "title": "5 kg", "cents": 9_000, "stock": 4, "options": {"weight_g": 5_000, "bag": null}}]})
}

#[test]
fn an_item_becomes_a_product_field_by_field() {
    let connector = shop().connector;
    let mapped = connector.map(&item()).unwrap();
    assert_eq!((mapped.item.key.as_str(), mapped.item.sku.as_str()), ("17", "A-1"));
    assert_eq!(connector.key(&item()).as_deref(), Some("17"));
    // Without a version the time of change is what tells old from new.
    assert_eq!(mapped.item.order, Some(1_767_323_045_678));
    assert_eq!(mapped.changed_at.map(|at| at.as_millis()), Some(1_767_323_045_678));
    let members = json!({"created_at": "1970-01-02T00:00:00Z", "name": "Rice", "description": "White.", "brand": "No name",
        "category": ["Food", "Rice"], "tags": ["organic", "long"], "price": {"amount": 1_999, "currency": "EUR"},
        "list_price": {"amount": 2_500, "currency": "EUR"}, "stock": 37, "unit": "piece", "rating": 4.5,
        "seller": "Green Acre", "location": {"lat": 18.52, "lon": 73.86}, "images": ["https://img.example/a.jpg"],
        "status": "active", "variants": [{"sku": "A-2", "name": "5 kg", "price": {"amount": 9_000, "currency": "EUR"},
        "stock": 4, "attributes": {"weight_g": 5_000}}]});
    assert_eq!(json!(mapped.overlay.members), members);
    assert_eq!(json!(mapped.overlay.attributes), json!({"weight_g": 1_000, "colour": null}));
    let product = mapped.overlay.over(None).unwrap();
    assert_eq!((product.price.amount, product.variants.len(), product.attributes.len()), (1_999, 1, 1));
}

#[test]
fn what_is_absent_or_null_is_taken_away_and_only_what_is_declared_is_touched() {
    let item = json!({"id": "k", "sku": "A-1", "title": "Rice", "price": {"now": 1, "currency": "EUR"}, "stock": null, "on": false});
    let members = json!(shop().connector.map(&item).unwrap().overlay.members);
    for gone in ["description", "category", "tags", "list_price", "stock", "rating", "location", "images", "variants"] {
        assert_eq!(members.get(gone), Some(&Value::Null), "{gone}");
    }
    assert_eq!(members["status"], "archived");
    assert!(members.get("attributes").is_none());
}

#[test]
fn everything_that_does_not_fit_is_named_at_once() {
    let item = json!({"id": "k", "sku": " A", "title": ["x"], "price": {"now": "1.999", "currency": "EUR"}, "stock": 1.5,
        "on": "maybe", "geo": {"lat": 1}, "weight": {}, "modified": 5, "variants": [{"cents": "x"}, {"sku": "B", "stock": []}]});
    let errors = shop().connector.map(&item).unwrap_err();
    let mut at: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    at.sort_unstable();
    assert_eq!(
        at,
        [
            "/geo/lng",
            "/modified",
            "/on",
            "/price/now",
            "/sku",
            "/stock",
            "/title",
            "/variants/0/cents",
            "/variants/0/sku",
            "/variants/1/stock",
            "/weight"
        ]
    );
    assert!(errors.iter().all(|error| error.key == "k" && error.detail.starts_with('`')), "{errors:?}");
}

#[test]
fn what_a_product_cannot_be_without_is_required() {
    let errors = shop().connector.map(&json!({"on": true})).unwrap_err();
    let at: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(at, ["/id", "/sku", "/title", "/price/now"]);
    assert_eq!(errors[0].key, "");
    assert_eq!(shop().connector.key(&json!({})), None);
    assert_eq!(shop().connector.key(&json!({"id": "x".repeat(256)})), None);
}

#[test]
fn a_single_item_is_asked_for_by_its_key_and_its_sku() {
    let connector = shop().connector;
    let call = connector.item("a/b", &Sku::new("x y").unwrap()).unwrap();
    assert_eq!(call.url.as_str(), "https://api.example/v2/products/x%20y?id=a%2Fb");
    assert!(connector.item("k", &Sku::new("..").unwrap()).is_none());
    assert_eq!(connector.read_item(&answer(&json!({"product": {"id": 1}}))).unwrap(), Some(json!({"id": 1})));
    for nothing in [
        answer(&json!({})),
        answer(&json!({"product": null})),
        answer(&json!({"product": []})),
        raw(StatusCode::NOT_FOUND, ""),
        raw(StatusCode::GONE, "<html>"),
    ] {
        assert_eq!(connector.read_item(&nothing).unwrap(), None);
    }
    for wrong in
        [answer(&json!({"product": 5})), answer(&json!({"product": [{}, {}]})), raw(StatusCode::BAD_GATEWAY, "")]
    {
        assert!(connector.read_item(&wrong).is_err());
    }
}

#[test]
fn every_call_carries_its_credentials_and_shows_them_to_nobody() {
    let shop = shop();
    let calls = [shop.connector.list(None, None), shop.connector.item("k", &Sku::new("s").unwrap()).unwrap()];
    for call in calls {
        assert_eq!(call.headers[AUTHORIZATION], "Basic aGFhdDpzM2NyZXQ=");
        assert!(call.headers[AUTHORIZATION].is_sensitive());
        assert_eq!(call.headers[ACCEPT], "application/vnd.shop+json");
        assert!(!format!("{call:?} {:?}", call.headers).contains("aGFhdDpzM2NyZXQ"));
    }
}
