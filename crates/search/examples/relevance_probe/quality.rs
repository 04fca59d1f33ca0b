//! Two thousand mutated names: how many bring their product.

use std::collections::HashSet;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::corpus::{Corpus, Product};
use crate::mutate::Mutation;

/// How many queries there are, and how many products of each answer are looked at.
const QUERIES: usize = 2_000;
const FIRST: usize = 10;

pub fn run(csv: &Path) {
    if !csv.exists() {
        println!("SKIPPED: {} is not there", csv.display());
        return;
    }
    let products = read(csv);
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = products.iter().map(|p| p.name.clone()).collect();
    let corpus = Corpus::open(dir.path(), || Box::new(products.into_iter()));
    println!("{} products, {} segments", names.len(), corpus.searcher.segment_readers().len());

    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut total, mut verbose) = (0, Vec::new());
    for mutation in Mutation::ALL {
        let (mut asked, mut found, mut first) = (0, 0, 0);
        while asked < QUERIES / Mutation::ALL.len() {
            let name = &names[random.random_range(0..names.len())];
            let Some(query) = mutation.apply(name, &mut random) else { continue };
            asked += 1;
            let answer: Vec<String> = corpus.top(&query, FIRST).iter().map(|(_, at)| corpus.name(*at)).collect();
            if answer.contains(name) {
                found += 1;
                first += usize::from(answer[0] == *name);
            } else {
                verbose.push(format!("{mutation:?}: {query:?} for {name:?}, got {:?}", &answer[..answer.len().min(3)]));
            }
        }
        total += found;
        let share = |n: usize| n as f64 * 100.0 / asked as f64;
        println!(
            "{:10} {:5.1} % in the first {FIRST}, {:5.1} % first",
            format!("{mutation:?}"),
            share(found),
            share(first)
        );
    }
    println!("{:10} {:5.1} %", "all", total as f64 * 100.0 / QUERIES as f64);
    if std::env::var_os("VERBOSE").is_some() {
        verbose.iter().for_each(|line| println!("{line}"));
    }
}

/// The products of the grocery file, with descriptions made of their other columns.
fn read(csv: &Path) -> Vec<Product> {
    let text = String::from_utf8_lossy(&std::fs::read(csv).unwrap()).into_owned();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let column = |row: &csv::StringRecord, name: &str| {
        let at = columns.iter().position(|c| c == name).unwrap();
        row.get(at).unwrap_or_default().trim().to_owned()
    };
    let mut products = Vec::new();
    let mut cities =
        ["Bengaluru", "Mumbai", "Delhi", "Pune", "Hyderabad", "Chennai", "Kolkata", "Jaipur"].iter().cycle();
    let mut seen = HashSet::new();
    for row in reader.records() {
        let row = row.unwrap();
        let name = column(&row, "product");
        if name.is_empty() {
            continue;
        }
        let (brand, kind, sub) = (column(&row, "brand"), column(&row, "type"), column(&row, "sub_category"));
        let maker = if brand.is_empty() { "a local producer" } else { &brand };
        let (sub_lower, city) = (sub.to_lowercase(), cities.next().unwrap());
        seen.insert(name.clone());
        products.push(Product {
            description: format!("{kind} by {maker}, {sub_lower}, sold by weight or pack in {city}."),
            category: vec![column(&row, "category"), sub, kind],
            name,
            brand,
        });
    }
    println!("{} distinct names", seen.len());
    products
}
