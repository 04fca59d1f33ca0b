//! The authorization server, put together from a configuration: its keys, its first client, and what is looked after in the
//! background.

mod fetch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use haat_cache::Cache;
use haat_catalog::Clock;
use haat_http::Access;
use haat_oauth::admin::{Admin, AdminError, Rules};
use haat_oauth::directory::Directory;
use haat_oauth::dpop::Proofs;
use haat_oauth::ports::{AuthStore, FetchKeys};
use haat_oauth::resource::Verifier;
use haat_oauth::server::{AuthorizationServer, Parts, ServerOptions, addresses_of};
use haat_oauth::vault::{MasterKey, Vault};
use haat_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::Failure;
use crate::wiring::{self, World};
use fetch::Fetcher;

/// How often keys are looked after and uses of secrets written.
const TEND: Duration = Duration::from_secs(30);
/// How often what has expired is removed: in so many rounds of [`TEND`] once.
const PRUNE_EVERY: u32 = 4;

/// What to do where there is no database or encryption key yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Begin with new ones.
    Make,
    /// Say so: whoever wants to see what is there has the wrong folder.
    Refuse,
}

/// Does something to the clients and keys of a configuration's database, and closes it.
///
/// # Errors
/// When database or encryption key cannot be opened, or the work fails.
pub async fn during<T>(
    config: &Config,
    world: &World,
    missing: Missing,
    work: impl AsyncFnOnce(Authority) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let store = match missing {
        Missing::Make => {
            DataDir::prepare(&config.data_dir)?;
            wiring::open_store(config).await?
        }
        Missing::Refuse => wiring::open_existing_store(config).await?,
    };
    let done = match Authority::of(config, &store, world, missing) {
        Ok(authority) => work(authority).await,
        Err(error) => Err(error),
    };
    store.close().await;
    done
}

/// The encryption key: that of the configuration, else the one in the data folder.
///
/// # Errors
/// When it cannot be read, or not be made where it is missing.
pub fn master_key(config: &Config, missing: Missing) -> Result<MasterKey, Failure> {
    let data = DataDir::at(&config.data_dir);
    let kept = if config.auth.encryption_key.is_none() { data.encryption_key()? } else { None };
    Ok(match (&config.auth.encryption_key, kept) {
        // Checked with the configuration.
        (Some(key), _) => MasterKey::parse(key.reveal()).map_err(|e| anyhow!("auth.encryption_key {e}"))?,
        (None, Some(key)) => key,
        (None, None) if missing == Missing::Make => data.make_encryption_key()?,
        (None, None) => {
            return Err(Failure::BadData(format!(
                "there is no encryption key in {}: see --data-dir and HAAT_DATA_DIR for the folder of a server of this \
                 database, or set auth.encryption_key (HAAT_AUTH__ENCRYPTION_KEY) to what the servers have",
                data.path().display()
            )));
        }
    })
}

/// What commands about clients and keys need, with or without a server.
pub struct Authority {
    /// The commands.
    pub admin: Admin,
    store: Arc<dyn AuthStore>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl Authority {
    /// The authority of a configuration, over an open store.
    ///
    /// # Errors
    /// When the encryption key cannot be read, or not be made where it is missing.
    pub fn of(config: &Config, store: &Arc<dyn Store>, world: &World, missing: Missing) -> Result<Self, Failure> {
        let master = master_key(config, missing)?;
        let vault = Arc::new(Vault::new(&master).map_err(|e| anyhow!("the encryption key cannot be used: {e}"))?);
        let given = config.limits.policies.iter().filter(|policy| policy.assigned);
        let rules =
            Rules { keys: config.auth.key_times(), policies: given.map(|policy| policy.name.clone()).collect() };
        let store: Arc<dyn AuthStore> = store.clone();
        let clock = world.clock.clone();
        let admin = Admin::new(store.clone(), vault.clone(), clock.clone(), rules);
        Ok(Self { admin, store, vault, clock })
    }

    /// Opens the server that listens at `address`; a new installation gets its first signing key.
    ///
    /// # Errors
    /// When the store fails, or has keys that were sealed with another encryption key.
    pub async fn open(
        self,
        config: &Config,
        address: SocketAddr,
        cache: Option<Arc<dyn Cache>>,
    ) -> Result<Access, Failure> {
        let Self { admin, store, vault, clock } = self;
        let auth = &config.auth;
        admin.ensure_keys().await.map_err(failure)?;
        let directory = Directory::open(store.clone(), vault.clone(), clock.clone()).await?;
        let issuer = auth.issuer.clone().unwrap_or_else(|| format!("http://localhost:{}", address.port()));
        let audience = auth.audience.clone().unwrap_or_else(|| issuer.clone());
        let fetch: Arc<dyn FetchKeys> = Arc::new(Fetcher::default());
        let proofs = Arc::new(Proofs::new(cache.clone()));
        let options = ServerOptions {
            issuer: issuer.clone(),
            addresses: addresses_of(&issuer),
            audience: audience.clone(),
            token_lifetime: auth.token_lifetime.duration(),
            keys: auth.key_times(),
            failures_per_client: auth.failures_per_client,
            failures_per_address: auth.failures_per_address,
        };
        let parts =
            Parts { store, directory: directory.clone(), vault, fetch: fetch.clone(), cache, clock: clock.clone() };
        let server = AuthorizationServer::new(options, parts, proofs.clone());
        let verifier = Arc::new(Verifier::new(issuer, audience, directory.clone(), clock, auth.foreign(), fetch));
        Ok(Access { server, verifier, proofs, admin, directory })
    }
}

/// Why a command about clients or keys failed, for people.
pub fn failure(error: AdminError) -> Failure {
    match error {
        AdminError::Store(error) => error.into(),
        AdminError::Invalid(_) => Failure::Usage(error.to_string()),
        AdminError::Vault(_) => Failure::Failed(anyhow!(
            "{error}. Every server and command on this database needs the same encryption key: set auth.encryption_key \
             (HAAT_AUTH__ENCRYPTION_KEY), or copy the key file into this data folder"
        )),
        _ => Failure::Failed(anyhow!("{error}")),
    }
}

/// Looks after keys, writes when secrets were used, and removes what has expired, until told to stop.
pub async fn tend(access: Access, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut round: u32 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(TEND) => {}
        }
        round = round.wrapping_add(1);
        match access.admin.tend_keys().await {
            Ok(true) => report("keys are not known here yet", access.directory.refresh().await),
            Ok(false) => {}
            Err(error) => report::<(), _>("signing keys cannot be looked after now", Err(error)),
        }
        report("last uses of secrets cannot be written now", access.server.write_uses().await);
        if round.is_multiple_of(PRUNE_EVERY) {
            report("what has expired cannot be removed now", access.admin.prune(clock.now()).await);
        }
    }
    report("last uses of secrets are not written", access.server.write_uses().await);
}

fn report<T, E: std::fmt::Display>(what: &str, done: Result<T, E>) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what}");
    }
}
