//! Suggestions for a search being typed: products, categories and brands.

use std::collections::HashMap;

use haat_catalog::page::Suggestions;
use haat_catalog::ports::SuggestQuery;
use haat_catalog::product::CATEGORY_SEPARATOR;
use haat_catalog::{CountMode, FacetCount, FacetValue, Limit, Query, SortField, SortKey};
use tantivy::DocId;
use tantivy::schema::Field;

use crate::engine::bits::Bits;
use crate::engine::keys::Order;
use crate::engine::ordinals::Counted;
use crate::engine::page::hit;
use crate::engine::plan::{Search, Strategy};
use crate::engine::view::View;
use crate::schema::LEVEL_SEPARATOR;
use crate::text::{Scope, TextQuery, highlight};

/// Completes what is being typed: the products that match best, and the categories and brands that match by their
/// own words, those with the most products first.
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
    let shared = view.ordinals.get(counted, &view.segments)?;
    let mut totals: HashMap<u32, u64> = HashMap::new();
    for (segment, places) in view.segments.iter().zip(&shared.places) {
        let matches = Bits::from_words(text.segment(&segment.reader)?.matching_words()?, segment.max_doc());
        let mut counts = vec![0_u32; places.len()];
        let column = &counted.column(&segment.columns).ords;
        for doc in matches.iter().filter(|doc: &DocId| segment.is_alive(*doc)) {
            for ord in column.values_for_doc(doc) {
                if let Some(count) = counts.get_mut(ord as usize) {
                    *count += 1;
                }
            }
        }
        for (place, count) in places.iter().zip(counts).filter(|(_, count)| *count > 0) {
            *totals.entry(*place).or_default() += u64::from(count);
        }
    }
    let named = totals.into_iter().filter_map(|(place, count)| Some((shared.texts.get(place as usize)?, count)));
    let mut found = match counted {
        Counted::Category => subtrees(&text, named),
        _ => named.map(|(name, count)| FacetCount { value: FacetValue::Text(name.clone()), count }).collect(),
    };
    found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| name(&a.value).cmp(name(&b.value))));
    found.truncate(query.limit);
    Ok(found)
}

fn name(value: &FacetValue) -> &str {
    if let FacetValue::Text(text) = value { text } else { "" }
}

/// From the paths of the products found to those of their prefixes of which the last level itself matches.
fn subtrees<'a>(text: &TextQuery, paths: impl Iterator<Item = (&'a String, u64)>) -> Vec<FacetCount> {
    let mut totals: HashMap<String, u64> = HashMap::new();
    let mut matching: HashMap<&'a str, bool> = HashMap::new();
    for (path, count) in paths {
        let mut prefix = String::new();
        for level in path.split(LEVEL_SEPARATOR) {
            if !prefix.is_empty() {
                prefix.push_str(CATEGORY_SEPARATOR);
            }
            prefix.push_str(level);
            if *matching.entry(level).or_insert_with(|| highlight(text, level).is_some()) {
                *totals.entry(prefix.clone()).or_default() += count;
            }
        }
    }
    totals.into_iter().map(|(path, count)| FacetCount { value: FacetValue::Text(path), count }).collect()
}
