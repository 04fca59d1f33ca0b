//! `haat demo-upstream`: a small upstream catalogue that fails on request, to see what Haat makes of it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use haat_demo_upstream::catalogue::MAX_PRODUCTS;
use haat_demo_upstream::{Client, Options, Script, Settings, serve, sources_section};
use serde_json::json;
use tokio::net::TcpListener;

use super::Session;
use crate::config::units::Period;
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct DemoUpstreamArgs {
    /// The port to listen on, on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 4000)]
    port: u16,
    /// How many products it has
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = products)]
    products: usize,
    /// What goes wrong and when, such as "ok 20s, down 20s, slow 2s 10s, loop"; docs/demo-upstream.md has all of it
    #[arg(long, value_name = "SCRIPT")]
    script: Option<Script>,
    /// How many requests a client may send in a second; more are answered with 429 [default: any number]
    #[arg(long, value_name = "N")]
    rate_limit: Option<NonZeroU32>,
    /// How long each answer takes at least, such as 50ms
    #[arg(long, value_name = "TIME")]
    latency: Option<Period>,
    /// Write a configuration with it as a source into this file; one that is there already must be the same
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    /// What the products are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn products(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MAX_PRODUCTS);
    number.ok_or_else(|| format!("it must be a whole number up to {MAX_PRODUCTS}"))
}

pub(super) async fn run(args: &DemoUpstreamArgs, session: &Session) -> Result<Exit, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| Failure::Failed(anyhow!("cannot listen on {address}: {e}; choose another port with --port")))?;
    let url = format!("http://{}", listener.local_addr().map_err(anyhow::Error::from)?);
    let latency = args.latency.map(Period::duration).unwrap_or_default();
    let options = Options {
        seed: args.seed,
        products: args.products,
        settings: Settings { latency, rate_limit: args.rate_limit, ..Settings::default() },
        script: args.script.clone().unwrap_or_default(),
        clock: session.world.clock.clone(),
        ..Options::default()
    };
    let section = sources_section("market", &url, &Client::default());
    let how = match &args.write_config {
        Some(path) => {
            write_config(path, &section)?;
            format!("{} makes it a source:\n\n  haat serve --config {0}", path.display())
        }
        None => format!("This in haat.toml makes it a source:\n\n{section}"),
    };
    let text = format!(
        "A demonstration upstream of {} products is on {url}. {how}\n\n\
         {url}/stats says what it has seen, POST {url}/control breaks it. Ctrl-C stops it.",
        args.products
    );
    session.output.answer(text, &json!({ "event": "listening", "url": url, "haat_toml": section }));
    serve(listener, options, session.lifecycle.soft().clone()).await.map_err(anyhow::Error::from)?;
    Ok(Exit::Ok)
}

/// Writes a file that was not there, or is just this one: so that the same command may be given again.
fn write_config(path: &Path, text: &str) -> Result<(), Failure> {
    let new = OpenOptions::new().write(true).create_new(true).open(path);
    let error = match new.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() != ErrorKind::AlreadyExists => e.to_string(),
        Err(_) if std::fs::read_to_string(path).is_ok_and(|there| there == text) => return Ok(()),
        Err(_) => "there is another file already".to_owned(),
    };
    Err(Failure::Usage(format!("--write-config {}: {error}; choose another file", path.display())))
}
