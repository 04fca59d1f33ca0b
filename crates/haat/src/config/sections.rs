//! The sections of the configuration: what can be set, the defaults, and which values are allowed.
//!
//! `haat.example.toml` says the same for people; a test keeps the two in step.

use std::fmt::Display;
use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::auth::{Auth, TOKEN_POLICY};
use super::limits::Limits;
use super::sources::{SourceEntry, names_differ};
use super::units::{Bind, Period, Secret, Size};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the SQLite file, the index, uploads and the instance id live.
    #[garde(custom(not_empty))]
    pub data_dir: PathBuf,
    /// Upstream catalogues that this one is kept in step with.
    #[garde(custom(names_differ))]
    pub sources: Vec<SourceEntry>,
    #[garde(dive)]
    pub http: Http,
    #[garde(dive)]
    pub auth: Auth,
    #[garde(dive)]
    pub database: Database,
    #[garde(dive)]
    pub redis: Redis,
    #[garde(dive)]
    pub cache: Cache,
    #[garde(dive)]
    pub limits: Limits,
    #[garde(dive)]
    pub index: Index,
    #[garde(dive)]
    pub imports: Imports,
    #[garde(dive)]
    pub retention: Retention,
    #[garde(dive)]
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            sources: Vec::new(),
            http: Http::default(),
            auth: Auth::default(),
            database: Database::default(),
            redis: Redis::default(),
            cache: Cache::default(),
            limits: Limits::default(),
            index: Index::default(),
            imports: Imports::default(),
            retention: Retention::default(),
            log: Log::default(),
        }
    }
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    #[garde(skip)]
    pub bind: Bind,
    /// 0 lets the system choose.
    #[garde(skip)]
    pub port: u16,
    #[garde(custom(between(1, 100_000)))]
    pub max_connections: usize,
    #[garde(custom(between(Size::kib(1), Size::mib(64))))]
    pub max_body: Size,
    #[garde(custom(between(Size::bytes(256), Size::kib(64))))]
    pub max_query: Size,
    #[garde(custom(between(10, 1_000)))]
    pub max_headers: usize,
    #[garde(custom(between(Period::secs(1), Period::hours(1))))]
    pub request_timeout: Period,
    #[garde(custom(between(Period::millis(100), Period::secs(600))))]
    pub header_read_timeout: Period,
    #[garde(custom(between(Period::millis(0), Period::secs(60))))]
    pub min_seq_wait: Period,
    // No lookup takes longer than the longest of these.
    #[garde(custom(between(Period::millis(1), Period::secs(10))))]
    pub live_wait: Period,
    #[garde(custom(between(Period::millis(0), Period::secs(300))))]
    pub drain_notice: Period,
    #[garde(custom(between(Period::secs(1), Period::hours(1))))]
    pub drain_timeout: Period,
    #[garde(custom(header_value))]
    pub cache_control: String,
    #[garde(custom(page_url))]
    pub errors_url: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            bind: Bind::LOOPBACK,
            port: 3000,
            max_connections: 10_000,
            max_body: Size::mib(1),
            max_query: Size::kib(8),
            max_headers: 100,
            request_timeout: Period::secs(30),
            header_read_timeout: Period::secs(10),
            min_seq_wait: Period::secs(2),
            live_wait: Period::millis(800),
            drain_notice: Period::secs(0),
            drain_timeout: Period::secs(30),
            cache_control: "public, max-age=0, must-revalidate".into(),
            errors_url: "/docs/errors".into(),
        }
    }
}

/// The database: MySQL or MariaDB when there is a host, otherwise SQLite in the data folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    #[garde(inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[garde(custom(between(1, u16::MAX)))]
    pub port: u16,
    #[garde(inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[garde(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    #[garde(inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[garde(skip)]
    pub tls: Tls,
    #[garde(inner(custom(not_empty)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    #[garde(custom(between(2, 1_000)))]
    pub max_connections: u32,
    #[garde(custom(between(Period::millis(100), Period::secs(600))))]
    pub acquire_timeout: Period,
    #[garde(custom(between(Period::millis(100), Period::secs(600))))]
    pub query_timeout: Period,
    #[garde(custom(between(Period::millis(0), Period::hours(1))))]
    pub startup_wait: Period,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            host: None,
            port: 3306,
            user: None,
            password: None,
            name: None,
            tls: Tls::Off,
            tls_ca: None,
            max_connections: 16,
            acquire_timeout: Period::secs(5),
            query_timeout: Period::secs(10),
            startup_wait: Period::secs(60),
        }
    }
}

