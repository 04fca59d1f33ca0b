//! What is kept of tokens: nothing of those that are issued, the names of those that are revoked and of statements that
//! were used, until these would have ended by themselves.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::task::LocalSet;

use super::issue::issuer;
use super::signer::Signer;
use super::{check, no_limit};
use crate::Bench;
use crate::account::{Account, TOKEN, token_of};
use crate::client::Client;
use crate::process::{Memory, mb};
use crate::report::{Section, verdict};
use crate::server::{Launch, Server};

const CONNECTIONS: u64 = 16;
/// How long a token lasts: long enough to be revoked in time. A revocation is kept a minute longer, for clocks differ.
const LIFETIME: &str = "5s";
/// For how long a statement is good, seconds; its name is kept a little longer.
const STATEMENT: i64 = 45;
/// How long is waited until all is cleared away: what ends last, twice the time between two clearings, and then some.
const PATIENCE: Duration = Duration::from_secs(360);

/// What there is at one moment.
struct Kept {
    what: String,
    /// Bytes of the database's pages in use, without those that are free to be used again.
    used: i64,
    /// Bytes of its files, log of changes included.
    files: u64,
    revoked: i64,
    statements: i64,
    memory: Memory,
}

/// How many tokens of each kind.
struct Counts {
    issued: u64,
    some: u64,
}

/// Measures and reports.
pub async fn run(bench: &Bench, tokens: u64, section: &mut Section) -> anyhow::Result<()> {
    // A hundredth is revoked, and as many are given for a statement.
    let counts = Counts { issued: tokens - 2 * (tokens / 100), some: tokens / 100 };
    let data_dir = super::folder(bench).await?;
    let account = Account::create(bench, &data_dir, "client_secret_post", &["--token-lifetime", LIFETIME]).await?;
    let signer = Signer::create(bench, &data_dir, &["--token-lifetime", LIFETIME]).await?;
    let launch = Launch { data_dir: &data_dir, database: None, settings: vec![no_limit()], log: "tokens.log" };
    let server = Server::launch(bench, &launch).await?;
    server.wait_complete().await?;
    check(server.port, &account, &account.token(server.port).await?).await?;

    let before = look("before", &data_dir, &server).await?;
    let began = Instant::now();
    issue(server.port, counts.issued, &account).await?;
    let rate = counts.issued as f64 / began.elapsed().as_secs_f64();
    let issued = look(&format!("{} issued", counts.issued), &data_dir, &server).await?;
    let log = std::fs::metadata(bench.work.join("tokens.log"))?.len();
    sign(server.port, counts.some, signer).await?;
    revoke(server.port, counts.some, &account).await?;
    let both = format!("and {0} by statements, and {0} revoked", counts.some);
    let kept = look(&both, &data_dir, &server).await?;
    let began = Instant::now();
    let after = cleared(&data_dir, &server).await?;
    let waited = began.elapsed();
    check(server.port, &account, &account.token(server.port).await?).await?;
    server.stop().await?;
    super::remove(&data_dir)?;
    std::fs::remove_file(bench.work.join("tokens.log"))?;

    let all = [before, issued, kept, after];
    report(section, &all, &counts);
    section.note(format!(
        "issued over {CONNECTIONS} connections, {rate:.0} a second beside the generator; {:.0} bytes of log per token. What \
         is kept was gone {:.0} s after the last revocation: tokens last {LIFETIME}, revocations a minute longer, statements \
         {STATEMENT} s, and the server clears away every two minutes",
        log as f64 / counts.issued as f64,
        waited.as_secs_f64()
    ));
    Ok(())
}

