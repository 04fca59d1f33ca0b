//! Hot pages while the products on them are written: latency against quiet, and how old the oldest answer is.
//!
//! Every write gives a product the next number as its price, so an answer says itself which writes it knows. It is as
//! old as the first acknowledged write that it does not know: from that write's acknowledgement to when the answer was
//! asked for. (What passes after that is its travel.)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::Bench;
use crate::account::Account;
use crate::client::Client;
use crate::drive::{Cached, Lane, Run, open, steady};
use crate::load::{Latencies, latencies, ms, record};
use crate::report::{Section, verdict};
use crate::server::{Launch, Server};
use crate::small::{self, GENEROUS, policies};

/// Hot pages, and products on each.
const PAGES: u64 = 50;
const ON_A_PAGE: u64 = 20;
/// Connections of the readers.
const CONNECTIONS: usize = 32;
/// Connections of the writers.
const WRITERS: u64 = 8;
/// How old an answer may be.
const BOUND: Duration = Duration::from_secs(1);
/// Prices begin here, so that they have the same number of digits throughout.
const FIRST: u64 = 1_000_000;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Seconds quiet, and again under writes.
    pub seconds: u64,
    /// Listings per second.
    pub rate: u32,
    /// Writes per second.
    pub writes: u32,
}

/// A write and when its answer was there.
#[derive(Debug, Clone, Copy)]
struct Write {
    product: u64,
    version: u64,
    acknowledged: Instant,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    ensure!(plan.seconds > 0 && plan.rate > 0 && plan.writes > 0, "seconds, rate and writes must be more than 0");
    let bench = &small::bench(bench);
    // Its own: products are added here that must not turn up on others' pages.
    let data_dir = bench.work.join("hot-writes");
    small::sqlite(bench, &data_dir).await?;
    let writer = Account::writer(bench, &data_dir).await?;
    let beside = Beside::start(bench).await?;
    let mut section =
        Section::begin("71-hot-writes", "Hot pages under writes", &format!("hot-writes --seconds {}", plan.seconds));
    let launch = Launch { data_dir: &data_dir, database: None, settings: vec![policies(GENEROUS)], log: "server.log" };
    let server = Server::launch(bench, &launch).await?;
    let token = Arc::from(writer.token(server.port).await?);
    set_up(server.port, &token).await?;
    let targets = Arc::new((0..PAGES).map(target).collect::<Vec<_>>());
    let lasting = Duration::from_secs(plan.seconds);
    read(server.port, plan.rate, Duration::from_secs(2), &targets).await?;
    let quiet = read(server.port, plan.rate, lasting, &targets).await?;
    let (shared, written) = tokio::join!(
        read(server.port, plan.rate, lasting, &targets),
        write(beside.server.port, &beside.token, plan.writes, lasting)
    );
    let shared = shared?;
    let beside_it = written?.0.len() as f64 / lasting.as_secs_f64();
    ensure!(beside_it > 0.95 * f64::from(plan.writes), "only {beside_it:.0} writes a second were answered beside");
    beside.server.stop().await?;
    let (busy, writes) =
        tokio::join!(read(server.port, plan.rate, lasting, &targets), write(server.port, &token, plan.writes, lasting));
    let (busy, (writes, answered)) = (busy?, writes?);
    server.stop().await?;

    section.table(&format!(
        "| {} listings a second of {PAGES} pages | requests | p50 ms | p99 ms | max ms | computed for a reader | different pages |\n\
         |---|---|---|---|---|---|---|\n{}{}{}",
        plan.rate,
        row("quiet", &quiet)?,
        row(&format!("quiet, beside another server under {} writes a second", plan.writes), &shared)?,
        row(&format!("under {} writes a second", plan.writes), &busy)?
    ));
    let ages = ages(&busy, &writes)?;
    judge(&mut section, [&quiet, &shared, &busy], &ages)?;
    let reached = writes.len() as f64 / lasting.as_secs_f64();
    section.note(format!(
        "{} writes, {reached:.0} a second, answered in {} ms at p50 and {} ms at p99",
        writes.len(),
        ms(&answered, 0.5),
        ms(&answered, 0.99)
    ));
    ensure!(reached > 0.95 * f64::from(plan.writes), "only {reached:.0} writes a second were answered");
    section.note(format!(
        "the generator's timers were late by {} ms at p99, which latencies leave out; it shares the machine",
        ms(&busy.late, 0.99)
    ));
    section.write(bench)
}

