//! Bad query strings: each is refused with a problem that names the parameter; none makes the server stumble.

use serde_json::Value;

use crate::harness::{Backend, Stage, least};

#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    ("brnad=x", "/brnad"), ("Q=x", "/Q"), ("=x", "/"), ("attr.=x", "/attr."), ("attr.a%20b=x", "/attr.a b"),
    ("limit=0", "/limit"), ("limit=101", "/limit"), ("limit=ten", "/limit"), ("limit=1.5", "/limit"),
    ("limit=-1", "/limit"), ("limit=1e1", "/limit"), ("limit=5&limit=6", "/limit"),
    ("limit=99999999999999999999999999", "/limit"), ("limit=%D9%A3", "/limit"),
    ("price_min=NaN", "/price_min"), ("price_min=-1", "/price_min"), ("price_max=1.5", "/price_max"),
    ("price_max=9007199254740992", "/price_max"), ("price_max=99999999999999999999", "/price_max"),
    ("price_min=5&price_max=4", "/price_min"), ("price_min=0x10", "/price_min"),
    ("rating_min=NaN", "/rating_min"), ("rating_min=inf", "/rating_min"), ("rating_min=6", "/rating_min"),
    ("rating_min=-0.1", "/rating_min"), ("rating_min=1e999", "/rating_min"),
    ("near=91,0", "/near"), ("near=1", "/near"), ("near=NaN,0", "/near"), ("near=0,181", "/near"), ("near=,", "/near"),
    ("radius_km=5", "/radius_km"), ("near=1,1&radius_km=-1", "/radius_km"), ("near=1,1&radius_km=NaN", "/radius_km"),
    ("sort=prise", "/sort"), ("sort=price,-price", "/sort"), ("sort=price,name,rating,stock", "/sort"),
    ("sort=relevance", "/sort"), ("sort=distance", "/sort"), ("sort=--price", "/sort"),
    ("facets=brnad", "/facets"), ("facets=attr.", "/facets"), ("facets=attr.a%20b", "/facets"),
    ("facet_limit=0", "/facet_limit"), ("facet_limit=1001", "/facet_limit"),
    ("fields=skus", "/fields"), ("count=some", "/count"), ("highlight=yes", "/highlight"), ("in_stock=1", "/in_stock"),
    ("created_after=yesterday", "/created_after"), ("updated_after=2026-13-01T00:00:00Z", "/updated_after"),
    ("currency=XXQ", "/currency"), ("currency=inr", "/currency"), ("status=sold", "/status"),
    ("min_seq=-1", "/min_seq"), ("min_seq=x", "/min_seq"),
];

#[tokio::test]
async fn a_bad_parameter_is_refused_by_name() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for (query, pointer) in REFUSED {
        let reply = server.get(&format!("/v1/products?{query}")).await;
        reply.problem_at(400, "invalid_parameter", pointer);
    }
}

#[tokio::test]
async fn all_bad_parameters_are_named_at_once_with_what_was_meant() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let reply = server.get("/v1/products?brnad=x&limit=0&sort=prise&status=sold&currency=XXQ").await;
    let problem = reply.problem(400, "invalid_parameter");
    let errors = problem["errors"].as_array().unwrap();
    for pointer in ["/brnad", "/limit", "/sort", "/status", "/currency"] {
        assert!(errors.iter().any(|e| e["pointer"] == pointer), "{pointer} in {problem}");
    }
    let detail = |pointer: &str| errors.iter().find(|e| e["pointer"] == pointer).unwrap()["detail"].to_string();
    assert!(detail("/brnad").contains("'brand'"));
    assert!(detail("/sort").contains("'price'"));
    let status = errors.iter().find(|e| e["pointer"] == "/status").unwrap();
    assert_eq!(status["allowed"], serde_json::json!(["active", "draft", "archived"]));
}

#[tokio::test]
async fn broken_utf_8_and_too_many_or_too_long_values_are_refused() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for (query, pointer) in [("q=%ff%fe", "/q"), ("brand=%80", "/brand"), ("q=ab%c3", "/q")] {
        server.get(&format!("/v1/products?{query}")).await.problem_at(400, "invalid_parameter", pointer);
    }
    server.get("/v1/products?%ff=x").await.problem(400, "invalid_parameter");
    let many: Vec<String> = (0..101).map(|i| format!("brand=b{i}")).collect();
    server.get(&format!("/v1/products?{}", many.join("&"))).await.problem_at(400, "invalid_parameter", "/brand");
    let facets: Vec<String> = (0..21).map(|i| format!("attr.a{i}")).collect();
    let reply = server.get(&format!("/v1/products?facets={}", facets.join(","))).await;
    reply.problem_at(400, "invalid_parameter", "/facets");
    let long = format!("/v1/products?q={}", "x".repeat(1_001));
    server.get(&long).await.problem_at(400, "invalid_parameter", "/q");
    let too_long = format!("/v1/products?q={}", "x".repeat(9_000));
    server.get(&too_long).await.problem(414, "uri_too_long");
}

