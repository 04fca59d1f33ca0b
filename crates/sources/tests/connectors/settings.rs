//! A mistake in the settings names its key and what to write instead, and repeats no secret.

use rstest::rstest;

use haat_sources::live::LiveField;

use super::{all_of, source};

const REST: &str = r#"
base_url = "https://api.example/"
auth = { type = "header", name = "X-Api-Key", value = "s3cret" }
[list]
path = "products"
query = { status = "published" }
pagination = { type = "page", parameter = "page", size_parameter = "per_page", size = 100 }
[item]
path = "products/{key}"
[fields]
key = "/id"
sku = "/sku"
price = { pointer = "/price", unit = "major", currency = "EUR" }
"#;

const COMMERCETOOLS: &str = r#"
api_url = "https://api.europe-west1.gcp.commercetools.com"
auth_url = "https://auth.europe-west1.gcp.commercetools.com"
project_key = "shop"
client_id = "id"
client_secret = "s3cret"
locales = ["en"]
currency = "EUR"
"#;

#[test]
fn settings_without_mistakes_make_a_source() {
    let rest = source("rest", REST).unwrap();
    assert!(rest.oauth2.is_none() && !rest.connector.is_incremental());
    let commercetools = source("commercetools", COMMERCETOOLS).unwrap();
    let oauth2 = commercetools.oauth2.unwrap();
    assert_eq!(oauth2.token_url.as_str(), "https://auth.europe-west1.gcp.commercetools.com/oauth/token");
    assert_eq!(oauth2.scopes, ["view_published_products:shop"]);
    assert!(!format!("{oauth2:?}").contains("s3cret"));
}

#[rstest]
#[case("base_url = \"https://api.example/\"", "base_url = \"https://api.example/v2\"", true)]
#[case("status = \"published\"", "status = \"sold\"", true)]
#[case("path = \"products\"", "path = \"products\"\nitems = \"/results\"", true)]
#[case("parameter = \"page\",", "parameter = \"p\",", true)]
#[case("size = 100", "size = 50", true)]
#[case("products/{key}", "products/{sku}", true)]
#[case("path = \"products/{key}\"", "path = \"products/{key}\"\nquery = { status = \"published\" }", true)]
#[case("key = \"/id\"", "key = \"/code\"", true)]
#[case("value = \"s3cret\"", "value = \"n3w\"", false)]
#[case("unit = \"major\"", "unit = \"minor\"", false)]
fn what_is_listed_asked_for_and_called_how_makes_the_fingerprint(
    #[case] before: &str,
    #[case] now: &str,
    #[case] differs: bool,
) {
    let fingerprint = |settings: &str| source("rest", settings).unwrap().connector.fingerprint();
    assert!(REST.contains(before));
    assert_eq!(fingerprint(REST), fingerprint(REST));
    assert_eq!(fingerprint(REST) != fingerprint(&REST.replacen(before, now, 1)), differs);
}

#[rstest]
#[case("country = \"AT\"", true)]
#[case("page_size = 20", true)]
#[case("overlap = \"9m\"", false)]
fn so_it_is_with_a_project_of_commercetools(#[case] more: &str, #[case] differs: bool) {
    let fingerprint = |settings: &str| source("commercetools", settings).unwrap().connector.fingerprint();
    assert_eq!(fingerprint(COMMERCETOOLS) != fingerprint(&format!("{COMMERCETOOLS}{more}")), differs);
}

