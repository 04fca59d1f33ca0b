//! An upstream that takes every request and answers none: what listings and memory make of it; and how fast a catalogue is
//! synchronised from one that answers.

mod market;
mod minute;
mod operator;
mod rounds;
mod sync;
mod traffic;

use std::path::Path;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::process::measure;
use crate::report::Section;
use crate::server::{Launch, Server, haat};
use crate::small::{self, GENEROUS, cache_memory, policies};
use crate::{Bench, Store};
use market::{Market, SOURCE};
use operator::Operator;
use traffic::Traffic;

/// How many of the products belong to the source.
const OF_SOURCE: u64 = 2_000;
/// How long the upstream takes over an answer when it is well: a network and a small database.
const LATENCY: &str = "10ms";
/// Memory for answers: little, so that it is full before memory is looked at.
const CACHE: &str = "16MiB";

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The upstream that hangs.
    Hang,
    /// Synchronisations.
    Sync,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Only this.
    pub only: Option<Part>,
    /// How often each kind of traffic has a turn.
    pub rounds: u64,
    /// Seconds of a turn.
    pub round_seconds: u64,
    /// Seconds that the upstream hangs in one go.
    pub hang_seconds: u64,
    /// Listings per second.
    pub rate: u32,
    /// Requests for live values per second.
    pub live: u32,
    /// How many products are synchronised.
    pub sync_products: u64,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    ensure!(plan.rounds > 0 && plan.round_seconds > 0 && plan.hang_seconds > 0, "rounds and seconds: nothing may be 0");
    ensure!(plan.rate > 0 && plan.live > 0 && plan.sync_products > 0, "rates and products: nothing may be 0");
    if plan.only != Some(Part::Sync) {
        hang(bench, plan).await?;
    }
    if plan.only != Some(Part::Hang) {
        let bench = &Bench { products: plan.sync_products, ..bench.clone() };
        let command = format!("upstream --only sync --sync-products {}", plan.sync_products);
        let mut section = Section::begin("77-sync", "Synchronisation from an upstream", &command);
        for store in [Store::Sqlite, Store::Mariadb] {
            sync::run(bench, store, &mut section).await?;
        }
        section.write(bench)?;
    }
    Ok(())
}

async fn hang(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    let own = &Bench { products: small::PRODUCTS - OF_SOURCE, ..bench.clone() };
    let data_dir = bench.work.join("upstream");
    small::sqlite(own, &data_dir).await?;
    let command = format!(
        "upstream --only hang --rounds {} --round-seconds {} --hang-seconds {}",
        plan.rounds, plan.round_seconds, plan.hang_seconds
    );
    let mut section = Section::begin("76-upstream", "An upstream that hangs", &command);
    let market = Market::start(bench, "upstream", OF_SOURCE, LATENCY).await?;
    // Before the server starts, which hears of others only after a while.
    let account = Operator::register(bench, &data_dir).await?;
    let server = launch(bench, &data_dir, &market).await?;
    let operator = Operator::of(&account, server.port).await?;
    let rates = [plan.rate, plan.live];
    let mut traffic = Traffic::new(own, OF_SOURCE, server.port, rates).await?;
    let turns = [plan.rounds, plan.round_seconds];
    let turns = rounds::take(&server, &market, &operator, &mut traffic, turns).await?;
    rounds::report(&mut section, &turns, rates)?;
    minute::run(&server, &market, &operator, &mut traffic, plan.hang_seconds, &mut section).await?;
    server.stop().await?;
    market.stop().await?;
    section.note(format!(
        "{OF_SOURCE} products belong to a source as `haat demo-upstream` declares it, in a process of its own that takes {LATENCY} \
         over an answer, with no synchronisation meanwhile. Listings: a hot page and a question that was never asked before in \
         turn. Live values: product after product, so that no two requests share an answer; the server waits 800 ms for one, \
         as by default. `cache.memory = \"{CACHE}\"`, full before memory is looked at; two policies on every request"
    ));
    section.write(&small::bench(bench))
}

/// A server whose source's products are there.
async fn launch(bench: &Bench, data_dir: &Path, market: &Market) -> anyhow::Result<Server> {
    measure(market.known_to(haat(bench, data_dir, None, &["sync", SOURCE, "--full"]))).await.context("the source")?;
    let settings = vec![policies(GENEROUS), cache_memory(CACHE), market.setting()];
    let server = Server::launch(bench, &Launch { data_dir, database: None, settings, log: "upstream.log" }).await?;
    server.wait_complete().await?;
    Ok(server)
}
