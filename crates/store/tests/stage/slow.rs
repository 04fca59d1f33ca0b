//! A store whose transactions dawdle before they commit, so that they overtake each other, and a way past its safeguards.

use std::sync::Arc;
use std::time::Duration;

use haat_store::{MySqlOptions, StoreOptions};
use haat_testkit::servers::MariaDb;
use rand::RngExt;
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;

use super::{Stage, mysql_options, past_the_store};

/// Up to 20 ms: long enough for other transactions to overtake.
pub async fn dawdle() {
    let pause = rand::rng().random_range(0..20_000);
    tokio::time::sleep(Duration::from_micros(pause)).await;
}

/// An empty store on MariaDB that dawdles.
pub async fn slow_stage() -> Stage {
    let database = MariaDb::shared().create_database();
    let options = StoreOptions::MySql(MySqlOptions { max_connections: 24, ..mysql_options(&database) });
    let stage = Stage::over(options, Some(Arc::new(|| Box::pin(dawdle())))).await;
    Stage { database: Some(database), ..stage }
}

/// A pool of its own for so many writers that ignore the safeguards.
pub async fn reckless_pool(stage: &Stage, writers: u64) -> MySqlPool {
    let options = past_the_store(stage.database.as_ref().unwrap());
    MySqlPoolOptions::new().max_connections(writers as u32).connect_with(options).await.unwrap()
}
