//! What the words of a query may stand for.
//!
//! - **Exact**: words of the same stem.
//! - **Prefix**, the query's last word only: words that begin with it.
//! - **Compound**: with the word before or after it joined into one word, or taken apart into two words that stand next
//!   to each other in a text. The parts have two letters or more, or part letters from digits (`500g`).
//! - **Typo**, **two typos**: words at a distance of one, for words of four letters or more; at a distance of two for words of
//!   eight or more, when there is none at a distance of one. Only when no product has the word itself (or, for the last
//!   word, one that begins with it), and never for or with words that have digits.
//!
//! A stem belongs to the best of these that it is found by.

use super::analyze;
use super::dictionary::Dictionary;
use super::score::{Class, MAX_WORDS};

/// A word of a query with what it may stand for.
#[derive(Debug, Clone)]
pub(super) struct QueryWord {
    /// Folded.
    pub text: String,
    /// Best class first; no two of the same class.
    pub variants: Vec<Variants>,
}

/// What a word may stand for in one class. Either list may be empty, not both.
#[derive(Debug, Clone)]
pub(super) struct Variants {
    pub class: Class,
    /// Stems of words.
    pub stems: Vec<String>,
    /// Stems of words that must follow each other.
    pub pairs: Vec<(String, String)>,
}

/// Fewest letters of a word for one typo, and for two.
const TYPO_LETTERS: [usize; 2] = [4, 8];

/// The words of a query: the first [`MAX_WORDS`] distinct ones, each with whether it is the last of the text.
fn distinct_words(text: &str) -> Vec<(String, bool)> {
    let mut distinct: Vec<(String, bool)> = Vec::new();
    let mut words = analyze::words(text).peekable();
    while let Some(word) = words.next() {
        let last = words.peek().is_none();
        if let Some(known) = distinct.iter_mut().find(|(text, _)| *text == word.text) {
            known.1 |= last;
        } else if distinct.len() < MAX_WORDS {
            distinct.push((word.text, last));
        }
    }
    distinct
}

/// The words of a query and what they may stand for.
pub(super) fn expand(text: &str, dictionary: &Dictionary<'_>) -> tantivy::Result<Vec<QueryWord>> {
    let words = distinct_words(text);
    let joined: Vec<Option<String>> =
        words.windows(2).map(|w| join(&w[0].0, &w[1].0, dictionary)).collect::<Result<_, _>>()?;
    let mut expanded = Vec::new();
    for (n, (word, last)) in words.iter().enumerate() {
        let exact = analyze::stem(word).into_owned();
        let mut known = dictionary.has_stem(&exact)?;
        let mut found = Found::default();
        found.add(Class::Exact, vec![exact]);
        if *last {
            let completions = dictionary.completions(word)?;
            known |= !completions.is_empty();
            found.add(Class::Prefix, completions);
        }
        let neighbours = [n.checked_sub(1), Some(n)].into_iter().flatten();
        found.add(Class::Compound, neighbours.filter_map(|pair| joined.get(pair)?.clone()).collect());
        found.add_pairs(taken_apart(word, dictionary)?);
        if !known {
            let (class, stems) = typos(word, dictionary)?;
            found.add(class, stems);
        }
        expanded.push(QueryWord { text: word.clone(), variants: found.variants });
    }
    Ok(expanded)
}

/// What was found for a word so far.
#[derive(Default)]
struct Found {
    variants: Vec<Variants>,
}

impl Found {
    /// Adds stems of a class that is no better than those before; what a better class has is left out.
    fn add(&mut self, class: Class, mut stems: Vec<String>) {
        stems.retain(|stem| !self.variants.iter().any(|v| v.stems.contains(stem)));
        stems.sort_unstable();
        stems.dedup();
        if !stems.is_empty() {
            self.variants.push(Variants { class, stems, pairs: Vec::new() });
        }
    }

    /// Adds pairs of stems, which are compounds.
    fn add_pairs(&mut self, pairs: Vec<(String, String)>) {
        if pairs.is_empty() {
            return;
        }
        match self.variants.iter_mut().find(|v| v.class == Class::Compound) {
            Some(variants) => variants.pairs = pairs,
            None => self.variants.push(Variants { class: Class::Compound, stems: Vec::new(), pairs }),
        }
    }
}

/// The stem of two words written as one, if a product has it.
fn join(a: &str, b: &str, dictionary: &Dictionary<'_>) -> tantivy::Result<Option<String>> {
    let text = format!("{a}{b}");
    if text.len() > analyze::MAX_WORD_BYTES {
        return Ok(None);
    }
    let stem = analyze::stem(&text).into_owned();
    Ok(dictionary.has_stem(&stem)?.then_some(stem))
}

/// The ways to take a word apart into two that a segment has in the same text.
fn taken_apart(word: &str, dictionary: &Dictionary<'_>) -> tantivy::Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (at, c) in word.char_indices().skip(1) {
        let (a, b) = word.split_at(at);
        let letters_from_digits = a.chars().next_back().is_some_and(|p| p.is_numeric() != c.is_numeric());
        let long_enough = a.chars().nth(1).is_some() && b.chars().nth(1).is_some();
        if !(letters_from_digits || long_enough) {
            continue;
        }
        let pair = (analyze::stem(a).into_owned(), analyze::stem(b).into_owned());
        if dictionary.may_have_both(&pair.0, &pair.1)? {
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

/// The stems of the words that the word may be a misspelling of.
fn typos(word: &str, dictionary: &Dictionary<'_>) -> tantivy::Result<(Class, Vec<String>)> {
    let letters = word.chars().count();
    let digits = word.chars().any(char::is_numeric);
    let mut stems = Vec::new();
    if letters >= TYPO_LETTERS[0] && !digits {
        stems = dictionary.misspelt(word, 1)?;
    }
    if stems.is_empty() && letters >= TYPO_LETTERS[1] && !digits {
        return Ok((Class::TwoTypos, dictionary.misspelt(word, 2)?));
    }
    Ok((Class::Typo, stems))
}
