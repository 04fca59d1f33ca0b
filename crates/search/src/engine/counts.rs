//! How many documents of a segment have which values: the total of a range without a look at a single document.

use tantivy::index::InvertedIndexReader;

/// A field with more values than this is not counted this way: what is kept must stay small beside the columns.
const MOST_VALUES: usize = 200_000;

/// The values of a field in ascending order, each with the number of documents up to and including it. Deleted
/// documents are among them, so that this holds for as long as the segment lives.
pub struct ValueCounts {
    values: Vec<u64>,
    up_to: Vec<u32>,
}

impl ValueCounts {
    /// From the terms of an indexed numeric field with one value per document; `None` when there are too many.
    ///
    /// # Errors
    /// When the segment's files cannot be read.
    pub fn read(terms: &InvertedIndexReader) -> tantivy::Result<Option<Self>> {
        let dictionary = terms.terms();
        if dictionary.num_terms() > MOST_VALUES {
            return Ok(None);
        }
        let (mut values, mut up_to, mut sum) = (Vec::new(), Vec::new(), 0_u32);
        let mut stream = dictionary.stream()?;
        while stream.advance() {
            // Numbers are eight bytes whose order is theirs.
            let Ok(bytes) = <[u8; 8]>::try_from(stream.key()) else { return Ok(None) };
            sum = sum.saturating_add(stream.value().doc_freq);
            values.push(u64::from_be_bytes(bytes));
            up_to.push(sum);
        }
        Ok(Some(Self { values, up_to }))
    }

    /// The values, in ascending order.
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// How many documents have a value from `least` to `greatest`, both included.
    pub fn between(&self, least: u64, greatest: u64) -> u32 {
        let below = |end: usize| end.checked_sub(1).and_then(|last| self.up_to.get(last)).copied().unwrap_or(0);
        let (from, to) = (self.values.partition_point(|v| *v < least), self.values.partition_point(|v| *v <= greatest));
        below(to).saturating_sub(below(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_what_is_in_it() {
        let counts = ValueCounts { values: vec![10, 20, 30], up_to: vec![5, 6, 16] };
        for (least, greatest, expected) in [
            (0, u64::MAX, 16),
            (10, 10, 5),
            (11, 19, 0),
            (11, 20, 1),
            (20, 30, 11),
            (31, 40, 0),
            (30, 10, 0),
            (0, 9, 0),
        ] {
            assert_eq!(counts.between(least, greatest), expected, "{least} to {greatest}");
        }
        assert_eq!(ValueCounts { values: vec![], up_to: vec![] }.between(0, u64::MAX), 0);
    }
}