fn judge(section: &mut Section, [quiet, shared, busy]: [&Run; 3], ages: &Ages) -> anyhow::Result<()> {
    let p99 = |run: &Run| Ok::<_, anyhow::Error>(run.latency(|_| true)?.value_at_quantile(0.99) as f64);
    let ratio = p99(busy)? / p99(quiet)?;
    section.note(format!("p99 under writes {ratio:.2} times quiet ({})", verdict(ratio <= 2.0, "aim twice")));
    section.note(format!(
        "the same writes to another server, which nobody reads, on the same processors but behind none of this one's locks, make \
         p99 {:.2} times quiet: about that much is the machine's",
        p99(shared)? / p99(quiet)?
    ));
    section.note(format!(
        "the oldest answer did not know a write that had been acknowledged {} ms before it was asked for; p50 {} ms and \
         p99 {} ms over all answers ({} older than the bound: {})",
        ms(&ages.all, 1.0),
        ms(&ages.all, 0.5),
        ms(&ages.all, 0.99),
        ages.too_old,
        verdict(ages.too_old == 0, "aim none older than 1 s")
    ));
    let (count, seconds) = (busy.bodies.len() as f64, busy.elapsed.as_secs_f64());
    section.note(format!(
        "{:.1} different pages a second for {PAGES} pages: as many computations at least, {:.2} per page and second; most \
         are refreshes, which no reader waits for and no header shows",
        count / seconds,
        count / seconds / PAGES as f64
    ));
    Ok(())
}

fn row(what: &str, run: &Run) -> anyhow::Result<String> {
    let all = run.latency(|_| true)?;
    Ok(format!(
        "| {what} | {} | {} | {} | {} | {} | {} |\n",
        all.len(),
        ms(&all, 0.5),
        ms(&all, 0.99),
        ms(&all, 1.0),
        run.count(|seen| seen.cached == Cached::Miss),
        run.bodies.len()
    ))
}

async fn read(port: u16, rate: u32, lasting: Duration, targets: &Arc<Vec<String>>) -> anyhow::Result<Run> {
    let arrivals = steady(f64::from(rate), lasting, targets.len());
    open(vec![Lane { port, connections: CONNECTIONS, arrivals }], targets, true).await?.all_ok()
}

fn target(page: u64) -> String {
    format!("/v1/products?brand=Hot%20{page}&count=none&limit={ON_A_PAGE}")
}

/// Another server, whose products are written while this one's are not.
struct Beside {
    server: Server,
    token: Arc<str>,
}

impl Beside {
    async fn start(bench: &Bench) -> anyhow::Result<Self> {
        let data_dir = bench.work.join("hot-writes-beside");
        small::sqlite(bench, &data_dir).await?;
        let writer = Account::writer(bench, &data_dir).await?;
        let settings = vec![policies(GENEROUS)];
        let launch = Launch { data_dir: &data_dir, database: None, settings, log: "beside.log" };
        let server = Server::launch(bench, &launch).await?;
        let token: Arc<str> = Arc::from(writer.token(server.port).await?);
        set_up(server.port, &token).await?;
        Ok(Self { server, token })
    }
}

