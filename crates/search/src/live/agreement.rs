//! Whether the columns of a document say what its product says. Listings are filtered, sorted and counted by columns and
//! answered from stored documents; one may be right and the other wrong.

use haat_catalog::Product;
use tantivy::fastfield::Column;
use tantivy::schema::{Field, Value};
use tantivy::{DocId, TantivyDocument, f64_to_u64, i64_to_u64};

use crate::document::Documents;
use crate::engine::columns::{Columns, TextColumn};
use crate::schema::Fields;

/// Compares columns with what they should be.
pub struct Agreement {
    fields: Fields,
    documents: Documents,
}

impl Agreement {
    /// For an index with these fields.
    pub fn new(fields: Fields) -> Self {
        Self { fields, documents: Documents::new(fields) }
    }

    /// Whether the columns of `doc` have the values of `product`, and no others.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn holds(&self, columns: &Columns, doc: DocId, product: &Product) -> tantivy::Result<bool> {
        let expected = self.documents.columns(product);
        Ok(self.numbers(columns, doc, &expected) && self.texts(columns, doc, &expected)?)
    }

    fn numbers(&self, c: &Columns, doc: DocId, expected: &TantivyDocument) -> bool {
        let f = &self.fields;
        let same = |(field, column): (Field, &Column<u64>)| {
            let should = expected.get_all(field).filter_map(|value| {
                let value = value.as_value();
                value.as_u64().or_else(|| value.as_i64().map(i64_to_u64)).or_else(|| value.as_f64().map(f64_to_u64))
            });
            should.eq(column.values_for_doc(doc))
        };
        let degrees = |(field, column): (Field, &Column<f64>)| {
            let should = expected.get_all(field).filter_map(|value| value.as_value().as_f64());
            should.eq(column.values_for_doc(doc))
        };
        let numbers = [
            (f.id_hi, &c.id_hi),
            (f.id_lo, &c.id_lo),
            (f.price, &c.price),
            (f.rating, &c.rating),
            (f.stock, &c.stock),
            (f.created_at, &c.created_at),
            (f.updated_at, &c.updated_at),
        ];
        numbers.into_iter().all(same) && [(f.lat, &c.lat), (f.lon, &c.lon)].into_iter().all(degrees)
    }

    fn texts(&self, c: &Columns, doc: DocId, expected: &TantivyDocument) -> tantivy::Result<bool> {
        let f = &self.fields;
        let texts: [(Field, &TextColumn); 9] = [
            (f.name_sort, &c.name),
            (f.brand, &c.brand),
            (f.seller, &c.seller),
            (f.tag, &c.tag),
            (f.status, &c.status),
            (f.currency, &c.currency),
            (f.in_stock, &c.in_stock),
            (f.category, &c.category),
            (f.attr, &c.attr),
        ];
        for (field, column) in texts {
            let values = expected.get_all(field);
            let mut should: Vec<Vec<u8>> =
                values.filter_map(|v| v.as_value().as_str().map(|text| text.as_bytes().to_vec())).collect();
            let mut is = Vec::with_capacity(should.len());
            for ord in column.ords.values_for_doc(doc) {
                is.push(column.text(ord)?);
            }
            should.sort_unstable();
            is.sort_unstable();
            if should != is {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use haat_testkit::generate::Generator;
    use tantivy::{Index, IndexWriter, ReloadPolicy};

    use super::*;
    use crate::engine::view::View;
    use crate::live::generation::register;
    use crate::schema::schema;

    #[test]
    fn a_column_that_disagrees_with_its_product_is_noticed() {
        let mut generator = Generator::new(5);
        let products = generator.products(60);
        let (schema, fields) = schema();
        let index = Index::create_in_ram(schema);
        register(&index);
        let mut writer: IndexWriter<TantivyDocument> = index.writer_with_num_threads(1, 20_000_000).unwrap();
        let mut documents = Documents::new(fields);
        for product in &products {
            writer.add_document(documents.read(&product.to_json()).unwrap()).unwrap();
        }
        writer.commit().unwrap();
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().unwrap();
        let view = View::open(reader.searcher(), fields, None).unwrap();
        let agreement = Agreement::new(fields);
        let columns = &view.segments[0].columns;
        for (doc, product) in (0..).zip(&products) {
            let holds = |changed: Product| agreement.holds(columns, doc, &changed).unwrap();
            assert!(holds(product.clone()));
            let mut p = product.clone();
            p.price.amount += 1;
            assert!(!holds(p), "price");
            let mut p = product.clone();
            p.name.insert(0, 'x');
            assert!(!holds(p), "name");
            let mut p = product.clone();
            p.rating = if p.rating.is_some() { None } else { Some(1.0) };
            assert!(!holds(p), "rating");
            let mut p = product.clone();
            p.tags.push("another tag".to_owned());
            assert!(!holds(p), "tags");
            let mut p = product.clone();
            p.brand = Some("another brand".to_owned());
            assert!(!holds(p), "brand");
        }
    }
}
