//! How often each value of a facet occurs.

use std::cmp::Ordering;

use haat_catalog::product::CATEGORY_SEPARATOR;
use haat_catalog::query::price_step;
use haat_catalog::{FacetCount, FacetField, FacetResult, FacetValue, Product, Query};

use super::filters;

/// The counts of `field` over the products that match everything but the field's own filter.
pub(super) fn count(candidates: &[(&Product, i64)], query: &Query, field: &FacetField) -> FacetResult {
    let others = filters::without(&query.filters, field);
    let mut all: Vec<FacetValue> = Vec::new();
    for (product, _) in candidates.iter().filter(|(p, _)| filters::all(p, &others)) {
        let mut distinct: Vec<FacetValue> = Vec::new();
        for value in values(product, field) {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        all.extend(distinct);
    }
    all.sort_by(|a, b| by_value(field, a, b));
    let equal = all.chunk_by(|a, b| a == b);
    let mut counts: Vec<_> =
        equal.map(|same| FacetCount { value: same[0].clone(), count: same.len() as u64 }).collect();
    // Stable: equal counts stay in the order of the values.
    counts.sort_by_key(|c| std::cmp::Reverse(c.count));
    counts.truncate(query.facet_limit);
    FacetResult { field: field.clone(), counts }
}

fn values(p: &Product, field: &FacetField) -> Vec<FacetValue> {
    let texts = |items: &[String]| items.iter().cloned().map(FacetValue::Text).collect();
    match field {
        FacetField::Brand => texts(p.brand.as_slice()),
        FacetField::Seller => texts(p.seller.as_slice()),
        FacetField::Tag => texts(&p.tags),
        FacetField::Category => {
            (1..=p.category.len()).map(|n| FacetValue::Text(p.category[..n].join(CATEGORY_SEPARATOR))).collect()
        }
        FacetField::Status => vec![FacetValue::Text(p.status.name().to_owned())],
        FacetField::Currency => vec![FacetValue::Text(p.price.currency.to_string())],
        FacetField::Price => vec![FacetValue::Integer(p.price.amount)],
        FacetField::PriceRange => {
            let (from, to) = price_step(p.price.amount);
            vec![FacetValue::Text(format!("{from}-{to}"))]
        }
        FacetField::Rating => p.rating.into_iter().map(FacetValue::Float).collect(),
        FacetField::InStock => vec![FacetValue::Bool(p.in_stock())],
        FacetField::Attribute(name) => texts(&p.attributes.get(name).map(|v| v.texts()).unwrap_or_default()),
    }
}

/// Values in ascending order; price ranges by where they begin.
fn by_value(field: &FacetField, a: &FacetValue, b: &FacetValue) -> Ordering {
    let begins = |text: &str| text.split('-').next().and_then(|n| n.parse::<i64>().ok());
    match (a, b) {
        (FacetValue::Text(a), FacetValue::Text(b)) if *field == FacetField::PriceRange => begins(a).cmp(&begins(b)),
        (FacetValue::Text(a), FacetValue::Text(b)) => a.cmp(b),
        (FacetValue::Integer(a), FacetValue::Integer(b)) => a.cmp(b),
        (FacetValue::Float(a), FacetValue::Float(b)) => a.total_cmp(b),
        (FacetValue::Bool(a), FacetValue::Bool(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}
