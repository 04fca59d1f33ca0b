//! MariaDB for tests.

use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tempfile::TempDir;

use super::process::Guarded;
use super::{Certificates, base_folder, free_port, run, shared, wait_for};

/// Where a server listens and who may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
}

impl Address {
    /// The server of our own making on a port.
    pub(super) fn local(port: u16) -> Self {
        Self { host: "127.0.0.1".into(), port, user: "root".into(), password: String::new() }
    }

    /// Runs a statement through the `mariadb` program.
    fn execute(&self, sql: &str) -> Result<String, String> {
        let output = Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "--skip-column-names", "--batch", "--connect-timeout=5"])
            .args(["-h", &self.host, "-P", &self.port.to_string(), "-u", &self.user, "-e", sql])
            .env("MYSQL_PWD", &self.password)
            .output()
            .map_err(|e| format!("mariadb: {e}; install it with: apt-get install mariadb-client"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// A MariaDB server.
pub struct MariaDb {
    address: Address,
    own: Option<Own>,
}

/// What belongs to a server that one test has for itself.
struct Own {
    process: Mutex<Guarded>,
    args: Vec<String>,
    folder: TempDir,
    certificates: Option<Certificates>,
}

impl MariaDb {
    /// The server that all tests of a run share. Take a database of your own with [`Self::create_database`].
    pub fn shared() -> &'static Self {
        static SHARED: std::sync::OnceLock<MariaDb> = std::sync::OnceLock::new();
        SHARED.get_or_init(|| Self { address: shared::address(), own: None })
    }

    /// A server for one test.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server for one test, with more options for `mariadbd`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::launch(new_folder(), options, None)
    }

    /// A server for one test that accepts nothing but TLS, with a certificate for the names given
    /// (`DNS:localhost`, `IP:127.0.0.1`).
    pub fn start_with_tls(names: &[&str]) -> Self {
        let folder = new_folder();
        let certificates = Certificates::make(folder.path(), names);
        let options = [
            format!("--ssl-ca={}", certificates.ca.display()),
            format!("--ssl-cert={}", certificates.certificate.display()),
            format!("--ssl-key={}", certificates.key.display()),
            "--require-secure-transport=ON".to_owned(),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Self::launch(folder, &options, Some(certificates))
    }

    fn launch(folder: TempDir, options: &[&str], certificates: Option<Certificates>) -> Self {
        copy_template(&folder.path().join("data"));
        let port = free_port();
        let mut args = arguments(&folder.path().join("data"), port);
        args.extend(options.iter().map(|option| (*option).to_owned()));
        let process = Mutex::new(Guarded::start(folder.path(), "mariadbd", &args));
        let server = Self { address: Address::local(port), own: Some(Own { process, args, folder, certificates }) };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        let process = self.process();
        let ready = wait_for(|| {
            assert!(process.runs(), "mariadbd ended: {}", process.log_tail());
            greets(self.address.port).then_some(())
        });
        assert!(ready.is_some(), "mariadbd does not answer: {}", process.log_tail());
    }

    fn own(&self) -> &Own {
        self.own.as_ref().expect("the shared server serves other tests too; take one by MariaDb::start()")
    }

    fn process(&self) -> MutexGuard<'_, Guarded> {
        self.own().process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The host name or address.
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// A user who may do everything.
    pub fn user(&self) -> &str {
        &self.address.user
    }

    /// The user's password; empty for none.
    pub fn password(&self) -> &str {
        &self.address.password
    }

    /// The certificates of a server started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.own().certificates.as_ref().expect("this server was started without TLS")
    }

    /// Makes an empty database with a name of its own; it is dropped with what is returned.
    pub fn create_database(&self) -> TestDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haat_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let address = self.address.clone();
        if self.own.as_ref().is_some_and(|own| own.certificates.is_some()) {
            // The program would have to be told of the authority; the folder tells the server as well.
            std::fs::create_dir(self.own().folder.path().join("data").join(&name)).unwrap();
        } else {
            // A name may be left over from an earlier process with the same id on a server that lives on.
            let sql = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4");
            address.execute(&sql).unwrap();
        }
        TestDatabase { address, name, drop_it: self.own.is_none() }
    }

    /// Stops the server without closing connections (SIGSTOP): it accepts and never answers.
    pub fn pause(&self) {
        self.process().pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process().signal("CONT");
    }

    /// Kills it (SIGKILL), as a power cut would.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Kills it if it runs, and starts it again with the same data on the same port.
    pub fn restart(&self) {
        self.kill();
        let own = self.own();
        *self.process() = Guarded::start(own.folder.path(), "mariadbd", &own.args);
        self.wait_until_ready();
    }
}

