//! `haat sync NAME`: synchronises one source here and now, beside a running server or without one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use haat_sources::run::{ItemError, Mode, Run, RunState, RunView, VanishedItem};
use haat_sources::service::{Confirmation, Sources, StartError, SyncRequest};
use indicatif::{HumanCount, MultiProgress};
use serde_json::json;
use uuid::Uuid;

use super::progress::{Progress, Step, took};
use super::{COMMAND_LINE, Session, this_command};
use crate::exit::{Exit, Failure};
use crate::{upstreams, wiring};

/// How many refused items, and how many products that would go, are printed one by one.
const PRINTED: usize = 20;
/// How long the cache may take to be reached that servers share their tokens in.
const REDIS_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// Which source, as the configuration names it
    source: String,
    /// Read everything, so that what vanished upstream goes here too [default: what changed, where that can be told]
    #[arg(long)]
    full: bool,
    /// Remove what the run that waits for it has found vanished, although that is more than `max_vanished` of the source's
    /// products; with RUN only if that is the one that waits
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true)]
    confirm_removals: Option<Option<Uuid>>,
}

impl SyncArgs {
    fn request(&self) -> SyncRequest {
        let confirms = self.confirm_removals.map(|run| run.map_or(Confirmation::Waiting, Confirmation::Run));
        SyncRequest { mode: self.full.then_some(Mode::Full), confirms }
    }
}

pub(super) async fn run(args: &SyncArgs, session: &Session) -> Result<Exit, Failure> {
    let config = session.config();
    if !config.sources.iter().any(|source| source.common.name == args.source) {
        return Err(unknown(&args.source, config.sources.iter().map(|source| source.common.name.as_str())));
    }
    let store = wiring::open_store(config).await?;
    let cache = wiring::shared_redis(config)?;
    if let Some(cache) = &cache {
        // It connects beside; who does not wait for it fetches a token of its own although the servers have one there.
        cache.reached(REDIS_WAIT).await;
    }
    let cache = cache.map(|cache| Arc::new(cache) as _);
    let ended = match upstreams::sources(config, &session.world, store.clone(), cache, &this_command()) {
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

/// Watches a run from its first to its last page here.
struct Watch {
    source: String,
    is_confirmed: bool,
    bars: MultiProgress,
    /// What others had read of it before.
    before: OnceLock<u64>,
    /// Only the first page tells how much there is.
    bar: OnceLock<Progress>,
}

impl Watch {
    /// Tells in the audit log that it has begun, and on the terminal how far it has come.
    fn step(&self, run: &Run) {
        if self.before.set(run.counts.read).is_ok() {
            let (source, mode, confirmed) = (&self.source, run.mode.name(), self.is_confirmed);
            tracing::info!(target: "haat::audit", source, run = %run.id, mode, confirmed, by = COMMAND_LINE, "source synchronised");
            return;
        }
        if run.counts.pages == 0 {
            return;
        }
        let at = |read| Step { position: read, count: read, refused: run.counts.failed };
        let begin = || Progress::begin(&self.bars, "Read", "items", run.total).after(at(self.before()));
        self.bar.get_or_init(begin).step(at(run.counts.read));
    }

    fn before(&self) -> u64 {
        self.before.get().copied().unwrap_or_default()
    }
}

async fn synchronize(args: &SyncArgs, session: &Session, sources: &Sources) -> Result<Exit, Failure> {
    let request = args.request();
    let started = std::time::Instant::now();
    let watch = Arc::new(Watch {
        source: args.source.clone(),
        is_confirmed: request.confirms.is_some(),
        bars: session.bars.clone(),
        before: OnceLock::new(),
        bar: OnceLock::new(),
    });
    let progress = {
        let watch = Arc::clone(&watch);
        Arc::new(move |run: &Run| watch.step(run))
    };
    let ended = sources.run_here(&args.source, request, progress, session.lifecycle.soft().clone()).await;
    if let Some(bar) = watch.bar.get() {
        bar.end();
    }
    let run = ended.map_err(failure)?;
    tell(session, &args.source, &run, watch.before(), started.elapsed());
    Ok(match run.state {
        RunState::Done if run.counts.failed == 0 => Exit::Ok,
        RunState::Done => Exit::BadData,
        RunState::Reading | RunState::Removing => Exit::Interrupted,
        RunState::AwaitingConfirmation | RunState::Failed | RunState::Cancelled => Exit::Failed,
    })
}

/// Why a synchronisation did not begin, for people.
pub(super) fn failure(error: StartError) -> Failure {
    match error {
        StartError::Store(error) => error.into(),
        StartError::Unknown(_) | StartError::NothingToConfirm { waits: None, .. } => Failure::Usage(error.to_string()),
        StartError::NothingToConfirm { waits: Some(run), .. } => Failure::Usage(format!("{error} (run {run})")),
        StartError::Running(_) | StartError::Lost => Failure::Busy(error.to_string()),
    }
}

/// Tells how a run has ended, or how far it has come; others had read `before` of it.
fn tell(session: &Session, source: &str, run: &Run, before: u64, elapsed: std::time::Duration) {
    let (output, counts, n) = (session.output, &run.counts, HumanCount);
    if !output.is_json() {
        run.errors.iter().take(PRINTED).for_each(|error| output.aside(line_of(error)));
        let more = counts.failed.saturating_sub(u64::try_from(PRINTED.min(run.errors.len())).unwrap_or_default());
        if more > 0 {
            output.aside(format!("… and {} more refused items", n(more)));
        }
        vanished_lines(run.vanished.iter(), counts.vanished).into_iter().for_each(|line| output.aside(line));
        if let Some(message) = &run.message {
            output.aside(message);
        }
    }
    let end = match run.state {
        RunState::Done => "",
        RunState::Failed => "Failed. ",
        RunState::Cancelled => "Stopped by an operator. ",
        RunState::AwaitingConfirmation => "Waits for a confirmation. ",
        RunState::Reading | RunState::Removing => "Stopped; the next run goes on from here. ",
    };
    let here = match before {
        0 => String::new(),
        _ => format!(", {} of them now,", n(counts.read.saturating_sub(before))),
    };
    let text = format!(
        "{end}{} items{here} in {}: {} created, {} updated, {} unchanged, {} older than what is known, {} removed, {} refused",
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

/// The first products of `count` that would go, a line each.
pub(super) fn vanished_lines<'v>(first: impl Iterator<Item = &'v VanishedItem>, count: u64) -> Vec<String> {
    let mut lines: Vec<String> = first.take(PRINTED).map(|of| format!("would go: {}", name_of(of))).collect();
    let more = count.saturating_sub(u64::try_from(lines.len()).unwrap_or_default());
    if !lines.is_empty() && more > 0 {
        lines.push(format!("… and {} more would go", HumanCount(more)));
    }
    lines
}

fn name_of(vanished: &VanishedItem) -> String {
    match &vanished.key {
        Some(key) => format!("{} ({key})", vanished.sku),
        None => format!("{} (its item has another sku now)", vanished.sku),
    }
}

fn line_of(error: &ItemError) -> String {
    let key = if error.key.is_empty() { "an item without a key" } else { &error.key };
    let at = if error.pointer.is_empty() { String::new() } else { format!(" {}", error.pointer) };
    format!("{key}{at}: {}", error.detail)
}
