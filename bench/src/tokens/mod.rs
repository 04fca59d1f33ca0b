//! What tokens cost: to issue, to check on a request that is answered from memory, and to keep.

mod bearer;
mod issue;
mod peer;
mod signer;
mod storage;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use haat_catalog::time::{Clock, SystemClock};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::account::{Account, SCOPE};
use crate::client::Client;
use crate::report::Section;
use crate::wrk::Aim;
use crate::{Bench, small};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often everybody has a turn at issuing.
    pub rounds: usize,
    /// A turn at issuing.
    pub aim: Aim,
    /// Tokens a second, for latency well below what can be issued.
    pub rate: u32,
    /// How often a cached page is asked for with a token and without.
    pub page_rounds: usize,
    /// One turn of those.
    pub page: Aim,
    /// How many are issued to see what is kept of them.
    pub tokens: u64,
}

/// Runs the subcommand.
pub async fn run(bench: &Bench, plan: Plan) -> anyhow::Result<()> {
    ensure!(plan.rounds > 0 && plan.page_rounds > 0, "at least one round");
    ensure!(plan.rate > 0 && plan.tokens >= 100, "at least one token a second, and a hundred to keep");
    let bench = &small::bench(bench);
    let command =
        format!("tokens --rounds {} --page-rounds {} --tokens {}", plan.rounds, plan.page_rounds, plan.tokens);
    let mut section = Section::begin("75-tokens", "Tokens: issued, checked, kept", &command);
    issue::run(bench, plan, &mut section).await?;
    bearer::run(bench, plan, &mut section).await?;
    storage::run(bench, plan.tokens, &mut section).await?;
    section.write(bench)
}

/// A folder with the catalogue and nothing else: no clients or tokens of an earlier run.
async fn folder(bench: &Bench) -> anyhow::Result<PathBuf> {
    let path = bench.work.join("tokens");
    remove(&path)?;
    small::sqlite(bench, &path).await?;
    Ok(path)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    Ok(())
}

/// As many requests for tokens as anybody likes.
fn no_limit() -> (&'static str, String) {
    ("HAAT_AUTH__TOKEN_REQUESTS", "0".to_owned())
}

/// Whole seconds since 1970.
fn now() -> i64 {
    SystemClock.now().as_millis() / 1_000
}

/// Refuses what is not a token that the server on this port signed for the account, with EdDSA.
async fn check(port: u16, account: &Account, token: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Claims {
        client_id: String,
        scope: String,
        iat: i64,
        exp: i64,
    }
    let keys: JwkSet = serde_json::from_slice(&Client::connect(port).await?.get("/oauth/jwks").await?.ok()?)?;
    let header = decode_header(token)?;
    let key = header.kid.as_deref().and_then(|kid| keys.find(kid)).context("the token's key is not published")?;
    let mut expected = Validation::new(Algorithm::EdDSA);
    // The audience is another for every server.
    expected.validate_aud = false;
    let claims = decode::<Claims>(token, &DecodingKey::from_jwk(key)?, &expected)?.claims;
    ensure!(header.typ.as_deref() == Some("at+jwt"), "the token's type is {:?}", header.typ);
    ensure!(claims.client_id == account.id && claims.scope == SCOPE, "the token is for somebody or something else");
    ensure!((0..=5).contains(&(now() - claims.iat)) && claims.exp > claims.iat, "the token's times make no sense");
    Ok(())
}
