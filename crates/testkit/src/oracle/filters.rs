//! Whether a product meets a query's filters.

use haat_catalog::query::distance_m;
use haat_catalog::{FacetField, Filters, Product};

/// Whether the product meets every filter.
pub(super) fn all(p: &Product, f: &Filters) -> bool {
    let category = f.category.is_empty() || f.category.iter().any(|path| p.category.starts_with(path));
    let attributes = f.attr.iter().all(|(name, wanted)| {
        let texts = p.attributes.get(name).map(|v| v.texts()).unwrap_or_default();
        texts.iter().any(|t| wanted.contains(t))
    });
    let amount = p.price.amount;
    category
        && attributes
        && among(&f.brand, p.brand.as_ref())
        && among(&f.seller, p.seller.as_ref())
        && (f.tag.is_empty() || p.tags.iter().any(|t| f.tag.contains(t)))
        && among(&f.status, Some(&p.status))
        && among(&f.currency, Some(&p.price.currency))
        && f.price_min.is_none_or(|min| amount >= min)
        && f.price_max.is_none_or(|max| amount <= max)
        && f.rating_min.is_none_or(|min| p.rating.is_some_and(|r| r >= min))
        && f.in_stock.is_none_or(|wanted| p.in_stock() == wanted)
        && f.created_after.is_none_or(|t| p.created_at > t)
        && f.updated_after.is_none_or(|t| p.updated_at > t)
        && within(p, f)
}

fn among<T: PartialEq>(wanted: &[T], value: Option<&T>) -> bool {
    wanted.is_empty() || value.is_some_and(|v| wanted.contains(v))
}

fn within(p: &Product, f: &Filters) -> bool {
    let Some((near, radius_km)) = f.near.and_then(|n| n.radius_km.map(|r| (n, r))) else { return true };
    p.location.is_some_and(|l| distance_m(near.lat, near.lon, l.lat, l.lon) <= radius_km * 1_000.0)
}

/// The filters that narrow the counts of `field`: all but its own.
pub(super) fn without(filters: &Filters, field: &FacetField) -> Filters {
    let mut f = filters.clone();
    match field {
        FacetField::Brand => f.brand.clear(),
        FacetField::Category => f.category.clear(),
        FacetField::Seller => f.seller.clear(),
        FacetField::Tag => f.tag.clear(),
        FacetField::Status => f.status.clear(),
        FacetField::Currency => f.currency.clear(),
        FacetField::Price | FacetField::PriceRange => (f.price_min, f.price_max) = (None, None),
        FacetField::Rating => f.rating_min = None,
        FacetField::InStock => f.in_stock = None,
        FacetField::Attribute(name) => {
            f.attr.remove(name);
        }
    }
    f
}
