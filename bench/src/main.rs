//! Measures Haat as its users meet it: the shipped binary, over HTTP and on the command line, at a million products.
//!
//! Every subcommand writes one section into the work folder; `report` puts the sections together as
//! `bench/results.md`. `bench/run` does everything in order. Load generator, server and database share the machine,
//! so the generator is a small HTTP client of its own ([`client`]).
#![allow(clippy::print_stdout, reason = "a command-line program prints")]

mod account;
mod catalogue;
mod client;
mod drive;
mod hot;
mod hot_writes;
mod ingest;
mod limits;
mod listing;
mod live;
mod load;
mod mariadb;
mod nginx;
mod overload;
mod pressure;
mod process;
mod redis;
mod relevance;
mod report;
mod server;
mod small;
mod sql;
mod stampede;
mod tokens;
mod upstream;
mod workload;
mod wrk;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

/// Haat's benchmarks.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    command: Command,
}

/// What every benchmark needs to know.
#[derive(Debug, Clone, clap::Args)]
struct Bench {
    /// Where catalogues, databases, indexes and sections are kept between runs; several GB.
    #[arg(long, global = true, default_value = "target/bench")]
    work: PathBuf,
    /// The binary to measure.
    #[arg(long, global = true, default_value = "target/bench-fast/haat")]
    haat: PathBuf,
    /// The folder of scale_catalogue.py and groceries.csv.
    #[arg(long, global = true, env = "HAAT_TEST_DATA", default_value = "../shared/data")]
    data: PathBuf,
    /// How many products.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    products: u64,
    /// What random choices start from: the same seed asks the same questions.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
}

impl Bench {
    /// The data folder of the server that runs on `store`.
    fn data_dir(&self, store: Store) -> PathBuf {
        self.work.join(format!("{}-{}", store.name(), self.products))
    }

