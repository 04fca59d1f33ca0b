//! A client of Haat's own authorization server, made for a benchmark, and its tokens.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::Bench;
use crate::client::{Answer, Client};
use crate::process;
use crate::server::haat;

/// Where tokens are issued.
pub const TOKEN: &str = "/oauth/token";
/// What every client here may do, and asks for.
pub const SCOPE: &str = "products:write";

/// A registered client.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// Its `client_id`.
    pub id: String,
    /// Its secret; one that signs has none.
    #[serde(rename = "client_secret")]
    pub secret: Option<String>,
}

impl Account {
    /// Registers one that authenticates by `method`; `more` are further arguments of `haat clients create`.
    pub async fn create(bench: &Bench, data_dir: &Path, method: &str, more: &[&str]) -> anyhow::Result<Self> {
        let mut words = vec!["--json", "clients", "create", "--name", "Benchmark"];
        words.extend(["--scope", SCOPE, "--auth-method", method]);
        words.extend(more);
        let said = process::answer(haat(bench, data_dir, None, &words)).await.context("haat clients create")?;
        serde_json::from_str(said.trim()).context("haat clients create answers something else")
    }

    /// Registers one that writes products.
    pub async fn writer(bench: &Bench, data_dir: &Path) -> anyhow::Result<Self> {
        Self::create(bench, data_dir, "client_secret_post", &[]).await
    }

    fn secret(&self) -> anyhow::Result<&str> {
        self.secret.as_deref().context("the client has no secret")
    }

    /// `Authorization` of `client_secret_basic`. Neither ids nor secrets have characters that would have to be encoded.
    pub fn basic(&self) -> anyhow::Result<String> {
        Ok(format!("Authorization: Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret()?))))
    }

    /// The form of `client_secret_post`.
    pub fn form(&self) -> anyhow::Result<String> {
        Ok(format!("{}&{}", asking(), self.credentials()?))
    }

    /// Id and secret, as they stand in a form.
    pub fn credentials(&self) -> anyhow::Result<String> {
        Ok(format!("client_id={}&client_secret={}", self.id, self.secret()?))
    }

    /// A token, from the server on this port; for clients with `client_secret_post`.
    pub async fn token(&self, port: u16) -> anyhow::Result<String> {
        token_of(Client::connect(port).await?.post(TOKEN, &self.form()?).await?)
    }
}

/// The form of a client that sends its credentials elsewhere.
pub fn asking() -> String {
    format!("grant_type=client_credentials&scope={}", SCOPE.replace(':', "%3A"))
}

/// The token in an answer.
///
/// # Errors
/// When there is none, with what the server said.
pub fn token_of(answer: Answer) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
        token_type: String,
    }
    let issued: Issued = serde_json::from_slice(&answer.ok()?).context("no token")?;
    ensure!(issued.token_type == "Bearer", "a token of the kind {}", issued.token_type);
    Ok(issued.access_token)
}
