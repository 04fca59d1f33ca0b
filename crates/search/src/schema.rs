//! The index's schema: which fields there are, what they hold and what they are for.
//!
//! | fields | hold | serve |
//! |---|---|---|
//! | `id` | the id's 16 bytes | replacing, deleting, looking up |
//! | `id_hi`, `id_lo` | the id's halves as numbers | breaking ties |
//! | `doc` | the product's JSON | answering |
//! | `words`, `*_stem`, `sku_text`, `sequence` | the texts, see [`crate::text::fields`] | searching |
//! | `brand` … `attr` | exact values | filters (postings) and facets (columns) |
//! | `price` … `updated_at`, `name_sort` | sort values | orders and ranges (columns), the ordered walk (dictionary) |
//! | `missing` | the sort fields without a value | the ordered walk's end |
//! | `lat`, `lon` | the place | distances |

use haat_catalog::SortField;
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use crate::text::TextFields;

/// Counts up whenever the fields or what is written into them change: an index of another version is built anew.
pub const SCHEMA_VERSION: u32 = 2;

/// The name by which [`Tokens`] is registered with every index.
pub const TOKENIZER: &str = "haat";

/// Separates the tokens of a text field's value: tokens are made once, by `text::analyze`, and only split here.
pub const TOKEN_SEPARATOR: char = crate::text::TOKEN_SEPARATOR;

/// Stands between the levels of a category path in the index: unlike ` > ` no level can contain it.
pub const LEVEL_SEPARATOR: &str = "\0";

/// Stands between an attribute's name and its value in a term of the field `attr`.
pub const ATTRIBUTE_SEPARATOR: char = '\0';

/// The fields of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// The id's 16 bytes; one term per product.
    pub id: Field,
    /// The upper half of the id (column).
    pub id_hi: Field,
    /// The lower half of the id (column).
    pub id_lo: Field,
    /// The product's JSON (stored).
    pub doc: Field,
    /// The texts that are searched.
    pub text: TextFields,
    /// Brand.
    pub brand: Field,
    /// Seller.
    pub seller: Field,
    /// Tags.
    pub tag: Field,
    /// Status.
    pub status: Field,
    /// The price's currency.
    pub currency: Field,
    /// `true` or `false`.
    pub in_stock: Field,
    /// The whole category path.
    pub category: Field,
    /// Every prefix of the category path (postings only).
    pub category_path: Field,
    /// `NAME\0VALUE` of every attribute.
    pub attr: Field,
    /// Names of sort fields that the product has no value of.
    pub missing: Field,
    /// The price's amount.
    pub price: Field,
    /// The rating.
    pub rating: Field,
    /// The stock.
    pub stock: Field,
    /// Milliseconds.
    pub created_at: Field,
    /// Milliseconds.
    pub updated_at: Field,
    /// [`haat_catalog::query::name_sort_key`] of the name.
    pub name_sort: Field,
    /// Latitude in degrees (column).
    pub lat: Field,
    /// Longitude in degrees (column).
    pub lon: Field,
}

impl Fields {
    /// The indexed field that holds the values of a sort field; none for computed ones.
    pub fn sort(&self, field: SortField) -> Option<Field> {
        match field {
            SortField::Price => Some(self.price),
            SortField::Name => Some(self.name_sort),
            SortField::CreatedAt => Some(self.created_at),
            SortField::UpdatedAt => Some(self.updated_at),
            SortField::Rating => Some(self.rating),
            SortField::Stock => Some(self.stock),
            SortField::Relevance | SortField::Distance => None,
        }
    }
}

/// The schema and its fields.
pub fn schema() -> (Schema, Fields) {
    let mut b = Schema::builder();
    let text = TextFields::add_to(&mut b, TOKENIZER);
    let exact = || terms("raw").set_fast("raw");
    let number = || NumericOptions::default().set_fast();
    let fields = Fields {
        id: b.add_bytes_field("id", BytesOptions::default().set_indexed()),
        id_hi: b.add_u64_field("id_hi", number()),
        id_lo: b.add_u64_field("id_lo", number()),
        doc: b.add_bytes_field("doc", BytesOptions::default().set_stored()),
        text,
        brand: b.add_text_field("brand", exact()),
        seller: b.add_text_field("seller", exact()),
        tag: b.add_text_field("tag", exact()),
        status: b.add_text_field("status", exact()),
        currency: b.add_text_field("currency", exact()),
        in_stock: b.add_text_field("in_stock", exact()),
        category: b.add_text_field("category", exact()),
        category_path: b.add_text_field("category_path", terms("raw")),
        attr: b.add_text_field("attr", exact()),
        missing: b.add_text_field("missing", terms("raw")),
        price: b.add_i64_field("price", number().set_indexed()),
        rating: b.add_f64_field("rating", number().set_indexed()),
        stock: b.add_i64_field("stock", number().set_indexed()),
        created_at: b.add_i64_field("created_at", number().set_indexed()),
        updated_at: b.add_i64_field("updated_at", number().set_indexed()),
        name_sort: b.add_text_field("name_sort", exact()),
        lat: b.add_f64_field("lat", number()),
        lon: b.add_f64_field("lon", number()),
    };
    (b.build(), fields)
}

/// Postings without frequencies.
fn terms(tokenizer: &str) -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(tokenizer)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    TextOptions::default().set_indexing_options(indexing)
}

/// Splits a value at [`TOKEN_SEPARATOR`]; every piece is a token at the next position, an empty piece a gap.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    token: Token,
}

impl Tokenizer for Tokens {
    type TokenStream<'a> = TokensStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> TokensStream<'a> {
        self.token.reset();
        TokensStream { rest: Some(text), position: 0, token: &mut self.token }
    }
}

/// The tokens of one value.
#[derive(Debug)]
pub struct TokensStream<'a> {
    rest: Option<&'a str>,
    position: usize,
    token: &'a mut Token,
}

impl TokenStream for TokensStream<'_> {
    fn advance(&mut self) -> bool {
        while let Some(text) = self.rest {
            let (piece, rest) = match text.split_once(TOKEN_SEPARATOR) {
                Some((piece, rest)) => (piece, Some(rest)),
                None => (text, None),
            };
            self.rest = rest;
            let position = self.position;
            self.position += 1;
            if !piece.is_empty() {
                self.token.text.clear();
                self.token.text.push_str(piece);
                self.token.position = position;
                return true;
            }
        }
        false
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
