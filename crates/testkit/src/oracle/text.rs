//! What the words of a search stand for, and how well a product matches them: a naive reading of what `haat-search`
//! documents of its text search, over plain strings.

use std::collections::{BTreeMap, HashSet};

use haat_catalog::{Product, ProductId};

use super::words::{stem, words};

/// Words of a search that are considered.
const MAX_WORDS: usize = 10;
/// Words that a prefix or a misspelt word stands for.
const MAX_VARIANTS: usize = 256;
/// A word that so many products have is never taken for misspelt.
const RARE: usize = 100;
/// How many times as many products have the word that a rare one is taken for.
const MISSPELT: usize = 50;
/// Words of a description that have a place.
const PLACES: usize = 64;
/// The last place of a text that counts for closeness.
const LAST_PLACE: usize = 128;
/// The distance from which on words are not close.
const FAR: usize = 8;

/// A text as stems.
type Text = Vec<Token>;

/// A word of a text.
#[derive(Debug)]
struct Token {
    stem: String,
    /// Its place, where it has one.
    at: Option<usize>,
}

/// The words of a catalogue.
#[derive(Debug)]
pub struct Words {
    /// Name, brand, category with tags, description of each product.
    texts: BTreeMap<ProductId, [Text; 4]>,
    /// How many products have a word.
    frequency: BTreeMap<String, usize>,
    stems: HashSet<String>,
}

impl Words {
    /// Reads the texts of all products.
    pub fn of(products: &[Product]) -> Self {
        let mut found = Self { texts: BTreeMap::new(), frequency: BTreeMap::new(), stems: HashSet::new() };
        for p in products {
            let one = |text: Option<&String>| vec![text.map(|t| words(t)).unwrap_or_default()];
            let category = p.category.iter().chain(&p.tags).map(|level| words(level)).collect();
            let texts = [one(Some(&p.name)), one(p.brand.as_ref()), category, one(p.description.as_ref())];
            let distinct: HashSet<&String> = texts.iter().flatten().flatten().collect();
            for word in distinct {
                found.stems.insert(stem(word));
                *found.frequency.entry(word.clone()).or_default() += 1;
            }
            let [name, brand, category, description] = texts;
            let all = usize::MAX;
            let placed =
                [placed(&name, all), placed(&brand, all), placed(&category, all), placed(&description, PLACES)];
            found.texts.insert(p.id, placed);
        }
        found
    }

    /// How well a product matches a text; `None` when it does not.
    pub fn score(&self, search: &Search, product: &Product) -> Option<i64> {
        let texts = self.texts.get(&product.id)?;
        let mut skus = std::iter::once(&product.sku).chain(product.variants.iter().map(|variant| &variant.sku));
        if skus.any(|sku| as_sku(sku.as_str()) == search.whole) {
            return Some((MAX_WORDS as i64 + 1) << 24);
        }
        let found: Vec<Option<Match<'_>>> = search.words.iter().map(|word| best_match(word, texts)).collect();
        let matched: Vec<&Match<'_>> = found.iter().flatten().collect();
        if matched.is_empty() || matched.len() < search.words.len().div_ceil(2) {
            return None;
        }
        let points: usize = matched.iter().map(|m| m.points()).sum();
        let closeness: usize = matched.windows(2).map(|pair| closeness(pair[0], pair[1], texts)).sum();
        let brevity = 255 - norm(texts[0].len());
        let packed = (matched.len() << 24) | (points << 16) | (closeness << 8) | brevity;
        Some(i64::try_from(packed).expect("a small number"))
    }

    /// Finds out what the words of a text stand for in this catalogue.
    pub fn search(&self, text: &str) -> Search {
        let all = words(text);
        let mut distinct: Vec<String> = Vec::new();
        for word in &all {
            if !distinct.contains(word) {
                distinct.push(word.clone());
            }
        }
        distinct.truncate(MAX_WORDS);
        let last = all.last().filter(|_| !text.ends_with(char::is_whitespace));
        let words = (0..distinct.len()).map(|n| self.expand(&distinct, n, last)).collect();
        Search { words, whole: as_sku(text) }
    }

