//! A page: the products found, the cursors at its edges, totals and facets.

use haat_catalog::product::CATEGORY_SEPARATOR;
use haat_catalog::{CountMode, Cursor, Hit, Page, Product, ProductId, Query, Tolerance, Total};
use tantivy::{DocAddress, TantivyDocument};

use super::docset::damaged;
use super::facets;
use super::keys::Order;
use super::plan::{Picked, Search, Strategy};
use super::topk::Found;
use super::view::View;
use crate::document::json_of;
use crate::text::{Scope, TextQuery, highlight};

/// Answers `query` from one state of the index. `seq` and `complete` are left for the caller.
///
/// # Errors
/// When the index's files cannot be read.
pub fn page(view: &View, query: &Query, strategy: Strategy) -> tantivy::Result<Page> {
    let text = match &query.text {
        Some(text) => {
            let tolerance = query.cursor.as_ref().map(|cursor| cursor.tolerance);
            Some(TextQuery::resume(&view.searcher, &view.fields.text, text, Scope::All, tolerance)?)
        }
        None => None,
    };
    let search = Search::new(view, query, text.as_ref(), strategy)?;
    // The total comes first: what it has determined the page is then picked from.
    let total = match query.count {
        CountMode::Exact => Some(Total::exact(search.count()?)),
        CountMode::None => None,
    };
    let mut counted = Vec::with_capacity(query.facets.len());
    for field in &query.facets {
        counted.push(facets::count(view, &search, field, query.facet_limit)?);
    }
    let limit = query.limit.get();
    let backward = query.cursor.as_ref().is_some_and(|c| c.backward);
    let order = Order::new(query, backward);
    let picked = search.pick(&order, query.cursor.as_ref(), limit + 1)?;
    let tolerance = text.as_ref().map(TextQuery::tolerance).unwrap_or_default();
    let edges = Edges::new(query, &order, &picked, tolerance);
    let mut found: Vec<&Found> = picked.found.iter().take(limit).collect();
    if backward {
        found.reverse();
    }
    let mut hits = Vec::with_capacity(found.len());
    for found in found {
        hits.push(hit(view, found, text.as_ref().filter(|_| query.highlight))?);
    }
    Ok(Page { hits, next: edges.next, prev: edges.prev, total, facets: counted, ..Page::default() })
}

/// The cursors of the neighbouring pages.
struct Edges {
    next: Option<String>,
    prev: Option<String>,
}

impl Edges {
    fn new(query: &Query, order: &Order, picked: &Picked, tolerance: Tolerance) -> Self {
        let limit = query.limit.get();
        let cursor = |found: &Found, backward| Cursor { tolerance, ..order.cursor(&found.key, backward) };
        let shown = picked.found.get(..limit).unwrap_or(&picked.found);
        let backward = order.is_backward();
        // Along the walk there is more if one product more than fits was found; behind it, if one was passed.
        let along = (picked.found.len() > limit)
            .then(|| shown.last())
            .flatten()
            .map(|last| cursor(last, backward).encode_for(query));
        let behind = picked.passed.then(|| match shown.first() {
            Some(first) => Some(cursor(first, !backward)),
            None => query.cursor.as_ref().and_then(turned),
        });
        let behind = behind.flatten().map(|cursor| cursor.encode_for(query));
        if backward { Self { next: behind, prev: along } } else { Self { next: along, prev: behind } }
    }
}

/// The cursor that walks back from `cursor`, the product at it included; `None` where no id is left beyond its own.
fn turned(cursor: &Cursor) -> Option<Cursor> {
    let id = cursor.id.as_u128();
    let id = if cursor.backward { id.checked_sub(1) } else { id.checked_add(1) };
    let id = ProductId::from_bytes(id?.to_be_bytes());
    Some(Cursor { backward: !cursor.backward, id, ..cursor.clone() })
}

/// A product as it is answered, with the words of `text` marked.
///
/// # Errors
/// When the index's files cannot be read.
pub fn hit(view: &View, found: &Found, text: Option<&TextQuery>) -> tantivy::Result<Hit> {
    let segment = view.segments.get(found.segment).ok_or_else(|| damaged("a segment is missing"))?;
    let stored: TantivyDocument = view.searcher.doc(DocAddress::new(segment.number, found.doc))?;
    let document = json_of(&view.fields, &stored).ok_or_else(|| damaged("a document is missing"))?;
    let highlight = text.map(|text| highlights(text, &document));
    Ok(Hit { document, highlight })
}

fn highlights(text: &TextQuery, document: &[u8]) -> Vec<(&'static str, String)> {
    let Ok(product) = Product::from_json(document) else { return Vec::new() };
    let category = product.category.join(CATEGORY_SEPARATOR);
    let members = [
        ("name", Some(product.name.as_str())),
        ("brand", product.brand.as_deref()),
        ("category", Some(category.as_str())),
        ("description", product.description.as_deref()),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name, highlight(text, value?)?))).collect()
}
