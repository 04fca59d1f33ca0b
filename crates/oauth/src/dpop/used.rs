//! Which proofs were used in this process. What is full takes nothing more: to forget one that may still be used again
//! would be to take it twice.

use std::collections::{BTreeMap, HashSet};

use foldhash::fast::RandomState;
use haat_catalog::Timestamp;

/// Names end in groups, all of one such span together.
const SPAN_MS: i64 = 15_000;

/// The name of a proof.
pub(super) type Name = [u8; 16];

/// Whether a name was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    First,
    Again,
    /// Nobody can tell: there is no room to remember it.
    Unknown,
}

/// Names that were used and have not ended yet, by when they do.
pub(super) struct Used {
    ending: BTreeMap<i64, HashSet<Name, RandomState>>,
    count: usize,
    most: usize,
}

impl Used {
    /// None yet, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self { ending: BTreeMap::new(), count: 0, most }
    }

    /// Notes a use of a name that matters until `end`.
    pub fn note(&mut self, name: Name, end: Timestamp, now: Timestamp) -> Use {
        while let Some(first) = self.ending.first_entry().filter(|group| *group.key() < group_of(now)) {
            self.count -= first.remove().len();
        }
        // A handful of groups: ends are never more than a few spans ahead.
        if self.ending.values().any(|names| names.contains(&name)) {
            return Use::Again;
        }
        if self.count >= self.most {
            return Use::Unknown;
        }
        self.ending.entry(group_of(end)).or_default().insert(name);
        self.count += 1;
        Use::First
    }
}

fn group_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(SPAN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn name(n: u8) -> Name {
        [n; 16]
    }

    #[test]
    fn a_name_is_known_until_it_has_ended() {
        let mut used = Used::new(10);
        assert_eq!(used.note(name(1), at(100), at(0)), Use::First);
        assert_eq!(used.note(name(1), at(100), at(100)), Use::Again);
        assert_eq!(used.note(name(1), at(200), at(99)), Use::Again, "whenever it says to end");
        assert_eq!(used.note(name(1), at(200), at(120)), Use::First);
    }

    #[test]
    fn what_is_full_takes_nothing_new_and_forgets_nothing() {
        let mut used = Used::new(3);
        for n in 0..3 {
            assert_eq!(used.note(name(n), at(100), at(0)), Use::First);
        }
        assert_eq!(used.note(name(3), at(100), at(0)), Use::Unknown);
        assert_eq!(used.note(name(0), at(100), at(50)), Use::Again);
        assert_eq!(used.note(name(3), at(250), at(130)), Use::First, "there is room again once they have ended");
        assert_eq!(used.count, 1);
    }
}
