//! Search quality: names as people mistype them, and whether the product is among the first ten. The same questions
//! go to SQLite FTS5 (porter stemming, any word, bm25).

mod fts5;
mod mutate;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::catalogue::{REAL, Sample};
use crate::client::Client;
use crate::process::measure;
use crate::report::{Section, verdict};
use crate::server::{Server, haat};
use crate::workload::encode;
use crate::{Bench, Store, catalogue};
use fts5::Fts5;
use mutate::Class;

/// A question and the name that it was made from.
struct Question {
    typed: String,
    name: String,
}

/// Right answers of both, of one class.
#[derive(Debug, Default, Clone, Copy)]
struct Score {
    asked: usize,
    haat: usize,
    fts5: usize,
}

impl Score {
    fn percent(self, right: usize) -> f64 {
        100.0 * right as f64 / self.asked.max(1) as f64
    }
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, queries: usize, misses: bool) -> anyhow::Result<()> {
    let bench = Bench { products: REAL, ..bench.clone() };
    let path = catalogue::make(&bench, REAL, 1).await?;
    let samples = catalogue::samples(&path)?;
    let data_dir = imported(&bench, &path).await?;
    let server = Server::start(&bench, &data_dir, None).await?;
    let mut client = Client::connect(server.port).await?;
    let mut fts5 = Fts5::new(&samples).await?;
    let mut section = Section::begin("70-relevance", "Search quality", "relevance");
    let (mut rows, mut missed) = (String::from(HEAD), String::new());
    let (mut all, mut worst) = (Score::default(), 100.0_f64);
    let each = queries / Class::ALL.len();
    for class in Class::ALL {
        let mut score = Score::default();
        for question in questions(class, &samples, bench.seed, each) {
            score.asked += 1;
            if found_by_haat(&mut client, &question).await? {
                score.haat += 1;
            } else {
                writeln!(missed, "{}\t{}\t{}", class.title(), question.typed, question.name)?;
            }
            score.fts5 += usize::from(fts5.finds(&question.typed, &question.name).await?);
        }
        writeln!(rows, "{}", row(class.title(), score))?;
        worst = worst.min(score.percent(score.haat));
        all = Score { asked: all.asked + score.asked, haat: all.haat + score.haat, fts5: all.fts5 + score.fts5 };
    }
    writeln!(rows, "{}", row("**all**", all))?;
    section.table(&rows);
    let share = all.percent(all.haat);
    section.note(format!("{share:.1} % in all ({})", verdict(share >= 95.0, "aim 95 %")));
    section.note(format!("worst class {worst:.1} % ({})", verdict(worst >= 85.0, "aim 85 %")));
    section.note("a product counts as right when its name is the one that the query was made from".to_owned());
    if misses {
        std::fs::write(bench.work.join("relevance-misses.tsv"), missed)?;
    }
    server.stop().await?;
    section.write(&bench)
}

const HEAD: &str =
    "| what was typed | queries | Haat: in the first 10 | SQLite FTS5: in the first 10 |\n|---|---|---|---|\n";

fn row(title: &str, s: Score) -> String {
    format!("| {title} | {} | {:.1} % | {:.1} % |", s.asked, s.percent(s.haat), s.percent(s.fts5))
}

/// A data folder with the real catalogue and its index.
async fn imported(bench: &Bench, file: &std::path::Path) -> anyhow::Result<PathBuf> {
    let data_dir = bench.data_dir(Store::Sqlite);
    if data_dir.exists() {
        std::fs::remove_dir_all(&data_dir)?;
    }
    measure(haat(bench, &data_dir, None, &["migrate"])).await?;
    measure(haat(bench, &data_dir, None, &["import", &file.to_string_lossy()])).await?;
    Ok(data_dir)
}

/// Questions of one class about different names.
fn questions(class: Class, samples: &[Sample], seed: u64, n: usize) -> Vec<Question> {
    let mut random = ChaCha8Rng::seed_from_u64(seed * 100 + class as u64);
    let (mut questions, mut seen) = (Vec::new(), HashSet::new());
    for _ in 0..n * 1_000 {
        if questions.len() == n {
            break;
        }
        let Some(sample) = samples.choose(&mut random) else { break };
        if let Some(typed) = class.mistype(&sample.name, &mut random)
            && seen.insert(sample.name.clone())
        {
            questions.push(Question { typed, name: sample.name.clone() });
        }
    }
    questions
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn found_by_haat(client: &mut Client, question: &Question) -> anyhow::Result<bool> {
    let target = format!("/v1/products?q={}&limit=10&fields=name&count=none", encode(&question.typed));
    let listing: Listing = serde_json::from_slice(&client.get(&target).await?.ok()?)?;
    Ok(listing.data.iter().any(|p| p.name == question.name))
}