/// How the connection to MySQL is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Not at all: for a database on this machine or in a private network.
    Off,
    /// Encrypted, and the server's certificate and name are verified.
    Verify,
}

/// The cache that replicas share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    #[garde(inner(custom(redis_url)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    #[garde(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    #[garde(custom(header_value))]
    pub prefix: String,
    #[garde(custom(between(Period::millis(1), Period::secs(10))))]
    pub patience: Period,
    #[garde(custom(between(Period::millis(10), Period::secs(60))))]
    pub connect_timeout: Period,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            tls_ca: None,
            prefix: "haat:".into(),
            patience: Period::millis(10),
            connect_timeout: Period::secs(2),
        }
    }
}

/// Answers kept ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    #[garde(custom(between(Size::bytes(0), Size::gib(64))))]
    pub memory: Size,
    #[garde(custom(between(Period::millis(0), Period::secs(60))))]
    pub max_stale: Period,
    #[garde(custom(between(Period::secs(1), Period::hours(24))))]
    pub shared_ttl: Period,
    #[garde(inner(custom(header_name)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surrogate_header: Option<String>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: Size::mib(64),
            max_stale: Period::millis(700),
            shared_ttl: Period::secs(60),
            surrogate_header: None,
        }
    }
}

/// The index that listings and searches come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Index {
    #[garde(custom(between(Size::mib(16), Size::gib(16))))]
    pub writer_memory: Size,
    #[garde(custom(between(1, 64)))]
    pub writer_threads: usize,
    /// 0: as many as suit the machine ([`Index::searches`]).
    #[garde(custom(between(0, 1_024)))]
    pub max_concurrent_searches: usize,
    #[garde(custom(between(0, 100_000)))]
    pub max_waiting_searches: usize,
    #[garde(custom(between(Period::millis(10), Period::secs(60))))]
    pub poll_interval: Period,
    #[garde(custom(between(1, 100_000)))]
    pub batch: u32,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            writer_memory: Size::mib(48),
            writer_threads: 1,
            max_concurrent_searches: 0,
            max_waiting_searches: 256,
            poll_interval: Period::millis(200),
            batch: 5_000,
        }
    }
}

impl Index {
    /// Searches that run at the same time: one per core, at least 2, unless set.
    pub fn searches(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        if self.max_concurrent_searches > 0 { self.max_concurrent_searches } else { cores.clamp(2, 256) }
    }
}

/// Below this a thread that writes the index cannot work.
const LEAST_MEMORY_OF_A_WRITER: Size = Size::mib(16);

/// Imports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Imports {
    #[garde(custom(between(Size::kib(1), Size::gib(1_024))))]
    pub max_size: Size,
    #[garde(custom(between(1, 1_000)))]
    pub max_queued: usize,
    #[garde(custom(between(1, 4_000_000_000)))]
    pub max_records: u64,
    #[garde(custom(between(Size::kib(1), Size::gib(1_000_000))))]
    pub max_unpacked: Size,
}

impl Default for Imports {
    fn default() -> Self {
        Self { max_size: Size::gib(4), max_queued: 16, max_records: 5_000_000, max_unpacked: Size::gib(64) }
    }
}