    fn expand(&self, all: &[String], n: usize, last: Option<&String>) -> Vec<Variants> {
        let word = &all[n];
        let exact = vec![stem(word)];
        let unfinished = last == Some(word);
        let completions = if unfinished { self.most_frequent(|w| w.starts_with(word.as_str())) } else { Vec::new() };
        let products = self.products_with(|stem| *stem == exact[0] || completions.contains(stem));
        let before = n.checked_sub(1).map(|m| format!("{}{word}", all[m]));
        let after = all.get(n + 1).map(|next| format!("{word}{next}"));
        let joined = before.into_iter().chain(after).map(|w| stem(&w)).filter(|s| self.stems.contains(s)).collect();
        let (mut one, mut two) = (Vec::new(), Vec::new());
        if products == 0 && !has_digit(word) {
            one = if unfinished { self.misspelt_beginnings(word) } else { self.misspelt(word, 4, 1) };
            two = if one.is_empty() { self.misspelt(word, 8, 2) } else { Vec::new() };
        } else if products < RARE && !has_digit(word) {
            let near = |w: &String| !has_digit(w) && strsim::osa_distance(w, word) == 1;
            let most = self.frequency.iter().filter(|(w, _)| near(w)).map(|(_, docs)| *docs).max();
            if most.is_some_and(|most| most >= MISSPELT * products) {
                one = self.misspelt(word, 4, 1);
            }
        }
        let mut variants: Vec<Variants> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        for (class, stems) in [exact, completions, joined, one, two].into_iter().enumerate() {
            let stems: Vec<String> = stems.into_iter().filter(|s| seen.insert(s.clone())).collect();
            let pairs = if class == COMPOUND { taken_apart(word) } else { Vec::new() };
            variants.push(Variants { class, stems, pairs });
        }
        variants
    }

    /// How many products have a stem that is wanted.
    fn products_with(&self, wanted: impl Fn(&String) -> bool) -> usize {
        self.texts.values().filter(|texts| texts.iter().flatten().any(|token| wanted(&token.stem))).count()
    }

    fn misspelt(&self, word: &str, letters: usize, distance: usize) -> Vec<String> {
        if word.chars().count() < letters {
            return Vec::new();
        }
        self.most_frequent(|w| !has_digit(w) && strsim::osa_distance(w, word) == distance)
    }

    /// Words that begin with something at a distance of one.
    fn misspelt_beginnings(&self, word: &str) -> Vec<String> {
        if word.chars().count() < 4 {
            return Vec::new();
        }
        let beginnings = |w: &str| -> Vec<String> {
            let letters: Vec<char> = w.chars().collect();
            (0..=letters.len()).map(|n| letters[..n].iter().collect()).collect()
        };
        self.most_frequent(|w| !has_digit(w) && beginnings(w).iter().any(|b| strsim::osa_distance(b, word) <= 1))
    }

    /// The stems of the words that most products have of those wanted.
    fn most_frequent(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut found: Vec<_> = self.frequency.iter().filter(|(word, _)| wanted(word)).collect();
        // Stable: equal counts stay in the order of the words.
        found.sort_by(|a, b| b.1.cmp(a.1));
        found.into_iter().take(MAX_VARIANTS).map(|(word, _)| stem(word)).collect()
    }
}

