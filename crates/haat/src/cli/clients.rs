//! `haat clients create|list|show|rotate|disable|enable|revoke`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use haat_http::ClientView;
use haat_oauth::admin::{ClientDraft, ClientPatch, KeysDraft, LastUses, Made};
use haat_oauth::client::{AuthMethod, Client, Grant};
use haat_oauth::scope::{Scope, Scopes};
use serde_json::json;

use super::Session;
use crate::authority::{self, Authority, Missing, failure};
use crate::config::units::Period;
use crate::exit::{Exit, Failure};

/// By whom commands are done, in the audit log.
const BY: &str = "command line";

#[derive(Debug, Subcommand)]
pub(super) enum ClientsCommand {
    /// Make a client; prints its secret, this once
    Create(CreateArgs),
    /// List the clients
    List,
    /// Show one client
    Show { id: String },
    /// Give a client another secret; prints it, this once. The newest of the old ones stays good
    Rotate {
        id: String,
        /// How long the newest old secret stays good, such as 24h; 0s ends it at once [default: for ever]
        #[arg(long, value_name = "TIME")]
        keep: Option<Period>,
    },
    /// Refuse a client and the tokens it has, on every server within a second
    Disable { id: String },
    /// Take a client and its tokens again
    Enable { id: String },
    /// Remove a client; the tokens it has are good no longer
    Revoke { id: String },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What people call it
    #[arg(long)]
    name: String,
    /// What its tokens may be used for; several times for several
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// Its client_id [default: drawn]
    #[arg(long)]
    id: Option<String>,
    /// How it proves who it is
    #[arg(long, value_name = "METHOD", default_value = "client_secret_basic", value_parser = method)]
    auth_method: AuthMethod,
    /// With private_key_jwt: a file with its public keys (JSON Web Key Set)
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// With private_key_jwt: where its public keys are
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// How long its tokens last, such as 15m [default: auth.token_lifetime]
    #[arg(long, value_name = "TIME")]
    token_lifetime: Option<Period>,
    /// A resource that it may ask tokens for besides this server; several times for several
    #[arg(long = "audience", value_name = "URI")]
    audiences: Vec<String>,
    /// Its tokens must be bound to a key (DPoP, RFC 9449)
    #[arg(long)]
    dpop_bound: bool,
    /// The rate-limit policy that its requests count for, one of those with `assigned = true`
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// It gets no tokens and only asks whether those of others are good
    #[arg(long)]
    no_grant: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::of_name(text).ok_or_else(|| format!("there are: {}", Scopes::all()))
}

fn method(text: &str) -> Result<AuthMethod, String> {
    AuthMethod::of_name(text).ok_or_else(|| format!("there are: {}", AuthMethod::ALL.map(AuthMethod::name).join(", ")))
}

pub(super) async fn run(command: ClientsCommand, session: &Session) -> Result<Exit, Failure> {
    // A client may be made before the first start; where there is none to look at, the folder is the wrong one.
    let missing = if let ClientsCommand::Create(_) = command { Missing::Make } else { Missing::Refuse };
    authority::during(session.config(), &session.world, missing, async |authority| {
        carry_out(command, &authority, session).await
    })
    .await
}

