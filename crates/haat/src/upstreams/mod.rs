//! The sources of a configuration, put together: client, access token, connector, and the breaker in front of it.

mod breaker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use haat_cache::Cache;
use haat_outbound::tokens::{
    AssertionKey, Authorized, ClientAuth, Credentials, CredentialsDraft, InvalidCredentials, Secret, SharedTokens,
    SystemRandom, TokenManager, TokenOptions, TokenVault,
};
use haat_outbound::{Caller, Client, ClientOptions, Surroundings};
use haat_sources::declared::auth::{ClientCredential, KeyAlgorithm, OAuth2};
use haat_sources::declared::settings::SettingError;
use haat_sources::kinds::Connection;
use haat_sources::ports::SourceStore;
use haat_sources::service::{SourceParts, Sources, SourcesOptions};
use haat_sources::upstream::Upstream;

use crate::authority::{self, Missing};
use crate::config::units::Period;
use crate::config::{Common, Config, SourceEntry};
use crate::exit::Failure;
use crate::wiring::World;
use breaker::ClientBreaker;

/// How the upstream of a source is called.
pub fn client_options(source: &Common) -> ClientOptions {
    let mut options = ClientOptions::new(source.name.clone());
    options.total_timeout = source.total_timeout.duration();
    options.attempt_timeout = source.attempt_timeout.duration();
    options.connect_timeout = source.connect_timeout.duration();
    options.retry.max_attempts = source.attempts;
    options.breaker.slow_call = source.slow_call.duration();
    options.concurrency = source.concurrency;
    options.max_waiting = source.max_waiting;
    options.max_response_bytes = source.max_response.in_memory();
    options.allow_networks.clone_from(&source.allow_networks);
    options.allow_http = source.allow_http;
    options
}

/// That tokens can be asked for with these settings.
///
/// # Errors
/// The first of them that is wrong, without the table in which it stands.
pub fn check_credentials(oauth2: &OAuth2) -> Result<(), SettingError> {
    credentials(oauth2).map(drop)
}

fn credentials(oauth2: &OAuth2) -> Result<Credentials, SettingError> {
    let secret = |secret: &haat_sources::declared::settings::Secret| Secret::new(secret.reveal());
    let auth = match &oauth2.credential {
        ClientCredential::SecretBasic(text) => ClientAuth::SecretBasic(secret(text)),
        ClientCredential::SecretPost(text) => ClientAuth::SecretPost(secret(text)),
        ClientCredential::PrivateKey { key, algorithm, key_id, audience } => ClientAuth::PrivateKeyJwt {
            key: assertion_key(key.reveal(), *algorithm, key_id.clone())?,
            audience: audience.clone().unwrap_or_else(|| oauth2.token_url.to_string()),
        },
    };
    let draft = CredentialsDraft {
        issuer: oauth2.token_url.origin().ascii_serialization(),
        token_url: oauth2.token_url.clone(),
        client_id: oauth2.client_id.clone(),
        auth,
        scopes: oauth2.scopes.clone(),
        audience: oauth2.audience.clone(),
        resources: oauth2.resource.iter().cloned().collect(),
        extra: Vec::new(),
    };
    Credentials::new(draft).map_err(|error| fault(&error))
}

/// The key that signs assertions, if it signs as it is said to.
fn assertion_key(
    pem: &str,
    algorithm: Option<KeyAlgorithm>,
    kid: Option<String>,
) -> Result<AssertionKey, SettingError> {
    let key = AssertionKey::from_pem(pem.as_bytes(), kid);
    let key = key.map_err(|error| SettingError::new("private_key", error.to_string()))?;
    let signs_by = key.algorithm();
    match algorithm {
        Some(wanted) if wanted.name() != signs_by => {
            let detail =
                format!("does not fit `private_key`, which is one for {signs_by}; write that, or leave it out");
            Err(SettingError::new("algorithm", detail))
        }
        _ => Ok(key),
    }
}

/// Which setting it is. What it has is not repeated: it may be a secret in the wrong place.
fn fault(error: &InvalidCredentials) -> SettingError {
    let setting = match error {
        InvalidCredentials::TokenUrl => "token_url",
        InvalidCredentials::ClientId => "client_id",
        InvalidCredentials::Secret => "client_secret",
        InvalidCredentials::AssertionAudience => "assertion_audience",
        InvalidCredentials::Audience => "audience",
        InvalidCredentials::Scope(_) => {
            let detail = "has one that cannot be a scope: printable ASCII without spaces, quotes and backslashes";
            return SettingError::new("scopes", detail);
        }
        InvalidCredentials::Resource(_) => {
            return SettingError::new("resource", "cannot be a resource: an absolute URI without a fragment");
        }
        InvalidCredentials::Extra(_) => "",
    };
    SettingError::new(setting, error.to_string())
}

