//! How many tokens a core issues a second, by how clients prove who they are, and beside oidc-provider.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::peer::Peer;
use super::signer::Signer;
use super::{Plan, check, no_limit};
use crate::Bench;
use crate::account::{Account, TOKEN, asking, token_of};
use crate::client::Client;
use crate::hot::one_worker;
use crate::load::{Latencies, latencies, ms, record};
use crate::process::cpu;
use crate::report::{Section, verdict};
use crate::server::{Launch, Server};
use crate::wrk::{Aim, Score, Shot, post};

/// What a core should issue a second.
const AIM: f64 = 3_000.0;
/// Until when a statement is good that is signed before a turn, seconds.
const STATEMENT: i64 = 120;
/// Connections of the run at a fixed rate, and for how long it goes.
const PACED: (u32, Duration) = (16, Duration::from_secs(10));

/// Somebody who issues.
struct Contestant<'a> {
    name: &'static str,
    port: u16,
    pid: u32,
    header: Option<String>,
    forms: Forms<'a>,
}

/// What is sent.
enum Forms<'a> {
    /// The same again and again.
    Same(String),
    /// A statement of its own with every request.
    Signed(&'a Signer),
}

/// Measures and reports.
pub async fn run(bench: &Bench, plan: Plan, section: &mut Section) -> anyhow::Result<()> {
    let data_dir = super::folder(bench).await?;
    let basic = Account::create(bench, &data_dir, "client_secret_basic", &[]).await?;
    let with_form = Account::writer(bench, &data_dir).await?;
    let signer = Signer::create(bench, &data_dir, &[]).await?;
    let log = bench.work.join("tokens.log");
    let launch =
        Launch { data_dir: &data_dir, database: None, settings: vec![no_limit(), one_worker()], log: "tokens.log" };
    let server = Server::launch(bench, &launch).await?;
    let peer = Peer::start(bench, &basic).await?;
    check_all(&server, &peer, &basic, &with_form, &signer).await?;
    let (header, same) = (basic.basic()?, || Forms::Same(asking()));
    let (port, pid) = (server.port, server.pid()?);
    let haat = |name, header, forms| Contestant { name, port, pid, header, forms };
    let all = [
        haat("Haat, `client_secret_basic`", Some(header.clone()), same()),
        haat("Haat, `client_secret_post`", None, Forms::Same(with_form.form()?)),
        haat("Haat, `private_key_jwt` (EdDSA)", None, Forms::Signed(&signer)),
        Contestant {
            name: "oidc-provider, `client_secret_basic`",
            port: peer.port,
            pid: peer.pid,
            header: Some(header),
            forms: same(),
        },
    ];
    let scores = duel(bench, plan, &all).await?;
    check_all(&server, &peer, &basic, &with_form, &signer).await?;
    peer.stop().await?;
    let (latency, late) = paced(server.port, &with_form.form()?, plan.rate).await?;
    server.stop().await?;
    std::fs::remove_file(log)?;
    report(section, plan, &scores, &latency, &late)
}

/// By every way a token is a token.
async fn check_all(
    server: &Server,
    peer: &Peer,
    basic: &Account,
    with_form: &Account,
    signer: &Signer,
) -> anyhow::Result<()> {
    check(server.port, with_form, &with_form.token(server.port).await?).await.context("client_secret_post")?;
    let form = signer.form(&issuer(server.port), STATEMENT)?;
    let token = token_of(Client::connect(server.port).await?.post(TOKEN, &form).await?)?;
    check(server.port, &signer.account, &token).await.context("private_key_jwt")?;
    for port in [server.port, peer.port] {
        let header = basic.basic()?;
        let mut client = Client::connect(port).await?.with_header(&header);
        let token = token_of(client.post(TOKEN, &asking()).await?)?;
        check(port, basic, &token).await.with_context(|| format!("client_secret_basic, port {port}"))?;
    }
    Ok(())
}