async fn carry_out(command: ClientsCommand, authority: &Authority, session: &Session) -> Result<Exit, Failure> {
    let (admin, output) = (&authority.admin, session.output);
    match command {
        ClientsCommand::Create(args) => {
            // What secrets are kept under must be what the servers have: a key of theirs shows it.
            admin.ensure_keys().await.map_err(failure)?;
            let made = admin.create(args.draft()?, BY).await.map_err(failure)?;
            output.answer(introduced(&made), &described(&made, &LastUses::default()));
        }
        ClientsCommand::List => {
            let uses = admin.last_uses().await.map_err(failure)?;
            let clients = admin.list().await.map_err(failure)?;
            let lines: Vec<String> = clients.iter().map(in_a_line).collect();
            let none = "There are no clients yet: `haat serve` makes the first one, `haat clients create` others.";
            let text = if lines.is_empty() { none.to_owned() } else { lines.join("\n") };
            output.answer(
                text,
                &json!({ "clients": clients.iter().map(|client| ClientView::of(client, &uses)).collect::<Vec<_>>() }),
            );
        }
        ClientsCommand::Show { id } => {
            let client = admin.show(&id).await.map_err(failure)?;
            let view = ClientView::of(&client, &admin.last_uses().await.map_err(failure)?);
            output.answer(serde_json::to_string_pretty(&view).unwrap_or_default(), &view);
        }
        ClientsCommand::Rotate { id, keep } => {
            admin.ensure_keys().await.map_err(failure)?;
            let made = admin.rotate(&id, keep.map(Period::duration), BY).await.map_err(failure)?;
            let uses = admin.last_uses().await.map_err(failure)?;
            output.answer(introduced(&made), &described(&made, &uses));
        }
        ClientsCommand::Disable { id } => set_enabled(authority, session, &id, false).await?,
        ClientsCommand::Enable { id } => set_enabled(authority, session, &id, true).await?,
        ClientsCommand::Revoke { id } => {
            admin.revoke(&id, BY).await.map_err(failure)?;
            output.answer(format!("The client {id} is revoked."), &json!({ "revoked": id }));
        }
    }
    Ok(Exit::Ok)
}

async fn set_enabled(authority: &Authority, session: &Session, id: &str, enabled: bool) -> Result<(), Failure> {
    let patch = ClientPatch { enabled: Some(enabled), ..ClientPatch::default() };
    let client = authority.admin.change(id, patch, BY).await.map_err(failure)?;
    let state = if enabled { "enabled" } else { "disabled" };
    let uses = authority.admin.last_uses().await.map_err(failure)?;
    session.output.answer(format!("The client {id} is {state}."), &ClientView::of(&client, &uses));
    Ok(())
}

impl CreateArgs {
    fn draft(self) -> Result<ClientDraft, Failure> {
        let keys = match (self.jwks, self.jwks_uri) {
            (Some(path), _) => {
                let cannot = |e: String| Failure::BadData(format!("--jwks {}: {e}", path.display()));
                let text = std::fs::read_to_string(&path).map_err(|e| cannot(e.to_string()))?;
                Some(KeysDraft::Jwks(serde_json::from_str(&text).map_err(|e| cannot(e.to_string()))?))
            }
            (None, url) => url.map(KeysDraft::JwksUri),
        };
        Ok(ClientDraft {
            id: self.id,
            name: self.name,
            scopes: self.scopes.into_iter().collect(),
            grants: if self.no_grant { Vec::new() } else { vec![Grant::ClientCredentials] },
            auth_method: self.auth_method,
            keys,
            token_lifetime: self.token_lifetime.map(Period::duration),
            audiences: self.audiences,
            dpop_bound: self.dpop_bound,
            policy: self.policy,
        })
    }
}

/// A client and its new secret, for machines: as the API shows it.
pub(super) fn described(made: &Made, uses: &LastUses) -> ClientView {
    ClientView::of(&made.client, uses).with_secret(made.secret.as_deref())
}

/// The same for people.
fn introduced(made: &Made) -> String {
    let Client { id, scopes, .. } = &made.client;
    match &made.secret {
        Some(secret) => format!(
            "client_id      {id}\nclient_secret  {secret}\nscopes         {scopes}\nThe secret is shown this once: keep it now."
        ),
        None => format!("client_id  {id}\nscopes     {scopes}\nIt proves who it is by its own keys."),
    }
}

fn in_a_line(client: &Client) -> String {
    let state = if client.enabled { "" } else { "  (disabled)" };
    format!("{:<24} {}  [{}]{state}", client.id, client.name, client.scopes)
}
