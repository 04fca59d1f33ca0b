//! The resource side: what a request's access token says that it may do (RFC 6750, RFC 9068 §4, RFC 9449 §7).

pub(crate) mod foreign;
pub(crate) mod own;

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use haat_catalog::{Clock, Timestamp};
use moka::sync::Cache as Memory;
use uuid::Uuid;

pub use foreign::ForeignIssuer;

use crate::directory::Directory;
use crate::jwks::RemoteKeys;
use crate::ports::FetchKeys;
use crate::scope::Scopes;

/// The most tokens that are remembered.
const REMEMBERED: u64 = 100_000;
/// How long one is remembered at most; after that its signature is looked at again.
const LONGEST: Duration = Duration::from_secs(3_600);
/// The longest token that is looked at, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whom it was issued to; of another issuer's clients, with the issuer in front.
    pub client: Arc<str>,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The key whose holder alone may use it, by its thumbprint.
    pub bound_to: Option<Arc<str>>,
    /// The rate-limit policy of its client.
    pub policy: Option<Arc<str>>,
}

/// A token as it is remembered: its signature is right, and it is what it says until it ends or is revoked.
#[derive(Debug, Clone)]
struct Remembered {
    verified: Arc<Verified>,
    own: Option<Own>,
}

/// What else is known of a token of this server.
#[derive(Debug, Clone, Copy)]
struct Own {
    jti: Uuid,
    issued_at: Timestamp,
}

/// The token is not good: malformed, not from here, changed, ended, revoked, or for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is malformed, expired, revoked, or not meant for this server")]
pub struct BadToken;

/// Checks tokens. One that was good is remembered, so that its signature is checked once.
pub struct Verifier {
    issuer: String,
    audience: String,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    foreign: Vec<ForeignIssuer>,
    remote: RemoteKeys,
    remembered: Memory<Box<str>, Remembered, RandomState>,
}

impl Verifier {
    /// Checks tokens of `issuer`, which is this server, and of others, that are meant for `audience`.
    pub fn new(
        issuer: String,
        audience: String,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        foreign: Vec<ForeignIssuer>,
        fetch: Arc<dyn FetchKeys>,
    ) -> Self {
        let remembered =
            Memory::builder().max_capacity(REMEMBERED).time_to_live(LONGEST).build_with_hasher(RandomState::default());
        Self { issuer, audience, directory, clock, foreign, remote: RemoteKeys::new(fetch), remembered }
    }

    /// What a token says that was found good before, if it still is. Asks nobody, and looks at no signature.
    pub fn at_hand(&self, token: &str) -> Option<Arc<Verified>> {
        let found = self.remembered.get(token)?;
        let still = self.still(found);
        if still.is_none() {
            self.remembered.invalidate(token);
        }
        still
    }

    /// What a token says, if it is good.
    ///
    /// # Errors
    /// When it is not.
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, BadToken> {
        if let Some(verified) = self.at_hand(token) {
            return Ok(verified);
        }
        if token.len() > MAX_BYTES {
            return Err(BadToken);
        }
        let now = self.clock.now();
        let own = own::claims(&self.directory.known(), &self.issuer, token, now);
        let found = match own {
            Some(claims) if claims.aud.contains(&self.audience) => Remembered {
                own: Some(Own { jti: claims.jti, issued_at: claims.issued_at() }),
                verified: Arc::new(Verified {
                    client: Arc::clone(&claims.client_id),
                    scopes: Scopes::known_in(&claims.scope),
                    expires_at: claims.expires_at(),
                    bound_to: claims.cnf.map(|cnf| cnf.jkt.into()),
                    policy: None,
                }),
            },
            Some(_) => return Err(BadToken),
            None => {
                let verified = foreign::verify(&self.foreign, &self.remote, token, now).await.ok_or(BadToken)?;
                Remembered { verified: Arc::new(verified), own: None }
            }
        };
        let verified = self.still(found.clone()).ok_or(BadToken)?;
        self.remembered.insert(token.into(), found);
        Ok(verified)
    }

    /// What was found good, if it has not ended or been revoked since, and no more than its client may do by now.
    fn still(&self, found: Remembered) -> Option<Arc<Verified>> {
        if found.verified.expires_at <= self.clock.now() {
            return None;
        }
        let Some(Own { jti, issued_at }) = found.own else { return Some(found.verified) };
        let known = self.directory.known();
        if known.revoked.contains_key(&jti) {
            return None;
        }
        let client = known.clients.get(&found.verified.client).filter(|client| own::may_have(client, issued_at))?;
        let scopes = found.verified.scopes.and(client.scopes);
        if scopes == found.verified.scopes && client.policy.is_none() {
            return Some(found.verified);
        }
        let policy = client.policy.as_deref().map(Arc::from);
        Some(Arc::new(Verified { scopes, policy, ..Verified::clone(&found.verified) }))
    }
}
