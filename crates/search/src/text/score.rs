//! The score: how well a product matches, as one number whose order is the order of relevance.
//!
//! It depends on the product, the query and what the query's words stand for, never on how many products have them: it
//! stays what it is while others write, so that a cursor over relevance can be a score and an id. What words stand for
//! depends on which words the catalogue has in two ways: whether a word is taken for misspelt, which cursors carry along
//! ([`haat_catalog::Tolerance`]), and which words are among the [`MAX_VARIANTS`](super::MAX_VARIANTS) that most products
//! have of all those that a prefix of a letter or two could stand for, which they do not.
//!
//! From the highest bit:
//!
//! | bits | what | |
//! |---|---|---|
//! | 24–31 | words matched | 1 to 10; 11 when the whole text is the product's sku, or a variant's |
//! | 16–23 | the sum of their [`points`] | at most 200 |
//! | 8–15 | closeness | at most 63, see the module `sequence` |
//! | 0–7 | 255 less the name's length | in words; from 41 on in steps, as tantivy's field norms count |

/// The most words of a query that are considered.
pub const MAX_WORDS: usize = 10;

/// The score of a product that has the whole text as its sku, or as a variant's: the best there is.
pub const SKU: i64 = (MAX_WORDS as i64 + 1) << 24;

/// How a product matches a word of the query. The order is that of worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// By a word two typos away.
    TwoTypos,
    /// By a word one typo away.
    Typo,
    /// By two adjacent words that are the word when joined, or by one that is the word joined with its neighbour.
    Compound,
    /// By a word that begins with it (the last word of a query only).
    Prefix,
    /// By a word of the same stem.
    Exact,
}

impl Class {
    /// All of them, best first.
    pub const BEST_FIRST: [Self; 5] = [Self::Exact, Self::Prefix, Self::Compound, Self::Typo, Self::TwoTypos];
}

/// What a match of this class in this text is worth: 20 for an exact match in the name, 19 in the brand (`text` 1), 18 in
/// the category, 17 in the description, 16 for a prefix in the name, down to 1 for two typos in the description.
pub fn points(class: Class, text: usize) -> u32 {
    class as u32 * 4 + 4 - text.min(3) as u32
}

/// The parts of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// How many words of the query match.
    pub matched: u32,
    /// The sum of their points.
    pub points: u32,
    /// How close they stand.
    pub closeness: u32,
    /// 255 less the name's length.
    pub brevity: u32,
}

impl Score {
    /// As one number, in the same order.
    pub fn pack(self) -> i64 {
        i64::from(self.matched) << 24
            | i64::from(self.points.min(255)) << 16
            | i64::from(self.closeness.min(255)) << 8
            | i64::from(self.brevity.min(255))
    }

    /// The parts of what [`Self::pack`] made. Anything negative is less than every score.
    pub fn unpack(packed: i64) -> Self {
        let packed = packed.clamp(0, i64::from(u32::MAX)) as u32;
        Self { matched: packed >> 24, points: packed >> 16 & 255, closeness: packed >> 8 & 255, brevity: packed & 255 }
    }
}

/// How many words a product has to match, of how many: half of them, rounded up.
pub fn needed(words: usize) -> usize {
    words.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_the_order_and_the_parts() {
        let mut all = Vec::new();
        for matched in [1, 2, 10] {
            for points in [1, 20, 200] {
                for closeness in [0, 7, 63] {
                    for brevity in [0, 100, 255] {
                        all.push(Score { matched, points, closeness, brevity });
                    }
                }
            }
        }
        for a in &all {
            assert_eq!(Score::unpack(a.pack()), *a);
            for b in &all {
                assert_eq!(a.cmp(b), a.pack().cmp(&b.pack()));
            }
        }
    }

    #[test]
    fn a_better_class_in_the_worst_text_beats_a_worse_one_in_the_name() {
        for pair in Class::BEST_FIRST.windows(2) {
            assert!(points(pair[0], 3) > points(pair[1], 0));
        }
        assert_eq!((points(Class::Exact, 0), points(Class::TwoTypos, 3)), (20, 1));
    }
}
