//! Four ways through the same list.

use haat_demo_upstream::{Options, Price, Product};
use serde_json::Value;

use crate::Session;

/// What a page says: its ids, and where the next one is, in the body and in the header.
struct Page {
    ids: Vec<String>,
    total: u64,
    next: Value,
    link: Option<String>,
}

async fn page(session: &Session, path: &str) -> Page {
    let response = session.get(path).await;
    assert_eq!(response.status(), 200, "{path}");
    let link = response.headers()["link"].to_str().unwrap().to_owned();
    let next = link.split(", ").find_map(|link| link.strip_suffix("; rel=\"next\""));
    let link = next.map(|url| url.trim_matches(['<', '>']).strip_prefix(&session.upstream.url()).unwrap().to_owned());
    let body: Value = response.json().await.unwrap();
    let ids = body["results"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
    Page { ids: ids.collect(), total: body["total"].as_u64().unwrap(), next: body["next"].clone(), link }
}

/// Reads all pages of a way; `next` makes a path of what a page says of the next one.
async fn walk(session: &Session, first: &str, next: impl Fn(&Page) -> Option<String>) -> Vec<String> {
    let (mut ids, mut path) = (Vec::new(), Some(first.to_owned()));
    while let Some(asked) = path.take() {
        let page = page(session, &asked).await;
        path = next(&page);
        ids.extend(page.ids);
        assert!(ids.len() as u64 <= page.total, "{asked}");
    }
    ids
}

fn number(value: &Value) -> Option<u64> {
    assert!(value.is_u64() || value.is_null(), "{value}");
    value.as_u64()
}

async fn all_ways(session: &Session, size: usize, also: &str) -> [Vec<String>; 4] {
    let by_page = |page: u64| format!("/products?page={page}&per_page={size}{also}");
    let by_offset = |offset: u64| format!("/products?offset={offset}&limit={size}{also}");
    let by_cursor = |cursor: &str| format!("/products?limit={size}&cursor={cursor}{also}");
    [
        walk(session, &by_page(1), |page| number(&page.next).map(by_page)).await,
        walk(session, &by_offset(0), |page| number(&page.next).map(by_offset)).await,
        walk(session, &by_cursor(""), |page| page.next.as_str().map(by_cursor)).await,
        walk(session, &format!("/products?limit={size}{also}"), |page| page.link.clone()).await,
    ]
}

#[tokio::test]
async fn every_way_gives_every_product_exactly_once_in_the_same_order() {
    let session = Session::start(Options { products: 300, ..Options::default() }).await;
    let all: Vec<_> = session.upstream.products().iter().map(|product| product.id.clone()).collect();
    assert_eq!(all.len(), 300);
    // The last page is full, short, and all there is.
    for size in [100, 77, 200] {
        for ids in all_ways(&session, size, "").await {
            assert_eq!(ids, all, "{size}");
        }
    }
}

#[tokio::test]
async fn the_link_header_leads_through_every_way() {
    let session = Session::start(Options { products: 50, ..Options::default() }).await;
    for first in ["/products?page=1&per_page=20", "/products?offset=0&limit=20", "/products?limit=20"] {
        let ids = walk(&session, first, |page| page.link.clone()).await;
        assert_eq!(ids.len(), 50, "{first}");
    }
}

#[tokio::test]
async fn only_what_changed_since_a_moment_is_listed_by_every_way() {
    let session = Session::start(Options { products: 120, ..Options::default() }).await;
    let since = "2026-01-01T00:00:00Z";
    for ids in all_ways(&session, 20, &format!("&updated_since={since}")).await {
        assert!(ids.is_empty());
    }
    let mut changed: Vec<_> = session.upstream.products().iter().step_by(2).map(|p| p.id.clone()).collect();
    for id in &changed {
        let product = session.upstream.product(id).unwrap();
        session.upstream.put(Product { quantity: 77, ..(*product).clone() }).unwrap();
    }
    changed.sort();
    for ids in all_ways(&session, 20, &format!("&updated_since={since}")).await {
        assert_eq!(ids, changed);
    }
    // The moment itself belongs to it.
    let modified = session.upstream.product(&changed[0]).unwrap().modified;
    assert!(all_ways(&session, 200, &format!("&updated_since={modified}")).await[0].contains(&changed[0]));
}

#[tokio::test]
async fn a_cursor_neither_skips_nor_repeats_while_others_write() {
    let session = Session::start(Options { products: 60, ..Options::default() }).await;
    let first = page(&session, "/products?limit=20").await;
    for id in &first.ids {
        assert!(session.upstream.delete(id));
    }
    let early = Product::new("a-new", "NEW", "New", Price { cents: 1, currency: "EUR".into() });
    session.upstream.put(early).unwrap();
    let cursor = first.next.as_str().unwrap();
    let second = page(&session, &format!("/products?limit=100&cursor={cursor}")).await;
    assert_eq!((second.ids.len(), second.ids[0].as_str(), second.total), (40, "p-000021", 41));
}

#[tokio::test]
async fn beyond_the_last_page_there_is_nothing() {
    let session = Session::start(Options { products: 30, ..Options::default() }).await;
    let huge = u64::MAX;
    for path in ["page=9&per_page=10", "offset=30&limit=10", &format!("page={huge}&per_page=200")] {
        let page = page(&session, &format!("/products?{path}")).await;
        assert_eq!((page.ids.len(), page.total, page.next, page.link), (0, 30, Value::Null, None), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_page_is_refused() {
    let session = Session::start(Options { products: 1, ..Options::default() }).await;
    for bad in [
        "page=0",
        "page=x",
        "per_page=0",
        "per_page=201",
        "limit=201",
        "offset=-1",
        "cursor=made-up",
        "cursor=%FF",
        "updated_since=yesterday",
        "page=1&offset=0",
        "page=1&limit=10",
        "offset=0&cursor=YWZ0ZXI6cC0wMDAwMDE",
    ] {
        assert_eq!(session.status(&format!("/products?{bad}")).await, 400, "{bad}");
    }
    assert_eq!(session.status("/products?page=1&color=red").await, 200);
}
