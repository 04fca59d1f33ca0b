//! Sources: whether each gives a token and the first page of its list, and how the stored state of each is. Nothing is
//! written, neither there nor here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use haat_outbound::CallError;
use haat_sources::connector::{Connector, ItemPage, ReadError};
use haat_sources::ports::{BreakerOrder, SourceRow};
use haat_sources::run::{Run, RunState};
use haat_sources::upstream::UpstreamError;
use haat_store::Store;

use super::Finding;
use crate::config::{Config, SourceEntry};
use crate::upstreams;
use crate::wiring::World;

const CHECK: &str = "sources";
/// How long an upstream may take, with its token. All are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at them; at their stored state, if there is a store.
pub async fn examine(config: &Config, store: Option<&Arc<dyn Store>>, world: &World) -> Vec<Finding> {
    let looks = config.sources.iter().map(|source| upstream(source, world));
    let rows = async {
        match store {
            Some(store) => store.sources().await,
            None => Ok(Vec::new()),
        }
    };
    let (mut findings, rows) = tokio::join!(join_all(looks), rows);
    match rows {
        Ok(rows) => findings.extend(rows.iter().flat_map(|row| standing(config, row))),
        Err(e) => findings.push(Finding::fail(CHECK, e.to_string(), "see the database's findings")),
    }
    findings
}

/// Asks an upstream for its first page, as a synchronisation does.
async fn upstream(source: &SourceEntry, world: &World) -> Finding {
    let name = &source.common.name;
    let upstream = match upstreams::upstream(source, world, PATIENCE) {
        Ok(upstream) => upstream,
        Err(e) => return Finding::fail(CHECK, format!("{name}: {e}"), "the system's certificates may be missing"),
    };
    let asked = Instant::now();
    match upstream.page(None, None, &*world.clock).await {
        Err(unread) => refused(name, &unread.error),
        Ok(page) => understood(name, &page, &*upstream.connector, asked.elapsed()),
    }
}

/// Why there is no page, and what to do about it. What passes by itself is no failure.
fn refused(name: &str, error: &UpstreamError) -> Finding {
    let detail = format!("{name}: {error}");
    let fail = |advice| Finding::fail(CHECK, detail.clone(), advice);
    let warn = |advice| Finding::warn(CHECK, detail.clone(), advice);
    let status = match error {
        UpstreamError::Call(CallError::NoToken(_)) => {
            return fail(
                "check the token endpoint, the client, its secret or key, and the scopes; with private_key_jwt, \
                 assertion_audience may have to be the provider's issuer",
            );
        }
        UpstreamError::Call(CallError::ForbiddenAddress(_) | CallError::ForbiddenUrl(_)) => {
            return fail("if it is meant to be called, name its network in allow_networks, or set allow_http");
        }
        UpstreamError::Call(CallError::TooLarge { .. }) => {
            return fail("ask for smaller pages, or raise max_response");
        }
        UpstreamError::Call(_) => {
            return warn(
                "see whether the upstream is up, its address right, and the network between; it is tried again by itself",
            );
        }
        UpstreamError::Read(ReadError::Malformed(_)) => {
            return fail("compare list.items and list.pagination with what the upstream answers; see docs/sources.md");
        }
        UpstreamError::Read(ReadError::Status(status)) => status.as_u16(),
    };
    match status {
        401 | 403 => fail("check what is in auth: the upstream does not take it, or it may not read the list"),
        429 => warn("nothing to do if it passes: others ask the upstream too, or schedule is too short for its limits"),
        500.. => warn("nothing to do here: the upstream fails; it is tried again by itself"),
        _ => fail("check base_url, list.path and list.query"),
    }
}

/// How much of a page makes products.
fn understood(name: &str, page: &ItemPage, connector: &dyn Connector, took: Duration) -> Finding {
    let (all, mut wrong) =
        (page.items.len(), page.items.iter().filter_map(|item| connector.map(item).err()).peekable());
    let detail = format!("{name}: {all} items on its first page, in {} ms", took.as_millis());
    let first =
        wrong.peek().and_then(|errors| errors.first()).map(|error| format!("{} {}", error.pointer, error.detail));
    let Some(first) = first else { return Finding::ok(CHECK, detail) };
    let refused = wrong.count();
    let detail = format!("{detail}, of which {refused} cannot be understood, as in: {}", first.trim_start());
    let advice = "correct the fields of the source, or the items upstream; `haat sync` names each of them and skips it";
    if refused == all { Finding::fail(CHECK, detail, advice) } else { Finding::warn(CHECK, detail, advice) }
}

/// What somebody should know of a stored state.
fn standing(config: &Config, row: &SourceRow) -> Vec<Finding> {
    let (name, items) = (&row.name, row.items);
    let is_declared = config.sources.iter().any(|source| source.common.name == *name);
    if is_declared {
        return row.run.iter().filter_map(|run| newest(row, run)).chain(ordered(row)).collect();
    }
    let detail = format!("{name}: is not declared any more; its products ({items}) stay as they are");
    let advice = format!("declare it again, or `haat sources forget {name}`");
    if items > 0 { vec![Finding::warn(CHECK, detail, advice)] } else { Vec::new() }
}

/// What the newest run waits for.
fn newest(row: &SourceRow, run: &Run) -> Option<Finding> {
    let (name, message) = (&row.name, run.message.as_deref().unwrap_or("nobody knows why"));
    match run.state {
        RunState::AwaitingConfirmation => {
            let detail = format!("{name}: a run waits for a confirmation: {message}");
            let advice =
                format!("`haat sources show {name}` has all of it; `haat sync {name} --confirm-removals` confirms it");
            Some(Finding::warn(CHECK, detail, advice))
        }
        RunState::Failed => {
            let times = run.failures(run.mode).map_or(1, |failures| failures.times);
            let known = row.last_done.as_ref().map(|done| format!("what is known of it is of {}", done.started_at));
            let known = known.unwrap_or_else(|| "it was never synchronised".to_owned());
            let detail = format!("{name}: the last {times} runs have failed, and {known}: {message}");
            let advice = format!("see above how the upstream is now; `haat sync {name}` tries again at once");
            Some(Finding::warn(CHECK, detail, advice))
        }
        _ => None,
    }
}

/// An order to the breakers that somebody may have forgotten.
fn ordered(row: &SourceRow) -> Option<Finding> {
    let name = &row.name;
    let what = match row.breaker_order {
        BreakerOrder::Auto => return None,
        BreakerOrder::ForceOpen => "nothing is sent to it",
        BreakerOrder::ForceClosed => "everything is sent to it, whatever comes of it",
    };
    let detail = format!("{name}: by an operator's order {what}");
    Some(Finding::warn(CHECK, detail, format!("`haat sources breaker {name} auto` takes it back")))
}
