//! Orders of items that are of another kind than those that come now: the settings say anew what tells how new an item is, or
//! where the upstream is.
//!
//! Versions are less than any time of change, and those of a new upstream less than those of an old one: compared with each
//! other, every item would be taken for old news for ever. So a run forgets the orders that are known before it reads anything.
//! It says that it did only when it has come to the end: whoever takes it over before that begins at the first item again, which
//! forgets nothing that is worth keeping, for until then nothing was read.

use super::{Driving, Halt, insist};
use crate::ports::ForgetOrders;

/// Items of which the order is forgotten in one transaction.
const PAGE: u32 = 500;

impl Driving<'_> {
    /// Forgets the orders that are known if they cannot be compared with those that come.
    pub(super) async fn renew_orders(&mut self) -> Result<(), Halt> {
        let engine = self.engine;
        let current = engine.upstream.connector.order_fingerprint();
        if self.run.order_fingerprint == current {
            return Ok(());
        }
        let (lease, run) = (self.lease.clone(), self.run.id);
        let mut forget = ForgetOrders { lease, run, after: None, limit: PAGE };
        loop {
            self.keep().await?;
            forget.after = insist(|| engine.store.forget_orders(forget.clone())).await?;
            if forget.after.is_none() {
                break;
            }
        }
        self.run.order_fingerprint = current;
        self.save(engine.options.hold).await?;
        Ok(())
    }
}
