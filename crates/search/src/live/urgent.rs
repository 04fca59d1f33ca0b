//! Products that somebody waits to see: written through this server while the follower is far behind.
//!
//! The log is followed in order, and behind a million changes of an import a single write would wait for all of them. A
//! product may be shown before its turn, because the log tells of products as they are now: when its own change comes it
//! is written once more, and nothing is different. How far the index has come is said by the log alone.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use haat_catalog::ports::{ProductReader, StoreError};
use haat_catalog::product::ProductKey;
use haat_catalog::{Change, ChangeOp, ProductId, Seq, Sku, Timestamp};

/// So many are shown before their turn; of more, each would wait for the others.
const MOST: usize = 200;

/// The products, until the follower takes them.
#[derive(Default)]
pub(super) struct Urgent(Mutex<HashSet<ProductId>>);

impl Urgent {
    /// Adds products; those that are too many wait for their turn.
    pub fn add(&self, written: &[ProductId]) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in written {
            if ids.len() < MOST {
                ids.insert(*id);
            }
        }
    }

    /// Takes them all.
    pub fn take(&self) -> HashSet<ProductId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The products as they are now, in the form of changes; their places in the log are not known, and not used.
///
/// # Errors
/// When the store fails.
pub(super) async fn read(reader: &dyn ProductReader, ids: HashSet<ProductId>) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::with_capacity(ids.len());
    // A product that is gone has no sku either; none is read from a change.
    let Ok(nobody) = Sku::new("-") else { return Ok(changes) };
    for id in ids {
        let product = reader.product(&ProductKey::Id(id)).await?;
        let op = if product.is_some() { ChangeOp::Updated } else { ChangeOp::Deleted };
        let (sku, version, document) = match product {
            Some(product) => (product.sku, product.version, Some(product.document)),
            None => (nobody.clone(), 0, None),
        };
        changes.push(Change { seq: Seq(0), op, id, sku, version, at: Timestamp::from_millis(0), document });
    }
    Ok(changes)
}
