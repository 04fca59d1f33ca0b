//! A catalogue in memory, as a store.

use std::io::{BufRead, BufReader};
use std::path::Path;

use async_trait::async_trait;
use haat_catalog::ports::{ChangeLog, ChangeLogError, Compacted, Compaction, ProductReader, StoreError, StoredProduct};
use haat_catalog::product::ProductKey;
use haat_catalog::{ChangePage, Draft, Origin, Product, ProductId, Resume, Seq, Timestamp};

/// Products by id. The log has no changes: all products were there before.
pub struct Memory {
    products: Vec<StoredProduct>,
}

impl Memory {
    /// Reads a file of products, one a line; ids are drawn so that every run has the same.
    pub fn read(file: &Path) -> Self {
        let lines = BufReader::new(std::fs::File::open(file).unwrap()).lines();
        let products = (0_u128..).zip(lines).map(|(i, line)| {
            let json: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let draft = Draft::from_json(&json).unwrap();
            let created = draft.created_at.unwrap_or_else(|| Timestamp::from_millis(0));
            // As version 7 ids come out of an import: growing, with random ends.
            let noise = u128::from((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let id = ((1_790_000_000_000 + i / 20) << 80) | (7 << 76) | (i % 20) << 64 | 1 << 63 | noise >> 2;
            let id = ProductId::from_bytes(id.to_be_bytes());
            let now = Timestamp::from_millis(1_790_000_000_000 + (i / 500) as i64);
            let product = draft.into_product(id, 1, created, now);
            let document = product.to_json().into();
            StoredProduct { id, sku: product.sku, version: 1, document }
        });
        Self { products: products.collect() }
    }

    /// How many products there are.
    pub fn len(&self) -> usize {
        self.products.len()
    }

    /// Some products to ask about: those with real names, and others like them.
    pub fn samples(&self) -> Vec<Product> {
        self.products.iter().take(55_110).map(|p| Product::from_json(&p.document).unwrap()).collect()
    }
}

#[async_trait]
impl ProductReader for Memory {
    async fn product(&self, _: &ProductKey) -> Result<Option<StoredProduct>, StoreError> {
        Ok(None)
    }

    async fn scan(&self, after: Option<ProductId>, limit: u32) -> Result<Vec<StoredProduct>, StoreError> {
        let from = after.map_or(0, |id| self.products.partition_point(|p| p.id <= id));
        Ok(self.products.iter().skip(from).take(limit as usize).cloned().collect())
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.products.len() as u64)
    }
}

#[async_trait]
impl ChangeLog for Memory {
    async fn head(&self) -> Result<Seq, StoreError> {
        Ok(Seq(self.products.len() as u64))
    }

    async fn origin(&self) -> Result<Origin, StoreError> {
        Ok(Origin::default())
    }

    async fn read(&self, _: Resume, _: u32) -> Result<ChangePage, ChangeLogError> {
        Ok(ChangePage { changes: Vec::new(), head: Seq(self.products.len() as u64), floor: Seq(0) })
    }

    async fn follow(&self, _: &str, _: Seq, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn compact(&self, _: Compaction) -> Result<Compacted, StoreError> {
        Ok(Compacted::default())
    }
}
