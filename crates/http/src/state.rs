//! What every handler can reach: the services, the options in the form requests need them, and the bounds on work
//! that would otherwise queue without one.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::answer::caching::Caching;
use crate::answer::ready::Ready;
use crate::openapi;
use crate::options::{HttpOptions, Services};
use crate::pages::Pages;
use crate::routes::docs::fixed;

/// The most writes under way at a time. Each may hold a body of `max_body_bytes` and what it is parsed into, so this
/// bounds memory; the store's own pool bounds what reaches the database.
const MAX_WRITES: usize = 256;
/// The most followers of the change feed (long polls and event streams) at a time.
const MAX_FOLLOWERS: usize = 1_000;
/// The most exports under way at a time. Each holds some thousands of products in memory.
const MAX_EXPORTS: usize = 4;
/// The state of the router.
pub(crate) struct App {
    pub services: Services,
    pub options: HttpOptions,
    pub caching: Caching,
    pub writes: Arc<Semaphore>,
    pub followers: Arc<Semaphore>,
    /// Answers to readers.
    pub pages: Pages,
    pub exports: Arc<Semaphore>,
    /// The OpenAPI document, rendered once.
    pub openapi: Ready,
}

pub(crate) type SharedApp = Arc<App>;

impl App {
    pub fn new(services: Services, options: HttpOptions) -> SharedApp {
        let caching = Caching::new(&options);
        let pages = Pages::new(&services, &options);
        Arc::new(Self {
            pages,
            services,
            options,
            caching,
            writes: Arc::new(Semaphore::new(MAX_WRITES)),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            openapi: fixed(Bytes::from(openapi::to_json())),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
        })
    }
}

/// Put into a request by the server loop that does not say, or says twice, whom it is for (RFC 9112 §3.2).
#[derive(Debug, Clone)]
pub(crate) struct Hostless;

/// Put into every request by the server loop: the address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub IpAddr);

/// Put into every request by the server loop: tells handlers that wait (long polls, event streams) that the server
/// is shutting down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining(pub CancellationToken);
