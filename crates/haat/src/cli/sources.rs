//! `haat sources`: how the upstream catalogues stand, and what their breakers shall do.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use haat_sources::ports::BreakerOrder;
use haat_sources::service::{ForgetError, SourceState, SourceStatus, Sources};
use haat_store::Store;
use indicatif::{HumanCount, HumanDuration};
use serde_json::json;

use super::sync::{unknown, vanished_lines};
use super::{COMMAND_LINE, Session, this_command};
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
    /// Stop the run of a source that is under way, on whichever server, or that waits for a confirmation
    Cancel { name: String },
    /// Forget a source that is not in the configuration any more: its products stay, and another source may have them
    Forget {
        name: String,
        /// Give its products to this source, as when it is the same one under another name
        #[arg(long, value_name = "OTHER")]
        give_to: Option<String>,
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
    let ended = match upstreams::sources(config, &session.world, store.clone(), None, &this_command()) {
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
            let status = found.ok_or_else(|| no_such(&name, sources))?;
            output.answer(serde_json::to_string_pretty(&status).unwrap_or_default(), &status);
        }
        SourcesCommand::Breaker { name, order } => {
            if !sources.names().contains(&name.as_str()) {
                return Err(no_such(&name, sources));
            }
            let order = BreakerOrder::from(order);
            // Not by way of this process's own breaker, which guards nothing that lasts.
            store.order_breaker(&name, order).await?;
            tracing::info!(target: "haat::audit", source = name, order = order.name(), by = COMMAND_LINE, "breaker ordered");
            let said = match order {
                BreakerOrder::Auto => "decide for themselves",
                BreakerOrder::ForceOpen => "let nothing pass",
                BreakerOrder::ForceClosed => "let everything pass",
            };
            let text = format!("The breakers of {name} {said}, on every server within some seconds.");
            output.answer(text, &json!({ "source": name, "breaker_order": order }));
        }
        SourcesCommand::Cancel { name } => cancel(&name, session, sources).await?,
        SourcesCommand::Forget { name, give_to } => forget(&name, give_to.as_deref(), session, sources).await?,
    }
    Ok(Exit::Ok)
}

fn no_such(name: &str, sources: &Sources) -> Failure {
    unknown(name, sources.names().into_iter())
}

async fn cancel(name: &str, session: &Session, sources: &Sources) -> Result<(), Failure> {
    if !sources.names().contains(&name) {
        return Err(no_such(name, sources));
    }
    let cancelled = sources.cancel(name).await.map_err(super::sync::failure)?;
    let text = match &cancelled {
        None => format!("No run of {name} is under way, and none waits."),
        Some(run) => {
            tracing::info!(target: "haat::audit", source = name, run = %run.id, by = COMMAND_LINE, "synchronisation cancelled");
            format!("The run {} of {name} is cancelled; what it has written stays.", run.id)
        }
    };
    session.output.answer(text, &json!({ "source": name, "cancelled": cancelled.map(|run| run.id) }));
    Ok(())
}

async fn forget(name: &str, heir: Option<&str>, session: &Session, sources: &Sources) -> Result<(), Failure> {
    let products = sources.forget(name, heir).await.map_err(|error| match error {
        ForgetError::Store(error) => error.into(),
        ForgetError::Running(_) => Failure::Busy(error.to_string()),
        ForgetError::Declared(_) | ForgetError::Unknown(_) | ForgetError::NoHeir(_) => {
            Failure::Usage(error.to_string())
        }
    })?;
    tracing::info!(target: "haat::audit", source = name, heir, products, by = COMMAND_LINE, "source forgotten");
    let n = HumanCount(products);
    let text = match heir {
        None => format!("{name} is forgotten. Its {n} products are nobody's now; a source that lists one takes it up."),
        Some(heir) => {
            format!("{name} is forgotten. Its {n} products are {heir}'s now, whose next run reads everything.")
        }
    };
    session.output.answer(text, &json!({ "source": name, "heir": heir, "products": products }));
    Ok(())
}

fn in_a_line(status: &SourceStatus) -> String {
    let state = match status.state {
        SourceState::Idle => "idle",
        SourceState::Running => "running",
        SourceState::AwaitingConfirmation => "waits for a confirmation",
        SourceState::Failing => "failing",
        SourceState::Undeclared => "undeclared",
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
    let waits = status.run.as_ref().filter(|_| status.state == SourceState::AwaitingConfirmation);
    let vanished = waits.map(|run| vanished_lines(run.vanished.iter(), run.counts.vanished)).unwrap_or_default();
    let why = waits.and_then(|run| run.message.as_ref());
    let kept = (status.state == SourceState::Undeclared).then(|| {
        format!("the configuration does not have it; `haat sources forget {}` gives its products away", status.name)
    });
    // Where no server tells how its breaker stands, the order is there all the same.
    let order = (status.breakers.is_empty() && status.breaker_order != BreakerOrder::Auto)
        .then(|| format!("breaker {} by order; no server was heard of lately", status.breaker_order.name()));
    for more in order.iter().chain(&vanished).chain(why).chain(&kept).chain(&status.last_error) {
        let _ = write!(line, "\n{:<20}   {more}", "");
    }
    line
}
