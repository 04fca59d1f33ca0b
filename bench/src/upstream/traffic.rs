//! Listings at a fixed rate, and what goes on beside them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::catalogue;
use crate::drive::{Arrival, Cached, Lane, Run, Seen, open, steady};
use crate::load::{Latencies, latencies};
use crate::workload::{Kind, Questions};

/// Connections of listings.
const LISTING: usize = 32;
/// Connections of what goes on beside them: as many as are needed if every live request waits for as long as it may.
const BESIDE: usize = 512;
/// Pages that are asked for again and again.
const HOT: u64 = 20;
/// Questions of each kind that are only asked once; and how often they are asked with another number of products, as which
/// they are other questions.
const EACH: usize = 1_500;
const LIMITS: std::ops::Range<u64> = 15..25;

/// What goes on beside the listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// Single products.
    Plain,
    /// Live values of products that no source has: all that is done for a live value but for the call.
    Unsourced,
    /// Live values of products whose upstream answers.
    Healthy,
    /// Live values of products whose upstream takes every request and answers none.
    Hung,
}

impl Beside {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Nothing, Self::Plain, Self::Unsourced, Self::Healthy, Self::Hung];
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Plain => "plain product GETs",
            Self::Unsourced => "live values of products of no source",
            Self::Healthy => "live values, upstream well",
            Self::Hung => "live values, upstream hangs",
        })
    }
}

/// Listings, and what came of what went on beside them.
pub struct Taken {
    /// The listings.
    pub listings: Run,
    /// The other requests.
    pub beside: Option<Run>,
}

/// Sends it to one server.
pub struct Traffic {
    port: u16,
    /// Listings a second.
    rate: u32,
    /// Other requests a second.
    beside: u32,
    /// Hot pages first, then what is asked once.
    listings: Arc<Vec<String>>,
    hot: usize,
    /// The next of those that are asked once.
    next: usize,
    plain: Arc<Vec<String>>,
    unsourced: Arc<Vec<String>>,
    live: Arc<Vec<String>>,
}

impl Traffic {
    /// To a server with the bench's catalogue and `market` products of the demonstration upstream.
    pub async fn new(bench: &Bench, market: u64, port: u16, [rate, beside]: [u32; 2]) -> anyhow::Result<Self> {
        let samples = catalogue::samples(&catalogue::make(bench, bench.products, 1).await?)?;
        let hot: Vec<_> =
            (0..HOT).map(|page| format!("/v1/products?sort=price&count=none&limit={}", page + 1)).collect();
        let mut questions = Questions::new(&samples, bench.seed + 76);
        let kinds = [Kind::Newest, Kind::Narrow, Kind::ByName, Kind::TwoWords, Kind::OneTypo];
        let drawn: Vec<_> = kinds.iter().map(|kind| questions.draw(*kind, EACH)).collect();
        let in_turn: Vec<_> = (0..EACH).flat_map(|i| drawn.iter().filter_map(move |some| some.get(i))).collect();
        let once = LIMITS.flat_map(|n| in_turn.iter().map(move |ask| format!("{}&limit={n}", ask.target("none"))));
        let of_market = |query: &'static str| (1..=market).map(move |n| format!("/v1/products/OM-{n:06}{query}"));
        let unsourced = (0..bench.products).map(|n| format!("/v1/products/G{n:08}?live=true"));
        Ok(Self {
            port,
            rate,
            beside,
            hot: hot.len(),
            next: hot.len(),
            listings: Arc::new(hot.into_iter().chain(once).collect()),
            plain: Arc::new(of_market("").collect()),
            unsourced: Arc::new(unsourced.collect()),
            live: Arc::new(of_market("?live=true").collect()),
        })
    }

    /// Sends it for so long.
    pub async fn send(&mut self, beside: Beside, lasting: Duration) -> anyhow::Result<Taken> {
        let arrivals = self.arrivals(lasting);
        let listings = [Lane { port: self.port, connections: LISTING, arrivals }];
        let listings = open(listings.into(), &self.listings, false);
        let targets = match beside {
            Beside::Nothing => return Ok(Taken { listings: listings.await?, beside: None }),
            Beside::Plain => &self.plain,
            Beside::Unsourced => &self.unsourced,
            Beside::Healthy | Beside::Hung => &self.live,
        };
        let arrivals = steady(f64::from(self.beside), lasting, targets.len());
        let others = [Lane { port: self.port, connections: BESIDE, arrivals }];
        let (listings, others) = tokio::join!(listings, open(others.into(), targets, false));
        Ok(Taken { listings: listings?, beside: Some(others?) })
    }

    /// A hot page and a question that nobody has asked yet in turn.
    fn arrivals(&mut self, lasting: Duration) -> Vec<Arrival> {
        let mut arrivals = steady(f64::from(self.rate), lasting, 2 * self.hot);
        for arrival in &mut arrivals {
            arrival.target = if arrival.target % 2 == 0 { arrival.target / 2 } else { self.ask_anew() };
        }
        arrivals
    }

    fn ask_anew(&mut self) -> usize {
        let target = self.next;
        self.next = if target + 1 < self.listings.len() { target + 1 } else { self.hot };
        target
    }
}

/// How listings fared.
pub struct Listed {
    /// All of them.
    pub all: Latencies,
    /// Those that were computed.
    pub computed: Latencies,
    /// Those that came from memory.
    pub hot: Latencies,
    /// Answers other than 200.
    pub refused: usize,
}

impl Listed {
    /// None yet.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { all: latencies()?, computed: latencies()?, hot: latencies()?, refused: 0 })
    }

    /// Those of a run that `which` picks.
    pub fn of(run: &Run, which: impl Fn(&Seen) -> bool) -> anyhow::Result<Self> {
        Ok(Self {
            all: run.latency(&which)?,
            computed: run.latency(|seen| which(seen) && seen.cached == Cached::Miss)?,
            hot: run.latency(|seen| which(seen) && seen.cached == Cached::Memory)?,
            refused: run.count(|seen| which(seen) && seen.status != 200),
        })
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.all.add(&other.all)?;
        self.computed.add(&other.computed)?;
        self.hot.add(&other.hot)?;
        self.refused += other.refused;
        Ok(())
    }

    /// Microseconds.
    pub fn p99(&self) -> f64 {
        self.all.value_at_quantile(0.99) as f64
    }
}

/// Picks what began so long after `begun`, and before that time and `lasting` had passed.
pub fn within(begun: Instant, after: Duration, lasting: Duration) -> impl Fn(&Seen) -> bool + Copy {
    move |seen| seen.begun >= begun + after && seen.begun < begun + after + lasting
}
