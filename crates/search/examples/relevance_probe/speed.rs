//! Times of searches in a large catalogue.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use haat_search::text::score::Score;
use haat_search::text::{Scope, TextQuery, analyze};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tantivy::DocAddress;

use crate::corpus::{Corpus, Product};
use crate::mutate::Mutation;

/// How many searches of each kind.
const SEARCHES: usize = 500;
const PAGE: usize = 21;

pub fn run(ndjson: &Path, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let begun = Instant::now();
    let corpus = Corpus::open(dir, || Box::new(products(ndjson)));
    let readers = corpus.searcher.segment_readers();
    println!(
        "opened in {:.1?}: {} products in {} segments",
        begun.elapsed(),
        corpus.searcher.num_docs(),
        readers.len()
    );
    let mut random = ChaCha8Rng::seed_from_u64(7);

    let pairs: Vec<String> = (0..SEARCHES).map(|_| pair(&corpus, &mut random)).collect();
    report(&corpus, "two words of a name", &pairs);
    let frequent = [
        "pack of",
        "pack 500",
        "of oil",
        "weight pack",
        "500 g",
        "pack bengaluru",
        "sold weight",
        "family pack",
        "care skin",
    ];
    report(&corpus, "two frequent words", &repeated(&frequent.map(str::to_owned), 20));
    let typos: Vec<String> = (0..SEARCHES).map(|_| typo(&corpus, &mut random, 1)).collect();
    report(&corpus, "one word with a typo", &typos);
    let typos: Vec<String> = (0..SEARCHES).map(|_| typo(&corpus, &mut random, 2)).collect();
    report(&corpus, "two words, one with a typo", &typos);
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    report(&corpus, "one letter", &repeated(&letters, 4));
    let names: Vec<String> = (0..SEARCHES).map(|_| name(&corpus, &mut random)).collect();
    report(&corpus, "a whole name", &names);
    if std::env::var_os("VERBOSE").is_some() {
        slowest(&corpus, &pairs);
    }
}

/// The first ten of a query, what they scored, and where the time went.
pub fn explain(dir: &Path, text: &str) {
    let corpus = Corpus::open(dir, || Box::new(std::iter::empty()));
    for _ in 0..3 {
        let begun = Instant::now();
        let query = TextQuery::prepare(&corpus.searcher, &corpus.fields, text, Scope::All).unwrap();
        let prepared = begun.elapsed();
        let found = corpus.top_of(&query, PAGE);
        let searched = begun.elapsed() - prepared;
        let count = corpus.count(&query);
        println!(
            "prepared {prepared:.1?}, best {searched:.1?}, counted {count} in {:.1?}",
            begun.elapsed() - searched - prepared
        );
        if found.is_empty() {
            return;
        }
        for (score, at) in found.iter().take(10) {
            println!("  {:?} {}", Score::unpack(*score), corpus.name(*at));
        }
    }
}

fn repeated(texts: &[String], times: usize) -> Vec<String> {
    std::iter::repeat_n(texts, times).flatten().cloned().collect()
}

fn report(corpus: &Corpus, what: &str, queries: &[String]) {
    let (mut best, mut counted, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
    for text in queries {
        let begun = Instant::now();
        let query = TextQuery::prepare(&corpus.searcher, &corpus.fields, text, Scope::All).unwrap();
        prepared.push(begun.elapsed());
        std::hint::black_box(corpus.top_of(&query, PAGE));
        best.push(begun.elapsed());
        let begun = Instant::now();
        std::hint::black_box(corpus.count(&query));
        counted.push(begun.elapsed());
    }
    let show = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        format!("p50 {:6.2} p90 {:6.2} p99 {:6.2} ms", at(0.5), at(0.9), at(0.99))
    };
    println!("{what:28} {} | prepare {} | count {}", show(&mut best), show(&mut prepared), show(&mut counted));
}

/// Prints the slowest of the queries.
fn slowest(corpus: &Corpus, queries: &[String]) {
    let mut times: Vec<(Duration, &String)> = Vec::new();
    for text in queries {
        let begun = Instant::now();
        std::hint::black_box(corpus.top(text, PAGE));
        times.push((begun.elapsed(), text));
    }
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.iter().take(30).for_each(|(time, text)| println!("{time:10.2?} {text}"));
}

fn name(corpus: &Corpus, random: &mut impl Rng) -> String {
    let segment = random.random_range(0..corpus.searcher.segment_readers().len()) as u32;
    let doc = random.random_range(0..corpus.searcher.segment_reader(segment).max_doc());
    corpus.name(DocAddress::new(segment, doc))
}

fn pair(corpus: &Corpus, random: &mut impl Rng) -> String {
    loop {
        let name = name(corpus, random);
        let words: Vec<String> = analyze::words(&name).map(|w| w.text).collect();
        let (a, b) = (random.random_range(0..words.len()), random.random_range(0..words.len()));
        if words[a] != words[b] {
            return format!("{} {}", words[a], words[b]);
        }
    }
}

/// A word with a typo, with `words` - 1 others of its name before it.
fn typo(corpus: &Corpus, random: &mut impl Rng, words: usize) -> String {
    loop {
        let mutation = Mutation::ALL[random.random_range(0..4)];
        let name = name(corpus, random);
        let found: Vec<&str> = name.split_whitespace().filter(|w| w.chars().all(char::is_alphabetic)).collect();
        let Some(first) = found.len().checked_sub(words) else { continue };
        let Some(typo) = mutation.apply(found[first + words - 1], random) else { continue };
        let mut query = found[first..first + words - 1].to_vec();
        query.insert(0, &typo);
        return query.join(" ");
    }
}

fn products(ndjson: &Path) -> impl Iterator<Item = Product> + use<> {
    let file = std::fs::File::open(ndjson).unwrap();
    std::io::BufReader::new(file).lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let category = value["category"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).map(str::to_owned);
        Product {
            name: text("name"),
            brand: text("brand"),
            category: category.collect(),
            description: text("description"),
        }
    })
}
