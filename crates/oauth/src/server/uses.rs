//! When secrets were last used: kept in memory, written now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use haat_catalog::Timestamp;

use crate::ports::SecretUse;
use crate::vault::SecretHash;

/// Uses not written yet.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<SecretHash, Timestamp>>);

impl Uses {
    pub fn note(&self, hash: SecretHash, at: Timestamp) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = uses.entry(hash).or_insert(at);
        *last = at.max(*last);
    }

    pub fn take(&self) -> Vec<SecretUse> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.drain().map(|(hash, at)| SecretUse { hash, at }).collect()
    }

    pub fn put_back(&self, uses: Vec<SecretUse>) {
        uses.into_iter().for_each(|used| self.note(used.hash, used.at));
    }
}
