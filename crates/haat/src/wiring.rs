//! Where the parts are put together: from a configuration to an open store, an index, and everything a server is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use haat_cache::Cache;
use haat_cache::answers::AnswersOptions;
use haat_cache::redis::{RedisCache, RedisOptions};
use haat_catalog::ports::{Health, StoreError};
use haat_catalog::{Clock, Ids, time};
use haat_http::{Access, HttpOptions, Services};
use haat_limits::Limiter;
use haat_limits::address::Proxies;
use haat_search::{Index, IndexOptions};
use haat_store::{MySqlOptions, MySqlTls, SqliteOptions, Store, StoreOptions};
use haat_transfer::{InputLimits, UploadOptions, Uploads};
use tokio::time::Instant;

use crate::authority::{self, Authority, Missing};
use crate::config::{Config, Tls};
use crate::data_dir::DataDir;
use crate::exit::Failure;
use crate::housekeeping;
use crate::lifecycle::{Lifecycle, Workers};
use crate::{telemetry, upstreams};

/// The longest pause between two attempts to reach a database that is not up yet.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What every part needs that is not configuration.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
}

impl World {
    /// The machine's clock and randomness.
    pub fn of_machine() -> Self {
        let (clock, ids) = time::system();
        Self { clock, ids }
    }
}

/// Which database, and how to reach it.
pub fn store_options(config: &Config) -> StoreOptions {
    let database = &config.database;
    let (acquire_timeout, query_timeout) = (database.acquire_timeout.duration(), database.query_timeout.duration());
    match &database.host {
        None => StoreOptions::Sqlite(SqliteOptions {
            path: DataDir::at(&config.data_dir).sqlite(),
            max_readers: database.max_connections,
            acquire_timeout,
            query_timeout,
        }),
        Some(host) => StoreOptions::MySql(MySqlOptions {
            host: host.clone(),
            port: database.port,
            user: database.user.clone().unwrap_or_default(),
            password: database.password.as_ref().map(|p| p.reveal().to_owned()).unwrap_or_default(),
            database: database.name.clone().unwrap_or_default(),
            tls: match database.tls {
                Tls::Off => MySqlTls::Off,
                Tls::Verify => MySqlTls::Verify { ca: database.tls_ca.clone() },
            },
            max_connections: database.max_connections,
            acquire_timeout,
            query_timeout,
        }),
    }
}

/// The index of this configuration's data folder, followed under the name `follower`.
pub fn index_options(config: &Config, follower: String) -> IndexOptions {
    let index = &config.index;
    IndexOptions {
        dir: DataDir::at(&config.data_dir).index(),
        follower,
        writer_memory_bytes: index.writer_memory.in_memory(),
        writer_threads: index.writer_threads,
        max_concurrent_searches: index.searches(),
        max_waiting_searches: index.max_waiting_searches,
        poll_interval: index.poll_interval.duration(),
        batch: index.batch,
    }
}

/// The shared cache, if there is one. One that is not there yet is used once it is.
///
/// # Errors
/// When its address or certificate makes no sense.
pub fn shared_redis(config: &Config) -> Result<Option<RedisCache>, Failure> {
    let redis = &config.redis;
    let Some(urls) = &redis.url else { return Ok(None) };
    let options = RedisOptions {
        urls: urls.reveal().split(',').map(|url| url.trim().to_owned()).collect(),
        ca: redis.tls_ca.clone(),
        prefix: redis.prefix.clone(),
        patience: redis.patience.duration(),
        connect_timeout: redis.connect_timeout.duration(),
    };
    let cache = RedisCache::open(options).map_err(|e| Failure::Failed(anyhow!("{e}")))?;
    Ok(Some(cache))
}

