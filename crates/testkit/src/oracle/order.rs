//! Which of two products comes first.

use std::cmp::Ordering;

use haat_catalog::query::distance_m;
use haat_catalog::{Product, Query, SortField, SortValue};

/// Puts products with their scores into the order of the query; the id, ascending, breaks ties.
pub(super) fn sorted<'a>(query: &Query, products: Vec<(&'a Product, i64)>) -> Vec<&'a Product> {
    let valued = products.into_iter().map(|(p, score)| {
        let values: Vec<_> = query.sort.iter().map(|key| value(query, key.field, p, score)).collect();
        (values, p)
    });
    let mut valued: Vec<_> = valued.collect();
    valued.sort_by(|(a, p), (b, q)| {
        let keys = query.sort.iter().zip(a.iter().zip(b));
        // Relevance is best first in either direction.
        let descending = |field, descending| descending || field == SortField::Relevance;
        let by_keys = keys.map(|(key, (a, b))| compare(descending(key.field, key.descending), a, b));
        by_keys.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| p.id.cmp(&q.id))
    });
    valued.into_iter().map(|(_, p)| p).collect()
}

fn value(query: &Query, field: SortField, p: &Product, score: i64) -> SortValue {
    let integer = |n: Option<i64>| n.map_or(SortValue::Missing, SortValue::Integer);
    let float = |f: Option<f64>| f.map_or(SortValue::Missing, SortValue::Float);
    match field {
        SortField::Relevance => SortValue::Integer(score),
        SortField::Price => SortValue::Integer(p.price.amount),
        SortField::Name => SortValue::Text(super::words::folded(&p.name).chars().take(256).collect()),
        SortField::CreatedAt => SortValue::Integer(p.created_at.as_millis()),
        SortField::UpdatedAt => SortValue::Integer(p.updated_at.as_millis()),
        SortField::Stock => integer(p.stock),
        SortField::Rating => float(p.rating),
        SortField::Distance => {
            float(query.filters.near.zip(p.location).map(|(n, l)| distance_m(n.lat, n.lon, l.lat, l.lon)))
        }
    }
}

/// The smaller first, or the larger; a missing one last in both directions.
fn compare(descending: bool, a: &SortValue, b: &SortValue) -> Ordering {
    let ascending = match (a, b) {
        (SortValue::Missing, SortValue::Missing) => return Ordering::Equal,
        (SortValue::Missing, _) => return Ordering::Greater,
        (_, SortValue::Missing) => return Ordering::Less,
        (SortValue::Integer(a), SortValue::Integer(b)) => a.cmp(b),
        (SortValue::Float(a), SortValue::Float(b)) => a.total_cmp(b),
        (SortValue::Text(a), SortValue::Text(b)) => a.cmp(b),
        _ => unreachable!("a field has values of one type"),
    };
    if descending { ascending.reverse() } else { ascending }
}