#[tokio::test]
async fn a_cursor_that_was_damaged_made_up_or_of_another_query_is_refused() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut seq = 0;
    for i in 0..5 {
        seq = server.put(&least(&format!("S{i}"), "Apple", i)).await.expect(201).seq();
    }
    let min_seq = seq.to_string();
    let page = server.list(&[("limit", "2"), ("sort", "name"), ("min_seq", &min_seq)]).await.expect(200).json();
    let cursor = page["page"]["next"].as_str().unwrap();
    let with = |query: &'static str, cursor: &str| format!("/v1/products?{query}&cursor={cursor}");
    server.get(&with("sort=name&limit=3&facets=brand", cursor)).await.expect(200);
    for other in ["sort=price", "sort=-name", "sort=name&q=apple", "sort=name&brand=x", "sort=name,price", "limit=2"] {
        server.get(&with(other, cursor)).await.problem(400, "cursor_mismatch");
    }
    let flipped: String =
        cursor.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c }).collect();
    let doubled = format!("{cursor}{cursor}");
    for bad in [
        "x",
        "AAAA",
        "%00",
        "../../etc/passwd",
        &cursor[1..],
        &cursor[..cursor.len() - 1],
        &flipped,
        &doubled,
        "%F0%9F%98%80",
    ] {
        server.get(&with("sort=name", bad)).await.problem(400, "invalid_cursor");
    }
}

/// Texts that trip parsers, matchers, collations and terminals.
const NASTY: &[&str] = &[
    "",
    " ",
    "\0",
    "'",
    "\"",
    "\\",
    "%",
    "_",
    "*",
    "?",
    "~",
    "^",
    "(",
    ")",
    "[",
    "{",
    "AND",
    "OR NOT",
    "a:b",
    "+a -b",
    "name:*",
    "/.*/",
    "[a TO z]",
    "a~2",
    "a^9",
    "<script>",
    "'; DROP TABLE products; --",
    "\u{202e}abc",
    "\u{feff}",
    "ﷺ",
    "ﬁ",
    "ǆ",
    "İ",
    "ß",
    "\u{301}",
    "e\u{301}\u{301}\u{301}",
    "👩‍👩‍👧‍👦",
    "\u{10ffff}",
    "٣",
    "日本語",
    "𝒳",
    "a\nb\tc\r",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

#[tokio::test]
async fn any_text_is_a_safe_search() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for (i, text) in NASTY.iter().enumerate() {
        let name = format!("Apple {}", text.replace('\0', ""));
        server.put(&least(&format!("S{i}"), &name, 1)).await.expect(201);
    }
    server.caught_up().await;
    for text in NASTY {
        for pairs in [vec![("q", *text)], vec![("q", text), ("highlight", "true"), ("sort", "name")]] {
            let page = server.list(&pairs).await.expect(200).json();
            assert!(page["data"].is_array(), "{text:?}");
        }
        server.list(&[("brand", *text), ("attr.x", text), ("category", text), ("tag", text)]).await.expect(200);
        let suggested = server.get(&format!("/v1/suggest?{}", encoded("q", text))).await;
        assert!(matches!(suggested.status, 200 | 400), "{text:?}: {suggested:?}");
    }
    // Many different words, as long as may be.
    let words: String = (0..300).map(|i| format!("{i} ")).collect();
    server.list(&[("q", &words[..1_000])]).await.expect(200);
    let long = "apple".repeat(200);
    server.list(&[("q", long.as_str())]).await.expect(200);
}

fn encoded(name: &str, value: &str) -> String {
    let mut url: reqwest::Url = "http://h".parse().unwrap();
    url.query_pairs_mut().append_pair(name, value);
    url.query().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_place_in_the_future_is_waited_for_and_then_said_to_be_missing() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_HTTP__MIN_SEQ_WAIT", "200ms");
    let server = stage.start().await;
    let reply = server.get("/v1/products?min_seq=1000000").await;
    reply.problem(503, "index_behind");
    assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{reply:?}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_are_problems_too() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    for path in ["/", "/v1", "/v1/", "/v2/products", "/v1/products/", "/v1/imports/", "/etc/passwd", "/v1/products/a/b"]
    {
        let reply = server.get(path).await;
        assert!(reply.status == 404 || reply.status < 400, "{path}: {reply:?}");
        if reply.status == 404 {
            let code: Value = reply.json()["code"].clone();
            reply.problem(404, code.as_str().unwrap());
        }
    }
    server.get("/v1/products/nobody").await.problem(404, "product_not_found");
    server.get("/v1/products/019aa000-0000-7000-8000-000000000001").await.problem(404, "product_not_found");
    server.get("/v1/imports/019aa000-0000-7000-8000-000000000001").await.problem(404, "import_not_found");
    let wrong = server.send(server.request(reqwest::Method::DELETE, "/v1/products")).await;
    wrong.problem(405, "method_not_allowed");
    assert!(wrong.header("allow").contains("GET"), "{wrong:?}");
}
