//! Who looks at the source's circuit breaker and tells it what to do, as an operator would: over HTTP.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::market::SOURCE;
use crate::Bench;
use crate::account::{Account, TOKEN, token_of};
use crate::client::Client;

/// An operator of the server on this port.
pub struct Operator {
    port: u16,
    token: String,
}

impl Operator {
    /// A client that may look after sources.
    pub async fn register(bench: &Bench, data_dir: &Path) -> anyhow::Result<Account> {
        Account::create(bench, data_dir, "client_secret_post", &["--scope", "sources:manage"]).await
    }

    /// One with a token.
    pub async fn of(account: &Account, port: u16) -> anyhow::Result<Self> {
        let form = format!("grant_type=client_credentials&scope=sources%3Amanage&{}", account.credentials()?);
        let token = token_of(Client::connect(port).await?.post(TOKEN, &form).await?)?;
        Ok(Self { port, token })
    }

    /// How the breaker stands.
    pub async fn breaker(&self) -> anyhow::Result<String> {
        let target = format!("/v1/sources/{SOURCE}");
        let source: Value = serde_json::from_slice(&self.client().await?.get(&target).await?.ok()?)?;
        Ok(source["breakers"][0]["state"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Has the breaker closed, with nothing remembered of what was.
    pub async fn close_breaker(&self) -> anyhow::Result<()> {
        for order in ["force_closed", "auto"] {
            let order = serde_json::json!({ "order": order }).to_string();
            self.client().await?.put(&format!("/v1/sources/{SOURCE}/breaker"), order.as_bytes()).await?.ok()?;
        }
        let state = self.breaker().await.context("the breaker after it was closed")?;
        ensure!(state == "closed", "the breaker is {state} although it was closed");
        Ok(())
    }

    /// Over a connection of its own: the server closes one that is idle for long.
    async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(self.port).await?.with_token(&self.token))
    }
}
