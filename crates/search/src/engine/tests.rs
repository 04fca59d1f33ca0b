//! The engine against the oracle: the same products, order, totals and facets, page by page, forward and back, by
//! every way of finding a page, over several segments with deleted documents in them.

use std::collections::{BTreeMap, HashMap};

use haat_catalog::{Cursor, Page, Product, ProductId, Query};
use haat_testkit::generate::Generator;
use haat_testkit::oracle;
use proptest::prelude::*;
use rand::RngExt;
use tantivy::merge_policy::NoMergePolicy;
use tantivy::{Index, IndexWriter, ReloadPolicy, TantivyDocument};

use super::facets;
use super::ordinals::Counted;
use super::page::page;
use super::plan::{Search, Strategy as Way};
use super::view::View;
use crate::document::{Documents, id_term};
use crate::live::generation::register;
use crate::schema::schema;
use crate::text::{Scope, TextQuery};

/// A catalogue in an index of many segments: written in portions, some products changed or deleted later.
struct Stage {
    products: Vec<Product>,
    view: View,
}

fn stage(seed: u64, size: usize, merge: bool) -> Stage {
    let mut generator = Generator::new(seed);
    let (schema, fields) = schema();
    let index = Index::create_in_ram(schema);
    register(&index);
    let mut writer: IndexWriter<TantivyDocument> = index.writer_with_num_threads(1, 20_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let mut documents = Documents::new(fields);
    let mut kept: BTreeMap<ProductId, Product> = BTreeMap::new();
    for (i, product) in generator.products(size).into_iter().enumerate() {
        writer.add_document(documents.read(&product.to_json()).unwrap()).unwrap();
        kept.insert(product.id, product);
        if generator.rng().random_range(0..3) == 0 {
            let ids: Vec<ProductId> = kept.keys().copied().collect();
            let id = ids[generator.rng().random_range(0..ids.len())];
            writer.delete_term(id_term(&fields, id));
            if generator.rng().random_range(0..2) == 0 {
                kept.remove(&id);
            } else {
                let changed = generator.changed(&kept[&id]);
                writer.add_document(documents.read(&changed.to_json()).unwrap()).unwrap();
                kept.insert(id, changed);
            }
        }
        if i % (size / 5).max(7) == 3 {
            writer.commit().unwrap();
        }
    }
    writer.commit().unwrap();
    if merge && index.searchable_segment_ids().unwrap().len() > 1 {
        let ids = index.searchable_segment_ids().unwrap();
        writer.merge(&ids[..ids.len() / 2]).wait().unwrap();
    }
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().unwrap();
    let view = View::open(reader.searcher(), fields, None).unwrap();
    Stage { products: kept.into_values().collect(), view }
}

fn parse(pairs: &[(String, String)]) -> Query {
    Query::parse(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
}

fn products_of(page: &Page) -> Vec<Product> {
    page.hits.iter().map(|hit| Product::from_json(&hit.document).unwrap()).collect()
}

fn at(query: &Query, cursor: Option<&str>) -> Query {
    Query { cursor: cursor.map(|c| Cursor::decode_for(c, query).unwrap()), ..query.clone() }
}

/// Walks to the end and back; gives the products forward.
fn walked(stage: &Stage, query: &Query, way: Way) -> Vec<Product> {
    let mut forward: Vec<Vec<Product>> = Vec::new();
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = page(&stage.view, &at(query, cursor.as_deref()), way).unwrap();
        assert_eq!(page.prev.is_some(), !forward.is_empty(), "only the first page has none before it");
        forward.push(products_of(&page));
        cursor.clone_from(&page.next);
        pages.push(page);
        if cursor.is_none() {
            break;
        }
        assert!(forward.len() <= stage.products.len(), "the walk does not end");
    }
    let mut cursor = pages.last().unwrap().prev.clone();
    for expected in forward.iter().rev().skip(1) {
        let page = page(&stage.view, &at(query, cursor.as_deref()), way).unwrap();
        assert!(page.next.is_some(), "there is a page after every page walked back to");
        assert_eq!(&products_of(&page), expected, "walking back");
        cursor = page.prev;
    }
    assert_eq!(cursor, None, "nothing is before the first page");
    forward.concat()
}

/// How well each product matches the words of `query`, asked one by one.
fn scores(stage: &Stage, query: &Query) -> HashMap<ProductId, i64> {
    let Some(words) = &query.text else { return HashMap::new() };
    let view = &stage.view;
    let text = TextQuery::prepare(&view.searcher, &view.fields.text, words, Scope::All).unwrap();
    let mut scores = HashMap::new();
    for segment in &view.segments {
        let mut here = text.segment(&segment.reader).unwrap();
        for doc in (0..segment.max_doc()).filter(|&doc| segment.is_alive(doc)) {
            if let Some(score) = here.score(doc) {
                scores.insert(ProductId::from_bytes(segment.columns.id(doc).to_be_bytes()), score);
            }
        }
    }
    scores
}

fn assert_as_the_oracle_says(stage: &Stage, pairs: &[(String, String)]) {
    let query = parse(pairs);
    let scores = scores(stage, &query);
    let score = |p: &Product| if query.text.is_none() { Some(0) } else { scores.get(&p.id).copied() };
    let answer = oracle::evaluate(&stage.products, &query, score);
    let first = page(&stage.view, &query, Way::Cheapest).unwrap();
    if let Some(total) = first.total {
        assert_eq!(total.value, answer.products.len() as u64, "total of {pairs:?}");
    }
    assert_eq!(first.facets, answer.facets, "facets of {pairs:?}");
    let expected: Vec<&str> = answer.products.iter().map(|p| p.sku.as_str()).collect();
    for way in [Way::Cheapest, Way::Walk, Way::Scan] {
        let found = walked(stage, &query, way);
        let found: Vec<&str> = found.iter().map(|p| p.sku.as_str()).collect();
        assert_eq!(found, expected, "{way:?} of {pairs:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn listings_are_what_the_oracle_says_by_every_way(seed in any::<u64>(), size in 1_usize..150, merge in any::<bool>()) {
        let stage = stage(seed, size, merge);
        let mut questions = Generator::new(seed ^ 1);
        for _ in 0..12 {
            assert_as_the_oracle_says(&stage, &questions.listing(&stage.products));
        }
        for _ in 0..8 {
            assert_as_the_oracle_says(&stage, &questions.search(&stage.products));
        }
    }
}

#[test]
fn listings_of_an_empty_index_are_empty() {
    let view = crate::live::generation::empty_view().unwrap();
    let stage = Stage { products: Vec::new(), view };
    for pairs in [
        vec![],
        vec![("sort", "name,-price")],
        vec![("q", "anything")],
        vec![("facets", "brand,category,price,price_range,rating,in_stock,attr.x")],
    ] {
        let pairs: Vec<_> = pairs.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        assert_as_the_oracle_says(&stage, &pairs);
    }
}

#[test]
fn thousands_of_equal_prices_are_walked_in_order_of_id() {
    let mut stage = stage(7, 30, false);
    let model = stage.products[0].clone();
    let mut generator = Generator::new(8);
    let same: Vec<Product> = (0..3_000)
        .map(|_| {
            let mut p = generator.product();
            p.price = model.price;
            p.rating = None;
            p
        })
        .collect();
    let (schema, fields) = schema();
    let index = Index::create_in_ram(schema);
    register(&index);
    let mut writer: IndexWriter<TantivyDocument> = index.writer_with_num_threads(1, 20_000_000).unwrap();
    let mut documents = Documents::new(fields);
    for (i, p) in same.iter().enumerate() {
        writer.add_document(documents.read(&p.to_json()).unwrap()).unwrap();
        if i % 700 == 0 {
            writer.commit().unwrap();
        }
    }
    writer.commit().unwrap();
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().unwrap();
    stage.view = View::open(reader.searcher(), fields, None).unwrap();
    stage.products = same;
    for sort in ["price", "-price", "rating", "-rating,price", "price,-rating,name"] {
        let pairs = [("sort", sort), ("limit", "100"), ("count", "none")];
        let pairs: Vec<_> = pairs.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        assert_as_the_oracle_says(&stage, &pairs);
    }
}

#[test]
fn a_segment_keeps_ordinals_in_step_when_merges_drop_the_values_of_deleted_products() {
    for seed in 0..5 {
        let stage = stage(seed, 60, true);
        for segment in &stage.view.segments {
            assert_eq!(
                segment.columns.name.len(),
                segment.columns.name.postings.terms().num_terms() as u64,
                "the dictionaries of a column and of its postings have the same terms"
            );
        }
    }
}

#[test]
fn facets_are_the_same_whether_all_values_are_numbered_or_only_those_that_occur_are_read() {
    let stage = stage(77, 300, false);
    let view = &stage.view;
    for pairs in [vec![], vec![("price_min", "5000")], vec![("q", "rice"), ("rating_min", "4.5")]] {
        let query = Query::parse(pairs).unwrap();
        let words = query.text.as_ref();
        let text = words.map(|text| TextQuery::prepare(&view.searcher, &view.fields.text, text, Scope::All).unwrap());
        let search = Search::new(view, &query, text.as_ref(), Way::Cheapest).unwrap();
        let sets = search.sets().unwrap();
        for counted in [Counted::Brand, Counted::Tag, Counted::Category, Counted::Status] {
            let shared = view.ordinals.get(counted, &view.segments).unwrap().unwrap();
            let mut numbered = facets::added_up(view, sets, &shared, counted);
            let mut read = facets::occurring(view, sets, |segment| {
                let column = counted.column(&segment.columns);
                Ok((column, 0..column.len()))
            })
            .unwrap();
            for counts in [&mut numbered, &mut read] {
                counts.sort_by_key(|c| format!("{:?}", c.value));
            }
            assert_eq!(numbered, read, "{counted:?}");
        }
    }
}
