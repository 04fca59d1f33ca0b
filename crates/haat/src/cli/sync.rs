//! `haat sync NAME`: synchronises one source here and now, beside a running server or without one.

use std::sync::{Arc, OnceLock};

use anyhow::anyhow;
use clap::Args;
use haat_sources::run::{ItemError, Mode, Run, RunState, RunView};
use haat_sources::service::{Sources, StartError, SyncRequest};
use indicatif::HumanCount;
use serde_json::json;

use super::Session;
use super::progress::{Progress, Step, took};
use crate::exit::{Exit, Failure};
use crate::{upstreams, wiring};

/// How many refused items are printed one by one.
const PRINTED_ERRORS: usize = 20;
/// Who holds the lease of a run that a command carries out.
const OWNER: &str = "command";

#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// Which source, as the configuration names it
    source: String,
    /// Read everything, so that what vanished upstream goes here too [default: what changed, where that can be told]
    #[arg(long)]
    full: bool,
    /// Remove what has vanished even if that is more than `max_vanished` of the source's products
    #[arg(long)]
    confirm_removals: bool,
}

pub(super) async fn run(args: &SyncArgs, session: &Session) -> Result<Exit, Failure> {
    let config = session.config();
    if !config.sources.iter().any(|source| source.common.name == args.source) {
        return Err(unknown(&args.source, config.sources.iter().map(|source| source.common.name.as_str())));
    }
    let store = wiring::open_store(config).await?;
    let cache = wiring::shared_redis(config)?.map(|cache| Arc::new(cache) as _);
    let ended = match upstreams::sources(config, &session.world, store.clone(), cache, OWNER) {
        Ok(sources) => synchronize(args, session, &sources).await,
        Err(failure) => Err(failure),
    };
    store.close().await;
    ended
}

/// There is no source of that name.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    let hint = match (haat_catalog::invalid::nearest(name, known.iter().copied()), known.is_empty()) {
        (Some(near), _) => format!("did you mean '{near}'?"),
        (None, true) => "the configuration has none; see docs/sources.md".to_owned(),
        (None, false) => format!("there are {}", known.join(", ")),
    };
    Failure::Usage(format!("there is no source '{name}': {hint}"))
}

async fn synchronize(args: &SyncArgs, session: &Session, sources: &Sources) -> Result<Exit, Failure> {
    let request = SyncRequest { mode: args.full.then_some(Mode::Full), confirm_removals: args.confirm_removals };
    let started = std::time::Instant::now();
    // Only the first page tells how much there is.
    let bar: Arc<OnceLock<Progress>> = Arc::default();
    let progress = {
        let (bar, bars) = (Arc::clone(&bar), session.bars.clone());
        Arc::new(move |run: &Run| {
            if run.counts.pages == 0 {
                return;
            }
            let bar = bar.get_or_init(|| Progress::begin(&bars, "Read", "items", run.total));
            let counts = &run.counts;
            bar.step(Step { position: counts.read, count: counts.read, refused: counts.failed });
        })
    };
    let ended = sources.run_here(&args.source, request, progress, session.lifecycle.soft().clone()).await;
    if let Some(bar) = bar.get() {
        bar.end();
    }
    let run = ended.map_err(failure)?;
    tell(session, &args.source, &run, started.elapsed());
    Ok(match run.state {
        RunState::Done if run.counts.failed == 0 => Exit::Ok,
        RunState::Done => Exit::BadData,
        RunState::Reading | RunState::Removing => Exit::Interrupted,
        RunState::AwaitingConfirmation | RunState::Failed => Exit::Failed,
    })
}

/// Why a synchronisation did not begin, for people.
fn failure(error: StartError) -> Failure {
    match error {
        StartError::Store(error) => error.into(),
        StartError::Unknown(_) => Failure::Usage(error.to_string()),
        StartError::Running(_) | StartError::Lost => Failure::Failed(anyhow!("{error}")),
    }
}

fn tell(session: &Session, source: &str, run: &Run, elapsed: std::time::Duration) {
    let (output, counts, n) = (session.output, &run.counts, HumanCount);
    if !output.is_json() {
        run.errors.iter().take(PRINTED_ERRORS).for_each(|error| output.aside(line_of(error)));
        let more =
            counts.failed.saturating_sub(u64::try_from(PRINTED_ERRORS.min(run.errors.len())).unwrap_or_default());
        if more > 0 {
            output.aside(format!("… and {} more refused items", n(more)));
        }
        if let Some(message) = &run.message {
            output.aside(message);
        }
    }
    let end = match run.state {
        RunState::Done => "",
        RunState::Failed => "Failed. ",
        RunState::AwaitingConfirmation => "Waits for a confirmation. ",
        RunState::Reading | RunState::Removing => "Stopped; the next run goes on from here. ",
    };
    let text = format!(
        "{end}{} items in {}: {} created, {} updated, {} unchanged, {} older than what is known, {} removed, {} refused",
        n(counts.read),
        took(elapsed),
        n(counts.created),
        n(counts.updated),
        n(counts.unchanged),
        n(counts.stale),
        n(counts.removed),
        n(counts.failed),
    );
    output.answer(
        text,
        &json!({ "source": source, "run": RunView::from(run.clone()), "seconds": elapsed.as_secs_f64() }),
    );
}

fn line_of(error: &ItemError) -> String {
    let key = if error.key.is_empty() { "an item without a key" } else { &error.key };
    let at = if error.pointer.is_empty() { String::new() } else { format!(" {}", error.pointer) };
    format!("{key}{at}: {}", error.detail)
}
