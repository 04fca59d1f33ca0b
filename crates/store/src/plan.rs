//! What a transaction will write of many products, decided one by one before anything is written.
//!
//! Imports and synchronisation share it: what makes a product new, changed or the same is decided in one place.

use std::collections::{HashMap, HashSet};

use haat_catalog::product::ContentHash;
use haat_catalog::write::{BatchOutcome, new_product};
use haat_catalog::{ChangeOp, Draft, Invalid, ProductId, Sku, Timestamp, Violation};

use crate::fault::Fault;
use crate::lane::Answer;
use crate::sql::{KnownRow, LogRow, NewRow, Sql, product_id, sku, unsigned};
use crate::write::new_row;

/// What will be written.
#[derive(Default)]
pub(crate) struct Plan {
    /// The ids of new products that belong to others, and of those decided so far.
    taken: HashSet<ProductId>,
    last_versions: HashMap<ProductId, u64>,
    inserts: Vec<NewRow>,
    updates: Vec<NewRow>,
    deletes: Vec<ProductId>,
    /// In the order of the decisions, not yet numbered.
    log: Vec<LogRow>,
}

/// A draft that is not written, and why.
pub(crate) fn refused(pointer: &str, detail: impl Into<String>) -> BatchOutcome {
    BatchOutcome::Refused(Violation::new(pointer, detail))
}

impl Plan {
    /// A plan that writes nothing yet. `taken` are those ids of new products that belong to others, `last_versions` those
    /// to go on from of ids that products had once.
    pub(crate) fn new(taken: HashSet<ProductId>, last_versions: HashMap<ProductId, u64>) -> Self {
        Self { taken, last_versions, ..Self::default() }
    }

    /// Decides about one draft as [`haat_catalog::write::decide`] would about a put.
    pub(crate) fn decide(
        &mut self,
        draft: &Draft,
        new_id: ProductId,
        hash: ContentHash,
        known: Option<&KnownRow>,
        now: Timestamp,
    ) -> Answer<BatchOutcome> {
        match known {
            None => Ok(self.create(draft, new_id, hash, now)),
            Some(row) => self.update(draft, hash, row, now),
        }
    }

    fn create(&mut self, draft: &Draft, new_id: ProductId, hash: ContentHash, now: Timestamp) -> BatchOutcome {
        let mut product = new_product(draft.clone(), new_id, now);
        product.version += self.last_versions.get(&product.id).copied().unwrap_or(0);
        if !self.taken.insert(product.id) {
            return refused("/id", format!("the id {} belongs to another product", product.id));
        }
        match new_row(&product, Some(hash)) {
            Ok(row) => {
                self.inserts.push(row);
                self.note(ChangeOp::Created, product.id, product.sku, product.version, now);
                BatchOutcome::Created
            }
            Err(invalid) => first_violation(invalid),
        }
    }

    fn update(&mut self, draft: &Draft, hash: ContentHash, row: &KnownRow, now: Timestamp) -> Answer<BatchOutcome> {
        let id = product_id(&row.id)?;
        if draft.id.is_some_and(|brought| brought != id) {
            let detail = format!("the product with this sku has the id {id}; leave 'id' out or send that one");
            return Ok(refused("/id", detail));
        }
        let was_created = Timestamp::from_millis(row.created_at);
        let created_at = draft.created_at.unwrap_or(was_created);
        if row.content_hash == hash && created_at == was_created {
            return Ok(BatchOutcome::Unchanged);
        }
        let product = draft.clone().into_product(id, unsigned(row.version)? + 1, created_at, now);
        Ok(match new_row(&product, Some(hash)) {
            Ok(row) => {
                self.updates.push(row);
                self.note(ChangeOp::Updated, product.id, product.sku, product.version, now);
                BatchOutcome::Updated
            }
            Err(invalid) => first_violation(invalid),
        })
    }

    /// A product goes; its last version stays in the log.
    pub(crate) fn remove(&mut self, row: KnownRow, now: Timestamp) -> Answer<()> {
        let id = product_id(&row.id)?;
        self.deletes.push(id);
        self.note(ChangeOp::Deleted, id, sku(row.sku)?, unsigned(row.version)?, now);
        Ok(())
    }

    /// How many products go.
    pub(crate) fn removals(&self) -> usize {
        self.deletes.len()
    }

    fn note(&mut self, op: ChangeOp, product_id: ProductId, sku: Sku, version: u64, now: Timestamp) {
        self.log.push(LogRow { seq: 0, product_id, op, sku, version, changed_at: now });
    }

    /// Writes the products, in order of id.
    pub(crate) async fn write_products<C: Sql>(&mut self, conn: &mut C) -> Answer<()> {
        self.inserts.sort_unstable_by_key(|row| row.id);
        self.updates.sort_unstable_by_key(|row| row.id);
        self.deletes.sort_unstable();
        conn.insert(&self.inserts).await?;
        conn.replace(&self.updates).await?;
        conn.remove_products(&self.deletes).await
    }

    /// Takes the changes' places in the log, the last thing before the log rows and the commit; tells whether there
    /// were any.
    pub(crate) async fn write_log<C: Sql>(&mut self, conn: &mut C) -> Answer<bool> {
        if self.log.is_empty() {
            return Ok(false);
        }
        let too_many = |_| Fault::internal("a batch of more than 2^63 products");
        let number = |rows: usize| i64::try_from(rows).map_err(too_many);
        let places = number(self.log.len())?;
        let more = number(self.inserts.len())? - number(self.deletes.len())?;
        let last = conn.advance(places, more).await?;
        for (row, seq) in self.log.iter_mut().zip(last - places + 1..) {
            row.seq = seq;
        }
        conn.append(&self.log).await?;
        Ok(true)
    }
}

/// A draft that is not valid, told by the first thing wrong with it.
pub(crate) fn first_violation(Invalid(violations): Invalid) -> BatchOutcome {
    let unnamed = || Violation::new("", "is no valid product");
    BatchOutcome::Refused(violations.into_iter().next().unwrap_or_else(unnamed))
}
