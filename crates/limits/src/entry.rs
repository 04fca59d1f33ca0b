//! An account and its number in the shared cache: one step asks for units and tells what is owed.

use std::sync::Arc;

use haat_cache::{Cache, CacheError};
use tokio::time::Instant;

use crate::gcra::{Quota, TAKE, Taken};
use crate::lease::{Account, Turn, ahead};

/// An account, and where its state is in the cache.
pub(crate) struct Entry {
    pub account: Arc<Account>,
    pub key: String,
    pub quota: Quota,
}

impl Entry {
    /// Asks for units, at least `least` or none, at most `most`; before that the account's debt is told and `back` units are
    /// given back. A debt that may not have arrived stays one.
    pub async fn ask(
        &self,
        _turn: &Turn<'_>,
        cache: &dyn Cache,
        (least, most): (u64, u64),
        back: u64,
    ) -> Result<Taken, CacheError> {
        let owed = self.account.state().owed();
        let arguments = self.quota.arguments(least, most, ahead(self.quota), signed(owed) - signed(back));
        let answer = cache.run(&TAKE, &self.key, &arguments).await?;
        let taken = Taken::read(&answer).ok_or_else(|| CacheError::Failed("an answer that makes no sense".into()))?;
        self.account.state().told(owed);
        Ok(taken)
    }

    /// The same for nothing: the debt is told, `back` units are given back, and the account knows how it stands.
    pub async fn look(&self, cache: &dyn Cache, back: u64) -> Result<(), CacheError> {
        let turn = self.account.asking.lock().await;
        let taken = self.ask(&turn, cache, (0, 0), back).await?;
        self.account.seen(taken);
        Ok(())
    }

    /// Asks for a lease that nobody waits for.
    pub async fn refill(&self, cache: &dyn Cache) {
        let turn = self.account.asking.lock().await;
        // Whoever asked before may have asked for enough.
        let next = self.account.state().next(self.quota);
        let Some(most) = next else { return };
        let asked = Instant::now();
        let taken = self.ask(&turn, cache, (0, most), 0).await;
        self.account.refilled(self.quota, taken.ok(), asked);
    }
}

/// Units are far below the largest number of either kind.
fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
