//! What text search should answer, computed the slow and obvious way from the products' texts.

use std::collections::{BTreeMap, BTreeSet};

use haat_search::text::MAX_VARIANTS;
use haat_search::text::analyze::{stem, words};
use haat_search::text::fields::SEQUENCE_DESCRIPTION_WORDS;
use haat_search::text::score::{Class, MAX_WORDS, Score, needed, points};

use super::Product;

/// A product's four texts as stems; levels of the category apart.
struct Document {
    texts: [Vec<Vec<String>>; 4],
}

/// All products that are there.
pub struct Model {
    documents: Vec<Document>,
    /// How many products have each word.
    words: BTreeMap<String, usize>,
}

/// What a word may stand for in a class.
struct Variant {
    class: Class,
    stems: BTreeSet<String>,
    pairs: Vec<(String, String)>,
}

impl Model {
    pub fn new(products: &[&Product]) -> Self {
        let mut counts = BTreeMap::new();
        let mut documents = Vec::new();
        for p in products {
            let (name, brand, description) = ([p.name.clone()], [p.brand.clone()], [p.description.clone()]);
            let texts: [&[String]; 4] = [&name, &brand, &p.category, &description];
            let all: BTreeSet<String> =
                texts.iter().flat_map(|t| t.iter()).flat_map(|t| words(t)).map(|w| w.text).collect();
            all.into_iter().for_each(|w| *counts.entry(w).or_insert(0) += 1);
            let stems = |t: &String| words(t).map(|w| stem(&w.text).into_owned()).collect();
            documents.push(Document { texts: texts.map(|levels| levels.iter().map(stems).collect()) });
        }
        Self { documents, words: counts }
    }

    /// The score of every product.
    pub fn scores(&self, text: &str) -> Vec<Option<i64>> {
        let variants = self.variants(text);
        self.documents.iter().map(|document| document.score(&variants)).collect()
    }

    fn variants(&self, text: &str) -> Vec<Vec<Variant>> {
        let all: Vec<String> = words(text).map(|w| w.text).collect();
        let mut distinct: Vec<&String> = Vec::new();
        for word in &all {
            if !distinct.contains(&word) && distinct.len() < MAX_WORDS {
                distinct.push(word);
            }
        }
        let variants = |n: usize| {
            let before = n.checked_sub(1).map(|m| format!("{}{}", distinct[m], distinct[n]));
            let after = distinct.get(n + 1).map(|next| format!("{}{next}", distinct[n]));
            let joined = before.into_iter().chain(after).map(|w| stem(&w).into_owned()).collect();
            let unfinished = !text.ends_with(char::is_whitespace);
            self.variants_of(distinct[n], unfinished && all.last() == Some(distinct[n]), joined)
        };
        (0..distinct.len()).map(variants).collect()
    }

    fn variants_of(&self, word: &str, last: bool, joined: BTreeSet<String>) -> Vec<Variant> {
        let exact = BTreeSet::from([stem(word).into_owned()]);
        let mut own = exact.clone();
        let mut variants = vec![Variant { class: Class::Exact, stems: exact, pairs: Vec::new() }];
        if last {
            let stems = self.most_frequent(|w| w.starts_with(word));
            own.extend(stems.iter().cloned());
            variants.push(Variant { class: Class::Prefix, stems, pairs: Vec::new() });
        }
        variants.push(Variant { class: Class::Compound, stems: joined, pairs: pairs(word) });
        let letters: Vec<char> = word.chars().collect();
        let products =
            self.documents.iter().filter(|d| d.texts.iter().flatten().flatten().any(|s| own.contains(s))).count();
        let greatest = self.words.iter().filter(|(w, _)| {
            !w.bytes().any(|b| b.is_ascii_digit()) && steps(&letters, &w.chars().collect::<Vec<_>>()) == 1
        });
        let greatest = greatest.map(|(_, docs)| *docs).max().unwrap_or(0);
        let misspelt = products == 0 || (products < 100 && greatest >= 50 * products);
        if misspelt && letters.len() >= 4 && !letters.iter().any(|c| c.is_numeric()) {
            let near = |d: usize| {
                self.most_frequent(|w| {
                    let steps = steps(&letters, &w.chars().collect::<Vec<_>>());
                    !w.bytes().any(|b| b.is_ascii_digit()) && (1..=d).contains(&steps)
                })
            };
            let beginning = |w: &str| {
                let w: Vec<char> = w.chars().collect();
                (0..=w.len()).any(|n| steps(&letters, &w[..n]) <= 1)
            };
            let unfinished = last && products == 0;
            let one = match unfinished {
                true => self.most_frequent(|w| !w.bytes().any(|b| b.is_ascii_digit()) && beginning(w)),
                false => near(1),
            };
            if products == 0 && one.is_empty() && letters.len() >= 8 {
                variants.push(Variant { class: Class::TwoTypos, stems: near(2), pairs: Vec::new() });
            } else {
                variants.push(Variant { class: Class::Typo, stems: one, pairs: Vec::new() });
            }
        }
        variants
    }