/// The products with their first prices, on their pages.
async fn set_up(port: u16, token: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(port).await?.with_token(token);
    for product in 0..PAGES * ON_A_PAGE {
        put(&mut client, product, FIRST).await?;
    }
    let begun = Instant::now();
    for page in 0..PAGES {
        loop {
            let shown = versions(&client.get(&target(page)).await?.ok()?)?;
            if shown.len() as u64 == ON_A_PAGE && shown.iter().all(|(_, version)| *version == FIRST) {
                break;
            }
            ensure!(begun.elapsed() < Duration::from_secs(60), "page {page} does not show its products after a minute");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn put(client: &mut Client, product: u64, version: u64) -> anyhow::Result<()> {
    let page = product % PAGES;
    let json = format!(
        r#"{{"sku":"HOT-{product}","name":"Basmati Rice Long Grain Aged {product}","brand":"Hot {page}","description":"Rice of the last harvest but one, aged, cleaned and sorted, sold by weight or pack in Delhi.","category":["Foodgrains, Oil & Masala","Rice & Rice Products","Basmati Rice"],"price":{{"amount":{version},"currency":"INR"}},"rating":4.1,"stock":411,"unit":"kg","seller":"Old Banyan Delhi","attributes":{{"city":"Delhi","discounted":false}},"location":{{"lat":28.38075,"lon":77.36658}}}}"#
    );
    let answer = client.put(&format!("/v1/products/HOT-{product}"), json.as_bytes()).await?;
    let said = String::from_utf8_lossy(&answer.body);
    ensure!((200..300).contains(&answer.status), "PUT: {} {said}", answer.status);
    Ok(())
}

/// Writes at a fixed rate, page after page, and notes when each was acknowledged and how long it took from its turn.
async fn write(port: u16, token: &Arc<str>, rate: u32, lasting: Duration) -> anyhow::Result<(Vec<Write>, Latencies)> {
    let (started, gap) = (Instant::now(), Duration::from_secs(1) / rate);
    let writers = (0..WRITERS).map(|writer| {
        let token = Arc::clone(token);
        tokio::spawn(async move {
            let mut client = Client::connect(port).await?.with_token(&token);
            let (mut writes, mut answered) = (Vec::new(), latencies()?);
            for number in (writer..).step_by(usize::try_from(WRITERS)?) {
                let due = started + gap * u32::try_from(number)?;
                if due >= started + lasting {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                let (product, version) = (number % (PAGES * ON_A_PAGE), FIRST + 1 + number);
                put(&mut client, product, version).await?;
                record(&mut answered, due.elapsed());
                writes.push(Write { product, version, acknowledged: Instant::now() });
            }
            anyhow::Ok((writes, answered))
        })
    });
    let (mut writes, mut answered) = (Vec::new(), latencies()?);
    for writer in writers.collect::<Vec<_>>() {
        let (some, took) = writer.await??;
        writes.extend(some);
        answered.add(&took)?;
    }
    Ok((writes, answered))
}

/// How old answers were.
struct Ages {
    all: Latencies,
    too_old: u64,
}

fn ages(run: &Run, writes: &[Write]) -> anyhow::Result<Ages> {
    let mut by_product: HashMap<u64, Vec<Write>> = HashMap::new();
    for write in writes {
        by_product.entry(write.product).or_default().push(*write);
    }
    // When the first write that a body does not know was acknowledged.
    let mut missed = Vec::with_capacity(run.bodies.len());
    for body in &run.bodies {
        let unknown = versions(body)?.into_iter().flat_map(|(product, version)| {
            let of_product = by_product.get(&product).into_iter().flatten();
            of_product.filter(move |write| write.version > version).map(|write| write.acknowledged)
        });
        missed.push(unknown.min());
    }
    let mut ages = Ages { all: latencies()?, too_old: 0 };
    for seen in &run.seen {
        let body = seen.body.context("an answer without an ETag")?;
        let age = match missed.get(body).copied().flatten() {
            Some(acknowledged) => seen.sent.saturating_duration_since(acknowledged),
            None => Duration::ZERO,
        };
        record(&mut ages.all, age);
        ages.too_old += u64::from(age > BOUND);
    }
    Ok(ages)
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Product>,
}

#[derive(Deserialize)]
struct Product {
    sku: String,
    price: Price,
}

#[derive(Deserialize)]
struct Price {
    amount: u64,
}

/// The products on a page and the writes they know.
fn versions(page: &[u8]) -> anyhow::Result<Vec<(u64, u64)>> {
    let page: Page = serde_json::from_slice(page).context("a page")?;
    let number = |sku: &str| sku.trim_start_matches("HOT-").parse().context("a product of another benchmark");
    page.data.into_iter().map(|product| Ok((number(&product.sku)?, product.price.amount))).collect()
}
