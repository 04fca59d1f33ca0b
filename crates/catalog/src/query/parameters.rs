//! A query as the parameters that say it.

use super::{CountMode, DEFAULT_FACET_LIMIT, Limit, Query, SortField, SortKey};
use crate::product::CATEGORY_SEPARATOR;

impl Query {
    /// The parameters of this query, without defaults, cursor and `min_seq`; [`Query::parse`] makes the same query of them.
    /// However it was asked for, whoever asks the same has the same parameters.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut put = |name: &str, value: String| pairs.push((name.to_owned(), value));
        if let Some(text) = &self.text {
            put("q", text.clone());
        }
        let filters = &self.filters;
        for path in &filters.category {
            put("category", path.join(CATEGORY_SEPARATOR));
        }
        for (name, values) in [("brand", &filters.brand), ("seller", &filters.seller), ("tag", &filters.tag)] {
            values.iter().for_each(|value| put(name, value.clone()));
        }
        filters.status.iter().for_each(|status| put("status", status.name().to_owned()));
        for (name, values) in &filters.attr {
            values.iter().for_each(|value| put(&format!("attr.{name}"), value.clone()));
        }
        filters.currency.iter().for_each(|currency| put("currency", currency.to_string()));
        let bounds = [("price_min", filters.price_min), ("price_max", filters.price_max)];
        bounds.into_iter().filter_map(|(name, bound)| Some((name, bound?))).for_each(|(n, b)| put(n, b.to_string()));
        if let Some(rating) = filters.rating_min {
            put("rating_min", rating.to_string());
        }
        if let Some(in_stock) = filters.in_stock {
            put("in_stock", in_stock.to_string());
        }
        let times = [("created_after", filters.created_after), ("updated_after", filters.updated_after)];
        times.into_iter().filter_map(|(name, at)| Some((name, at?))).for_each(|(n, at)| put(n, String::from(at)));
        if let Some(near) = filters.near {
            put("near", format!("{},{}", near.lat, near.lon));
            if let Some(radius) = near.radius_km {
                put("radius_km", radius.to_string());
            }
        }
        self.presentation(&mut put);
        pairs
    }

    /// How what is found shall look.
    fn presentation(&self, put: &mut impl FnMut(&str, String)) {
        if self.sort != [default_order(self.text.is_some())] {
            let key = |key: &SortKey| format!("{}{}", if key.descending { "-" } else { "" }, key.field.name());
            put("sort", self.sort.iter().map(key).collect::<Vec<_>>().join(","));
        }
        if self.limit != Limit::default() {
            put("limit", self.limit.get().to_string());
        }
        if !self.facets.is_empty() {
            put("facets", self.facets.iter().map(super::FacetField::name).collect::<Vec<_>>().join(","));
        }
        if self.facet_limit != DEFAULT_FACET_LIMIT {
            put("facet_limit", self.facet_limit.to_string());
        }
        if self.count == CountMode::None {
            put("count", "none".to_owned());
        }
        if let Some(fields) = &self.fields {
            put("fields", fields.join(","));
        }
        if self.highlight {
            put("highlight", "true".to_owned());
        }
    }
}

/// The order when `sort` says nothing.
pub(super) fn default_order(has_text: bool) -> SortKey {
    match has_text {
        true => SortKey { field: SortField::Relevance, descending: false },
        false => SortKey { field: SortField::CreatedAt, descending: true },
    }
}
