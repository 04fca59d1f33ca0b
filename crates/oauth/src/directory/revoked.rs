//! The revoked tokens that are known: changed in place, so that one more costs the same however many there are.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use haat_catalog::Timestamp;
use uuid::Uuid;

/// Ids of tokens are random: their last bits spread them evenly, so that those who look rarely meet one who writes.
const SHARDS: usize = 16;

type Shard = HashMap<Uuid, Timestamp, RandomState>;

/// Revoked tokens that have not ended yet, and when they do.
#[derive(Default)]
pub struct Revoked {
    shards: [RwLock<Shard>; SHARDS],
}

impl Revoked {
    /// Whether that token is revoked.
    pub fn contains(&self, jti: &Uuid) -> bool {
        self.read(jti).contains_key(jti)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn insert(&self, jti: Uuid, expires_at: Timestamp) {
        self.write(shard_of(&jti)).insert(jti, expires_at);
    }

    /// Forgets those that ended before a moment. Looks at all of them: to be done now and then, not with each revocation.
    pub(super) fn forget_ended(&self, before: Timestamp) {
        for shard in 0..SHARDS {
            self.write(shard).retain(|_, end| *end >= before);
        }
    }

    fn read(&self, jti: &Uuid) -> RwLockReadGuard<'_, Shard> {
        // `shard_of` is below the number of shards. What a panic left is an entry too many or too few.
        self.shards[shard_of(jti)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shard_of(jti: &Uuid) -> usize {
    let [.., last] = jti.into_bytes();
    usize::from(last) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_is_found_until_it_has_ended() {
        let (revoked, at) = (Revoked::default(), Timestamp::from_millis);
        for n in 0..100_u128 {
            revoked.insert(Uuid::from_u128(n), at(i64::try_from(n).unwrap()));
        }
        assert!(revoked.contains(&Uuid::from_u128(99)) && !revoked.contains(&Uuid::from_u128(100)));
        revoked.forget_ended(at(60));
        assert_eq!(revoked.len(), 40);
        assert!(!revoked.contains(&Uuid::from_u128(59)) && revoked.contains(&Uuid::from_u128(60)));
    }
}
