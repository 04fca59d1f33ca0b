//! Which skus and ids an input has had already, in as little memory as that takes.
//!
//! It is the one thing of an import that grows with the input: by 15 to 30 bytes for each sku and each id. The bound on
//! records ([`crate::spec::InputLimits`]) is a bound on this.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use haat_catalog::ProductId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// So many tables, each of which grows by itself: growing needs the old and the new at the same time, and this way that is
/// a small part of the whole.
const TABLES: usize = 64;
/// So that an id never meets a sku.
const ID_SEED: u64 = 1;

/// Skus and ids by hash, with the line of each. Two different ones of equal hash would be taken for one; among five million
/// records that happens once in 370,000 imports.
pub(crate) struct Seen {
    tables: Vec<HashSet<Entry, BuildHasherDefault<AlreadyHashed>>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { tables: (0..TABLES).map(|_| HashSet::default()).collect() }
    }
}

impl Seen {
    /// The line that has the sku already; remembers this one if none has.
    pub(crate) fn sku(&mut self, sku: &str, line: u64) -> Option<u64> {
        self.first_line(xxh3_64(sku.as_bytes()), line)
    }

    /// The line that has the id already; remembers this one if none has.
    pub(crate) fn id(&mut self, id: &ProductId, line: u64) -> Option<u64> {
        self.first_line(xxh3_64_with_seed(id.as_bytes(), ID_SEED), line)
    }

    fn first_line(&mut self, hash: u64, line: u64) -> Option<u64> {
        let entry = Entry::new(hash, line);
        // By bits that the table itself does not look at.
        let at = (hash >> 32) as usize % TABLES;
        let table = self.tables.get_mut(at)?;
        if let Some(first) = table.get(&entry) {
            return Some(u64::from(first.line));
        }
        table.insert(entry);
        None
    }

    /// What all this takes, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        // hashbrown: a byte beside each place, and one place in eight stays empty.
        self.tables.iter().map(|table| table.capacity() * 8 / 7 * (size_of::<Entry>() + 1)).sum()
    }
}

/// A hash in halves, so that an entry has 12 bytes and not 16.
#[derive(Clone, Copy)]
struct Entry {
    low: u32,
    high: u32,
    /// Lines beyond four billion count as the last of these.
    line: u32,
}

impl Entry {
    fn new(hash: u64, line: u64) -> Self {
        Self { low: hash as u32, high: (hash >> 32) as u32, line: u32::try_from(line).unwrap_or(u32::MAX) }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.low, self.high) == (other.low, other.high)
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.high) << 32 | u64::from(self.low));
    }
}

/// Passes a hash through.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_told_with_its_line_and_ids_never_meet_skus() {
        let mut seen = Seen::default();
        let id = ProductId::from_bytes(*b"0123456789abcdef");
        assert_eq!((seen.sku("0123456789abcdef", 3), seen.sku("B", 4)), (None, None));
        assert_eq!((seen.id(&id, 5), seen.id(&id, 6)), (None, Some(5)));
        assert_eq!((seen.sku("0123456789abcdef", 7), seen.sku("B", 8)), (Some(3), Some(4)));
    }

    #[test]
    fn a_record_with_an_id_takes_at_most_60_bytes_whenever_one_looks() {
        let mut seen = Seen::default();
        for n in 0..300_000_u64 {
            assert_eq!(seen.sku(&format!("G{n:08}"), n), None);
            assert_eq!(seen.id(&ProductId::from_bytes(u128::from(n).to_be_bytes()), n), None);
            // Few records cost more each, and nothing to speak of together.
            if n >= 50_000 && n % 1_000 == 0 {
                let most = 60 * (n + 1) as usize;
                assert!(seen.bytes() <= most, "{} bytes for {} records", seen.bytes(), n + 1);
            }
        }
    }
}
