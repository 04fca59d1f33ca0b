//! What the words of a query may stand for.
//!
//! - **Exact**: words of the same stem.
//! - **Prefix**, the query's last word only, unless white space follows it: words that begin with it.
//! - **Compound**: with the word before or after it joined into one word, or taken apart into two words that stand next
//!   to each other in a text. The parts have two letters or more, or part letters from digits (`500g`).
//! - **Typo**, **two typos**: words at a distance of one, for words of four letters or more; at a distance of two for words of
//!   eight or more, when there is none at a distance of one. Only when no product has the word itself (or, for the last
//!   word, one that begins with it), and never for or with words that have digits. The last word may be both misspelt and
//!   unfinished: words that begin with something at a distance of one. A word that fewer than a hundred
//!   products have is taken for misspelt all the same (by one typo) when fifty times as many have one at a distance
//!   of one: a misspelt product must not hide all the others from those who misspell it the same way.
//!
//! Whether a word is taken for misspelt is decided once per walk and carried in its cursors ([`Tolerance`]): what others
//! write in between must not change what the pages of one walk are pages of.
//!
//! A stem belongs to the best of these that it is found by.

use haat_catalog::{Tolerance, Typos};

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
/// A word that so many products have is never taken for misspelt: looking for what it could be a misspelling of would
/// cost every search something.
const RARE: usize = 100;
/// How many times as many products have the word that a misspelt word is taken for.
const MISSPELT: u64 = 50;

/// The words of a query: the first [`MAX_WORDS`] distinct ones, each with whether it is the last of the text and may be
/// unfinished. White space after it says that it is not.
fn distinct_words(text: &str) -> Vec<(String, bool)> {
    let mut distinct: Vec<(String, bool)> = Vec::new();
    let mut words = analyze::words(text).peekable();
    while let Some(word) = words.next() {
        let last = words.peek().is_none() && !text.ends_with(char::is_whitespace);
        if let Some(known) = distinct.iter_mut().find(|(text, _)| *text == word.text) {
            known.1 |= last;
        } else if distinct.len() < MAX_WORDS {
            distinct.push((word.text, last));
        }
    }
    distinct
}

/// The words of a query and what they may stand for, and which of them were taken for misspelt: as `decided`, or by the
/// words that the catalogue has.
pub(super) fn expand(
    text: &str,
    dictionary: &Dictionary<'_>,
    decided: Option<Tolerance>,
) -> tantivy::Result<(Vec<QueryWord>, Tolerance)> {
    let words = distinct_words(text);
    let joined: Vec<Option<String>> =
        words.windows(2).map(|w| join(&w[0].0, &w[1].0, dictionary)).collect::<Result<_, _>>()?;
    let (mut expanded, mut tolerance) = (Vec::new(), Tolerance::default());
    for (n, (word, last)) in words.iter().enumerate() {
        let mut found = Found::default();
        let mut own = vec![analyze::stem(word).into_owned()];
        found.add(Class::Exact, own.clone());
        if *last {
            let completions = dictionary.completions(word)?.stems;
            own.extend(completions.iter().cloned());
            found.add(Class::Prefix, completions);
        }
        let neighbours = [n.checked_sub(1), Some(n)].into_iter().flatten();
        found.add(Class::Compound, neighbours.filter_map(|pair| joined.get(pair)?.clone()).collect());
        found.add_pairs(taken_apart(word, dictionary)?);
        let (typos, stems) = typos(word, *last, &own, dictionary, decided.map(|d| d.of(n)))?;
        tolerance = tolerance.with(n, typos);
        found.add(if typos == Typos::Two { Class::TwoTypos } else { Class::Typo }, stems);
        expanded.push(QueryWord { text: word.clone(), variants: found.variants });
    }
    Ok((expanded, tolerance))
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

/// What a word is taken for, and the stems of the words that it then stands for by typos. `own` are the stems that it
/// stands for without any; `last` is whether it may be unfinished.
fn typos(
    word: &str,
    last: bool,
    own: &[String],
    dictionary: &Dictionary<'_>,
    decided: Option<Typos>,
) -> tantivy::Result<(Typos, Vec<String>)> {
    let letters = word.chars().count();
    if letters < TYPO_LETTERS[0] || word.chars().any(char::is_numeric) {
        return Ok((Typos::None, Vec::new()));
    }
    if let Some(decided) = decided {
        return Ok((decided, taken_for(word, decided, dictionary)?));
    }
    let products = dictionary.count(own, RARE)?;
    if products >= RARE {
        return Ok((Typos::None, Vec::new()));
    }
    if products > 0 {
        let near = dictionary.misspelt(word, 1)?;
        let misspelt = near.greatest >= products as u64 * MISSPELT;
        return Ok(if misspelt { (Typos::One, near.stems) } else { (Typos::None, Vec::new()) });
    }
    let one = if last { Typos::Beginning } else { Typos::One };
    let stems = taken_for(word, one, dictionary)?;
    if stems.is_empty() && letters >= TYPO_LETTERS[1] {
        return Ok((Typos::Two, taken_for(word, Typos::Two, dictionary)?));
    }
    Ok((one, stems))
}

fn taken_for(word: &str, typos: Typos, dictionary: &Dictionary<'_>) -> tantivy::Result<Vec<String>> {
    Ok(match typos {
        Typos::None => Vec::new(),
        Typos::One => dictionary.misspelt(word, 1)?.stems,
        Typos::Two => dictionary.misspelt(word, 2)?.stems,
        Typos::Beginning => dictionary.misspelt_beginning(word)?.stems,
    })
}
