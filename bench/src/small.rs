//! What the benchmarks of the cache and of limits share: a catalogue of 20,000 products in data folders of their own, and
//! policies that never refuse.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::mariadb::MariaDb;
use crate::process::measure;
use crate::server::{Launch, Server, haat};
use crate::{Bench, catalogue};

/// How many products there are.
pub const PRODUCTS: u64 = 20_000;

/// Two policies that cost what policies cost and refuse nothing.
pub const GENEROUS: &str = r#"[
    { name = "burst", quota = 50000000, window = "60s", per = "address" },
    { name = "day", quota = 1000000000, window = "1d", per = "client" },
]"#;

/// The setting of policies.
pub fn policies(text: &str) -> (&'static str, String) {
    ("HAAT_LIMITS__POLICIES", text.to_owned())
}

/// The setting of memory for answers.
pub fn cache_memory(size: &str) -> (&'static str, String) {
    ("HAAT_CACHE__MEMORY", size.to_owned())
}

/// The same benchmark over [`PRODUCTS`].
pub fn bench(bench: &Bench) -> Bench {
    Bench { products: PRODUCTS, ..bench.clone() }
}

/// Imports the catalogue into a folder on SQLite when it is not there.
pub async fn sqlite(bench: &Bench, data_dir: &Path) -> anyhow::Result<()> {
    if data_dir.exists() {
        return Ok(());
    }
    // Half of an import must not be taken for all of it.
    let part = data_dir.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    import(bench, &part, None).await?;
    Ok(std::fs::rename(&part, data_dir)?)
}

/// Folders of `servers` servers that share the catalogue on MariaDB; made anew, because the database may have been
/// another benchmark's.
pub async fn mariadb(bench: &Bench, database: &MariaDb, servers: usize) -> anyhow::Result<Vec<PathBuf>> {
    database.empty().await?;
    let folders: Vec<_> = (0..servers).map(|i| bench.work.join(format!("replica-{i}"))).collect();
    for folder in folders.iter().filter(|folder| folder.exists()) {
        std::fs::remove_dir_all(folder)?;
    }
    let first = folders.first().context("no servers are asked for")?;
    import(bench, first, Some(database)).await?;
    Ok(folders)
}

async fn import(bench: &Bench, data_dir: &Path, database: Option<&MariaDb>) -> anyhow::Result<()> {
    let file = catalogue::make(bench, bench.products, 1).await?.to_string_lossy().into_owned();
    measure(haat(bench, data_dir, database, &["migrate"])).await.context("migrate")?;
    measure(haat(bench, data_dir, database, &["import", &file])).await?;
    Ok(())
}

/// Servers of one database and, with `settings`, of one Redis.
pub async fn replicas(
    bench: &Bench,
    folders: &[PathBuf],
    database: &MariaDb,
    settings: &[(&'static str, String)],
) -> anyhow::Result<Vec<Server>> {
    const LOGS: [&str; 4] = ["replica-0.log", "replica-1.log", "replica-2.log", "replica-3.log"];
    let mut servers = Vec::with_capacity(folders.len());
    for (data_dir, log) in folders.iter().zip(LOGS) {
        let launch = Launch { data_dir, database: Some(database), settings: settings.to_vec(), log };
        servers.push(Server::launch(bench, &launch).await?);
    }
    for server in &servers {
        server.wait_complete().await?;
    }
    Ok(servers)
}