fn http_options(config: &Config) -> HttpOptions {
    let (http, cache) = (&config.http, &config.cache);
    HttpOptions {
        public_read: config.auth.public_read,
        max_body_bytes: http.max_body.in_memory(),
        max_import_bytes: config.imports.max_size.get(),
        max_query_bytes: http.max_query.in_memory(),
        max_headers: http.max_headers,
        request_timeout: http.request_timeout.duration(),
        min_seq_wait: http.min_seq_wait.duration(),
        live_wait: http.live_wait.duration(),
        header_read_timeout: http.header_read_timeout.duration(),
        max_connections: http.max_connections,
        drain_timeout: http.drain_timeout.duration(),
        // What only some may read is not for caches that all share.
        cache_control: match config.auth.public_read {
            true => http.cache_control.clone(),
            false => private(&http.cache_control),
        },
        // Checked with the configuration.
        surrogate_header: cache.surrogate_header.as_deref().and_then(|name| name.parse().ok()),
        answers: AnswersOptions {
            max_bytes: cache.memory.get(),
            max_stale: cache.max_stale.duration(),
            shared_ttl: cache.shared_ttl.duration(),
            ..AnswersOptions::default()
        },
        concurrency: config.limits.concurrency(config.index.searches(), config.index.max_waiting_searches),
        errors_url: http.errors_url.clone(),
    }
}

/// The directives of a `Cache-Control` without those by which a shared cache may keep what was answered to somebody with
/// a token (RFC 9111 §3.5).
fn private(directives: &str) -> String {
    let opens = |name: &str| ["public", "private", "s-maxage", "must-revalidate", "proxy-revalidate"].contains(&name);
    let kept = directives.split(',').map(str::trim).filter(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        !name.is_empty() && !opens(&name)
    });
    std::iter::once("private").chain(kept).collect::<Vec<_>>().join(", ")
}

/// Opens the store and brings its tables up to date, as every command that touches data does first.
///
/// # Errors
/// When the database cannot be reached or refuses.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    Ok(try_to_open(&store_options(config)).await?)
}

/// Opens the store for a command that only looks: one that is not there yet is not made, for whoever asks for its
/// products has the wrong folder.
///
/// # Errors
/// When there is no database, or as for [`open_store`].
pub async fn open_existing_store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    match store_options(config) {
        StoreOptions::Sqlite(sqlite) if !sqlite.path.exists() => Err(Failure::BadData(format!(
            "there is no database at {}: see --data-dir and HAAT_DATA_DIR, or DB_HOST for MySQL",
            sqlite.path.display()
        ))),
        _ => open_store(config).await,
    }
}

async fn try_to_open(options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    let store = haat_store::open(options).await?;
    match store.migrate().await {
        Ok(applied) => {
            if !applied.is_empty() {
                tracing::info!(migrations = applied.join(", "), "brought the tables up to date");
            }
            Ok(store)
        }
        Err(e) => {
            store.close().await;
            Err(e)
        }
    }
}

/// Opens the store as [`open_store`] does, waiting for a database that is not up yet, as happens when both are started
/// together.
///
/// # Errors
/// When it is still not up after `database.startup_wait`, or fails for another reason.
pub async fn open_store_patiently(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    let options = store_options(config);
    let deadline = Instant::now() + config.database.startup_wait.duration();
    let mut pause = Duration::from_millis(250);
    loop {
        let error = match try_to_open(&options).await {
            Ok(store) => return Ok(store),
            Err(e @ (StoreError::Unavailable(_) | StoreError::Timeout(_) | StoreError::Contention(_))) => e,
            Err(e) => return Err(e.into()),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error.into());
        }
        tracing::warn!(%error, seconds_left = left.as_secs(), "the database is not up yet; trying again");
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Everything a server is made of, running but for its door.
pub struct Assembly {
    /// Where listings come from.
    pub index: Arc<Index>,
    /// The API.
    pub api: haat_http::Api,
    /// Its limits.
    pub options: HttpOptions,
    /// What works behind it.
    pub workers: Workers,
    /// Who may do what.
    pub access: Access,
}

/// Puts a server together around an open store.
pub struct Assembler<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The folder, already ours.
    pub data: &'a DataDir,
    /// The truth.
    pub store: &'a Arc<dyn Store>,
    /// Clock and ids.
    pub world: &'a World,
    /// What says that it is time to stop.
    pub lifecycle: &'a Lifecycle,
    /// Where the server listens.
    pub address: SocketAddr,
}