/// A sku, or a text that may be one: case and the width of spaces make no difference.
fn as_sku(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_digit(word: &str) -> bool {
    word.chars().any(char::is_numeric)
}

/// The place of every word; levels lie far apart.
fn placed(levels: &[Vec<String>], places: usize) -> Text {
    let mut at = 0;
    let mut text = Vec::new();
    for level in levels {
        for (n, word) in level.iter().enumerate() {
            at += 1;
            text.push(Token { stem: stem(word), at: (n < places).then_some(at) });
        }
        at += FAR;
    }
    text
}

/// The number of joined words among the classes: exact, prefix, compound, typo, two typos.
const COMPOUND: usize = 2;

/// What a word stands for in one class.
#[derive(Debug)]
struct Variants {
    class: usize,
    stems: Vec<String>,
    /// Stems that must follow each other.
    pairs: Vec<(String, String)>,
}

/// A text to look for, with all that its words stand for.
#[derive(Debug)]
pub struct Search {
    words: Vec<Vec<Variants>>,
    /// The text as a sku.
    whole: String,
}

/// How a word is matched best.
struct Match<'a> {
    by: &'a Variants,
    text: usize,
}

impl Match<'_> {
    /// 20 for an exact match in the name down to 1 for two typos in the description.
    fn points(&self) -> usize {
        (4 - self.by.class) * 4 + 4 - self.text
    }

    /// Where the match begins and ends, as often as it occurs.
    fn places(&self, texts: &[Text; 4]) -> Vec<(usize, usize)> {
        let text = &texts[self.text];
        let words = text.iter().filter(|t| self.by.stems.contains(&t.stem)).filter_map(|t| t.at.map(|at| (at, at)));
        let pairs = text.windows(2).filter(|w| self.by.has_pair(&w[0], &w[1]));
        let all = words.chain(pairs.filter_map(|w| w[0].at.zip(w[1].at)));
        all.filter(|(_, end)| *end <= LAST_PLACE).collect()
    }
}

impl Variants {
    /// Whether the second word directly follows the first, and both together are the word.
    fn has_pair(&self, first: &Token, second: &Token) -> bool {
        let adjacent = first.at.zip(second.at).is_some_and(|(a, b)| b == a + 1);
        adjacent && self.pairs.iter().any(|(a, b)| first.stem == *a && second.stem == *b)
    }
}

fn best_match<'a>(word: &'a [Variants], texts: &[Text; 4]) -> Option<Match<'a>> {
    let candidates = word.iter().flat_map(|by| (0..4).map(move |text| Match { by, text }));
    candidates.into_iter().find(|m| {
        let text = &texts[m.text];
        let word = text.iter().any(|t| m.by.stems.contains(&t.stem));
        word || text.windows(2).any(|w| m.by.has_pair(&w[0], &w[1]))
    })
}

/// 7 when the second word follows the first or both are one, 6 when it precedes it, one less for each word between.
fn closeness(first: &Match<'_>, second: &Match<'_>, texts: &[Text; 4]) -> usize {
    if first.text != second.text {
        return 0;
    }
    let mut nearest = FAR;
    for a in first.places(texts) {
        for b in second.places(texts) {
            let distance = if b.0 >= a.1 {
                b.0 - a.1
            } else if a.0 >= b.1 {
                a.0 - b.1 + 1
            } else {
                continue;
            };
            nearest = nearest.min(distance.max(1));
        }
    }
    FAR - nearest
}

/// The ways to take a word apart: two letters or more on either side, or letters from digits.
fn taken_apart(word: &str) -> Vec<(String, String)> {
    let letters: Vec<char> = word.chars().collect();
    let cut = |at: usize| -> (String, String) { (letters[..at].iter().collect(), letters[at..].iter().collect()) };
    let allowed = |at: &usize| {
        let (before, after) = (letters[at - 1], letters[*at]);
        before.is_numeric() != after.is_numeric() || (*at >= 2 && letters.len() - at >= 2)
    };
    (1..letters.len()).filter(allowed).map(cut).map(|(a, b)| (stem(&a), stem(&b))).collect()
}

/// The length of a name as the score has it: in steps that double every eight, from 41 words on.
fn norm(length: usize) -> usize {
    let (mut id, mut bound, mut step) = (40, 40, 2);
    if length <= id {
        return length;
    }
    loop {
        for _ in 0..8 {
            if bound + step > length {
                return id;
            }
            (id, bound) = (id + 1, bound + step);
        }
        step *= 2;
    }
}
