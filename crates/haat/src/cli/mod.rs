//! The command line: one module per command, and what all of them share.

mod clients;
mod config;
mod demo_upstream;
mod doctor;
mod export;
mod import;
mod index;
mod keys;
mod migrate;
mod openapi;
mod output;
mod progress;
mod serve;
mod sources;
mod sync;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args, Parser, Subcommand};
use indicatif::MultiProgress;

use crate::config::{Config, Inputs, Loaded, LogFormat, load};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::lifecycle::Lifecycle;
use crate::logging;
use crate::wiring::World;
use output::Output;

/// Haat serves a product catalogue: it keeps the products in SQL and answers listings and searches from its own index.
#[derive(Debug, Parser)]
#[command(name = "haat", version, about, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "For every command")]
struct GlobalArgs {
    /// The configuration file [default: HAAT_CONFIG, else ./haat.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder for database file, index and keys [default: HAAT_DATA_DIR, else data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Answer in JSON on standard output, for machines
    #[arg(long, global = true)]
    json: bool,
    /// How log lines look, on standard error: text or json
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    log_format: Option<LogFormat>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Import products from a file or standard input
    Import(import::ImportArgs),
    /// Export all products
    Export(export::ExportArgs),
    /// Bring the products of an upstream catalogue up to date
    Sync(sync::SyncArgs),
    /// How the upstream catalogues stand; open and close their circuit breakers
    Sources(sources::SourcesArgs),
    /// Rebuild the index, or compare it with the database
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// Make, change and revoke clients: who may get access tokens
    #[command(subcommand)]
    Clients(clients::ClientsCommand),
    /// Look at and rotate the keys that tokens are signed with
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Bring the database's tables up to date
    Migrate(migrate::MigrateArgs),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say what is wrong with this deployment, and what to do
    Doctor,
    /// Run a small upstream catalogue with OAuth 2.0, limits and faults, to try sources against
    DemoUpstream(demo_upstream::DemoUpstreamArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
}

/// What a command works with.
struct Session {
    loaded: Loaded,
    output: Output,
    bars: MultiProgress,
    lifecycle: Lifecycle,
    world: World,
}

impl Session {
    fn config(&self) -> &Config {
        &self.loaded.config
    }
}

/// Runs the command line that was given.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            drop(e.print());
            return if e.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let output = Output::new(cli.global.json);
    match carry_out(cli, output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    }
}

fn carry_out(cli: Cli, output: Output) -> Result<Exit, Failure> {
    if let Command::Openapi = cli.command {
        return openapi::run(output);
    }
    let loaded = match load(&inputs(&cli)) {
        Ok(loaded) => loaded,
        Err(error) if matches!(cli.command, Command::Doctor) => {
            return Ok(doctor::without_configuration(output, &error));
        }
        Err(error) => return Err(error.into()),
    };
    let bars = MultiProgress::new();
    let _log = logging::init(&loaded.config.log.filter, loaded.config.log.format, bars.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let ended = runtime.block_on(async {
        let lifecycle = Lifecycle::of_process().context("cannot listen to signals")?;
        let session = Session { loaded, output, bars, lifecycle, world: World::of_machine() };
        dispatch(cli.command, &session).await
    });
    // Everything that must be finished is; a thread that still waits for input must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn dispatch(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(&args, session).await,
        // An import stops by itself at the first signal, after the batch it is writing.
        Command::Import(args) => or_interrupted(session.lifecycle.hard(), import::run(args, session)).await,
        Command::Export(args) => or_interrupted(session.lifecycle.soft(), export::run(&args, session)).await,
        // Stops by itself at the first signal, after the page it is writing.
        Command::Sync(args) => or_interrupted(session.lifecycle.hard(), sync::run(&args, session)).await,
        Command::Sources(args) => or_interrupted(session.lifecycle.soft(), sources::run(args, session)).await,
        Command::DemoUpstream(args) => {
            or_interrupted(session.lifecycle.hard(), demo_upstream::run(&args, session)).await
        }
        Command::Index(command) => or_interrupted(session.lifecycle.soft(), index::run(&command, session)).await,
        Command::Clients(command) => or_interrupted(session.lifecycle.soft(), clients::run(command, session)).await,
        Command::Keys(command) => or_interrupted(session.lifecycle.soft(), keys::run(&command, session)).await,
        Command::Migrate(args) => or_interrupted(session.lifecycle.soft(), migrate::run(&args, session)).await,
        Command::Config(command) => config::run(&command, session),
        Command::Doctor => or_interrupted(session.lifecycle.soft(), doctor::run(session)).await,
        Command::Openapi => openapi::run(session.output),
    }
}

/// By whom commands are done, in the audit log.
const COMMAND_LINE: &str = "command line";

/// Who this command is to others, who want to know where to look for it.
fn this_command() -> String {
    let system = rustix::system::uname();
    format!("command on {}, process {}", system.nodename().to_string_lossy(), std::process::id())
}

async fn or_interrupted(
    signal: &tokio_util::sync::CancellationToken,
    command: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    tokio::select! {
        biased;
        ended = command => ended,
        () = signal.cancelled() => Err(Failure::Interrupted),
    }
}

/// What the configuration is made from: flags are settings too.
fn inputs(cli: &Cli) -> Inputs {
    let global = &cli.global;
    let mut flags = Vec::new();
    let mut set = |key, flag, value: Option<String>| flags.extend(value.map(|value| (key, flag, value)));
    set("data_dir", "--data-dir", global.data_dir.clone());
    let format = global.log_format.map(|f| if f == LogFormat::Json { "json" } else { "text" }.to_owned());
    set("log.format", "--log-format", format);
    let filter = match global.verbose {
        0 => None,
        1 => Some("debug,tantivy=info,sqlx=info,hyper=info,hyper_util=info,h2=info"),
        _ => Some("trace,tantivy=trace,sqlx=trace"),
    };
    set("log.filter", "-v", filter.map(str::to_owned));
    if let Command::Serve(args) = &cli.command {
        set("http.bind", "--bind", args.bind.clone());
        set("http.port", "--port", args.port.clone());
    }
    Inputs::of_process(global.config.clone(), flags)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