impl Assembler<'_> {
    /// Opens the index, starts the workers, builds the API.
    ///
    /// # Errors
    /// When the index can neither be opened nor begun anew.
    pub async fn assemble(self) -> Result<Assembly, Failure> {
        // Before anything is made that is measured: a breaker says how it stands when it is made, and then only when that changes.
        let metrics = telemetry::install();
        let Self { config, data, store, world, lifecycle, address } = self;
        let instance = data.instance_id(&*world.ids)?;
        let index =
            Index::open(index_options(config, instance.clone()), store.clone(), store.clone(), world.clock.clone());
        let index = index.await.map_err(|e| Failure::Failed(anyhow!("{e} (in {})", data.index().display())))?;
        let cache = shared_redis(config)?.map(|cache| Arc::new(cache) as Arc<dyn Cache>);
        let access = Authority::of(config, store, world, Missing::Make)?;
        let access = access.open(config, address, cache.clone()).await?;
        let sources = upstreams::sources(config, world, store.clone(), cache.clone(), &instance)?;
        let limits = &config.limits;
        let policies = limits.meaning().into_iter().chain(config.auth.token_policy()).collect();
        let limiter = Limiter::new(policies, limits.allow.clone(), cache.clone(), limits.replicas);
        let uploads = self::uploads(config, data, store, world, instance);
        let health: Vec<Arc<dyn Health>> = vec![store.clone()];
        let services = Services {
            reader: store.clone(),
            writer: store.clone(),
            changes: store.clone(),
            index: index.clone(),
            uploads: uploads.clone(),
            sources: sources.clone(),
            metrics,
            health,
            cache,
            limiter: Arc::new(limiter),
            access: access.clone(),
            proxies: Proxies::new(limits.trusted_proxies.clone()),
            stopping: lifecycle.soft().clone(),
            clock: world.clock.clone(),
            ids: world.ids.clone(),
        };
        let options = http_options(config);
        let api = haat_http::Api::new(services, &options);

        let mut workers = Workers::default();
        workers.start("index", |stop| index.clone().run(stop));
        workers.start("imports", |stop| uploads.run(stop));
        workers.start("sources", |stop| sources.run(stop));
        workers.start("directory", |stop| access.directory.clone().run(stop));
        workers.start("access", |stop| authority::tend(access.clone(), world.clock.clone(), stop));
        let retention = config.retention.clone();
        workers.start("housekeeping", |stop| housekeeping::run(store.clone(), world.clock.clone(), retention, stop));
        Ok(Assembly { index, api, options, workers, access })
    }
}

fn uploads(config: &Config, data: &DataDir, store: &Arc<dyn Store>, world: &World, owner: String) -> Arc<Uploads> {
    let options = UploadOptions {
        dir: data.uploads(),
        owner,
        max_bytes: config.imports.max_size.get(),
        max_queued: config.imports.max_queued,
        limits: InputLimits { records: config.imports.max_records, unpacked_bytes: config.imports.max_unpacked.get() },
    };
    Uploads::new(options, store.clone(), store.clone(), world.clock.clone(), world.ids.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_some_may_read_is_for_no_shared_cache() {
        for (set, sent) in [
            ("public, max-age=1, stale-while-revalidate=5", "private, max-age=1, stale-while-revalidate=5"),
            ("max-age=300, must-revalidate", "private, max-age=300"),
            ("S-MaxAge=60,PUBLIC", "private"),
            ("no-store", "private, no-store"),
        ] {
            assert_eq!(private(set), sent);
        }
    }
}