    /// The folder, made if need be.
    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.work.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn haat(&self) -> &Path {
        &self.haat
    }
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    /// The bundled one.
    Sqlite,
    /// A MariaDB that the benchmark starts.
    Mariadb,
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Mariadb => "mariadb",
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the catalogue (kept for the next run).
    Catalogue,
    /// Time `haat import` into an empty database.
    Import {
        /// Into which.
        #[arg(long, value_enum)]
        store: Store,
    },
    /// Time `haat index rebuild` from SQL.
    Rebuild {
        /// From which.
        #[arg(long, value_enum)]
        store: Store,
    },
    /// Time from start to ready with an existing index.
    Start {
        /// How many starts.
        #[arg(long, default_value_t = 5)]
        times: u32,
    },
    /// The seven kinds of listing over HTTP, nothing cached.
    Listing {
        /// Requests per kind, count mode and number of connections.
        #[arg(long, default_value_t = 2_000)]
        requests: usize,
        /// Numbers of connections.
        #[arg(long, value_delimiter = ',', default_value = "1,8")]
        connections: Vec<usize>,
        /// Only these kinds.
        #[arg(long, value_delimiter = ',')]
        kinds: Vec<workload::Kind>,
    },
    /// The same queries straight on MariaDB with sensible indexes.
    Sql {
        /// Queries per kind at most.
        #[arg(long, default_value_t = 200)]
        requests: usize,
        /// Seconds per kind at most.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Listing latency and write-to-visible time while an import runs.
    DuringImport {
        /// How many products the import changes.
        #[arg(long, default_value_t = 200_000)]
        changed: u64,
        /// Listings per second.
        #[arg(long, default_value_t = 100)]
        rate: u32,
    },
    /// Memory of a server that has answered every kind of listing, and the index on disk.
    Memory,
    /// Search quality: mutated names, beside SQLite FTS5.
    Relevance {
        /// How many queries, in eight classes.
        #[arg(long, default_value_t = 2_000)]
        queries: usize,
        /// Write the queries that missed into the work folder.
        #[arg(long)]
        misses: bool,
    },
    /// A cached page beside nginx that serves the same bytes from a file.
    Hot {
        /// How often everybody has a turn.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of a turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Connections.
        #[arg(long, default_value_t = 64)]
        connections: usize,
    },
    /// Hot pages while the products on them are written.
    HotWrites {
        /// Seconds quiet, and again under writes.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Listings per second.
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// Writes per second.
        #[arg(long, default_value_t = 100)]
        writes: u32,
    },
    /// One cold page asked by everybody at once, in four servers.
    Stampede {
        /// How many pages, one after another.
        #[arg(long, default_value_t = 10)]
        keys: usize,
        /// Connections to all servers together.
        #[arg(long, default_value_t = 1_000)]
        connections: usize,
    },
    /// What a rate limit shared by four servers admits, and what it costs.
    Limits {
        /// Seconds of bursts.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Rounds with and without policies.
        #[arg(long, default_value_t = 8)]
        rounds: usize,
        /// Seconds of a round.
        #[arg(long, default_value_t = 5)]
        round_seconds: u64,
        /// Listings per second in a round.
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
    },
    /// Three times what the server can carry.
    Overload {
        /// Seconds of every step.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Numbers of connections to find out what the server can carry.
        #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32,64")]
        steps: Vec<usize>,
        /// Connections of the overload.
        #[arg(long, default_value_t = 512)]
        connections: usize,
        /// The fixed limit to compare with.
        #[arg(long, default_value_t = 4)]
        fixed: usize,
    },
    /// Access tokens: issued per second and core beside oidc-provider, checked on a cached page, and what is kept of them.
    Tokens {
        /// How often everybody has a turn at issuing.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of such a turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Connections of such a turn.
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Tokens per second, for latency below what can be issued.
        #[arg(long, default_value_t = 1_500)]
        rate: u32,
        /// How often a cached page is asked for with a token and without.
        #[arg(long, default_value_t = 15)]
        page_rounds: usize,
        /// Seconds of such a turn, over 64 connections.
        #[arg(long, default_value_t = 2)]
        page_seconds: u64,
        /// How many are issued to see what is kept of them; a hundredth of them is revoked, and another is for signed
        /// statements.
        #[arg(long, default_value_t = 1_000_000)]
        tokens: u64,
    },
    /// An upstream that takes requests and never answers, beside listings; and synchronisations beside imports.
    Upstream {
        /// Only one of the two.
        #[arg(long, value_enum)]
        only: Option<upstream::Part>,
        /// How often each kind of traffic beside the listings has a turn.
        #[arg(long, default_value_t = 5)]
        rounds: u64,
        /// Seconds of a turn.
        #[arg(long, default_value_t = 6)]
        round_seconds: u64,
        /// Seconds that the upstream hangs in one go, while memory is looked at.
        #[arg(long, default_value_t = 60)]
        hang_seconds: u64,
        /// Listings per second.
        #[arg(long, default_value_t = 300)]
        rate: u32,
        /// Requests for live values, or whatever is in their place, per second.
        #[arg(long, default_value_t = 500)]
        live: u32,
        /// How many products are synchronised, 200,000 at most.
        #[arg(long, default_value_t = small::PRODUCTS)]
        sync_products: u64,
    },
    /// Put the sections together.
    Report {
        /// Where.
        #[arg(long, default_value = "bench/results.md")]
        out: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { mut bench, command } = Arguments::parse();
    // The server runs in the work folder, so nothing may depend on the folder that we were called from.
    bench.work = std::path::absolute(&bench.work)?;
    bench.haat = std::path::absolute(&bench.haat)?;
    std::fs::create_dir_all(&bench.work)?;
    match command {
        Command::Catalogue => catalogue::make(&bench, bench.products, 1).await.map(|_| ()),
        Command::Import { store } => ingest::import(&bench, store).await,
        Command::Rebuild { store } => ingest::rebuild(&bench, store).await,
        Command::Start { times } => ingest::start(&bench, times).await,
        Command::Listing { requests, connections, kinds } => listing::run(&bench, requests, &connections, &kinds).await,
        Command::Sql { requests, seconds } => sql::run(&bench, requests, seconds).await,
        Command::DuringImport { changed, rate } => pressure::run(&bench, changed, rate).await,
        Command::Memory => ingest::memory(&bench).await,
        Command::Relevance { queries, misses } => relevance::run(&bench, queries, misses).await,
        Command::Hot { rounds, seconds, connections } => {
            hot::run(&bench, hot::Plan { rounds, aim: wrk::Aim { connections, seconds } }).await
        }
        Command::HotWrites { seconds, rate, writes } => {
            hot_writes::run(&bench, hot_writes::Plan { seconds, rate, writes }).await
        }
        Command::Stampede { keys, connections } => stampede::run(&bench, keys, connections).await,
        Command::Limits { seconds, rounds, round_seconds, rate } => {
            limits::run(&bench, limits::Plan { seconds, rounds, round_seconds, rate }).await
        }
        Command::Overload { seconds, steps, connections, fixed } => {
            overload::run(&bench, overload::Plan { seconds, steps, connections, fixed }).await
        }
        Command::Tokens { rounds, seconds, connections, rate, page_rounds, page_seconds, tokens } => {
            let (aim, page) = (wrk::Aim { connections, seconds }, wrk::Aim { connections: 64, seconds: page_seconds });
            tokens::run(&bench, tokens::Plan { rounds, aim, rate, page_rounds, page, tokens }).await
        }
        Command::Upstream { only, rounds, round_seconds, hang_seconds, rate, live, sync_products } => {
            let plan = upstream::Plan { only, rounds, round_seconds, hang_seconds, rate, live, sync_products };
            upstream::run(&bench, plan).await
        }
        Command::Report { out } => report::assemble(&bench, &out),
    }
}
