//! The products, in order of their ids.

mod generate;
mod vocabulary;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use haat_catalog::Timestamp;

use crate::product::Product;
pub use generate::generate;

/// The most products.
pub const MAX_PRODUCTS: usize = 200_000;
/// The longest id, in bytes.
pub const MAX_ID: usize = 64;

/// Why a product was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The id cannot be one.
    #[error("an id is 1 to {MAX_ID} letters, digits, '-', '_' and '.'")]
    Id,
    /// There is no room for one more.
    #[error("there are {MAX_PRODUCTS} products; delete one first")]
    Full,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin<'a> {
    /// After so many products.
    Skip(usize),
    /// After the product with that id, which need not be there any more.
    After(&'a str),
}

/// A page of products.
pub(crate) struct Slice {
    pub products: Vec<Arc<Product>>,
    /// How many there are on all pages.
    pub total: usize,
    /// Whether more follow.
    pub more: bool,
}

/// The products by id.
pub(crate) struct Catalogue(RwLock<BTreeMap<String, Arc<Product>>>);

impl Catalogue {
    /// With those products, as they are; up to [`MAX_PRODUCTS`].
    pub fn new(products: impl IntoIterator<Item = Product>) -> Self {
        let products = products.into_iter().take(MAX_PRODUCTS);
        Self(RwLock::new(products.map(|product| (product.id.clone(), Arc::new(product))).collect()))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Product>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Product>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// All of them, in order of their ids.
    pub fn all(&self) -> Vec<Arc<Product>> {
        self.read().values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<Arc<Product>> {
        self.read().get(id).cloned()
    }

    /// A page of those that were modified at that moment or later.
    pub fn page(&self, since: Option<Timestamp>, begin: Begin<'_>, size: usize) -> Slice {
        let products = self.read();
        let wanted = |product: &&Arc<Product>| since.is_none_or(|since| product.modified >= since);
        let total = if since.is_none() { products.len() } else { products.values().filter(wanted).count() };
        let (after, skip) = match begin {
            Begin::Skip(n) => (Bound::Unbounded, n),
            Begin::After(id) => (Bound::Excluded(id), 0),
        };
        let range = products.range::<str, _>((after, Bound::Unbounded));
        let mut rest = range.map(|(_, product)| product).filter(wanted).skip(skip);
        let page = rest.by_ref().take(size).cloned().collect();
        Slice { products: page, total, more: rest.next().is_some() }
    }

    /// Writes a product and says what became of it, and whether it is new. Its version counts up; the moment at which it was
    /// modified never goes backwards, whatever the clock does.
    pub fn put(&self, mut product: Product, now: Timestamp) -> Result<(Arc<Product>, bool), PutError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=MAX_ID).contains(&product.id.len()) || !product.id.bytes().all(fits) {
            return Err(PutError::Id);
        }
        let mut products = self.write();
        let before = products.get(&product.id);
        if before.is_none() && products.len() >= MAX_PRODUCTS {
            return Err(PutError::Full);
        }
        product.created = before.map_or(now, |before| before.created);
        product.modified = before.map_or(now, |before| before.modified.max(now));
        product.version = before.map_or(1, |before| before.version + 1);
        let is_new = before.is_none();
        let product = Arc::new(product);
        products.insert(product.id.clone(), Arc::clone(&product));
        Ok((product, is_new))
    }

    /// Removes a product; whether it was there.
    pub fn remove(&self, id: &str) -> bool {
        self.write().remove(id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Price;

    fn product(id: &str) -> Product {
        Product::new(id, id, id, Price { cents: 1, currency: "EUR".into() })
    }

    #[test]
    fn what_was_modified_last_never_lies_before_what_was_modified_first() {
        let catalogue = Catalogue::new([]);
        let put = |at| catalogue.put(product("a"), Timestamp::from_millis(at)).unwrap().0;
        put(5_000);
        let again = put(4_000);
        assert_eq!((again.version, again.modified.as_millis(), again.created.as_millis()), (2, 5_000, 5_000));
        assert_eq!(put(6_000).modified.as_millis(), 6_000);
    }

    #[test]
    fn an_id_that_would_be_another_path_is_refused() {
        let catalogue = Catalogue::new([]);
        let put = |id: &str| catalogue.put(product(id), Timestamp::from_millis(0)).err();
        for id in ["", "a/b", "a b", "é", &"a".repeat(65)] {
            assert_eq!(put(id), Some(PutError::Id), "{id}");
        }
        assert_eq!(put(&"a".repeat(64)), None);
    }

    #[test]
    fn a_page_goes_on_after_a_product_that_is_gone() {
        let catalogue = Catalogue::new(["a", "b", "c"].map(product));
        catalogue.remove("b");
        let page = catalogue.page(None, Begin::After("b"), 10);
        assert_eq!((page.products[0].id.as_str(), page.total, page.more), ("c", 2, false));
    }
}
