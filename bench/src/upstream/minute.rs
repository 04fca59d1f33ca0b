//! A minute in which the upstream hangs: memory, the breaker, and who gets what meanwhile.

use std::time::{Duration, Instant};

use super::market::{Market, Stats};
use super::operator::Operator;
use super::traffic::{Beside, Listed, Taken, Traffic, within};
use crate::live::{FRESH, Tally};
use crate::load::ms;
use crate::process::{Memory, mb};
use crate::report::{Section, verdict};
use crate::server::Server;

/// For how long the same goes on before, with an upstream that answers.
const LEAD: Duration = Duration::from_secs(5);
/// How far the looks at memory are apart.
const STEP: u64 = 10;
/// What the server's own memory may be at the end of what it was.
const MOST: f64 = 1.05;

/// A look at the server.
struct Look {
    /// So many seconds after the upstream began to hang.
    at: u64,
    memory: Memory,
    in_flight: u64,
    /// What the breaker was since the look before, a change at a time.
    breaker: Vec<String>,
}

/// What was seen from outside.
struct Watched {
    /// When the upstream began to hang.
    begun: Instant,
    looks: Vec<Look>,
    stats: Stats,
}

/// Measures and reports.
pub async fn run(
    server: &Server,
    market: &Market,
    operator: &Operator,
    traffic: &mut Traffic,
    seconds: u64,
    section: &mut Section,
) -> anyhow::Result<()> {
    let lasting = LEAD + Duration::from_secs(seconds);
    let (taken, watched) = tokio::join!(traffic.send(Beside::Hung, lasting), watch(server, market, operator, seconds));
    let (taken, watched) = (taken?, watched?);
    market.mend().await?;
    operator.close_breaker().await?;
    report(section, &taken, &watched)
}

async fn watch(server: &Server, market: &Market, operator: &Operator, seconds: u64) -> anyhow::Result<Watched> {
    tokio::time::sleep(LEAD).await;
    market.count_anew().await?;
    let first = Look { at: 0, memory: server.memory()?, in_flight: 0, breaker: vec![operator.breaker().await?] };
    let mut watched = Watched { begun: Instant::now(), looks: vec![first], stats: market.stats().await? };
    market.order("hang").await?;
    let mut states: Vec<String> = Vec::new();
    for second in 1..=seconds {
        tokio::time::sleep_until((watched.begun + Duration::from_secs(second)).into()).await;
        let state = operator.breaker().await?;
        if states.last() != Some(&state) {
            states.push(state);
        }
        if second % STEP == 0 || second == seconds {
            watched.stats = market.stats().await?;
            watched.looks.push(Look {
                at: second,
                memory: server.memory()?,
                in_flight: watched.stats.in_flight,
                breaker: std::mem::take(&mut states),
            });
        }
    }
    Ok(watched)
}

fn report(section: &mut Section, taken: &Taken, watched: &Watched) -> anyhow::Result<()> {
    let mut rows = String::from(
        "| seconds of hanging | resident | its own | breaker | in flight upstream | listings p50 ms | p99 ms | max ms | live p50 ms | p99 ms | max ms | fresh | values |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut from = watched.begun - LEAD;
    for look in &watched.looks {
        let until = watched.begun + Duration::from_secs(look.at);
        rows.push_str(&row(look, taken, from, until)?);
        from = until;
    }
    section.table(&rows);
    let (Some(first), Some(last)) = (watched.looks.first(), watched.looks.last()) else { return Ok(()) };
    let most = watched.looks.iter().map(|look| look.memory.anonymous).max().unwrap_or(0);
    let grown = last.memory.anonymous as f64 / first.memory.anonymous.max(1) as f64;
    section.note(format!(
        "the server's own memory after {} s of hanging {grown:.3} times what it was ({}); {} at the start, {} at the most, {} \
         at the end",
        last.at,
        verdict(grown <= MOST, "aim flat, 1.05"),
        mb(first.memory.anonymous),
        mb(most),
        mb(last.memory.anonymous)
    ));
    let all = Listed::of(&taken.listings, |seen| seen.begun >= watched.begun)?;
    section.note(format!(
        "listings in these {} s: p50 {} ms, p99 {} ms, max {} ms, {} refused. {} requests reached the upstream, {} at once at \
         the most",
        last.at,
        ms(&all.all, 0.5),
        ms(&all.all, 0.99),
        ms(&all.all, 1.0),
        all.refused,
        watched.stats.requests,
        watched.stats.max_in_flight
    ));
    section.note(format!(
        "the first line is the {} s before, with the upstream well. The breaker is looked at once a second, so shorter states \
         may be missing",
        LEAD.as_secs()
    ));
    Ok(())
}

fn row(look: &Look, taken: &Taken, from: Instant, until: Instant) -> anyhow::Result<String> {
    let which = within(from, Duration::ZERO, until - from);
    let (listed, mut live) = (Listed::of(&taken.listings, which)?, Tally::new()?);
    if let Some(others) = &taken.beside {
        live.add(others, which);
    }
    let at = if look.at == 0 { "before".to_owned() } else { format!("until {}", look.at) };
    let times = [&listed.all, &live.latency].map(|all| [0.5, 0.99, 1.0].map(|quantile| ms(all, quantile)).join(" | "));
    Ok(format!(
        "| {at} | {} | {} | {} | {} | {} | {:.1} % | {} |\n",
        mb(look.memory.resident),
        mb(look.memory.anonymous),
        look.breaker.join(", "),
        look.in_flight,
        times.join(" | "),
        100.0 * live.count(FRESH) as f64 / live.latency.len().max(1) as f64,
        live.shares()
    ))
}
