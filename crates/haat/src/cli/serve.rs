//! `haat serve`: the server, from an empty folder to an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use haat_catalog::ports::ListingIndex as _;
use haat_http::Access;
use haat_oauth::admin::{LastUses, Made};
use haat_search::Index;
use haat_store::Store;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Session;
use super::clients::described;
use super::output::Output;
use crate::authority::failure;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::demo::{self, Demo};
use crate::doctor::machine;
use crate::exit::{Exit, Failure};
use crate::lifecycle::Workers;
use crate::wiring::{self, Assembler, Assembly};

/// Connections that wait in the system's queue to be accepted.
const BACKLOG: u32 = 1024;
/// How long workers may take to finish what they have begun.
const WORKERS_STOP: Duration = Duration::from_secs(20);
/// How long the connections to the database may take to close.
const STORE_CLOSE: Duration = Duration::from_secs(5);
/// How much longer than it was told to the HTTP server may take to drain.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// How long the demo's pointers wait for the index to have the demo products.
const DEMO_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Fill an empty catalogue with sample products, and say what to open
    #[arg(long)]
    demo: bool,
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) bind: Option<String>,
    /// The port to listen on; 0 takes a free one [default: PORT, else 3000]
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<String>,
}

pub(super) async fn run(args: &ServeArgs, session: &Session) -> Result<Exit, Failure> {
    let config = session.config();
    let data = DataDir::prepare(&config.data_dir)?;
    let _lock = data.lock()?;
    machine::raise_file_limit();
    let store = tokio::select! {
        store = wiring::open_store_patiently(config) => store?,
        () = session.lifecycle.soft().cancelled() => return Ok(Exit::Ok),
    };
    let ended = with_store(args, session, &data, &store).await;
    if tokio::time::timeout(STORE_CLOSE, store.close()).await.is_err() {
        tracing::warn!("the database connections did not close in time");
    }
    ended
}

async fn with_store(
    args: &ServeArgs,
    session: &Session,
    data: &DataDir,
    store: &Arc<dyn Store>,
) -> Result<Exit, Failure> {
    let (config, world, lifecycle) = (session.config(), &session.world, &session.lifecycle);
    let listener = listen(config)?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    let demo = if args.demo { Some(demo::fill(store, world, lifecycle.soft().clone()).await?) } else { None };
    let assembly = Assembler { config, data, store, world, lifecycle, address }.assemble().await?;
    let Assembly { index, api, options, workers, access } = assembly;
    let url = format!("http://{address}");
    introduce_administrator(&access, &url, session.output).await?;

    let stop_http = CancellationToken::new();
    let stop = stop_http.clone();
    let http = tokio::spawn(async move { haat_http::serve(listener, api, &options, stop).await });
    tracing::info!(%address, database = store.backend(), data = %data.path().display(), "serving");
    announce(session.output, &url, address, demo, store, &index).await;
    drop(index);
    Running { http, stop_http, workers }.until_stopped(session).await
}

fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(config.http.bind.0, config.http.port);
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let listen = || {
        let socket = socket?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|e: std::io::Error| {
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => "; another program has it: choose another with --port or PORT",
            std::io::ErrorKind::PermissionDenied => {
                "; ports below 1024 are for the administrator: choose another with --port or PORT"
            }
            std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address: see --bind or HAAT_HTTP__BIND",
            _ => "",
        };
        Failure::Failed(anyhow!("cannot listen on {address}: {e}{advice}"))
    })
}

/// Makes the first client, which may do everything, and shows its secret at once: whoever stops the server between the two
/// has to rotate it.
async fn introduce_administrator(access: &Access, url: &str, output: Output) -> Result<(), Failure> {
    let Some(made) = access.admin.ensure_administrator().await.map_err(failure)? else { return Ok(()) };
    let client = described(&made, &LastUses::default());
    output.answer(administrator(url, &made), &json!({ "event": "administrator", "client": client }));
    Ok(access.directory.refresh().await?)
}

