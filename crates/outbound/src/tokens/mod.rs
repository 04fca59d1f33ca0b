//! Access tokens by client credentials (RFC 6749 §4.4): one token for all callers in all processes, fetched by one of them.
//!
//! ```text
//! authorized.rs   a Caller whose calls carry the token        manager.rs   where a token is looked for, and in which order
//! credentials.rs  who asks, and for what                       flight.rs    one search at a time for all callers
//! request.rs      the token request                            fetch.rs     asking the token endpoint, and when not to
//! assertion.rs    statements for `private_key_jwt`             shared.rs    the token in the shared cache, and its lock
//! response.rs     what the token endpoint answers              vault.rs     how it is sealed there
//! ```
//!
//! A token is looked for in the memory of the process, then in the shared cache, then at the token endpoint by whoever
//! gets the lock in the shared cache. Three things keep that to one request however many ask: the flight (one search in a
//! process), the lock (one fetch in all processes, another one as soon as its holder is gone), and a second look at the
//! shared cache under the lock. What goes wrong with the cache costs at most one request per process: each then asks for
//! itself.
//!
//! # Clocks
//! How long a token lives is what its `expires_in` says, counted from the moment at which the request was sent, on the
//! monotonic clock: no wall clock takes part, so neither the provider's nor this machine's can be wrong. Processes share a
//! token with the moment of its end on the clock of the shared cache, the one clock that they have in common, and turn it
//! into their own monotonic time when they read it. Where that clock is set back, a token that has ended may be used once: the
//! 401 drops it and the call is made again. The only wall clock that is sent anywhere is in the statements of
//! `private_key_jwt`; where the provider's differs, its `Date` tells by how much.
//!
//! # How long a token is used
//! Without a look for another until a margin before its end: 60 s, or a fifth of a short life. From then on it still serves,
//! and the next call has a new one fetched beside it. So a provider that is gone for less than the margin is not noticed, unless
//! the old token ends in the ten seconds for which the breaker of its client, or its own `Retry-After`, may keep it from being
//! asked; and a token that nobody asks for is not fetched.

mod assertion;
mod authorized;
mod backoff;
mod credentials;
mod error;
mod fetch;
mod flight;
mod manager;
mod random;
mod request;
mod response;
mod shared;
mod token;
mod vault;

pub use assertion::{AssertionKey, UnusableKey};
pub use authorized::Authorized;
pub use credentials::{ClientAuth, Credentials, CredentialsDraft, InvalidCredentials, Secret};
pub use error::{Refusal, TokenError};
pub use manager::{TokenManager, TokenOptions};
pub use random::{Random, SystemRandom};
pub use shared::SharedTokens;
pub use token::Token;
pub use vault::{TokenVault, Unsealable};
