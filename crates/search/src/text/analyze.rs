//! From text to words.

use std::borrow::Cow;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Folded, lower case.
    pub text: String,
    /// Where it begins in the text, in bytes.
    pub offset_from: usize,
    /// Where it ends.
    pub offset_to: usize,
    /// Its number among the words.
    pub position: usize,
}

/// The words of a text.
pub fn words(text: &str) -> impl Iterator<Item = Word> {
    text.split_whitespace()
        .enumerate()
        .map(|(position, w)| Word { text: w.to_lowercase(), offset_from: 0, offset_to: 0, position })
        .collect::<Vec<_>>()
        .into_iter()
}

/// The stem of a folded word.
pub fn stem(word: &str) -> Cow<'_, str> {
    Cow::Borrowed(word)
}
