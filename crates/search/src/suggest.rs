//! Suggestions for a search being typed: products, categories and brands.

use std::collections::HashMap;

use haat_catalog::page::Suggestions;
use haat_catalog::ports::SuggestQuery;
use haat_catalog::product::{CATEGORY_SEPARATOR, Status};
use haat_catalog::{CountMode, FacetCount, FacetValue, Filters, Limit, Query, SortField, SortKey};
use tantivy::DocId;
use tantivy::schema::{Field, IndexRecordOption};

use crate::engine::bits::Bits;
use crate::engine::keys::Order;
use crate::engine::ordinals::{Counted, Occurring};
use crate::engine::page::hit;
use crate::engine::plan::{Search, Strategy};
use crate::engine::view::{SegmentView, View};
use crate::schema::LEVEL_SEPARATOR;
use crate::text::{Scope, TextQuery, highlight};

/// Completes what is being typed: the products that match best, and the categories and brands that match by their
/// own words, those with the most products first. Only products that are active count, or come.
///
/// # Errors
/// When the index's files cannot be read.
pub fn suggest(view: &View, query: &SuggestQuery) -> tantivy::Result<Suggestions> {
    let text = &view.fields.text;
    let categories = values(view, query, text.category, Counted::Category)?;
    let brands = values(view, query, text.brand, Counted::Brand)?;
    Ok(Suggestions { products: products(view, query)?, categories, brands })
}

fn products(view: &View, query: &SuggestQuery) -> tantivy::Result<Vec<haat_catalog::Hit>> {
    let listing = Query {
        text: Some(query.text.clone()),
        filters: Filters { status: vec![Status::Active], ..Filters::default() },
        sort: vec![SortKey { field: SortField::Relevance, descending: false }],
        limit: u16::try_from(query.limit).ok().and_then(Limit::new).unwrap_or_default(),
        count: CountMode::None,
        ..Query::default()
    };
    let text = TextQuery::prepare(&view.searcher, &view.fields.text, &query.text, Scope::All)?;
    let search = Search::new(view, &listing, Some(&text), Strategy::Cheapest)?;
    let picked = search.pick(&Order::new(&listing, false), None, listing.limit.get())?;
    picked.found.iter().map(|found| hit(view, found, None)).collect()
}

/// The values of a field whose own words match.
fn values(view: &View, query: &SuggestQuery, field: Field, counted: Counted) -> tantivy::Result<Vec<FacetCount>> {
    let text = TextQuery::prepare(&view.searcher, &view.fields.text, &query.text, Scope::Only(field))?;
    let mut active = Vec::with_capacity(view.segments.len());
    let mut totals: HashMap<Vec<u8>, u64> = HashMap::new();
    for segment in &view.segments {
        let here = active_docs(view, segment)?;
        let mut matches = Bits::from_words(text.segment(&segment.reader)?.matching_words()?, segment.max_doc());
        matches.intersect(&here);
        let column = counted.column(&segment.columns);
        let range = 0..column.len();
        let mut counts = Occurring::new(&range, matches.count());
        for doc in matches.iter() {
            column.ords.values_for_doc(doc).for_each(|ord| counts.add(&range, ord));
        }
        counts.each(column, |value, count| *totals.entry(value.to_vec()).or_default() += u64::from(count))?;
        active.push(here);
    }
    let named = totals.into_iter().map(|(value, count)| (String::from_utf8_lossy(&value).into_owned(), count));
    let mut found: Vec<(String, u64)> = match counted {
        Counted::Category => subtrees(view, &text, named, &active)?,
        _ => named.collect(),
    };
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(query.limit);
    Ok(found.into_iter().map(|(value, count)| FacetCount { value: FacetValue::Text(value), count }).collect())
}

/// The documents of the products that are active.
fn active_docs(view: &View, segment: &SegmentView) -> tantivy::Result<Bits> {
    let mut docs = Bits::empty(segment.max_doc());
    each_doc(segment, view.fields.status, Status::Active.name(), |doc| {
        if segment.is_alive(doc) {
            docs.insert(doc);
        }
    })?;
    Ok(docs)
}

/// Calls `f` with every document of a term, deleted ones included.
fn each_doc(segment: &SegmentView, field: Field, term: &str, mut f: impl FnMut(DocId)) -> tantivy::Result<()> {
    let index = segment.reader.inverted_index(field)?;
    let Some(info) = index.terms().get(term)? else { return Ok(()) };
    let mut postings = index.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
    while !postings.docs().is_empty() {
        postings.docs().iter().for_each(|&doc| f(doc));
        postings.advance();
    }
    Ok(())
}

/// How many categories are counted exactly: those that most of the products found are in.
const CANDIDATES: usize = 100;

/// From the paths of the products found to those of their prefixes of which the last level itself matches, with how many
/// products there are in the whole subtree: of a text of several words some may match by other levels than others.
fn subtrees(
    view: &View,
    text: &TextQuery,
    paths: impl Iterator<Item = (String, u64)>,
    active: &[Bits],
) -> tantivy::Result<Vec<(String, u64)>> {
    let mut found: HashMap<String, u64> = HashMap::new();
    let mut matching: HashMap<String, bool> = HashMap::new();
    for (path, count) in paths {
        let mut prefix = String::new();
        for level in path.split(LEVEL_SEPARATOR) {
            if !prefix.is_empty() {
                prefix.push_str(LEVEL_SEPARATOR);
            }
            prefix.push_str(level);
            if *matching.entry(level.to_owned()).or_insert_with(|| highlight(text, level).is_some()) {
                *found.entry(prefix.clone()).or_default() += count;
            }
        }
    }
    let mut found: Vec<(String, u64)> = found.into_iter().collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(CANDIDATES);
    for (path, total) in &mut found {
        *total = 0;
        for (segment, active) in view.segments.iter().zip(active) {
            each_doc(segment, view.fields.category_path, path, |doc| *total += u64::from(active.contains(doc)))?;
        }
        *path = path.replace(LEVEL_SEPARATOR, CATEGORY_SEPARATOR);
    }
    Ok(found)
}
