//! A commercetools project: how it is asked, and what its projections become.

use haat_catalog::{Sku, Timestamp};
use haat_outbound::{Answer, Call};
use haat_sources::kinds::Connection;
use haat_sources::live::LiveField;
use haat_sources::run::Mode;
use http::StatusCode;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::{answer, parameter, raw, read_all, source};

fn project(more: &str) -> Connection {
    let settings = format!(
        r#"
        api_url = "https://api.example.com"
        auth_url = "https://auth.example.com"
        project_key = "shop"
        client_id = "id"
        client_secret = "s3cret"
        locales = ["de-AT", "de", "en"]
        currency = "EUR"
        {more}
        "#
    );
    source("commercetools", &settings).unwrap()
}

/// A projection of everything that is mapped.
fn projection() -> Value {
    serde_json::from_str(include_str!("projection.json")).unwrap()
}

#[test]
fn a_projection_becomes_a_product_field_by_field() {
    let connector = project("brand_attribute = \"maker\"").connector;
    let item = projection();
    let mapped = connector.map(&item).unwrap();
    assert_eq!(connector.key(&item).as_deref(), Some("0e6f2e5b-6a2c-4b1e-9c4d-1f4f3f0f7a01"));
    assert_eq!(mapped.item.key, "0e6f2e5b-6a2c-4b1e-9c4d-1f4f3f0f7a01");
    assert_eq!((mapped.item.sku.as_str(), mapped.item.order), ("CHAIR-1", Some(14)));
    assert_eq!(mapped.changed_at, Some("2026-03-04T05:06:07.089Z".parse().unwrap()));
    assert!(mapped.overlay.attributes.is_empty());
    let product = json!({
        "name": "Stuhl",
        "description": "A chair of oak.",
        "brand": "Tischlerei Huber",
        "category": ["Möbel", "Sitzen", "Stühle"],
        "price": {"amount": 7_950, "currency": "EUR"},
        "list_price": {"amount": 9_900, "currency": "EUR"},
        "stock": 12,
        "images": ["https://img.example.com/chair-1.jpg", "https://img.example.com/chair-2.jpg"],
        "attributes": {
            "maker": "Tischlerei Huber", "organic": true, "weight": 6.5, "origin": "Österreich", "wood": "oak", "colour": "Natur",
            "care": "Nur trocken abwischen.", "deposit": 500, "supplier": "7b0f8d52-0000-4000-8000-000000000001",
            "sizes": ["Klein", "Groß"], "codes": ["a", "b"], "released": "2026-01-02", "empty": [],
        },
        "variants": [
            {"sku": "CHAIR-2", "price": {"amount": 10_900, "currency": "EUR"}, "stock": 0, "attributes": {"wood": "ash"}},
            {"sku": "CHAIR-3", "attributes": {}},
        ],
        "status": "active",
        "created_at": "2026-01-02T03:04:05Z",
    });
    assert_eq!(json!(mapped.overlay.members), product);
    let product = mapped.overlay.over(None).unwrap();
    assert_eq!((product.name.as_str(), product.variants.len()), ("Stuhl", 2));
}

#[test]
fn changes_of_stock_come_with_full_runs_alone() {
    let connector = project("").connector;
    for field in LiveField::ALL {
        assert!(connector.carries(field, Mode::Full));
        assert_eq!(connector.carries(field, Mode::Incremental), field != LiveField::Stock, "{field}");
    }
}

#[test]
fn what_is_not_there_is_taken_away() {
    let mut item = projection();
    for gone in ["description", "categories", "createdAt", "variants", "attributes"] {
        item.as_object_mut().unwrap().remove(gone);
    }
    for gone in ["images", "attributes", "availability"] {
        item["masterVariant"].as_object_mut().unwrap().remove(gone);
    }
    item["masterVariant"]["price"].as_object_mut().unwrap().remove("discounted");
    item["published"] = json!(false);
    let members = json!(project("").connector.map(&item).unwrap().overlay.members);
    for (name, value) in [
        ("description", json!(null)),
        ("category", json!([])),
        ("created_at", json!(null)),
        ("variants", json!([])),
        ("images", json!([])),
        ("attributes", json!({})),
        ("stock", json!(null)),
        ("list_price", json!(null)),
        ("price", json!({"amount": 9_900, "currency": "EUR"})),
        ("status", json!("draft")),
    ] {
        assert_eq!(members[name], value, "{name}");
    }
    assert!(members.get("brand").is_none(), "what is not declared is not touched");
}