fn report(section: &mut Section, all: &[Kept; 4], counts: &Counts) {
    let mut rows = String::from(
        "| what is kept | database in use MB | files MB | revoked tokens | used statements | memory | without mapped files |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for at in all {
        let (used, files) = (at.used as f64 / 1e6, at.files as f64 / 1e6);
        let (resident, anonymous) = (mb(at.memory.resident), mb(at.memory.anonymous));
        rows.push_str(&format!(
            "| {} | {used:.3} | {files:.3} | {} | {} | {resident} | {anonymous} |\n",
            at.what, at.revoked, at.statements
        ));
    }
    section.table(&rows);
    let [before, issued, kept, after] = all;
    let grown = issued.used - before.used;
    let rows = issued.revoked + issued.statements;
    section.note(format!(
        "{} tokens issued: {grown:+} bytes of the database, {rows} rows ({})",
        counts.issued,
        verdict(grown <= 0 && rows == 0, "aim nothing")
    ));
    section.note(format!(
        "a revocation or a statement took {:.0} bytes until it ended",
        (kept.used - issued.used) as f64 / (2 * counts.some) as f64
    ));
    let left = after.revoked + after.statements;
    section.note(format!(
        "{left} rows were left in the end ({}), and {:+} bytes in use against the beginning",
        verdict(left == 0, "aim none"),
        after.used - before.used
    ));
}

/// Looks into the database beside the running server.
async fn look(what: &str, data_dir: &Path, server: &Server) -> anyhow::Result<Kept> {
    let path = data_dir.join("haat.db");
    let mut sql = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await?;
    let mut numbers = Vec::new();
    for question in [
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        "SELECT count(*) FROM revoked_tokens",
        "SELECT count(*) FROM used_once",
    ] {
        numbers.push(sqlx::query_scalar::<_, i64>(AssertSqlSafe(question)).fetch_one(&mut sql).await?);
    }
    let [used, revoked, statements] = numbers[..] else { anyhow::bail!("three answers") };
    let sizes =
        ["haat.db", "haat.db-wal"].map(|name| std::fs::metadata(data_dir.join(name)).map_or(0, |file| file.len()));
    let files = sizes.iter().sum();
    Ok(Kept { what: what.to_owned(), used, files, revoked, statements, memory: server.memory()? })
}

/// Waits until nothing is kept.
async fn cleared(data_dir: &Path, server: &Server) -> anyhow::Result<Kept> {
    let began = Instant::now();
    loop {
        let kept = look("all ended and cleared away", data_dir, server).await?;
        if kept.revoked + kept.statements == 0 || began.elapsed() > PATIENCE {
            return Ok(kept);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Tokens for a secret.
async fn issue(port: u16, count: u64, account: &Account) -> anyhow::Result<()> {
    let form = account.form()?;
    each(port, count, async move |client: &mut Client| token_of(client.post(TOKEN, &form).await?).map(|_| ())).await
}

/// Tokens for statements.
async fn sign(port: u16, count: u64, signer: Signer) -> anyhow::Result<()> {
    each(port, count, async move |client: &mut Client| {
        let form = signer.form(&issuer(port), STATEMENT)?;
        token_of(client.post(TOKEN, &form).await?).map(|_| ())
    })
    .await
}

/// Tokens that are given up at once.
async fn revoke(port: u16, count: u64, account: &Account) -> anyhow::Result<()> {
    let (form, credentials) = (account.form()?, account.credentials()?);
    each(port, count, async move |client: &mut Client| {
        let token = token_of(client.post(TOKEN, &form).await?)?;
        client.post("/oauth/revoke", &format!("{credentials}&token={token}")).await?.ok()?;
        Ok(())
    })
    .await
}

/// Does something so often, over all connections, each going on when it has its answer.
async fn each<F>(port: u16, count: u64, ask: F) -> anyhow::Result<()>
where
    F: AsyncFn(&mut Client) -> anyhow::Result<()> + 'static,
{
    let (ask, left, local) = (Rc::new(ask), Rc::new(Cell::new(count)), LocalSet::new());
    let tasks = (0..CONNECTIONS).map(|_| {
        let (ask, left) = (Rc::clone(&ask), Rc::clone(&left));
        local.spawn_local(async move {
            let mut client = Client::connect(port).await?;
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                ask(&mut client).await?;
            }
            anyhow::Ok(())
        })
    });
    let tasks = tasks.collect::<Vec<_>>();
    local
        .run_until(async {
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
        .await
}
