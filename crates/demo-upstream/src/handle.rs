//! A demonstration upstream inside of a test.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::catalogue::PutError;
use crate::fault::Fault;
use crate::options::{Client, Options, Settings};
use crate::product::Product;
use crate::script::Script;
use crate::section::sources_section;
use crate::server::run;
use crate::stats::{Arrival, Stats};
use crate::upstream::Upstream;

/// A server that runs until this is dropped.
pub struct DemoUpstream {
    address: SocketAddr,
    upstream: Arc<Upstream>,
    server: JoinHandle<()>,
}

impl DemoUpstream {
    /// Starts one on a free port of 127.0.0.1, in the runtime that this is called in.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(options: Options) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), options).await
    }

    /// Starts one at an address, such as that of one that was stopped.
    ///
    /// # Errors
    /// When the address is not free.
    pub async fn start_at(address: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let upstream = Arc::new(Upstream::new(&options, CancellationToken::new()));
        let server = tokio::spawn(run(listener, Arc::clone(&upstream), options.max_connections));
        Ok(Self { address, upstream, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/oauth/token`.
    pub fn token_url(&self) -> String {
        format!("{}/oauth/token", self.url())
    }

    /// The first client that may have tokens.
    pub fn client(&self) -> Option<&Client> {
        self.upstream.clients.first()
    }

    /// The section of `haat.toml` that makes this a source ([`sources_section`]), for its first client.
    pub fn sources_section(&self, name: &str) -> String {
        sources_section(name, &self.url(), &self.client().cloned().unwrap_or_default())
    }

    /// What it has seen.
    pub fn stats(&self) -> Stats {
        self.upstream.stats()
    }

    /// The latest requests, the earliest first; as many as [`Options::arrivals`] says.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.upstream.counter.arrivals()
    }

    /// Begins to count anew.
    pub fn reset_stats(&self) {
        self.upstream.counter.reset();
    }

    /// Has a fault on from now on: for that long, then the script has its say again; or until something else is said.
    pub fn fault(&self, fault: impl Into<Fault>, lasts: Option<Duration>) {
        self.upstream.plan().order(fault.into(), lasts);
    }

    /// Begins a script; a fault that was on by [`Self::fault`] is not any more.
    pub fn script(&self, script: Script) {
        self.upstream.plan().begin(script);
    }

    /// What may be set.
    pub fn settings(&self) -> Settings {
        self.upstream.settings()
    }

    /// Sets it, from the next request on.
    pub fn set(&self, settings: Settings) {
        self.upstream.set(settings);
    }

    /// The access tokens that were issued, the oldest first.
    pub fn tokens(&self) -> Vec<String> {
        self.upstream.tokens.all()
    }

    /// Makes all tokens invalid that were issued.
    pub fn revoke_tokens(&self) {
        self.upstream.tokens.revoke_all();
    }

    /// All products, in order of their ids.
    pub fn products(&self) -> Vec<Arc<Product>> {
        self.upstream.catalogue.all()
    }

    /// One of them.
    pub fn product(&self, id: &str) -> Option<Arc<Product>> {
        self.upstream.catalogue.get(id)
    }

    /// Writes a product as `PUT` does and gives what became of it: `created`, `modified` and `version` are the server's.
    ///
    /// # Errors
    /// When its id cannot be one, or there is no room.
    pub fn put(&self, product: Product) -> Result<Arc<Product>, PutError> {
        self.upstream.catalogue.put(product, self.upstream.now()).map(|(product, _)| product)
    }

    /// Removes a product; whether it was there.
    pub fn delete(&self, id: &str) -> bool {
        self.upstream.catalogue.remove(id)
    }

    /// Stops it and waits until its port is free.
    pub async fn stop(mut self) {
        self.upstream.stop.cancel();
        if let Err(error) = (&mut self.server).await {
            tracing::error!(%error, "the demonstration upstream has failed");
        }
    }
}

impl Drop for DemoUpstream {
    fn drop(&mut self) {
        self.upstream.stop.cancel();
    }
}
