//! The sources of a configuration, put together: client, access token, connector, and the breaker in front of it.

mod breaker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use haat_cache::Cache;
use haat_outbound::tokens::{
    AssertionKey, Authorized, ClientAuth, Credentials, CredentialsDraft, Secret, SharedTokens, SystemRandom,
    TokenManager, TokenOptions, TokenVault,
};
use haat_outbound::{Caller, Client, ClientOptions, Surroundings};
use haat_sources::declared::auth::{ClientCredential, OAuth2};
use haat_sources::ports::SourceStore;
use haat_sources::service::{SourceParts, Sources, SourcesOptions};

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
/// What is wrong with them.
pub fn check_credentials(oauth2: Option<&OAuth2>) -> Result<(), String> {
    oauth2.map_or(Ok(()), |oauth2| credentials(oauth2).map(drop))
}

fn credentials(oauth2: &OAuth2) -> Result<Credentials, String> {
    let secret = |secret: &haat_sources::declared::settings::Secret| Secret::new(secret.reveal());
    let auth = match &oauth2.credential {
        ClientCredential::SecretBasic(text) => ClientAuth::SecretBasic(secret(text)),
        ClientCredential::SecretPost(text) => ClientAuth::SecretPost(secret(text)),
        ClientCredential::PrivateKey { key, key_id, .. } => ClientAuth::PrivateKeyJwt {
            key: AssertionKey::from_pem(key.reveal().as_bytes(), key_id.clone())
                .map_err(|error| format!("auth.private_key: {error}"))?,
            audience: oauth2.token_url.to_string(),
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
    Credentials::new(draft).map_err(|error| format!("auth: {error}"))
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

fn parts(source: &SourceEntry, world: &World, shared: Option<&SharedTokens>) -> Result<SourceParts, Failure> {
    let common = &source.common;
    // Checked with the configuration; a machine without root certificates is found out here.
    let wrong = |what: String| Failure::Failed(anyhow!("source '{}': {what}", common.name));
    let connection = source.connect().map_err(wrong)?;
    let client = client(client_options(common), world).map_err(wrong)?;
    let caller: Arc<dyn Caller> = match &connection.oauth2 {
        None => client.clone(),
        Some(oauth2) => {
            let tokens = tokens(oauth2, common, world, shared.cloned()).map_err(wrong)?;
            let authorized = Authorized::new(client.clone(), tokens).within(common.total_timeout.duration());
            Arc::new(authorized.only_to(connection.base_url.origin()))
        }
    };
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

fn client(options: ClientOptions, world: &World) -> Result<Arc<Client>, String> {
    let surroundings = Surroundings { clock: world.clock.clone(), ..Surroundings::default() };
    Client::new(&options, surroundings).map(Arc::new).map_err(|error| error.to_string())
}

/// The manager of a source's tokens. The token endpoint has a client of its own, breaker and all: that the API fails says
/// nothing about it.
fn tokens(
    oauth2: &OAuth2,
    source: &Common,
    world: &World,
    shared: Option<SharedTokens>,
) -> Result<TokenManager, String> {
    let upstream = format!("{}-token", source.name);
    let patience = source.attempt_timeout.duration().min(Duration::from_secs(10));
    let mut options = client_options(source).for_token_endpoint();
    options.name.clone_from(&upstream);
    let caller = client(options, world)?;
    let options = TokenOptions { upstream, patience, ..TokenOptions::default() };
    let random = Arc::new(SystemRandom);
    Ok(TokenManager::new(credentials(oauth2)?, options, caller, shared, world.clock.clone(), random))
}
