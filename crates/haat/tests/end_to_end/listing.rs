//! A listing is what a naive evaluation over the same products gives: the products, their order, totals, facets,
//! page by page, forward and back.

use std::sync::Arc;

use haat_catalog::{Draft, Product, Query};
use haat_testkit::generate::{Generator, Pairs};
use haat_testkit::oracle::{self, Answer};
use rand::RngExt;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Backend, Server, Stage, ids, ndjson, products_of};

/// How many pages of a walk are looked at.
const PAGES: usize = 12;

#[rstest]
#[case::sqlite(Backend::Sqlite, 11)]
#[case::mariadb(Backend::MariaDb, 12)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_equals_its_naive_evaluation(#[case] backend: Backend, #[case] seed: u64) {
    let stage = Stage::new(backend).await;
    let server = Arc::new(stage.start().await);
    let mut generator = Generator::new(seed);

    let small = generator.products(40);
    server.import(ndjson(&small)).await;
    compare(&stage, &server, &mut generator, &small, 300).await;

    let more = generator.products(1_200);
    server.import(ndjson(&more)).await;
    let all = [small, more].concat();
    compare(&stage, &server, &mut generator, &all, 800).await;

    let all = churn(&server, &mut generator, all).await;
    compare(&stage, &server, &mut generator, &all, 800).await;
    stage.verify_index().await;
}

#[rstest]
#[case::sqlite(Backend::Sqlite, 13)]
#[case::mariadb(Backend::MariaDb, 14)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_equals_its_naive_evaluation(#[case] backend: Backend, #[case] seed: u64) {
    let stage = Stage::new(backend).await;
    let server = Arc::new(stage.start().await);
    let mut generator = Generator::new(seed);
    let products = generator.products(700);
    server.import(ndjson(&products)).await;
    compare_searches(&stage, &server, &mut generator, 350).await;
    // Words of products that are gone or were renamed count no longer.
    churn(&server, &mut generator, products).await;
    compare_searches(&stage, &server, &mut generator, 350).await;
}

/// Changes, deletes and adds products, one by one and by import.
async fn churn(server: &Server, generator: &mut Generator, mut products: Vec<Product>) -> Vec<Product> {
    for _ in 0..60 {
        let i = generator.rng().random_range(0..products.len());
        let gone = products.swap_remove(i);
        server.delete(gone.sku.as_str()).await.expect(204);
    }
    for product in products.iter_mut().step_by(40) {
        *product = generator.changed(product);
        server.put(&haat_testkit::generate::written(product)).await.expect(200);
    }
    for product in products.iter_mut().step_by(3) {
        *product = generator.changed(product);
    }
    products.extend(generator.products(150));
    server.import(ndjson(&products)).await;
    products
}

/// The database holds what was written, and so many random listings are what the oracle says.
async fn compare(stage: &Stage, server: &Arc<Server>, generator: &mut Generator, written: &[Product], queries: usize) {
    server.caught_up().await;
    let stored = products_of(stage).await;
    assert_same_content(written, &stored);
    let asked = (0..queries).map(|_| generator.listing(&stored)).collect();
    check_all(server, Arc::new(stored), asked).await;
}

async fn compare_searches(stage: &Stage, server: &Arc<Server>, generator: &mut Generator, queries: usize) {
    server.caught_up().await;
    let stored = products_of(stage).await;
    let asked = (0..queries).map(|_| generator.search(&stored)).collect();
    check_all(server, Arc::new(stored), asked).await;
}

