//! `haat sources`: how the upstream catalogues stand, and what their breakers shall do.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use haat_sources::ports::BreakerOrder;
use haat_sources::service::{SourceState, SourceStatus, Sources};
use haat_store::Store;
use indicatif::{HumanCount, HumanDuration};
use serde_json::json;

use super::Session;
use super::sync::unknown;
use crate::exit::{Exit, Failure};
use crate::{upstreams, wiring};

#[derive(Debug, Args)]
pub(super) struct SourcesArgs {
    #[command(subcommand)]
    command: Option<SourcesCommand>,
}

#[derive(Debug, Subcommand)]
enum SourcesCommand {
    /// List the sources: state, lag, products, breakers, last error [what happens without a subcommand]
    List,
    /// Show one source, all of it
    Show { name: String },
    /// Tell a source's breakers, on all servers, what to do
    Breaker {
        name: String,
        /// open: nothing is sent; closed: everything is; auto: it decides for itself
        order: OrderArgument,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderArgument {
    Open,
    Closed,
    Auto,
}

impl From<OrderArgument> for BreakerOrder {
    fn from(argument: OrderArgument) -> Self {
        match argument {
            OrderArgument::Open => Self::ForceOpen,
            OrderArgument::Closed => Self::ForceClosed,
            OrderArgument::Auto => Self::Auto,
        }
    }
}

pub(super) async fn run(args: SourcesArgs, session: &Session) -> Result<Exit, Failure> {
    let config = session.config();
    let store = wiring::open_existing_store(config).await?;
    let ended = match upstreams::sources(config, &session.world, store.clone(), None, "command") {
        Ok(sources) => carry_out(args.command.unwrap_or(SourcesCommand::List), session, &sources, &store).await,
        Err(failure) => Err(failure),
    };
    store.close().await;
    ended
}

async fn carry_out(
    command: SourcesCommand,
    session: &Session,
    sources: &Sources,
    store: &Arc<dyn Store>,
) -> Result<Exit, Failure> {
    let output = session.output;
    match command {
        SourcesCommand::List => {
            let all = sources.statuses().await?;
            let none = "There are no sources: the configuration declares them, see docs/sources.md.";
            let lines: Vec<String> = all.iter().map(in_a_line).collect();
            let text = if lines.is_empty() { none.to_owned() } else { lines.join("\n") };
            output.answer(text, &json!({ "sources": all }));
        }
        SourcesCommand::Show { name } => {
            let found = sources.status(&name).await?;
            let status = found.ok_or_else(|| unknown(&name, sources.names().into_iter()))?;
            output.answer(serde_json::to_string_pretty(&status).unwrap_or_default(), &status);
        }
        SourcesCommand::Breaker { name, order } => {
            if !sources.names().contains(&name.as_str()) {
                return Err(unknown(&name, sources.names().into_iter()));
            }
            let order = BreakerOrder::from(order);
            // Not by way of this process's own breaker, which guards nothing that lasts.
            store.order_breaker(&name, order).await?;
            let said = match order {
                BreakerOrder::Auto => "decide for themselves",
                BreakerOrder::ForceOpen => "let nothing pass",
                BreakerOrder::ForceClosed => "let everything pass",
            };
            let text = format!("The breakers of {name} {said}, on every server within some seconds.");
            output.answer(text, &json!({ "source": name, "breaker_order": order }));
        }
    }
    Ok(Exit::Ok)
}

fn in_a_line(status: &SourceStatus) -> String {
    let state = match status.state {
        SourceState::Idle => "idle",
        SourceState::Running => "running",
        SourceState::AwaitingConfirmation => "waits for a confirmation",
        SourceState::Failing => "failing",
    };
    let lag = status.lag_seconds.map_or_else(
        || "never synchronised".to_owned(),
        |lag| format!("{} behind", HumanDuration(std::time::Duration::from_secs(lag))),
    );
    let mut line = format!("{:<20} {state}, {lag}, {} products", status.name, HumanCount(status.items));
    for breaker in &status.breakers {
        let failed = breaker.failure_rate * 100.0;
        // Writing to memory does not fail.
        let _ = write!(
            line,
            "\n{:<20}   breaker {} on {}: {failed:.0} % of {} calls failed",
            "", breaker.state, breaker.replica, breaker.calls
        );
    }
    if let Some(error) = &status.last_error {
        let _ = write!(line, "\n{:<20}   {error}", "");
    }
    line
}
