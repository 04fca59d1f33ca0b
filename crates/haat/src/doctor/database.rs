//! The database: reachable, up to date, quick to answer, and of the same opinion about the time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_catalog::Seq;
use haat_store::{Store, StoreOptions};
use tokio::net::TcpStream;

use super::Finding;
use crate::config::{Config, Tls};
use crate::wiring::{World, store_options};

/// How long a knock at the database's port may go unanswered.
const PATIENCE: Duration = Duration::from_secs(3);
/// A database in the same network answers far faster than this.
const SLOW: Duration = Duration::from_millis(50);
/// Clocks further apart than this confuse people who read timestamps.
const CLOCK_SLACK_MS: i64 = 60_000;

/// Looks at it; gives it too if it can be used.
pub async fn examine(config: &Config, world: &World) -> (Vec<Finding>, Option<Arc<dyn Store>>) {
    let options = store_options(config);
    if let StoreOptions::Sqlite(sqlite) = &options
        && !sqlite.path.exists()
    {
        let detail = format!("{} is not there yet", sqlite.path.display());
        let advice = "nothing to do: `haat serve` and `haat import` make it";
        return (vec![Finding::warn("database", detail, advice)], None);
    }
    if let Err(unreachable) = reach(&options).await {
        return (vec![unreachable], None);
    }
    let store = match haat_store::open(&options).await {
        Ok(store) => store,
        Err(e) => return (vec![Finding::fail("database", e.to_string(), advice_for(config))], None),
    };
    let mut findings = Vec::from_iter(encryption(config));
    match store.pending_migrations().await {
        Ok(pending) if pending.is_empty() => {
            findings.push(Finding::ok("tables", "up to date"));
            findings.insert(0, answers(&*store).await);
            findings.extend(facts(&*store, world).await);
            findings.push(products(&*store, world).await);
            return (findings, Some(store));
        }
        Ok(pending) => {
            findings.insert(0, Finding::ok("database", format!("{} can be reached", store.backend())));
            let advice = "`haat migrate` brings them up to date; so does every start of a server";
            findings.push(Finding::warn("tables", format!("pending: {}", pending.join(", ")), advice));
        }
        Err(e) => {
            let advice = "the user needs the right to create and change tables; a newer Haat may have been here";
            findings.push(Finding::fail("tables", e.to_string(), advice));
        }
    }
    store.close().await;
    (findings, None)
}

/// Knocks at the database server's port, because a pool that waits for a connection does not say why there is none.
async fn reach(options: &StoreOptions) -> Result<(), Finding> {
    let StoreOptions::MySql(mysql) = options else { return Ok(()) };
    let fail = |what: String, advice| Err(Finding::fail("database", what, advice));
    let address = (mysql.host.as_str(), mysql.port);
    let place = format!("{}:{}", mysql.host, mysql.port);
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused => fail(
            format!("{place} refused the connection: nothing listens there"),
            "start the database, or correct DB_HOST and DB_PORT",
        ),
        Ok(Err(e)) => {
            fail(format!("{place} cannot be reached: {e}"), "correct DB_HOST and DB_PORT, or the network between")
        }
        Err(_) => fail(
            format!("{place} does not answer"),
            "correct DB_HOST and DB_PORT, or see whether a firewall is in between",
        ),
    }
}

fn advice_for(config: &Config) -> &'static str {
    match &config.database.host {
        Some(_) => {
            "check DB_HOST, DB_PORT, DB_USER, DB_PASS and DB_NAME, that the server is up, and that its firewall lets you in"
        }
        None => "the file may be damaged or belong to another user; restore it, or move it away to begin afresh",
    }
}

async fn answers(store: &dyn Store) -> Finding {
    let asked = Instant::now();
    let answer = store.check().await;
    let took = asked.elapsed();
    let detail = format!("{} answers in {} ms", store.backend(), took.as_millis());
    match answer {
        Err(e) => Finding::fail("database", format!("{} does not answer: {e}", store.backend()), "look at its log"),
        Ok(()) if took > SLOW => {
            Finding::warn("database", detail, "a database near the server answers in a few; see what keeps it busy")
        }
        Ok(()) => Finding::ok("database", detail),
    }
}

/// What the database says of itself, as far as it does harm.
async fn facts(store: &dyn Store, world: &World) -> Vec<Finding> {
    let diagnosis = match store.diagnose().await {
        Ok(diagnosis) => diagnosis,
        Err(e) => return vec![Finding::fail("server", e.to_string(), "look at the database's log")],
    };
    let apart = diagnosis.clock.as_millis() - world.clock.now().as_millis();
    let mut findings: Vec<_> = diagnosis
        .concerns
        .into_iter()
        .map(|concern| match concern.grave {
            true => Finding::fail("server", concern.detail, concern.advice),
            false => Finding::warn("server", concern.detail, concern.advice),
        })
        .collect();
    if apart.abs() > CLOCK_SLACK_MS {
        let detail = format!("the database's clock is {} s away from this machine's", apart / 1000);
        findings.push(Finding::warn("server", detail, "set both by NTP"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("server", diagnosis.version));
    }
    findings
}

fn encryption(config: &Config) -> Option<Finding> {
    let host = config.database.host.as_deref()?;
    let here = matches!(host, "localhost" | "127.0.0.1" | "::1") || host.starts_with('/');
    Some(match config.database.tls {
        Tls::Verify => Finding::ok("encryption", "the connection to the database is encrypted and verified"),
        Tls::Off if here => Finding::ok("encryption", "none, and none needed: the database is on this machine"),
        Tls::Off => {
            let detail = format!("the connection to {host} is not encrypted");
            Finding::warn("encryption", detail, "unless the network is trusted, set database.tls = \"verify\"")
        }
    })
}

/// How much there is; and whether the newest change was made in what is the future here.
async fn products(store: &dyn Store, world: &World) -> Finding {
    let looked = async {
        let (count, head) = (store.count().await?, store.head().await?);
        let newest = match head {
            Seq(0) => None,
            Seq(n) => store.read(Seq(n - 1).into(), 1).await.ok().and_then(|page| page.changes.first().map(|c| c.at)),
        };
        Ok::<_, haat_catalog::ports::StoreError>((count, head, newest))
    };
    match looked.await {
        Err(e) => Finding::fail("products", e.to_string(), "look at the database's log"),
        Ok((count, head, newest)) => {
            let ahead = newest.map_or(0, |at| at.as_millis() - world.clock.now().as_millis());
            let detail = format!("{count} products, {head} changes");
            if ahead > CLOCK_SLACK_MS {
                let detail = format!("{detail}; the newest change is {} s in the future", ahead / 1000);
                return Finding::warn(
                    "products",
                    detail,
                    "set this machine's clock, or that of the replica that wrote it (NTP)",
                );
            }
            Finding::ok("products", detail)
        }
    }
}