#[test]
fn stock_may_be_that_of_a_channel_and_attributes_those_that_are_named() {
    let settings = "supply_channel = \"c-1\"\nattributes = [\"wood\", \"weight\"]";
    let members = json!(project(settings).connector.map(&projection()).unwrap().overlay.members);
    assert_eq!(members["stock"], json!(3));
    assert_eq!(members["attributes"], json!({"wood": "oak", "weight": 6.5}));
}

#[rstest]
#[case::no_sku("/masterVariant", json!({}), "/masterVariant/sku")]
#[case::no_price("/masterVariant/price", json!(null), "/masterVariant/price")]
#[case::no_name("/name", json!({"fr": "Chaise"}), "/name")]
#[case::no_object("/name", json!("Stuhl"), "/name")]
#[case::precise("/masterVariant/price/value", json!({"type": "highPrecision", "currencyCode": "EUR", "centAmount": 1, "preciseAmount": 12_345, "fractionDigits": 4}), "/masterVariant/price/value/fractionDigits")]
#[case::negative("/masterVariant/price/value/centAmount", json!(-1), "/masterVariant/price/value/centAmount")]
#[case::fraction("/masterVariant/price/value/centAmount", json!(1.5), "/masterVariant/price/value/centAmount")]
#[case::currency("/masterVariant/price/value/currencyCode", json!("???"), "/masterVariant/price/value/currencyCode")]
#[case::discounted("/masterVariant/price/discounted/value/fractionDigits", json!(3), "/masterVariant/price/discounted/value/fractionDigits")]
#[case::variant("/variants/1/sku", json!(null), "/variants/1/sku")]
#[case::variants("/variants", json!({}), "/variants")]
#[case::image("/masterVariant/images/1", json!({"url": 7}), "/masterVariant/images/1/url")]
#[case::stock("/masterVariant/availability/availableQuantity", json!("many"), "/masterVariant/availability/availableQuantity")]
#[case::version("/version", json!("new"), "/version")]
#[case::changed("/lastModifiedAt", json!("now"), "/lastModifiedAt")]
#[case::unexpanded("/categories", json!([{"typeId": "category", "id": "c"}]), "/categories/0/obj")]
#[case::broken_path("/categories/0/obj/ancestors", json!([]), "/categories/0/obj/ancestors")]
fn what_cannot_be_understood_is_refused_at_its_place(#[case] at: &str, #[case] value: Value, #[case] named: &str) {
    let mut item = projection();
    *item.pointer_mut(at).unwrap() = value;
    let errors = project("").connector.map(&item).unwrap_err();
    assert!(errors.iter().any(|error| error.pointer == named), "{errors:?}");
    assert!(errors.iter().all(|error| error.key == "0e6f2e5b-6a2c-4b1e-9c4d-1f4f3f0f7a01"));
}

#[test]
fn parents_that_go_round_end() {
    let mut item = projection();
    let id = item["categories"][0]["obj"]["ancestors"][0]["id"].clone();
    item["categories"][0]["obj"]["ancestors"][0]["obj"]["parent"] = json!({"typeId": "category", "id": id});
    assert!(project("").connector.map(&item).is_err());
}