#[rstest]
#[case("key = \"/id\"", "key = \"/id\"\norder = \"/version\"", true)]
#[case("key = \"/id\"", "key = \"/id\"\nupdated_at = \"/modified\"", true)]
#[case("https://api.example/", "https://api.example/v2", true)]
#[case("status = \"published\"", "status = \"sold\"", false)]
#[case("key = \"/id\"", "key = \"/code\"", false)]
fn what_says_how_new_an_item_is_makes_the_fingerprint_of_orders(
    #[case] before: &str,
    #[case] now: &str,
    #[case] differs: bool,
) {
    let fingerprint = |settings: &str| source("rest", settings).unwrap().connector.order_fingerprint();
    assert!(REST.contains(before));
    assert_eq!(fingerprint(REST) != fingerprint(&REST.replacen(before, now, 1)), differs);
    let versions = "key = \"/id\"\norder = \"/version\"";
    let ordered = fingerprint(&REST.replacen("key = \"/id\"", versions, 1));
    let both = REST.replacen("key = \"/id\"", &format!("{versions}\nupdated_at = \"/modified\""), 1);
    assert_eq!(fingerprint(&both), ordered, "the time of change counts only where there is no order");
}

#[rstest]
#[case("path = \"products\"", "pth = \"products\"", "list.pth", "did you mean `path`?")]
#[case("[fields]", "[felds]", "felds", "did you mean `fields`?")]
#[case("\"https://api.example/\"", "\"api.example\"", "base_url", "https://")]
#[case("type = \"page\"", "type = \"pages\"", "list.pagination.type", "did you mean `page`?")]
#[case("size = 100", "size = \"100\"", "list.pagination.size", "a whole number")]
#[case("size = 100", "size = 0", "list.pagination.size", "at least 1")]
#[case("size_parameter = \"per_page\", ", "", "list.pagination.size_parameter", "needs a parameter")]
#[case("parameter = \"page\", ", "", "list.pagination.parameter", "missing")]
#[case("key = \"/id\"", "", "fields.key", "missing")]
#[case("key = \"/id\"", "key = 5", "fields.key", "a JSON Pointer in quotes")]
#[case("key = \"/id\"", "key = \"id\"", "fields.key", "\"/id\"")]
#[case("key = \"/id\"", "key = { pinter = \"/id\" }", "fields.key.pinter", "did you mean `pointer`?")]
#[case("sku = \"/sku\"", "sku = \"/sku\"\ncolour = \"/c\"", "fields.colour", "there are")]
#[case("unit = \"major\"", "unit = \"cents\"", "fields.price.unit", "minor, major")]
#[case("currency = \"EUR\"", "currency = \"EURO\"", "fields.price.currency", "ISO 4217")]
#[case("products/{key}", "products/{kye}", "item.path", "{key}")]
#[case("value = \"s3cret\"", "value = 5", "auth.value", "in quotes")]
#[case("type = \"header\"", "type = \"basic\"", "auth.name", "header")]
#[case("[item]", "[list.since]\nparameter = \"since\"\n[item]", "list.since", "fields.updated_at")]
#[case(
    "[item]",
    "[list.since]\nparameter = \"since\"\noverlap = \"5 minutes\"\n[item]",
    "list.since.overlap",
    "such as \"5m\""
)]
fn a_mistake_is_named(#[case] right: &str, #[case] wrong: &str, #[case] key: &str, #[case] remedy: &str) {
    assert!(REST.contains(right), "{right}");
    let error = source("rest", &REST.replacen(right, wrong, 1)).map(drop).unwrap_err();
    assert!(error.key == key && error.detail.contains(remedy), "{error}");
    assert!(!error.to_string().contains("s3cret"));
}

#[rstest]
#[case("locales = [\"en\"]", "locales = []", "locales")]
#[case("locales = [\"en\"]", "", "locales")]
#[case("currency = \"EUR\"", "currency = \"euro\"", "currency")]
#[case("project_key = \"shop\"", "project_key = \"a/b\"", "project_key")]
#[case("project_key = \"shop\"", "project_key = \"shop\"\npage_size = 501", "page_size")]
#[case("client_secret = \"s3cret\"", "client_secret = \"\"", "client_secret")]
#[case("https://auth.europe", "ftp://auth.europe", "auth_url")]
fn a_mistake_in_commercetools_is_named(#[case] right: &str, #[case] wrong: &str, #[case] key: &str) {
    let error = source("commercetools", &COMMERCETOOLS.replacen(right, wrong, 1)).map(drop).unwrap_err();
    assert_eq!(error.key, key, "{error}");
}

