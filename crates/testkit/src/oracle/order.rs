//! Which of two products comes first.

use std::cmp::Ordering;

use haat_catalog::query::{distance_m, name_sort_key};
use haat_catalog::{Product, Query, SortField, SortKey};

/// The order of the query; the id, ascending, breaks ties.
pub(super) fn compare(query: &Query, a: (&Product, i64), b: (&Product, i64)) -> Ordering {
    let by_keys = query.sort.iter().map(|key| by_key(query, *key, a, b)).find(|o| o.is_ne());
    by_keys.unwrap_or_else(|| a.0.id.cmp(&b.0.id))
}

fn by_key(query: &Query, key: SortKey, a: (&Product, i64), b: (&Product, i64)) -> Ordering {
    let (p, q) = (a.0, b.0);
    let numbers = |x: Option<f64>, y: Option<f64>| last_if_missing(key, x, y, f64::total_cmp);
    match key.field {
        SortField::Relevance => b.1.cmp(&a.1),
        SortField::Price => last_if_missing(key, Some(p.price.amount), Some(q.price.amount), i64::cmp),
        SortField::Name => {
            last_if_missing(key, Some(name_sort_key(&p.name)), Some(name_sort_key(&q.name)), String::cmp)
        }
        SortField::CreatedAt => last_if_missing(key, Some(p.created_at), Some(q.created_at), Ord::cmp),
        SortField::UpdatedAt => last_if_missing(key, Some(p.updated_at), Some(q.updated_at), Ord::cmp),
        SortField::Stock => last_if_missing(key, p.stock, q.stock, i64::cmp),
        SortField::Rating => numbers(p.rating, q.rating),
        SortField::Distance => numbers(distance(query, p), distance(query, q)),
    }
}

fn distance(query: &Query, p: &Product) -> Option<f64> {
    let near = query.filters.near?;
    p.location.map(|l| distance_m(near.lat, near.lon, l.lat, l.lon))
}

fn last_if_missing<T>(key: SortKey, a: Option<T>, b: Option<T>, cmp: impl Fn(&T, &T) -> Ordering) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if key.descending => cmp(&b, &a),
        (Some(a), Some(b)) => cmp(&a, &b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}
