//! Several servers on one database and one Redis, as behind a load balancer.

use std::sync::Arc;

use haat_testkit::generate::Generator;
use haat_testkit::servers::RedisServer;

use super::{Backend, Server, Stage, ndjson};

/// Servers that share a database and a Redis.
pub struct Fleet {
    pub servers: Vec<Arc<Server>>,
    _stage: Stage,
}

/// What is in the catalogue when the servers start.
#[derive(Clone, Copy)]
pub enum Seed {
    Nothing,
    Products(usize),
}

impl Fleet {
    /// So many servers and a Redis, with these settings beside those that make them a fleet.
    pub async fn start(size: usize, seed: Seed, settings: &[(&str, &str)], toml: &str) -> (Self, RedisServer) {
        let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
        (Self::at(&redis.url(), size, seed, settings, toml).await, redis)
    }

    /// The same with a Redis, or a cluster, that is there already.
    ///
    /// Only MariaDB is a database for several servers: SQLite is a file in the data folder, which belongs to one.
    pub async fn at(url: &str, size: usize, seed: Seed, settings: &[(&str, &str)], toml: &str) -> Self {
        let mut stage = Stage::new(Backend::MariaDb).await;
        stage.set("HAAT_REDIS__URL", url);
        for (name, value) in settings {
            stage.set(name, value);
        }
        stage.configure(toml);
        let mut servers = Vec::new();
        for n in 0..size {
            let server = stage.start_replica(&format!("replica-{n}")).await;
            if let (0, Seed::Products(n)) = (n, seed) {
                server.import(ndjson(&Generator::new(77).products(n))).await;
            }
            servers.push(Arc::new(server));
        }
        for server in &servers {
            server.caught_up().await;
        }
        Self { servers, _stage: stage }
    }
}