/// Puts the sources of a configuration together. `replica` is who holds their leases; tokens are shared through `cache`.
///
/// # Errors
/// When a client cannot be made, or the encryption key that shared tokens are sealed with cannot be read.
pub fn sources(
    config: &Config,
    world: &World,
    store: Arc<dyn SourceStore>,
    cache: Option<Arc<dyn Cache>>,
    replica: &str,
) -> Result<Arc<Sources>, Failure> {
    let shared = shared_tokens(config, cache)?;
    let parts = config.sources.iter().map(|source| parts(source, world, shared.as_ref()));
    let parts = parts.collect::<Result<Vec<_>, Failure>>()?;
    let options = SourcesOptions::new(replica);
    Ok(Arc::new(Sources::new(parts, store, world.clock.clone(), world.ids.clone(), options)))
}

/// Where tokens are shared, if any source needs some and there is a cache to share them in.
fn shared_tokens(config: &Config, cache: Option<Arc<dyn Cache>>) -> Result<Option<SharedTokens>, Failure> {
    let needed = config.sources.iter().any(|source| source.connect().is_ok_and(|made| made.oauth2.is_some()));
    let Some(cache) = cache.filter(|_| needed) else { return Ok(None) };
    let master = authority::master_key(config, Missing::Refuse)?;
    let vault = TokenVault::new(master.bytes()).map_err(|e| anyhow!("the encryption key cannot be used: {e}"))?;
    Ok(Some(SharedTokens { cache, vault: Arc::new(vault) }))
}

/// An upstream, to see how it is: asked once and for no longer than that, with a token of its own.
///
/// # Errors
/// When its client cannot be made.
pub fn upstream(source: &SourceEntry, world: &World, within: Duration) -> Result<Upstream, String> {
    let connection = source.connect()?;
    let mut options = client_options(&source.common);
    options.total_timeout = options.total_timeout.min(within);
    options.attempt_timeout = options.attempt_timeout.min(within);
    options.connect_timeout = options.connect_timeout.min(within);
    options.retry.max_attempts = 1;
    let (_, caller) = calling(&connection, options, world, None)?;
    Ok(Upstream { connector: connection.connector, caller })
}

fn parts(source: &SourceEntry, world: &World, shared: Option<&SharedTokens>) -> Result<SourceParts, Failure> {
    let common = &source.common;
    // Checked with the configuration; a machine without root certificates is found out here.
    let wrong = |what: String| Failure::Failed(anyhow!("source '{}': {what}", common.name));
    let connection = source.connect().map_err(wrong)?;
    let (client, caller) = calling(&connection, client_options(common), world, shared.cloned()).map_err(wrong)?;
    let unless_never = |period: Period| Some(period.duration()).filter(|period| !period.is_zero());
    Ok(SourceParts {
        name: common.name.clone(),
        kind: common.kind.clone(),
        connector: connection.connector,
        caller,
        breaker: Arc::new(ClientBreaker::new(client, world.clock.clone())),
        schedule: unless_never(common.schedule),
        full_every: unless_never(common.full_schedule),
        live: source.live().map_err(wrong)?,
        max_vanished: common.max_vanished,
        give_up_after: common.give_up_after.duration(),
        hold: common.lease.duration(),
    })
}

/// The client of an upstream, and what sends calls through it with all that they need.
fn calling(
    connection: &Connection,
    options: ClientOptions,
    world: &World,
    shared: Option<SharedTokens>,
) -> Result<(Arc<Client>, Arc<dyn Caller>), String> {
    let client = client(&options, world)?;
    let Some(oauth2) = &connection.oauth2 else { return Ok((client.clone(), client)) };
    let total = options.total_timeout;
    let authorized = Authorized::new(client.clone(), tokens(oauth2, options, world, shared)?).within(total);
    Ok((client, Arc::new(authorized.only_to(connection.base_url.origin()))))
}

fn client(options: &ClientOptions, world: &World) -> Result<Arc<Client>, String> {
    let surroundings = Surroundings { clock: world.clock.clone(), ..Surroundings::default() };
    Client::new(options, surroundings).map(Arc::new).map_err(|error| error.to_string())
}

/// The manager of a source's tokens, given how its API is called. The token endpoint has a client of its own, breaker and all:
/// that the API fails says nothing about it.
fn tokens(
    oauth2: &OAuth2,
    api: ClientOptions,
    world: &World,
    shared: Option<SharedTokens>,
) -> Result<TokenManager, String> {
    // No source can be called so: its metrics and logs are nobody else's.
    let upstream = format!("{}/token", api.name);
    let patience = api.attempt_timeout.min(Duration::from_secs(10));
    let mut options = api.for_token_endpoint();
    options.name.clone_from(&upstream);
    let caller = client(&options, world)?;
    let credentials = credentials(oauth2).map_err(|fault| fault.to_string())?;
    let options = TokenOptions { upstream, patience, ..TokenOptions::default() };
    let random = Arc::new(SystemRandom);
    Ok(TokenManager::new(credentials, options, caller, shared, world.clock.clone(), random))
}