    fn most_frequent(&self, fits: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut found: Vec<(usize, &String)> =
            self.words.iter().filter(|(w, _)| fits(w)).map(|(w, docs)| (*docs, w)).collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        found.iter().take(MAX_VARIANTS).map(|(_, w)| stem(w).into_owned()).collect()
    }
}

impl Document {
    fn score(&self, words: &[Vec<Variant>]) -> Option<i64> {
        let best: Vec<(usize, &Variant)> = words.iter().filter_map(|variants| self.best(variants)).collect();
        if best.is_empty() || best.len() < needed(words.len()) {
            return None;
        }
        let closeness = best.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| self.closeness(pair)).sum();
        let name: usize = self.texts[0].iter().map(Vec::len).sum();
        let score = Score {
            matched: best.len() as u32,
            points: best.iter().map(|(text, variant)| points(variant.class, *text)).sum(),
            closeness,
            brevity: 255 - name as u32,
        };
        Some(score.pack())
    }

    /// The best class and text by which a word matches.
    fn best<'a>(&self, variants: &'a [Variant]) -> Option<(usize, &'a Variant)> {
        variants.iter().find_map(|variant| {
            let text = (0..4).find(|text| {
                let limit = if *text == 3 { SEQUENCE_DESCRIPTION_WORDS } else { usize::MAX };
                self.texts[*text].iter().any(|level| {
                    level.iter().any(|stem| variant.stems.contains(stem))
                        || level[..level.len().min(limit)]
                            .windows(2)
                            .any(|w| variant.pairs.contains(&(w[0].clone(), w[1].clone())))
                })
            });
            Some((text?, variant))
        })
    }

    fn closeness(&self, pair: &[(usize, &Variant)]) -> u32 {
        let text = pair[0].0;
        let limit = if text == 3 { SEQUENCE_DESCRIPTION_WORDS } else { usize::MAX };
        let mut best = 0;
        for level in &self.texts[text] {
            let level = &level[..level.len().min(limit)];
            // Where each match begins and ends.
            let places = |variant: &Variant| -> Vec<(usize, usize)> {
                let words = (0..level.len()).filter(|n| variant.stems.contains(&level[*n])).map(|n| (n, n));
                let pairs = level.windows(2).enumerate();
                let pairs = pairs.filter(|(_, w)| variant.pairs.contains(&(w[0].clone(), w[1].clone())));
                words.chain(pairs.map(|(n, _)| (n, n + 1))).collect()
            };
            for a in places(pair[0].1) {
                for b in places(pair[1].1) {
                    let in_order = a.1 <= b.1;
                    let steps = if in_order { b.0.saturating_sub(a.1) } else { a.0.saturating_sub(b.1) + 1 };
                    best = best.max(8_usize.saturating_sub(steps.max(1)));
                }
            }
        }
        best as u32
    }
}

/// The ways to take a word apart.
fn pairs(word: &str) -> Vec<(String, String)> {
    let letters: Vec<char> = word.chars().collect();
    let fits =
        |at: usize| letters[at - 1].is_numeric() != letters[at].is_numeric() || (at >= 2 && letters.len() - at >= 2);
    let part = |letters: &[char]| stem(&letters.iter().collect::<String>()).into_owned();
    (1..letters.len()).filter(|at| fits(*at)).map(|at| (part(&letters[..at]), part(&letters[at..]))).collect()
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
fn steps(a: &[char], b: &[char]) -> usize {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(table[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    table[a.len()][b.len()]
}
