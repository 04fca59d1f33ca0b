//! `haat index rebuild|verify`.

use clap::Subcommand;
use haat_catalog::ProductId;
use haat_search::{RebuildReport, VerifyReport};
use indicatif::HumanCount;
use serde_json::json;

use super::Session;
use super::progress::{Progress, Step, took};
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::wiring;

/// How many ids of each kind of difference are printed; `--json` lists all.
const PRINTED_IDS: usize = 10;

#[derive(Debug, Subcommand)]
pub(super) enum IndexCommand {
    /// Build the index anew from the database. Beside a running server, the server does it
    Rebuild,
    /// Compare the index with the database, product by product; exit code 1 if they differ
    Verify,
}

pub(super) async fn run(command: &IndexCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        IndexCommand::Rebuild => rebuild(session).await,
        IndexCommand::Verify => verify(session).await,
    }
}

async fn rebuild(session: &Session) -> Result<Exit, Failure> {
    let config = session.config();
    let data = DataDir::prepare(&config.data_dir)?;
    let store = wiring::open_store(config).await?;
    let options = wiring::index_options(config, data.instance_id(&*session.world.ids)?);
    let bar = Progress::begin(&session.bars, "indexed", "products", Some(store.count().await?));
    let observe = |p: haat_search::Progress| bar.step(Step { position: p.done, count: p.done, refused: 0 });
    let clock = session.world.clock.clone();
    let report = haat_search::rebuild(options, store.clone(), store.clone(), clock, &observe).await;
    bar.end();
    store.close().await;
    match report? {
        RebuildReport::Built { products, seq, elapsed } => session.output.answer(
            format!(
                "The index is built: {} products up to change {seq}, in {}.",
                HumanCount(products),
                took(elapsed)
            ),
            &json!({ "state": "built", "products": products, "seq": seq, "seconds": elapsed.as_secs_f64() }),
        ),
        RebuildReport::Requested => session.output.answer(
            "A server is running on this data folder: it was asked to build the index anew, and serves from the old one until then.",
            &json!({ "state": "requested" }),
        ),
    }
    Ok(Exit::Ok)
}

async fn verify(session: &Session) -> Result<Exit, Failure> {
    let config = session.config();
    let data = DataDir::at(&config.data_dir);
    let store = wiring::open_existing_store(config).await?;
    let bar = Progress::begin(&session.bars, "compared", "products", Some(store.count().await?));
    let observe = |p: haat_search::Progress| bar.step(Step { position: p.done, count: p.done, refused: 0 });
    let report = haat_search::verify(&data.index(), store.clone(), store.clone(), &observe).await;
    bar.end();
    store.close().await;
    let report = report?;
    let same = report.is_clean();
    session.output.answer(in_words(&report, same, bar.elapsed()), &in_json(&report, same));
    Ok(if same { Exit::Ok } else { Exit::Failed })
}

fn in_words(report: &VerifyReport, same: bool, elapsed: std::time::Duration) -> String {
    let n = HumanCount;
    let mut lines = Vec::new();
    if let Some(file) = &report.damaged {
        lines.push(format!("{} is damaged: its contents are not what was written", file.display()));
    }
    for (ids, what) in [
        (&report.missing, "in the database, not in the index"),
        (&report.surplus, "in the index, not in the database"),
        (&report.different, "not the same in both"),
    ] {
        if !ids.is_empty() {
            let shown: Vec<String> = ids.iter().take(PRINTED_IDS).map(ProductId::to_string).collect();
            let more = if ids.len() > PRINTED_IDS { ", …" } else { "" };
            lines.push(format!("{} {what}: {}{more}", n(ids.len() as u64), shown.join(", ")));
        }
    }
    if report.pending > 0 {
        lines.push(format!("{} changed since change {}: the index is about to follow", n(report.pending), report.seq));
    }
    lines.push(match same {
        true => format!(
            "The index is right: {} products compared with {} documents in {}.",
            n(report.products),
            n(report.documents),
            took(elapsed)
        ),
        false => "The index is wrong: `haat index rebuild` makes it anew.".to_owned(),
    });
    lines.join("\n")
}

fn in_json(report: &VerifyReport, same: bool) -> serde_json::Value {
    let ids = |ids: &[ProductId]| ids.iter().map(ProductId::to_string).collect::<Vec<_>>();
    json!({
        "ok": same,
        "seq": report.seq,
        "documents": report.documents,
        "products": report.products,
        "missing": ids(&report.missing),
        "surplus": ids(&report.surplus),
        "different": ids(&report.different),
        "damaged": report.damaged.as_ref().map(|file| file.display().to_string()),
        "pending": report.pending,
    })
}
