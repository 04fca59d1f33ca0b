//! `haat keys list|rotate`.

use clap::Subcommand;
use serde_json::json;

use super::Session;
use crate::authority::{self, Authority, Missing, failure};
use crate::exit::{Exit, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the signing keys, and which of them signs
    List,
    /// Make a new signing key. It is published at once and signs once everybody can know it; tokens of the old one stay good
    Rotate,
}

pub(super) async fn run(command: &KeysCommand, session: &Session) -> Result<Exit, Failure> {
    authority::during(session.config(), &session.world, Missing::Refuse, async |authority| match command {
        KeysCommand::List => list(&authority, session).await,
        KeysCommand::Rotate => rotate(&authority, session).await,
    })
    .await
}

async fn list(authority: &Authority, session: &Session) -> Result<Exit, Failure> {
    let ring = authority.admin.ring().await.map_err(failure)?;
    let now = session.world.clock.now();
    let signing = ring.signing(now).map(|key| key.kid.clone());
    let keys = ring.iter().map(|key| {
        let state = match key.signs_from > now {
            true => "announced",
            false if Some(&key.kid) == signing.as_ref() => "signs",
            false => "verifies",
        };
        json!({ "kid": &*key.kid, "signs_from": key.signs_from, "state": state })
    });
    let keys: Vec<_> = keys.collect();
    let text = |name: &str, key: &serde_json::Value| key[name].as_str().unwrap_or_default().to_owned();
    let line = |key| format!("{}  {:<9}  from {}", text("kid", key), text("state", key), text("signs_from", key));
    let lines: Vec<String> = keys.iter().map(line).collect();
    let none = "There is no signing key yet: `haat serve` makes the first one.".to_owned();
    session.output.answer(if lines.is_empty() { none } else { lines.join("\n") }, &json!({ "keys": keys }));
    Ok(Exit::Ok)
}

async fn rotate(authority: &Authority, session: &Session) -> Result<Exit, Failure> {
    match authority.admin.rotate_keys("command line").await.map_err(failure)? {
        Some((kid, signs_from)) => {
            let text = format!("The key {kid} is published now and signs from {signs_from}.");
            session.output.answer(text, &json!({ "kid": kid, "signs_from": signs_from }));
            Ok(Exit::Ok)
        }
        None => Err(Failure::Failed(anyhow::anyhow!("somebody else rotated the keys at the same time"))),
    }
}
