//! The HTTP face of the catalogue: routes, middleware, problems, the OpenAPI document and the server loop.
//!
//! | module | what |
//! |---|---|
//! | [`Api`] | what is at hand is answered at once, everything else goes through the router |
//! | `router` | the map of the API: every path, and what stands in front of it |
//! | `access` | the access token of a request |
//! | `routes` | one file per resource: the handler, its parameters and its answer |
//! | `extract` | what handlers take from a request: parameters, bodies, preconditions, the right to write |
//! | `answer` | what handlers give back: cacheable answers, assembled page bytes, links |
//! | `pages` | answers kept ready, computed once for all who ask the same |
//! | `middleware` | around every request: id, log, limits, panics, time, headers |
//! | [`problem`] | every answer that is not a success, from one table of codes |
//! | [`openapi()`] | the OpenAPI 3.1 document, from the handlers' annotations |
//! | [`serve`] | the accept loop: header timeouts, connection cap, drain |
//!
//! The crate knows the catalogue's ports only; which store and which index stand behind them is the binary's choice.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod access;
mod answer;
mod api;
mod extract;
mod middleware;
mod openapi;
mod options;
mod pages;
pub mod problem;
mod router;
mod routes;
mod server;
mod state;

pub use api::Api;
pub use openapi::openapi;
pub use options::{Access, HttpOptions, Services};
pub use problem::errors_markdown;
pub use routes::clients::schema::ClientView;
pub use server::serve;
