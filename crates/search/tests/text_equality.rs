//! Over random catalogues in several segments with deletions, search answers what a naive model answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod text_index;

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use text_index::model::Model;
use text_index::{Product, TextIndex};

/// Words that are forms, beginnings, misspellings and compounds of each other.
const WORDS: &[&str] = &[
    "water",
    "bottle",
    "waterbottle",
    "waters",
    "watery",
    "wter",
    "bottles",
    "rice",
    "dice",
    "ricotta",
    "mice",
    "oil",
    "oils",
    "oily",
    "boil",
    "olive",
    "olives",
    "green",
    "tea",
    "teas",
    "team",
    "steam",
    "chocolate",
    "chocolat",
    "chocolates",
    "milk",
    "milky",
    "butter",
    "buttermilk",
    "batter",
    "of",
    "the",
    "pack",
    "500",
    "g",
    "500g",
    "kg",
    "café",
    "cafe",
    "crème",
    "b12",
    "sun",
    "flower",
    "sunflower",
    "flour",
    "a",
    "organic",
    "organics",
    "basmati",
];

fn text(random: &mut impl Rng, words: std::ops::Range<usize>) -> String {
    let n = random.random_range(words);
    let words: Vec<&str> = (0..n).map(|_| *WORDS.choose(random).unwrap()).collect();
    words.join(if random.random_bool(0.2) { " - " } else { " " })
}

fn product(random: &mut impl Rng) -> Product {
    Product {
        name: text(random, 1..7),
        brand: text(random, 0..3),
        category: (0..random.random_range(0..4)).map(|_| text(random, 1..3)).collect(),
        description: text(random, 0..90),
    }
}

/// A few words, some of them misspelt.
fn query(random: &mut impl Rng) -> String {
    let mut words: Vec<String> = text(random, 1..6).split_whitespace().map(str::to_owned).collect();
    for word in &mut words {
        let mut letters: Vec<char> = word.chars().collect();
        for _ in 0..*[0_usize, 0, 0, 1, 1, 2].choose(random).unwrap() {
            let (at, other) = (random.random_range(0..letters.len()), random.random_range(0..letters.len()));
            match random.random_range(0..5) {
                0 if letters.len() > 1 => drop(letters.remove(at)),
                1 => letters.insert(at, 'x'),
                2 => letters[at] = 'e',
                3 => letters.truncate(at.max(1)),
                _ => letters.swap(at, other),
            }
        }
        *word = letters.into_iter().collect();
    }
    words.join(if random.random_bool(0.1) { "" } else { " " })
}

#[test]
fn every_score_and_every_page_is_the_models() {
    for seed in 0..24 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut products: Vec<Product> = Vec::new();
        let mut index = TextIndex::new();
        for _ in 0..random.random_range(1..5) {
            let more: Vec<Product> = (0..random.random_range(1..120)).map(|_| product(&mut random)).collect();
            index.add(&more);
            products.extend(more);
        }
        let mut numbers: Vec<u64> = (0..products.len() as u64).collect();
        numbers.shuffle(&mut random);
        let share = [0.0, 0.1, 0.5, 0.95].choose(&mut random).unwrap();
        let deleted: BTreeSet<u64> = numbers.iter().take((numbers.len() as f64 * share) as usize).copied().collect();
        index.delete(&deleted.iter().copied().collect::<Vec<_>>());
        let live: Vec<u64> = (0..products.len() as u64).filter(|n| !deleted.contains(n)).collect();
        let model = Model::new(&live.iter().map(|n| &products[*n as usize]).collect::<Vec<_>>());
        for round in 0..40 {
            let text = query(&mut random);
            let context = format!("seed {seed}, query {text:?}");
            let scores = model.scores(&text);
            let expected: Vec<_> = live.iter().zip(&scores).map(|(n, score)| (*n, score.is_some(), *score)).collect();
            assert_eq!(index.every(&text), expected, "{context}");

            let keep = random.random_range(1..4);
            let accept = |n: u64| n.is_multiple_of(keep);
            let limit = *[1, 3, 20, 1_000].choose(&mut random).unwrap();
            let mut best: Vec<(u64, i64)> = live.iter().zip(&scores).filter_map(|(n, s)| Some((*n, (*s)?))).collect();
            best.retain(|(n, _)| accept(*n));
            best.sort_by_key(|(n, score)| (-score, *n));
            best.truncate(limit);
            assert_eq!(index.top_of(&text, limit, accept), best, "{context}, the best {limit} of every {keep}th");
            if round == 30 {
                index.merge();
            }
        }
    }
}

#[test]
fn a_segment_of_many_windows_loses_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(99);
    // Few distinct products, many copies: ties by the thousand, and lists of every density.
    let kinds: Vec<Product> =
        (0..60).map(|_| Product { description: text(&mut random, 0..6), ..product(&mut random) }).collect();
    let weights: Vec<usize> = (0..60).map(|n| if n < 4 { 400 } else { n }).collect();
    let spread: Vec<usize> = weights.iter().enumerate().flat_map(|(n, w)| vec![n; *w]).collect();
    let products: Vec<Product> = (0..150_000).map(|_| kinds[*spread.choose(&mut random).unwrap()].clone()).collect();
    let mut index = TextIndex::new();
    index.add(&products);
    let deleted: Vec<u64> = (0..products.len() as u64).filter(|n| n % 7 == 3).collect();
    index.delete(&deleted);
    let live: Vec<u64> = (0..products.len() as u64).filter(|n| n % 7 != 3).collect();
    let by_kind = Model::new(&kinds.iter().collect::<Vec<_>>());
    let kind_of: Vec<usize> = {
        let number =
            |p: &Product| kinds.iter().position(|k| k.name == p.name && k.description == p.description).unwrap();
        products.iter().map(number).collect()
    };
    for _ in 0..40 {
        let text = query(&mut random);
        let scores = by_kind.scores(&text);
        let mut best: Vec<(u64, i64)> = live.iter().filter_map(|n| Some((*n, scores[kind_of[*n as usize]]?))).collect();
        best.sort_by_key(|(n, score)| (-score, *n));
        let matching = best.len();
        best.truncate(50);
        assert_eq!(index.top(&text, 50), best, "{text:?}");
        let every = index.count(&text);
        assert_eq!(every, matching, "{text:?}");
    }
}
