//! A cached page with a token that is known already, beside the same page without one, and with as long a header field
//! that means nothing: what of the difference is the check, and what is the bytes.

use anyhow::ensure;

use super::{Plan, check, no_limit};
use crate::Bench;
use crate::account::Account;
use crate::client::Client;
use crate::drive::Cached;
use crate::hot::{TARGET, launch, one_worker, page_of};
use crate::process::cpu;
use crate::report::{Section, verdict};
use crate::server::Server;
use crate::small::{GENEROUS, policies};
use crate::wrk::{Aim, Score, fire, median};

/// What a request with a token may take of the server's processor, of what one without takes.
const MOST: f64 = 1.03;
/// What is left of the requests per second with a token, at least.
const LEAST: f64 = 0.97;

/// Measures and reports.
pub async fn run(bench: &Bench, plan: Plan, section: &mut Section) -> anyhow::Result<()> {
    let data_dir = super::folder(bench).await?;
    let account = Account::writer(bench, &data_dir).await?;
    let server = launch(bench, &data_dir, vec![policies(GENEROUS), one_worker(), no_limit()]).await?;
    let token = account.token(server.port).await?;
    check(server.port, &account, &token).await?;
    let page = page_of(&mut Client::connect(server.port).await?, Cached::Memory).await?;
    ensure!(known_page(server.port, &token).await? == page, "with a token the page is another");
    let filler = "x".repeat(token.len());
    let headers =
        [None, Some(format!("Authorization: Bearer {token}")), Some(format!("X-Unused-Field: Nobody {filler}"))];
    let scores = turns(bench, plan, &server, headers, page.len()).await?;
    ensure!(known_page(server.port, &token).await? == page, "after the last round the page is another");
    server.stop().await?;
    std::fs::remove_file(data_dir.join("hot.log"))?;
    report(section, plan, &scores, token.len());
    Ok(())
}

/// The page as who shows the token gets it, over a connection of its own: the server closes one that is idle for as long
/// as the turns take.
async fn known_page(port: u16, token: &str) -> anyhow::Result<Vec<u8>> {
    page_of(&mut Client::connect(port).await?.with_token(token), Cached::Memory).await
}

/// Turns of all, round by round; who begins changes.
async fn turns(
    bench: &Bench,
    plan: Plan,
    server: &Server,
    headers: [Option<String>; 3],
    page: usize,
) -> anyhow::Result<[Score; 3]> {
    let (url, pid) = (format!("http://127.0.0.1:{}{TARGET}", server.port), server.pid()?);
    let mut scores: [Score; 3] = Default::default();
    for (score, header) in scores.iter_mut().zip(&headers) {
        let aim = Aim { seconds: 1, ..plan.page };
        score.warm_up_failed = fire(bench, aim, &url, header.as_deref()).await?.failed;
    }
    for round in 0..plan.page_rounds {
        let mut order: Vec<_> = scores.iter_mut().zip(&headers).collect();
        order.rotate_left(round % headers.len());
        for (score, header) in order {
            let before = cpu(pid)?;
            let shot = fire(bench, plan.page, &url, header.as_deref()).await?;
            score.cpu += cpu(pid)?.saturating_sub(before);
            ensure!(shot.bytes > 0.9 * page as f64, "{} bytes in place of the page", shot.bytes);
            score.shots.push(shot);
        }
    }
    Ok(scores)
}

fn report(section: &mut Section, plan: Plan, [without, with, other]: &[Score; 3], token: usize) {
    let row = |name: &str, score: &Score| {
        let (p50, p99) = (score.median(|shot| shot.p50) / 1e3, score.p99() / 1e3);
        let ratio = of_rounds(score, without);
        format!(
            "| {name} | {:.0} | {ratio:.3} | {p50:.2} | {p99:.2} | {:.1} | {} |\n",
            score.rate(),
            score.cpu_us(),
            score.failed()
        )
    };
    section.table(&format!(
        "| a page from memory, one worker | requests/s | of those without | p50 ms | p99 ms | CPU µs per request | failed |\n\
         |---|---|---|---|---|---|---|\n{}{}{}",
        row("without a token", without),
        row("with a bearer token that is known", with),
        row("with another header field of that length", other)
    ));
    let ratio = of_rounds(with, without);
    let cost = with.cpu_us() / without.cpu_us();
    section.note(format!(
        "with a token a request takes {cost:.3} of the processor time of one without ({}): {:+.2} µs, of them {:+.2} µs for {token} \
         bytes more to receive and read",
        verdict(cost <= MOST, "aim 1.03"),
        with.cpu_us() - without.cpu_us(),
        other.cpu_us() - without.cpu_us()
    ));
    section.note(format!(
        "in requests per second that is {ratio:.3} of those without ({}), and {:.3} of those with as long a field that nobody \
         reads: `wrk`, one thread, pays for the bytes of the longer request as well",
        verdict(ratio >= LEAST, "aim 0.97"),
        of_rounds(with, other)
    ));
    section.note(format!(
        "`{TARGET}` by `wrk -t1 -c{} -d{}s`, one server, {} rounds in changing order; medians, of ratios that of the \
         rounds'. Two policies on every request, one of them by client",
        plan.page.connections, plan.page.seconds, plan.page_rounds
    ));
}

/// Requests per second of one in those of another, in the same round; the median of the rounds, for what else the machine
/// does slows both.
fn of_rounds(one: &Score, other: &Score) -> f64 {
    median(one.shots.iter().zip(&other.shots).map(|(one, other)| one.rate / other.rate).collect())
}
