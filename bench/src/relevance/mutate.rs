//! Names as people mistype them.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

/// What went wrong while typing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A letter is missing.
    Dropped,
    /// Two neighbouring letters changed places.
    Swapped,
    /// A letter came twice.
    Doubled,
    /// A letter is another one.
    Wrong,
    /// The last word is not finished.
    CutOff,
    /// The space between two words is missing.
    Joined,
    /// A space within a word.
    Split,
    /// The words in another order.
    Reordered,
}

/// Words shorter than this are spelt right: no search promises to guess those.
const LONG: usize = 4;

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Dropped,
        Self::Swapped,
        Self::Doubled,
        Self::Wrong,
        Self::CutOff,
        Self::Joined,
        Self::Split,
        Self::Reordered,
    ];

    /// How the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Dropped => "a letter dropped",
            Self::Swapped => "two letters swapped",
            Self::Doubled => "a letter doubled",
            Self::Wrong => "a wrong letter",
            Self::CutOff => "the last word cut off",
            Self::Joined => "two words joined",
            Self::Split => "a word split",
            Self::Reordered => "word order changed",
        }
    }

    /// The whole name as somebody would type it (lower case, without punctuation), with one such mistake; `None` when
    /// the name gives no occasion for it. Mistakes are made in words of letters alone. Names of one word are left out,
    /// and those with characters that an English keyboard has not.
    pub fn mistype(self, name: &str, random: &mut ChaCha8Rng) -> Option<String> {
        let mut words = typed_words(name)?;
        if words.len() < 2 {
            return None;
        }
        match self {
            Self::Dropped | Self::Swapped | Self::Doubled | Self::Wrong => {
                let long: Vec<usize> = (0..words.len()).filter(|i| is_word(words.get(*i), LONG)).collect();
                let word = words.get_mut(*long.choose(random)?)?;
                *word = self.letter(word, random)?;
            }
            Self::CutOff => {
                if !is_word(words.last(), LONG) {
                    return None;
                }
                let last = words.last_mut()?;
                last.truncate(random.random_range(3..last.len()));
            }
            Self::Joined => {
                let at = random.random_range(0..words.len() - 1);
                // "2kg" for "2 kg" is no mistake.
                if !is_word(words.get(at), 1) || !is_word(words.get(at + 1), 1) {
                    return None;
                }
                let second = words.remove(at + 1);
                words.get_mut(at)?.push_str(&second);
            }
            Self::Split => {
                let long: Vec<usize> = (0..words.len()).filter(|i| is_word(words.get(*i), 6)).collect();
                let at = *long.choose(random)?;
                let word = words.get_mut(at)?;
                let second = word.split_off(random.random_range(3..=word.len() - 3));
                words.insert(at + 1, second);
            }
            Self::Reordered => {
                let before = words.clone();
                words.shuffle(random);
                if words == before {
                    return None;
                }
            }
        }
        Some(words.join(" "))
    }

    fn letter(self, word: &str, random: &mut ChaCha8Rng) -> Option<String> {
        let mut letters: Vec<char> = word.chars().collect();
        let at = random.random_range(0..letters.len());
        match self {
            Self::Dropped => {
                letters.remove(at);
            }
            Self::Swapped => {
                let at = at.min(letters.len() - 2);
                letters.swap(at, at + 1);
            }
            Self::Doubled => {
                let letter = *letters.get(at)?;
                letters.insert(at, letter);
            }
            _ => *letters.get_mut(at)? = char::from(random.random_range(b'a'..=b'z')),
        }
        let mistyped: String = letters.into_iter().collect();
        (mistyped != word).then_some(mistyped)
    }
}

/// The words of a name as they are typed; `None` when one cannot be.
fn typed_words(name: &str) -> Option<Vec<String>> {
    if !name.is_ascii() {
        return None;
    }
    let words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '\'').filter(|w| !w.is_empty());
    Some(words.map(str::to_ascii_lowercase).collect())
}

/// Whether there is such a word, of letters alone and at least so long.
fn is_word(word: Option<&String>, length: usize) -> bool {
    word.is_some_and(|w| w.len() >= length && w.bytes().all(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_class_makes_one_mistake_and_the_same_seed_makes_it_again() {
        for class in Class::ALL {
            let make = || {
                let mut random = ChaCha8Rng::seed_from_u64(7);
                (0..100)
                    .map(|_| class.mistype("Creme Bathing Soap - For Hands & Body", &mut random))
                    .collect::<Vec<_>>()
            };
            assert_eq!(make(), make());
            let typed: Vec<String> = make().into_iter().flatten().collect();
            assert!(!typed.is_empty(), "{class:?}");
            assert!(typed.iter().all(|t| t != "creme bathing soap for hands body"), "{class:?}");
        }
    }

    #[test]
    fn a_name_without_occasion_gives_no_query() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        assert_eq!(Class::Joined.mistype("Rice", &mut random), None);
        assert_eq!(Class::Dropped.mistype("Tea 500 g", &mut random), None);
        assert_eq!(Class::Reordered.mistype("Cr\u{e8}me Soap", &mut random), None);
        assert_eq!(Class::Split.mistype("Red Tea", &mut random), None);
    }
}