/// Says where the server is, and with `--demo` what to open.
async fn announce(
    output: Output,
    url: &str,
    address: SocketAddr,
    demo: Option<Demo>,
    store: &Arc<dyn Store>,
    index: &Index,
) {
    output.answer(format!("Haat listens on {url}"), &json!({ "event": "listening", "url": url, "address": address }));
    match demo {
        Some(demo) => {
            caught_up(index, store).await;
            output.answer(pointers(url, demo), &demo_event(demo));
        }
        None if !output.is_json() && matches!(store.count().await, Ok(0)) => {
            output
                .answer("The catalogue is empty: `haat import FILE` fills it, `haat serve --demo` with samples.", &());
        }
        None => {}
    }
}

/// Waits, but not for long, until listings show what is in the database now.
async fn caught_up(index: &Index, store: &Arc<dyn Store>) {
    let Ok(head) = store.head().await else { return };
    index.nudge(&[]);
    let there = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !(index.status().ready && index.status().seq >= head) {
            tick.tick().await;
        }
    };
    if tokio::time::timeout(DEMO_WAIT, there).await.is_err() {
        tracing::warn!("the index is still being built; listings show the products as it goes on");
    }
}

/// The first client, which whoever starts the server needs and nobody is told of again.
fn administrator(url: &str, made: &Made) -> String {
    let (id, secret) = (&made.client.id, made.secret.as_deref().unwrap_or_default());
    format!(
        "
  This is the first start. This client may do everything; its secret is shown this once:

    client_id      {id}
    client_secret  {secret}

  A token: curl -u {id}:{secret} -d grant_type=client_credentials {url}/oauth/token
"
    )
}

fn demo_event(demo: Demo) -> serde_json::Value {
    match demo {
        Demo::Imported(products) => json!({ "event": "demo", "imported": products }),
        Demo::LeftAlone(products) => json!({ "event": "demo", "imported": 0, "already_there": products }),
    }
}

fn pointers(url: &str, demo: Demo) -> String {
    let what = match demo {
        Demo::Imported(n) => format!("{n} sample products are in."),
        Demo::LeftAlone(n) => format!("The catalogue has {n} products already: they stay, the samples are left out."),
    };
    format!(
        "
  {what} Open

    {url}/v1/products?limit=5                         the newest five
    {url}/v1/products?q=basmati+rice                  a search
    {url}/v1/products?facets=brand,category&limit=1   what there is to filter by
    {url}/docs                                        the whole API

  Ctrl-C stops the server.
"
    )
}

/// A server with its door open.
struct Running {
    http: JoinHandle<std::io::Result<()>>,
    stop_http: CancellationToken,
    workers: Workers,
}

impl Running {
    /// Serves until a signal comes or something breaks, then drains: readiness first, then the door, then what is under
    /// way, then the workers.
    async fn until_stopped(mut self, session: &Session) -> Result<Exit, Failure> {
        let lifecycle = &session.lifecycle;
        let broken = tokio::select! {
            () = lifecycle.soft().cancelled() => None,
            what = self.workers.one_died() => Some(what),
            ended = &mut self.http => Some(match ended {
                Ok(Ok(())) => "the HTTP server has ended".to_owned(),
                Ok(Err(e)) => format!("the HTTP server has failed: {e}"),
                Err(e) => format!("the HTTP server has failed: {e}"),
            }),
        };
        if let Some(what) = &broken {
            tracing::error!("{what}: stopping");
        }
        // From here on /readyz says no.
        lifecycle.soft().cancel();
        let stopped = tokio::select! {
            () = self.drain(session.config()) => true,
            () = lifecycle.hard().cancelled() => false,
        };
        match broken {
            Some(what) => Err(Failure::Failed(anyhow!(what))),
            None if stopped => {
                tracing::info!("stopped");
                Ok(Exit::Ok)
            }
            None => Ok(Exit::Interrupted),
        }
    }

    async fn drain(self, config: &Config) {
        let Self { mut http, stop_http, workers } = self;
        if !http.is_finished() {
            tokio::time::sleep(config.http.drain_notice.duration()).await;
            stop_http.cancel();
            let within = config.http.drain_timeout.duration() + DRAIN_GRACE;
            if tokio::time::timeout(within, &mut http).await.is_err() {
                tracing::warn!("requests did not finish in time; going on without them");
                http.abort();
            }
        }
        workers.stop(WORKERS_STOP).await;
    }
}
