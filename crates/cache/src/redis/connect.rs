//! Where Redis is, and how to get there.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates, Value,
};

use crate::port::CacheError;

/// Where Redis is and how long it may take.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS. More than one: the nodes of a cluster, of
    /// which any that can be reached tells of the others.
    pub urls: Vec<String>,
    /// A PEM file with the authority to trust instead of the well-known ones.
    pub ca: Option<PathBuf>,
    /// What all keys begin with, so that several Haats can share a Redis.
    pub prefix: String,
    /// How long a command may take before Redis counts as gone.
    pub patience: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".into()],
            ca: None,
            prefix: "haat:".into(),
            patience: Duration::from_millis(10),
            connect_timeout: Duration::from_secs(2),
        }
    }
}

impl std::fmt::Debug for RedisOptions {
    /// All but the URLs, which have passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("RedisOptions");
        debug.field("nodes", &self.urls.len()).field("prefix", &self.prefix).field("patience", &self.patience);
        debug.finish_non_exhaustive()
    }
}

/// A server or a cluster, not connected yet.
pub(super) enum Target {
    Server(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// A connection, shared by all commands.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target {
    pub(super) fn of(options: &RedisOptions) -> Result<Self, CacheError> {
        // The library takes the process's provider of cryptography; another part may have named the same one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let nodes: RedisResult<Vec<ConnectionInfo>> = options.urls.iter().map(|url| info(url)).collect();
        // The library's words may quote the address, password and all.
        let nodes = nodes.map_err(|_| CacheError::Failed("redis.url is no address of a Redis".into()))?;
        let tls = options.ca.as_ref().map(|path| {
            let root_cert = std::fs::read(path);
            let root_cert =
                root_cert.map_err(|e| CacheError::Failed(format!("redis.tls_ca {}: {e}", path.display())))?;
            Ok(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
        });
        let tls = tls.transpose()?;
        let refused = |e: redis::RedisError| CacheError::Failed(format!("redis.url: {}", e.category()));
        if let [node] = &nodes[..] {
            let client = match tls {
                Some(tls) => Client::build_with_tls(node.clone(), tls),
                None => Client::open(node.clone()),
            };
            return Ok(Self::Server(Box::new(client.map_err(refused)?)));
        }
        let mut builder = ClusterClient::builder(nodes).tcp_settings(nodelay()).retries(3).max_retry_wait(200);
        if let Some(tls) = tls {
            builder = builder.certs(tls);
        }
        Ok(Self::Cluster(Box::new(builder.build().map_err(refused)?)))
    }

    /// Connects. Responses have no time limit of their own here: the gate has the patience.
    pub(super) async fn connect(&self, timeout: Duration) -> RedisResult<Connection> {
        match self {
            Self::Server(client) => {
                let config =
                    AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(None);
                Ok(Connection::Server(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Self::Cluster(client) => {
                let config = ClusterConfig::new().set_connection_timeout(timeout);
                Ok(Connection::Cluster(client.get_async_connection_with_config(config).await?))
            }
        }
    }
}

fn info(url: &str) -> RedisResult<ConnectionInfo> {
    Ok(url.into_connection_info()?.set_tcp_settings(nodelay()))
}

fn nodelay() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

impl Connection {
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}