/// How long things are kept that nobody may ask for any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    #[garde(custom(between(Period::secs(1), Period::days(1))))]
    pub every: Period,
    #[garde(skip)]
    pub newest_changes: u64,
    #[garde(custom(between(Period::secs(60), Period::days(3_650))))]
    pub deletions: Period,
    #[garde(custom(between(Period::secs(60), Period::days(3_650))))]
    pub followers: Period,
    #[garde(custom(between(Period::secs(60), Period::days(3_650))))]
    pub idempotency_keys: Period,
    #[garde(custom(between(Period::secs(60), Period::days(3_650))))]
    pub import_jobs: Period,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            every: Period::secs(600),
            newest_changes: 100_000,
            deletions: Period::days(7),
            followers: Period::days(7),
            idempotency_keys: Period::hours(24),
            import_jobs: Period::days(7),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    #[garde(custom(log_filter))]
    pub filter: String,
    #[garde(skip)]
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// What is wrong with settings that are right one by one but not together: the key to name, and why.
    pub fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = self.database.contradictions();
        if self.http.live_wait >= self.http.request_timeout {
            let detail = format!("must be shorter than http.request_timeout, which is {}", self.http.request_timeout);
            found.push(("http.live_wait", detail));
        }
        if self.auth.token_lifetime > self.auth.max_token_lifetime {
            let longest = self.auth.max_token_lifetime;
            found.push(("auth.token_lifetime", format!("is longer than auth.max_token_lifetime, which is {longest}")));
        }
        if self.limits.policies.iter().any(|policy| policy.name == TOKEN_POLICY) {
            let detail = format!("has a policy of the name '{TOKEN_POLICY}', which is that of auth.token_requests");
            found.push(("limits.policies", detail));
        }
        let index = &self.index;
        if index.writer_memory.in_memory() / index.writer_threads < LEAST_MEMORY_OF_A_WRITER.in_memory() {
            let threads = index.writer_threads;
            found.push((
                "index.writer_memory",
                format!("is too little for {threads} threads: {LEAST_MEMORY_OF_A_WRITER} for each of them"),
            ));
        }
        found
    }
}

impl Database {
    fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.host.is_some() {
            for (key, variable, missing) in
                [("database.name", "DB_NAME", self.name.is_none()), ("database.user", "DB_USER", self.user.is_none())]
            {
                if missing {
                    found.push((
                        key,
                        format!("is missing: a database host is set, so MySQL is used; set {variable} too"),
                    ));
                }
            }
        } else {
            for (key, set) in [
                ("database.name", self.name.is_some()),
                ("database.user", self.user.is_some()),
                ("database.password", self.password.is_some()),
                ("database.tls_ca", self.tls_ca.is_some()),
            ] {
                if set {
                    found.push((
                        key,
                        "is set without a database host: set DB_HOST to use MySQL, or remove this to use SQLite".into(),
                    ));
                }
            }
        }
        if self.tls == Tls::Off && self.tls_ca.is_some() {
            found.push((
                "database.tls_ca",
                "is set while database.tls is \"off\": set database.tls = \"verify\"".into(),
            ));
        }
        found
    }
}

pub(super) fn between<T: PartialOrd + Display + Copy>(min: T, max: T) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| {
        if *value < min || *value > max {
            return Err(garde::Error::new(format!("{value} is out of range: it must be between {min} and {max}")));
        }
        Ok(())
    }
}

fn not_empty(path: &std::path::Path, _: &()) -> garde::Result {
    if path.as_os_str().is_empty() { Err(garde::Error::new("must not be empty")) } else { Ok(()) }
}

fn redis_url(urls: &Secret, _: &()) -> garde::Result {
    let is_url = |url: &str| {
        let rest = ["redis://", "rediss://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    };
    match urls.reveal().split(',').map(str::trim).all(is_url) {
        true => Ok(()),
        false => Err(garde::Error::new(
            "is not a Redis URL such as redis://127.0.0.1:6379 or rediss://…, or several with commas in between",
        )),
    }
}

fn page_url(url: &str, _: &()) -> garde::Result {
    let rest = ["https://", "http://", "/"].iter().find_map(|start| url.strip_prefix(start));
    if rest.is_some_and(|r| !r.is_empty()) && url.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(garde::Error::new("is neither a URL (https://…) nor a path on this server (/…)"))
    }
}

fn header_value(text: &str, _: &()) -> garde::Result {
    if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(garde::Error::new("may only hold visible ASCII characters and spaces"))
    }
}

fn header_name(text: &str, _: &()) -> garde::Result {
    match http::HeaderName::try_from(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(garde::Error::new("is not the name of a header field such as Surrogate-Key or Cache-Tag")),
    }
}

fn log_filter(filter: &str, _: &()) -> garde::Result {
    match tracing_subscriber::EnvFilter::builder().parse(filter) {
        Ok(_) => Ok(()),
        Err(e) => Err(garde::Error::new(format!("is not a log filter such as info or haat=debug,sqlx=warn: {e}"))),
    }
}