/// Asks four at a time.
async fn check_all(server: &Arc<Server>, stored: Arc<Vec<Product>>, mut waiting: Vec<Pairs>) {
    let words = Arc::new(oracle::Words::of(&stored));
    let share = waiting.len().div_ceil(4);
    let mut running = JoinSet::new();
    while !waiting.is_empty() {
        let mine = waiting.split_off(waiting.len().saturating_sub(share));
        let (server, stored, words) = (Arc::clone(server), Arc::clone(&stored), Arc::clone(&words));
        running.spawn(async move {
            for (i, pairs) in mine.iter().enumerate() {
                check(&server, &stored, &words, pairs, i % 4 == 0).await;
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

fn assert_same_content(written: &[Product], stored: &[Product]) {
    let mut expected: Vec<Draft> = written.iter().cloned().map(Draft::from).collect();
    expected.sort_by_key(|draft| draft.id);
    let found: Vec<Draft> = stored.iter().cloned().map(Draft::from).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

async fn check(server: &Server, products: &[Product], words: &oracle::Words, pairs: &Pairs, walk: bool) {
    let query = Query::parse(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
    let answer = oracle::search(products, words, &query);
    let pages = answer.pages(&query);
    let first = server.list(pairs).await.expect(200).json();
    assert_page(pairs, &first, &pages[0], 0, pages.len());
    assert_totals(pairs, &query, &first, &answer);
    if walk {
        walk_pages(server, pairs, first, &pages).await;
    }
}

/// Forward over the first pages, and back to where it began.
async fn walk_pages(server: &Server, pairs: &Pairs, first: Value, pages: &[Vec<&Product>]) {
    let mut page = first;
    let last = pages.len().min(PAGES) - 1;
    for (n, expected) in pages.iter().enumerate().take(last + 1).skip(1) {
        page = follow(server, pairs, &page["page"]["next"]).await;
        assert_page(pairs, &page, expected, n, pages.len());
    }
    for n in (0..last).rev() {
        page = follow(server, pairs, &page["page"]["prev"]).await;
        assert_page(pairs, &page, &pages[n], n, pages.len());
    }
}

async fn follow(server: &Server, pairs: &Pairs, cursor: &Value) -> Value {
    let cursor = cursor.as_str().unwrap_or_else(|| panic!("no cursor to follow for {pairs:?}"));
    let with = [pairs.clone(), vec![("cursor".to_owned(), cursor.to_owned())]].concat();
    server.list(&with).await.expect(200).json()
}

fn assert_page(pairs: &Pairs, page: &Value, expected: &[&Product], n: usize, of: usize) {
    let (found, wanted) = (ids(page), expected.iter().map(|p| p.id.to_string()).collect::<Vec<_>>());
    if let Some(at) = (0..found.len().max(wanted.len())).find(|i| found.get(*i) != wanted.get(*i)) {
        let (there, wanted) = (&page["data"][at], expected.get(at));
        panic!("place {at} of page {n} of {of}, {pairs:?}\n there: {there}\nwanted: {}", json!(wanted));
    }
    let data = page["data"].as_array().unwrap();
    for (found, product) in data.iter().zip(expected) {
        assert_eq!(*found, serde_json::to_value(product).unwrap(), "{pairs:?}");
    }
    assert_eq!(page["page"]["prev"].is_string(), n > 0, "prev of page {n} of {of}, {pairs:?}");
    assert_eq!(page["page"]["next"].is_string(), n + 1 < of, "next of page {n} of {of}, {pairs:?}");
}

fn assert_totals(pairs: &Pairs, query: &Query, page: &Value, answer: &Answer<'_>) {
    let counted = !pairs.contains(&("count".to_owned(), "none".to_owned()));
    let total = json!({"value": answer.products.len(), "relation": "eq"});
    assert_eq!(page["total"], if counted { total } else { Value::Null }, "{pairs:?}");
    let facets = page["facets"].as_object().cloned().unwrap_or_default();
    assert_eq!(facets.len(), query.facets.len(), "{pairs:?}");
    for facet in &answer.facets {
        let name = facet.field.name();
        assert_eq!(facets[&name], serde_json::to_value(&facet.counts).unwrap(), "facet {name} of {pairs:?}");
    }
}

#[tokio::test]
async fn only_the_fields_asked_for_are_answered() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(5).products(30))).await;
    let page = server.list(&[("fields", "sku,price,brand")]).await.expect(200).json();
    for product in page["data"].as_array().unwrap() {
        let members: Vec<_> = product.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members.len(), 3, "{product}");
        assert!(["sku", "price", "brand"].iter().all(|m| members.iter().any(|n| n == m)), "{product}");
    }
}

#[tokio::test]
async fn a_listing_says_where_its_neighbours_are_in_a_link_header() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(6).products(30))).await;
    let first = server.list(&[("limit", "10"), ("sort", "name,-price")]).await.expect(200);
    let next = link(first.header("link"), "next").expect("a next page");
    let second = server.get(&next).await.expect(200);
    assert_eq!(second.json()["data"].as_array().unwrap().len(), 10);
    let back = server.get(&link(second.header("link"), "prev").expect("a previous page")).await.expect(200);
    assert_eq!(ids(&back.json()), ids(&first.json()));
}

/// Path and query of a link of that relation (RFC 8288).
fn link(header: &str, relation: &str) -> Option<String> {
    let entry = header.split(", ").find(|e| e.contains(&format!("rel=\"{relation}\"")))?;
    let target = entry.split_once('<')?.1.split_once('>')?.0;
    Some(target[target.find("/v1/")?..].to_owned())
}

#[tokio::test]
async fn an_unchanged_listing_is_not_sent_again() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(7).products(30))).await;
    let first = server.list(&[("sort", "price")]).await.expect(200);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong entity tag: {tag}");
    assert!(first.header("cache-control").contains("must-revalidate"), "{first:?}");
    let request = server.request(reqwest::Method::GET, "/v1/products?sort=price").header("if-none-match", &tag);
    let again = server.send(request).await.expect(304);
    assert!(again.body.is_empty());
    assert_eq!(again.header("etag"), tag);

    let sku = first.json()["data"][0]["sku"].as_str().unwrap().to_owned();
    let seq = server.patch(&sku, &json!({"unit": "another"})).await.expect(200).seq();
    let path = format!("/v1/products?sort=price&min_seq={seq}");
    let changed = server.send(server.request(reqwest::Method::GET, &path).header("if-none-match", &tag)).await;
    assert_ne!(changed.expect(200).header("etag"), tag);
}