/// What Haat calls itself where nobody has told it.
pub fn issuer(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// Everybody's turns, round by round; who begins changes.
async fn duel(bench: &Bench, plan: Plan, all: &[Contestant<'_>]) -> anyhow::Result<Vec<(&'static str, Score)>> {
    let mut scores = Vec::new();
    for contestant in all {
        // Everything warm, as it is after a minute in operation; and how fast it is, for its statements are signed before.
        let shot = turn(bench, Aim { seconds: 2, ..plan.aim }, contestant, 8_000.0).await?;
        let warm_up_failed = shot.failed;
        scores.push((contestant.name, shot.rate, Score { warm_up_failed, ..Score::default() }));
    }
    for round in 0..plan.rounds {
        for turn in 0..all.len() {
            let place = (round + turn) % all.len();
            let (Some(contestant), Some((_, fastest, score))) = (all.get(place), scores.get_mut(place)) else {
                continue;
            };
            let before = cpu(contestant.pid)?;
            let shot = self::turn(bench, plan.aim, contestant, 2.0 * *fastest).await?;
            score.cpu += cpu(contestant.pid)?.saturating_sub(before);
            *fastest = fastest.max(shot.rate);
            score.shots.push(shot);
        }
    }
    Ok(scores.into_iter().map(|(name, _, score)| (name, score)).collect())
}

/// One turn, with statements for so many a second if they are needed.
async fn turn(bench: &Bench, aim: Aim, contestant: &Contestant<'_>, per_second: f64) -> anyhow::Result<Shot> {
    let forms = forms(bench, aim, contestant, per_second)?;
    let url = format!("http://127.0.0.1:{}{TOKEN}", contestant.port);
    post(bench, aim, &url, contestant.header.as_deref(), &forms).await
}

/// The file of what is sent. A statement too few would be seen: it is refused when it comes again.
fn forms(bench: &Bench, aim: Aim, contestant: &Contestant<'_>, per_second: f64) -> anyhow::Result<PathBuf> {
    let text = match &contestant.forms {
        Forms::Same(form) => form.clone(),
        Forms::Signed(signer) => {
            // A small number.
            let count = (per_second * aim.seconds as f64) as usize + aim.connections;
            let issuer = issuer(contestant.port);
            (0..count).map(|_| Ok(signer.form(&issuer, STATEMENT)? + "\n")).collect::<anyhow::Result<_>>()?
        }
    };
    let path = bench.work.join("tokens-forms");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Asks for tokens at fixed times; how long each took from its turn, and how late the generator's own timers were.
async fn paced(port: u16, form: &str, rate: u32) -> anyhow::Result<(Latencies, Latencies)> {
    let (connections, lasting) = PACED;
    let (started, gap) = (Instant::now() + Duration::from_millis(50), Duration::from_secs(1) / rate);
    let tasks = (0..connections).map(|first| {
        let form = form.to_owned();
        tokio::spawn(async move {
            let mut client = Client::connect(port).await?;
            let (mut took, mut late) = (latencies()?, latencies()?);
            for number in (first..).step_by(connections as usize) {
                let due = started + gap * number;
                if due >= started + lasting {
                    break;
                }
                let early = due > Instant::now();
                tokio::time::sleep_until(due.into()).await;
                // A timer that wakes late is the generator's fault; a connection that was busy is the server's.
                let begun = if early { Instant::now() } else { due };
                if early {
                    record(&mut late, begun - due);
                }
                let answer = client.post(TOKEN, &form).await?;
                record(&mut took, begun.elapsed());
                answer.ok()?;
            }
            anyhow::Ok((took, late))
        })
    });
    let (mut took, mut late) = (latencies()?, latencies()?);
    for task in tasks.collect::<Vec<_>>() {
        let (one, other) = task.await??;
        took.add(&one)?;
        late.add(&other)?;
    }
    Ok((took, late))
}

fn report(
    section: &mut Section,
    plan: Plan,
    scores: &[(&'static str, Score)],
    latency: &Latencies,
    late: &Latencies,
) -> anyhow::Result<()> {
    let peer = &scores.last().context("nobody had a turn")?.1;
    let mut rows = String::from(
        "| one worker | tokens/s | times oidc-provider's | CPU µs per token | per core and second | p50 ms | p99 ms | failed |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (name, score) in scores {
        writeln!(
            rows,
            "| {name} | {:.0} | {:.2} | {:.0} | {:.0} | {:.2} | {:.2} | {} |",
            score.rate(),
            score.rate() / peer.rate(),
            score.cpu_us(),
            per_core(score),
            score.median(|shot| shot.p50) / 1e3,
            score.p99() / 1e3,
            score.failed()
        )?;
    }
    section.table(&rows);
    for (name, score) in scores.iter().filter(|(name, _)| name.starts_with("Haat")) {
        let issued = score.rate().min(per_core(score));
        section.note(format!("{name}: {issued:.0} ({})", verdict(issued >= AIM, "at least 3,000 per second and core")));
    }
    let failed: u64 = scores.iter().map(|(_, score)| score.failed()).sum();
    if failed > 0 {
        section.note(format!("**{failed} requests failed** that nothing should refuse"));
    }
    section.note(format!(
        "at {} tokens a second (`client_secret_post`, {} requests over {} connections): p50 {} ms, p99 {} ms, most {} ms; \
         the generator's timers were late by {} ms at p99, which these leave out",
        plan.rate,
        latency.len(),
        PACED.0,
        ms(latency, 0.5),
        ms(latency, 0.99),
        ms(latency, 1.0),
        ms(late, 0.99)
    ));
    section.note(format!(
        "`wrk -t1 -c{} -d{}s` against each in turn, {} rounds in changing order; medians of the rounds. Per core and second: \
         1,000,000 / CPU µs, all threads of the server's process together; the verdict takes the lower of that and what one \
         worker did issue. Statements are signed before each turn and each is sent once; Haat keeps their names in SQLite",
        plan.aim.connections, plan.aim.seconds, plan.rounds
    ));
    section.note(
        "Haat: `TOKIO_WORKER_THREADS=1`, no limit of requests for tokens, an audit line per token and a log line per request \
         into a file. oidc-provider: 9 on Node 22, one process, without log, access tokens as JWTs signed with EdDSA, nothing \
         stored"
            .to_owned(),
    );
    Ok(())
}

fn per_core(score: &Score) -> f64 {
    1e6 / score.cpu_us()
}