/// One after the other would be one start after the other.
#[test]
fn all_mistakes_are_told_at_once() {
    let keys = |kind: &str, settings: &str, wrong: &[(&str, &str)]| {
        let settings =
            wrong.iter().fold(settings.to_owned(), |settings, (right, wrong)| settings.replacen(right, wrong, 1));
        let faults = all_of(kind, &settings).map(drop).unwrap_err();
        faults.into_iter().map(|fault| fault.key).collect::<Vec<_>>()
    };
    let misread =
        [("path = \"products\"", "pth = \"products\""), ("key = \"/id\"", "key = 5"), ("base_url = ", "bas_url = ")];
    assert_eq!(keys("rest", REST, &misread), ["bas_url", "fields.key", "list.pth"]);
    let meaningless = [
        ("https://api.example/", "api.example"),
        ("size = 100", "size = 0"),
        ("products/{key}", "products/{kye}"),
        ("key = \"/id\"", "key = \"id\""),
        ("currency = \"EUR\"", "currency = \"EURO\""),
    ];
    let told = ["base_url", "list.pagination.size", "item.path", "fields.key", "fields.price.currency"];
    assert_eq!(keys("rest", REST, &meaningless), told);
    let project = [("\"shop\"", "\"a/b\""), ("[\"en\"]", "[]"), ("EUR", "euro"), ("https://auth", "ftp://auth")];
    assert_eq!(keys("commercetools", COMMERCETOOLS, &project), ["locales", "currency", "project_key", "auth_url"]);
}

/// They would be asked for with every request, and never be had.
#[test]
fn what_can_never_be_live_is_known_from_the_settings() {
    let live = |kind: &str, settings: &str| {
        let connector = source(kind, settings).unwrap().connector;
        LiveField::ALL.into_iter().filter(|field| connector.never_live(*field).is_none()).collect::<Vec<_>>()
    };
    assert_eq!(live("rest", REST), [LiveField::Price]);
    let stock = REST.replacen("key = \"/id\"", "key = \"/id\"\nstock = \"/stock\"", 1);
    assert_eq!(live("rest", &stock), [LiveField::Stock, LiveField::Price]);
    assert_eq!(live("rest", &stock.replacen("[item]\npath = \"products/{key}\"\n", "", 1)), []);
    let project = [LiveField::Stock, LiveField::Price, LiveField::ListPrice, LiveField::Status];
    assert_eq!(live("commercetools", COMMERCETOOLS), project);
}

#[test]
fn a_kind_that_does_not_exist_is_named_with_the_one_that_was_meant() {
    assert!(source("rset", "").map(drop).unwrap_err().detail.contains("did you mean \"rest\"?"));
    assert!(source("shopify", "").map(drop).unwrap_err().detail.contains("commercetools, rest"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let header = "auth = { type = \"header\", name = \"X-Api-Key\", value = \"s3cret\" }";
    for wrong in ["auth = \"s3cret\"", "auth = { type = \"s3cret\" }", "auth = [\"s3cret\"]", "base_url2 = \"s3cret\""]
    {
        let error = source("rest", &REST.replacen(header, wrong, 1)).map(drop).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn the_examples_of_the_reference_make_sources() {
    let reference = include_str!("../../../../docs/sources.md");
    let examples: Vec<&str> = reference.split("```toml").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let document: toml::Table = toml::from_str(example).unwrap();
        for settings in document["sources"].as_array().unwrap() {
            let mut settings = settings.as_table().unwrap().clone();
            settings.remove("name");
            let kind = settings.remove("kind").unwrap();
            source(kind.as_str().unwrap(), &toml::to_string(&settings).unwrap()).map(drop).unwrap();
        }
    }
}
