//! What outlives a process: the data folder, the database, the settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use haat_testkit::servers::{MariaDb, TestDatabase};
use tempfile::TempDir;

use super::Server;

/// The database under a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    MariaDb,
}

/// A data folder, a database and settings; processes come and go.
pub struct Stage {
    folder: TempDir,
    database: Option<TestDatabase>,
    /// A database server of its own, for tests that freeze or kill it.
    engine: Option<MariaDb>,
    settings: BTreeMap<String, String>,
    started: AtomicU32,
    /// A token that may do everything, once a server has made the client for it.
    token: Arc<Mutex<String>>,
}

/// What secrets and keys are kept under, on every server of a stage.
const ENCRYPTION_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    /// An empty stage.
    pub async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::on(None, None),
            Backend::MariaDb => {
                let database = blocking(|| MariaDb::shared().create_database()).await;
                Self::on(Some(database), None)
            }
        }
    }

    /// An empty stage on MariaDB with a server that no other test uses.
    pub async fn with_own_engine() -> Self {
        let (engine, database) = blocking(|| {
            let engine = MariaDb::start();
            let database = engine.create_database();
            (engine, database)
        })
        .await;
        Self::on(Some(database), Some(engine))
    }

    fn on(database: Option<TestDatabase>, engine: Option<MariaDb>) -> Self {
        let folder = tempfile::Builder::new().prefix("haat-end-to-end").tempdir().unwrap();
        let mut stage = Self {
            folder,
            database,
            engine,
            settings: BTreeMap::new(),
            started: AtomicU32::new(0),
            token: Arc::default(),
        };
        stage.set("HAAT_DATA_DIR", &stage.data().display().to_string());
        stage.set("PORT", "0");
        stage.set("RUST_LOG", "info");
        stage.set("HAAT_AUTH__ENCRYPTION_KEY", ENCRYPTION_KEY);
        stage.set("HAAT_AUTH__ISSUER", "http://haat.test");
        if let Some(database) = &stage.database {
            let settings = [
                ("DB_HOST", database.host().to_owned()),
                ("DB_PORT", database.port().to_string()),
                ("DB_USER", database.user().to_owned()),
                ("DB_PASS", database.password().to_owned()),
                ("DB_NAME", database.name().to_owned()),
                ("HAAT_DATABASE__TLS", "off".to_owned()),
            ];
            for (name, value) in settings.into_iter().filter(|(_, value)| !value.is_empty()) {
                stage.settings.insert(name.into(), value);
            }
        }
        stage
    }

    /// Sets a variable of every process started from now on.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of the index.
    pub fn index(&self) -> PathBuf {
        self.data().join("index")
    }

    /// A place for a file of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database server of [`Self::with_own_engine`].
    pub fn engine(&self) -> &MariaDb {
        self.engine.as_ref().expect("this stage has a database server of its own")
    }

    /// A server that says it is ready.
    pub async fn start(&self) -> Server {
        let server = self.launch(&[]).await;
        server.ready().await;
        server
    }

    /// A server with a data folder of its own, beside others on the same database, once it says it is ready.
    pub async fn start_replica(&self, name: &str) -> Server {
        let n = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("server-{n}.log"));
        let mut command = self.command(&["serve"]);
        command.env("HAAT_DATA_DIR", self.folder.path().join(name));
        let server = Server::spawn(&mut command, log, self.token.clone()).await;
        server.ready().await;
        server
    }

    /// Writes the configuration file that every process started from now on reads.
    pub fn configure(&self, toml: &str) {
        std::fs::write(self.folder.path().join("haat.toml"), toml).unwrap();
    }

    /// A server that has told its address; it may not be ready yet.
    pub async fn launch(&self, flags: &[&str]) -> Server {
        let n = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("server-{n}.log"));
        let mut command = self.command(&[&["serve"], flags].concat());
        Server::spawn(&mut command, log, self.token.clone()).await
    }

    /// A `haat` command with this stage's settings and nothing else from the environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haat"));
        command.args(args).current_dir(self.folder.path()).env_clear().envs(&self.settings).stdin(Stdio::null());
        command
    }

    /// Runs a `haat` command to its end.
    pub async fn run(&self, args: &[&str]) -> Finished {
        self.run_with_input(args, Vec::new()).await
    }

    /// Runs a `haat` command to its end with `input` on its standard input.
    pub async fn run_with_input(&self, args: &[&str], input: Vec<u8>) -> Finished {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let finished = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            // A command that does not want its input closes the pipe; that is its right.
            let feeder = std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &input)));
            let output = child.wait_with_output().unwrap();
            feeder.join().unwrap();
            output
        });
        let output = finished.await.unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Compares the index with the database, row by row; a difference fails the test.
    pub async fn verify_index(&self) {
        let finished = self.run(&["index", "verify"]).await;
        assert_eq!(finished.code, Some(0), "index verify: {finished:?}");
    }

    /// The file of SQLite.
    pub fn sqlite_file(&self) -> PathBuf {
        let files = std::fs::read_dir(self.data()).unwrap().map(|e| e.unwrap().path());
        files.into_iter().find(|f| is_sqlite(f)).expect("a SQLite file in the data folder")
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn is_sqlite(path: &Path) -> bool {
    path.is_file() && std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3"))
}

impl Finished {
    /// The command went well.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// What it said on standard output, as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:#?}"))
    }
}