/// A database of one test, dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    address: Address,
    name: String,
    drop_it: bool,
}

impl TestDatabase {
    /// The server's host name or address.
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// The server's TCP port.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// A user who may do everything.
    pub fn user(&self) -> &str {
        &self.address.user
    }

    /// The user's password; empty for none.
    pub fn password(&self) -> &str {
        &self.address.password
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a statement through the `mariadb` program and gives the rows, columns separated by tabs.
    pub fn execute(&self, sql: &str) -> String {
        self.address.execute(&format!("USE {}; {sql}", self.name)).unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.drop_it {
            // The server may have gone first; then the database has gone with it.
            let _ = self.address.execute(&format!("DROP DATABASE IF EXISTS {}", self.name));
        }
    }
}

fn new_folder() -> TempDir {
    TempDir::new_in(base_folder()).unwrap()
}

/// Whether a server greets who connects (a packet with protocol version 10).
pub(super) fn greets(port: u16) -> bool {
    let mut greeting = [0; 5];
    TcpStream::connect(("127.0.0.1", port))
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.read_exact(&mut greeting)
        })
        .is_ok_and(|()| greeting[4] == 10)
}

/// Options for a small, quick server. Commits reach the operating system before they are answered, so that a killed
/// server loses nothing; they are not synced to disk, which only a power cut would notice.
pub(super) fn arguments(data: &Path, port: u16) -> Vec<String> {
    let mut args: Vec<String> = [
        "--no-defaults",
        "--bind-address=127.0.0.1",
        "--skip-networking=OFF",
        "--skip-name-resolve",
        "--socket=mysql.sock",
        "--pid-file=mysql.pid",
        "--max-connections=600",
        "--max-connect-errors=1000000",
        "--innodb-buffer-pool-size=128M",
        "--innodb-log-file-size=32M",
        "--innodb-flush-log-at-trx-commit=2",
        "--performance-schema=OFF",
        "--skip-log-bin",
    ]
    .map(str::to_owned)
    .to_vec();
    args.push(format!("--datadir={}", data.display()));
    args.push(format!("--port={port}"));
    if run("id", &["-u"]).trim() == "0" {
        args.push("--user=root".to_owned());
    }
    args
}

/// Copies a data folder as it is after installation, made once per build folder.
pub(super) fn copy_template(to: &Path) {
    let template = template();
    run("cp", &["-r", "--reflink=auto", template.to_str().unwrap(), to.to_str().unwrap()]);
}

fn template() -> PathBuf {
    let base = base_folder();
    let template = base.join("mariadb-template");
    let turn = std::fs::File::create(base.join("mariadb-template.lock")).unwrap();
    turn.lock().unwrap();
    if !template.is_dir() {
        let made = TempDir::new_in(&base).unwrap();
        let data = made.path().join("data");
        let datadir = format!("--datadir={}", data.display());
        let mut args = vec!["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"];
        args.extend(["--innodb-log-file-size=32M", &datadir]);
        if run("id", &["-u"]).trim() == "0" {
            args.push("--user=root");
        }
        run("mariadb-install-db", &args);
        std::fs::rename(&data, &template).unwrap();
    }
    template
}
