//! What people do to a name when they type it.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// A way to get a name wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    Dropped,
    Swapped,
    Doubled,
    Wrong,
    CutOff,
    Joined,
    Split,
    Reordered,
}

impl Mutation {
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

    /// The name with the mutation; `None` when it has no place for it.
    pub fn apply(self, name: &str, random: &mut impl Rng) -> Option<String> {
        let mut words: Vec<String> = name.split_whitespace().map(str::to_owned).collect();
        let is_letters = |w: &&mut String| w.len() >= 4 && w.chars().all(|c| c.is_ascii_alphabetic());
        match self {
            Self::Dropped | Self::Swapped | Self::Doubled | Self::Wrong | Self::Split => {
                let mut places: Vec<&mut String> = words.iter_mut().filter(is_letters).collect();
                let n = places.len();
                let word = places.get_mut(random.random_range(0..n.max(1)))?;
                **word = self.letters(word, random)?;
            }
            Self::CutOff => {
                let last = words.last_mut().filter(is_letters)?;
                last.truncate(random.random_range(2..last.len()));
            }
            Self::Joined => {
                let fits = |w: &str| w.chars().all(char::is_alphanumeric);
                let places: Vec<usize> = (1..words.len()).filter(|n| fits(&words[n - 1]) && fits(&words[*n])).collect();
                let n = *places.get(random.random_range(0..places.len().max(1)))?;
                let second = words.remove(n);
                words[n - 1].push_str(&second);
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

    fn letters(self, word: &str, random: &mut impl Rng) -> Option<String> {
        let mut letters: Vec<char> = word.chars().collect();
        let at = random.random_range(0..letters.len());
        match self {
            Self::Dropped => {
                letters.remove(at);
            }
            Self::Swapped => {
                let at = at.min(letters.len() - 2);
                if letters[at] == letters[at + 1] {
                    return None;
                }
                letters.swap(at, at + 1);
            }
            Self::Doubled => letters.insert(at, letters[at]),
            Self::Wrong => {
                let wrong = char::from(b'a' + random.random_range(0..26));
                if letters[at].eq_ignore_ascii_case(&wrong) {
                    return None;
                }
                letters[at] = wrong;
            }
            _ => letters.insert(at.clamp(1, letters.len() - 1), ' '),
        }
        Some(letters.into_iter().collect())
    }
}
