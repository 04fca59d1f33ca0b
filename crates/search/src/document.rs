//! From a product to what the index keeps of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use haat_catalog::query::name_sort_key;
use haat_catalog::{Product, ProductId, Sku, SortField};
use tantivy::schema::Value;
use tantivy::{TantivyDocument, Term};

use crate::schema::{ATTRIBUTE_SEPARATOR, Fields, LEVEL_SEPARATOR};
use crate::text::Texts;
use crate::text::analyze::Stems;

/// The longest term that the index takes, in bytes; a longer value is found by this much of it.
const MAX_TERM_BYTES: usize = 65_000;

/// Makes documents; remembers the stems of words from one to the next.
pub struct Documents {
    fields: Fields,
    stems: Stems,
}

impl Documents {
    /// For an index with these fields.
    pub fn new(fields: Fields) -> Self {
        Self { fields, stems: Stems::default() }
    }

    /// The document of a product of which `json` is the JSON.
    ///
    /// # Errors
    /// When `json` is not a product's.
    pub fn read(&mut self, json: &[u8]) -> Result<TantivyDocument, serde_json::Error> {
        let product = Product::from_json(json)?;
        Ok(self.make(&product, json))
    }

    fn make(&mut self, p: &Product, json: &[u8]) -> TantivyDocument {
        let mut d = self.columns(p);
        d.add_bytes(self.fields.id, p.id.as_bytes());
        d.add_bytes(self.fields.doc, json);
        self.texts(&mut d, p);
        d
    }

    /// What a document has in columns and in the postings of exact values: everything but the texts and the JSON.
    pub fn columns(&self, p: &Product) -> TantivyDocument {
        let mut d = TantivyDocument::new();
        let id = p.id.as_u128();
        d.add_u64(self.fields.id_hi, (id >> 64) as u64);
        d.add_u64(self.fields.id_lo, id as u64);
        self.values(&mut d, p);
        self.sort_values(&mut d, p);
        d
    }

    fn texts(&mut self, d: &mut TantivyDocument, p: &Product) {
        let skus: Vec<&str> =
            std::iter::once(&p.sku).chain(p.variants.iter().map(|v| &v.sku)).map(Sku::as_str).collect();
        let texts = Texts {
            name: &p.name,
            brand: p.brand.as_deref().unwrap_or_default(),
            category: &p.category,
            tags: &p.tags,
            skus: &skus,
            description: p.description.as_deref().unwrap_or_default(),
        };
        self.fields.text.write(d, &texts, &mut self.stems);
    }

    fn values(&self, d: &mut TantivyDocument, p: &Product) {
        let f = &self.fields;
        for (field, text) in [(f.brand, &p.brand), (f.seller, &p.seller)] {
            if let Some(text) = text {
                d.add_text(field, text);
            }
        }
        for tag in p.tags.iter().collect::<BTreeSet<_>>() {
            d.add_text(f.tag, tag);
        }
        d.add_text(f.status, p.status.name());
        d.add_text(f.currency, p.price.currency.code());
        d.add_text(f.in_stock, if p.in_stock() { "true" } else { "false" });
        for levels in 1..=p.category.len() {
            d.add_text(f.category_path, p.category.get(..levels).unwrap_or_default().join(LEVEL_SEPARATOR));
        }
        if !p.category.is_empty() {
            d.add_text(f.category, p.category.join(LEVEL_SEPARATOR));
        }
        for (name, value) in &p.attributes {
            for text in value.texts().into_iter().collect::<BTreeSet<_>>() {
                let mut term = format!("{name}{ATTRIBUTE_SEPARATOR}{text}");
                term.truncate(term.floor_char_boundary(MAX_TERM_BYTES));
                d.add_text(f.attr, term);
            }
        }
    }

    fn sort_values(&self, d: &mut TantivyDocument, p: &Product) {
        let f = &self.fields;
        d.add_i64(f.price, p.price.amount);
        d.add_i64(f.created_at, p.created_at.as_millis());
        d.add_i64(f.updated_at, p.updated_at.as_millis());
        d.add_text(f.name_sort, name_sort_key(&p.name));
        match p.rating {
            // −0 and 0 are the same rating.
            Some(rating) => d.add_f64(f.rating, rating + 0.0),
            None => d.add_text(f.missing, SortField::Rating.name()),
        }
        match p.stock {
            Some(stock) => d.add_i64(f.stock, stock),
            None => d.add_text(f.missing, SortField::Stock.name()),
        }
        if let Some(location) = p.location {
            d.add_f64(f.lat, location.lat);
            d.add_f64(f.lon, location.lon);
        }
    }
}

/// The term by which a product is found, replaced and deleted.
pub fn id_term(fields: &Fields, id: ProductId) -> Term {
    Term::from_field_bytes(fields.id, id.as_bytes())
}

/// The product's JSON in a stored document.
pub fn json_of(fields: &Fields, document: &TantivyDocument) -> Option<Bytes> {
    let value = document.get_first(fields.doc)?;
    value.as_bytes().map(Bytes::copy_from_slice)
}
