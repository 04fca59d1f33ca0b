//! What the store's tests stand on: an empty, migrated store of either kind.
#![allow(dead_code, reason = "every test program uses its own part")]

pub mod proxy;
pub mod slow;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haat_store::testing::{Hook, Hooks, open_with_hooks};
use haat_store::{MySqlOptions, SqliteOptions, Store, StoreOptions};
use haat_testkit::conformance::{Gate, Queue, Subject};
use haat_testkit::servers::{MariaDb, TestDatabase};
use sqlx::mysql::MySqlConnectOptions;
use tempfile::TempDir;

/// A store with all that it stands on.
pub struct Stage {
    pub store: Arc<dyn Store>,
    pub options: StoreOptions,
    pub subject: Subject,
    pub folder: Option<TempDir>,
    pub database: Option<TestDatabase>,
}

impl Deref for Stage {
    type Target = Subject;
    fn deref(&self) -> &Subject {
        &self.subject
    }
}

/// An empty store in a SQLite file.
pub async fn sqlite() -> Stage {
    let folder = TempDir::new().unwrap();
    let options = StoreOptions::Sqlite(sqlite_options(folder.path().join("haat.db")));
    let stage = Stage::over(options, None).await;
    Stage { folder: Some(folder), ..stage }
}

/// An empty store on MariaDB.
pub async fn mysql() -> Stage {
    let database = MariaDb::shared().create_database();
    let options = StoreOptions::MySql(mysql_options(&database));
    let stage = Stage::over(options, None).await;
    Stage { database: Some(database), ..stage }
}

impl Stage {
    /// Opens and migrates; with a hook in place of the gate, if one is given.
    pub async fn over(options: StoreOptions, hook: Option<Hook>) -> Self {
        let (gate, claimed) = (Gate::default(), Queue::default());
        let through_gate: Hook = {
            let gate = gate.clone();
            Arc::new(move || {
                let gate = gate.clone();
                Box::pin(async move { gate.pass().await })
            })
        };
        let through_queue: Hook = {
            let claimed = claimed.clone();
            Arc::new(move || {
                let claimed = claimed.clone();
                Box::pin(async move { claimed.pass().await })
            })
        };
        let hooks = Hooks { before_commit: Some(hook.unwrap_or(through_gate)), claimed: Some(through_queue) };
        let store = open_with_hooks(&options, hooks).await.unwrap();
        store.migrate().await.unwrap();
        let subject = Subject {
            reader: store.clone(),
            writer: store.clone(),
            log: store.clone(),
            jobs: store.clone(),
            auth: store.clone(),
            sources: store.clone(),
            gate,
            claimed,
        };
        Self { store, options, subject, folder: None, database: None }
    }
}

pub fn sqlite_options(path: PathBuf) -> SqliteOptions {
    SqliteOptions {
        path,
        query_timeout: Duration::from_secs(60),
        acquire_timeout: Duration::from_secs(60),
        ..SqliteOptions::default()
    }
}

pub fn mysql_options(database: &TestDatabase) -> MySqlOptions {
    MySqlOptions {
        host: database.host().to_owned(),
        port: database.port(),
        user: database.user().to_owned(),
        password: database.password().to_owned(),
        database: database.name().to_owned(),
        query_timeout: Duration::from_secs(60),
        acquire_timeout: Duration::from_secs(60),
        ..MySqlOptions::default()
    }
}

/// A way into the database past the store.
pub fn past_the_store(database: &TestDatabase) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .host(database.host())
        .port(database.port())
        .username(database.user())
        .database(database.name());
    // An empty password is not the same as none.
    if database.password().is_empty() { options } else { options.password(database.password()) }
}