#[test]
fn the_list_is_asked_for_by_key_with_prices_and_categories() {
    let connector = project("country = \"AT\"\nchannel = \"c-1\"\npage_size = 2").connector;
    let call = connector.list(None, None);
    assert_eq!(
        call.url.as_str(),
        "https://api.example.com/shop/product-projections?withTotal=false&expand=categories%5B%2A%5D.ancestors%5B%2A%5D\
         &priceCurrency=EUR&priceCountry=AT&priceChannel=c-1&limit=2&sort=id%20asc"
    );
    let page = json!({"limit": 2, "results": [{"id": "a"}, {"id": "b\"\\"}]});
    let next = connector.read_page(None, None, &answer(&page)).unwrap().next;
    assert_eq!(parameter(&connector.list(None, next.as_ref()), "where").unwrap(), r#"id > "b\"\\""#);
    let item = connector.item("some\"id", &Sku::new("x").unwrap()).unwrap();
    assert_eq!(parameter(&item, "where").unwrap(), r#"id = "some\"id""#);
    assert_eq!(parameter(&item, "priceCurrency").as_deref(), Some("EUR"));
}

/// A project in memory, with as much of the query language as is used.
struct Project(Vec<Value>);

impl Project {
    fn new(times: &[i64]) -> Self {
        let product = |(n, at): (usize, &i64)| {
            // Ids in another order than that of the changes.
            json!({"id": format!("{:04x}", n * 7_919 % 65_521), "lastModifiedAt": time(*at)})
        };
        Self(times.iter().enumerate().map(product).collect())
    }

    fn matches(product: &Value, condition: &str) -> bool {
        let text = |name: &str| product[name].as_str().unwrap();
        condition.split(" or ").any(|one_of| {
            one_of.trim_matches(['(', ')']).split(" and ").all(|comparison| {
                let mut parts = comparison.splitn(3, ' ');
                let (name, operator, value) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
                let value = value.trim_matches('"');
                match operator {
                    ">" => text(name) > value,
                    ">=" => text(name) >= value,
                    "=" => text(name) == value,
                    other => panic!("{other}"),
                }
            })
        })
    }

    fn ask(&self, call: &Call) -> Answer {
        let condition = parameter(call, "where");
        let mut found: Vec<&Value> =
            self.0.iter().filter(|p| condition.as_ref().is_none_or(|c| Self::matches(p, c))).collect();
        let sorts: Vec<String> =
            call.url.query_pairs().filter(|(name, _)| name == "sort").map(|(_, sort)| sort.into_owned()).collect();
        found.sort_by_key(|p| {
            let by = |sort: &String| p[sort.strip_suffix(" asc").unwrap()].as_str().unwrap().to_owned();
            sorts.iter().map(by).collect::<Vec<_>>()
        });
        let limit: usize = parameter(call, "limit").unwrap().parse().unwrap();
        found.truncate(limit);
        answer(&json!({"limit": limit, "count": found.len(), "results": found}))
    }
}

fn time(seconds: i64) -> String {
    haat_sources::declared::convert::MomentFormat::Rfc3339.write(Timestamp::from_millis(seconds * 500))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn every_product_is_read_once(times in proptest::collection::vec(0_i64..6, 0..40), size in 1_usize..9, since in 0_i64..7) {
        let upstream = Project::new(&times);
        let connector = project(&format!("page_size = {size}\noverlap = \"1s\"")).connector;
        let ids = |items: &[Value]| {
            let mut ids: Vec<String> = items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
            ids.sort();
            ids
        };
        let (all, _) = read_all(&*connector, None, |call| upstream.ask(call)).unwrap();
        prop_assert_eq!(ids(&all), ids(&upstream.0));
        let watermark = Timestamp::from_millis(since * 500);
        let (changed, _) = read_all(&*connector, Some(watermark), |call| upstream.ask(call)).unwrap();
        let from = time(since - 2);
        let newer: Vec<Value> =
            upstream.0.iter().filter(|p| p["lastModifiedAt"].as_str().unwrap() >= from.as_str()).cloned().collect();
        prop_assert_eq!(ids(&changed), ids(&newer));
    }
}

#[rstest]
#[case::unsorted(json!([{"id": "b"}, {"id": "a"}]))]
#[case::repeated(json!([{"id": "a"}, {"id": "a"}]))]
#[case::without_id(json!([{"key": "a"}]))]
#[case::no_objects(json!([1, 2]))]
fn a_list_that_could_not_be_read_on_is_refused(#[case] results: Value) {
    let connector = project("page_size = 2").connector;
    assert!(connector.read_page(None, None, &answer(&json!({"results": results, "limit": 2}))).is_err());
}

#[test]
fn an_upstream_that_does_not_heed_where_is_noticed() {
    let connector = project("page_size = 2").connector;
    let page = answer(&json!({"results": [{"id": "a"}, {"id": "b"}], "limit": 2}));
    let next = connector.read_page(None, None, &page).unwrap().next.unwrap();
    assert!(connector.read_page(None, Some(&next), &page).is_err());
}

#[test]
fn a_place_kept_by_a_full_run_is_none_of_an_incremental_one() {
    let connector = project("page_size = 1").connector;
    let page = answer(&json!({"results": [{"id": "a"}], "limit": 1}));
    let next = connector.read_page(None, None, &page).unwrap().next.unwrap();
    assert!(connector.read_page(Some(Timestamp::from_millis(0)), Some(&next), &page).is_err());
}

#[test]
fn a_single_product_is_the_result_or_none() {
    let connector = project("").connector;
    let one = json!({"results": [{"id": "a"}]});
    assert_eq!(connector.read_item(&answer(&one)).unwrap(), Some(json!({"id": "a"})));
    assert_eq!(connector.read_item(&answer(&json!({"results": []}))).unwrap(), None);
    // The project is not there, which says nothing of the product.
    assert!(connector.read_item(&raw(StatusCode::NOT_FOUND, "{}")).is_err());
    assert!(connector.read_item(&answer(&json!({"results": [{}, {}]}))).is_err());
    assert!(connector.read_item(&answer(&json!({}))).is_err());
}
