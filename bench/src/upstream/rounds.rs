//! Listings beside each kind of other requests, in turn.

use std::time::Duration;

use super::market::Market;
use super::operator::Operator;
use super::traffic::{Beside, Listed, Traffic, within};
use crate::live::Tally;
use crate::load::{Latencies, latencies, ms};
use crate::process::cpu;
use crate::report::{Section, verdict};
use crate::server::Server;
use crate::wrk::median;

/// What a turn begins with and nothing is made of: connections, and an upstream that has not hung for long.
const WARM_UP: Duration = Duration::from_secs(1);
/// What the listings' p99 may be of what it was.
const MOST: f64 = 1.05;

/// The turns of one kind.
pub struct Turns {
    beside: Beside,
    listed: Listed,
    /// Of listings, turn by turn, microseconds.
    p99: Vec<f64>,
    others: Tally,
    /// Processor time of the server and of the upstream, and the time in which they took it.
    server: Duration,
    upstream: Duration,
    elapsed: Duration,
    late: Latencies,
}

impl Turns {
    fn new(beside: Beside) -> anyhow::Result<Self> {
        Ok(Self {
            beside,
            listed: Listed::new()?,
            p99: Vec::new(),
            others: Tally::new()?,
            server: Duration::ZERO,
            upstream: Duration::ZERO,
            elapsed: Duration::ZERO,
            late: latencies()?,
        })
    }

    async fn turn(
        &mut self,
        server: &Server,
        market: &Market,
        traffic: &mut Traffic,
        seconds: u64,
    ) -> anyhow::Result<()> {
        let lasting = Duration::from_secs(seconds);
        let before = (cpu(server.pid()?)?, cpu(market.pid()?)?);
        let taken = traffic.send(self.beside, WARM_UP + lasting).await?;
        self.server += cpu(server.pid()?)?.saturating_sub(before.0);
        self.upstream += cpu(market.pid()?)?.saturating_sub(before.1);
        self.elapsed += taken.listings.elapsed;
        let listed = Listed::of(&taken.listings, within(taken.listings.started, WARM_UP, lasting))?;
        self.p99.push(listed.p99());
        self.listed.add(&listed)?;
        self.late.add(&taken.listings.late)?;
        if let Some(others) = &taken.beside {
            self.others.add(others, within(others.started, WARM_UP, lasting));
        }
        Ok(())
    }

    /// The listings' p99 in that beside something else, in the same round: the median of the rounds, the least and the most.
    fn of_rounds(&self, other: &Self) -> [f64; 3] {
        let mut ratios: Vec<f64> = self.p99.iter().zip(&other.p99).map(|(one, other)| one / other).collect();
        ratios.sort_by(f64::total_cmp);
        let ends = [ratios.first(), ratios.last()].map(|end| end.copied().unwrap_or(f64::NAN));
        [median(ratios), ends[0], ends[1]]
    }

    fn listing_row(&self) -> String {
        let [all, computed, hot] = [&self.listed.all, &self.listed.computed, &self.listed.hot];
        let cells = [ms(computed, 0.5), ms(computed, 0.99), ms(hot, 0.5), ms(hot, 0.99)].join(" | ");
        format!(
            "| {} | {} | {} | {cells} | {} | {} | {:.2} | {} |\n",
            self.beside,
            all.len(),
            ms(all, 0.5),
            ms(all, 0.99),
            ms(all, 1.0),
            median(self.p99.clone()) / 1e3,
            self.listed.refused
        )
    }

    fn others_row(&self) -> String {
        let of_a_core = |took: Duration| 100.0 * took.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9);
        let latency = &self.others.latency;
        let times = match latency.len() {
            0 => "– | – | –".to_owned(),
            _ => [0.5, 0.99, 1.0].map(|quantile| ms(latency, quantile)).join(" | "),
        };
        format!(
            "| {} | {} | {times} | {} | {:.0} % | {:.0} % |\n",
            self.beside,
            latency.len(),
            self.others.shares(),
            of_a_core(self.server),
            of_a_core(self.upstream)
        )
    }
}

/// Everybody's turns, round by round; who begins changes.
pub async fn take(
    server: &Server,
    market: &Market,
    operator: &Operator,
    traffic: &mut Traffic,
    [rounds, seconds]: [u64; 2],
) -> anyhow::Result<Vec<Turns>> {
    let mut all = Beside::ALL.map(Turns::new).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for round in 0..rounds {
        let first = usize::try_from(round)? % all.len();
        all.rotate_left(first);
        for turns in &mut all {
            let hangs = turns.beside == Beside::Hung;
            if hangs {
                market.order("hang").await?;
            }
            turns.turn(server, market, traffic, seconds).await?;
            if hangs {
                market.mend().await?;
                operator.close_breaker().await?;
            }
        }
        all.rotate_right(first);
    }
    Ok(all)
}

/// Tables and verdicts.
pub fn report(section: &mut Section, all: &[Turns], [rate, beside]: [u32; 2]) -> anyhow::Result<()> {
    let [nothing, plain, unsourced, healthy, hung] = all else { anyhow::bail!("five kinds of turns") };
    let rows = |row: fn(&Turns) -> String| all.iter().map(row).collect::<String>();
    section.table(&format!(
        "| {rate} listings a second beside | requests | p50 ms | computed p50 | p99 | hot p50 | p99 | all p99 ms | max ms | p99 ms, median of {} rounds | refused |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n{}",
        nothing.p99.len(),
        rows(Turns::listing_row)
    ));
    section.table(&format!(
        "| {beside} a second | requests | p50 ms | p99 ms | max ms | values | server's CPU | upstream's CPU |\n\
         |---|---|---|---|---|---|---|---|\n{}",
        rows(Turns::others_row)
    ));
    for (base, aim) in [(plain, true), (healthy, true), (unsourced, false), (nothing, false)] {
        let [ratio, least, most] = hung.of_rounds(base);
        let verdict = if aim { format!(" ({})", verdict(ratio <= MOST, "aim 1.05")) } else { String::new() };
        section.note(format!(
            "listings' p99 while the upstream hangs, of that beside {}: {ratio:.3}{verdict}; {least:.2} to {most:.2} in single \
             rounds",
            base.beside
        ));
    }
    let [ratio, least, most] = unsourced.of_rounds(plain);
    section.note(format!(
        "for how much these ratios are worth: beside {} of that beside {}, with no upstream in either, {ratio:.3}, {least:.2} \
         to {most:.2}",
        unsourced.beside, plain.beside
    ));
    section.note(format!(
        "the generator's timers were late by {} ms at p99, which latencies leave out; generator and upstream share the \
         machine with the server. A turn begins with {} s that do not count, and after one in which the upstream hung the \
         breaker is closed by order",
        ms(&hung.late, 0.99),
        WARM_UP.as_secs()
    ));
    Ok(())
}
