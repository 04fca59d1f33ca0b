//! The resource side: what a request's access token says that it may do (RFC 6750, RFC 9068 §4, RFC 9449 §7).

mod checks;
pub(crate) mod foreign;
pub(crate) mod own;

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use haat_catalog::{Clock, Timestamp};
use moka::sync::Cache as Memory;
use uuid::Uuid;

use checks::{By, Checks};
pub use foreign::ForeignIssuer;

use crate::directory::Directory;
use crate::jwks::RemoteKeys;
use crate::ports::FetchKeys;
use crate::scope::Scopes;

/// The most bytes of tokens that are remembered, and of what they say.
const REMEMBERED: u64 = 32 << 20;
/// What a remembered token costs beside its texts: pointers, counts, and its place in the memory's own lists.
const OVERHEAD: usize = 384;
/// How long one is remembered at most; after that its signature is looked at again.
const LONGEST: Duration = Duration::from_secs(3_600);

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
    /// When its signature was looked at.
    at: Timestamp,
}

/// Tokens as they were sent, with what they say. Bounded by bytes: tokens of other issuers may be long.
type Tokens = Memory<Box<str>, Remembered, RandomState>;

fn tokens() -> Tokens {
    Memory::<Box<str>, Remembered>::builder()
        .max_capacity(REMEMBERED)
        .weigher(|token, known| known.bytes(token))
        .time_to_live(LONGEST)
        .build_with_hasher(RandomState::default())
}

impl Remembered {
    /// What it takes to remember it under this token.
    fn bytes(&self, token: &str) -> u32 {
        let Verified { client, bound_to, policy, .. } = &*self.verified;
        let texts = [Some(client), bound_to.as_ref(), policy.as_ref()];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        u32::try_from(token.len() + texts + OVERHEAD).unwrap_or(u32::MAX)
    }
}

/// A token that was found good and is at hand for whoever saw it: most connections show the same one again and again.
#[derive(Debug, Clone)]
pub struct Seen(Remembered);

/// What else is known of a token of this server.
#[derive(Debug, Clone, Copy)]
struct Own {
    jti: Uuid,
    client_since: i64,
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
    remembered: Tokens,
    checks: Checks,
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
        let remote = RemoteKeys::new(fetch);
        let (remembered, checks) = (tokens(), Checks::default());
        Self { issuer, audience, directory, clock, foreign, remote, remembered, checks }
    }

    /// What a token says that was found good before, if it still is. Asks nobody, and looks at no signature.
    pub fn at_hand(&self, token: &str) -> Option<Arc<Verified>> {
        self.seen(token).map(|(_, verified)| verified)
    }

    /// The same, and a handle by which to ask about it again.
    pub fn seen(&self, token: &str) -> Option<(Seen, Arc<Verified>)> {
        let found = self.remembered.get(token)?;
        let now = self.clock.now();
        let still = self.still(&found, now);
        match still {
            Some(_) => self.checks.count(By::Memory),
            None => self.remembered.invalidate(token),
        }
        still.map(|verified| (Seen(found), verified))
    }

    /// What a token says that was seen, if it is still good and its signature was looked at no longer ago than tokens are
    /// remembered.
    pub fn still_good(&self, Seen(found): &Seen) -> Option<Arc<Verified>> {
        let now = self.clock.now();
        let still = if now.since(found.at) < LONGEST { self.still(found, now) } else { None };
        if still.is_some() {
            self.checks.count(By::Connection);
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
        let now = self.clock.now();
        let own = own::claims(&self.directory, &self.issuer, token, now).await;
        let found = match own {
            Some(claims) if claims.aud.contains(&self.audience) => Remembered {
                at: now,
                own: Some(Own { jti: claims.jti, client_since: claims.client_since }),
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
                Remembered { verified: Arc::new(verified), own: None, at: now }
            }
        };
        let verified = self.still(&found, now).ok_or(BadToken)?;
        self.checks.count(By::Signature);
        self.remembered.insert(token.into(), found);
        Ok(verified)
    }

    /// What was found good, if it has not ended or been revoked since, and no more than its client may do by now.
    fn still(&self, found: &Remembered, now: Timestamp) -> Option<Arc<Verified>> {
        if found.verified.expires_at <= now {
            return None;
        }
        let Some(Own { jti, client_since }) = found.own else { return Some(Arc::clone(&found.verified)) };
        let known = self.directory.known();
        if known.revoked.contains(&jti) {
            return None;
        }
        let client = known.clients.get(&found.verified.client).filter(|client| own::may_have(client, client_since))?;
        let scopes = found.verified.scopes.and(client.scopes);
        if scopes == found.verified.scopes && client.policy.is_none() {
            return Some(Arc::clone(&found.verified));
        }
        let policy = client.policy.as_deref().map(Arc::from);
        Some(Arc::new(Verified { scopes, policy, ..Verified::clone(&found.verified) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_by_bytes_however_long_tokens_are() {
        let tokens = tokens();
        let verified = Arc::new(Verified {
            client: "c".repeat(255).into(),
            scopes: Scopes::NONE,
            expires_at: Timestamp::from_millis(0),
            bound_to: None,
            policy: None,
        });
        let known = Remembered { verified, own: None, at: Timestamp::from_millis(0) };
        for n in 0..6_000 {
            tokens.insert(format!("{n:08000}").into(), known.clone());
        }
        tokens.run_pending_tasks();
        assert!(tokens.weighted_size() <= REMEMBERED);
        let bytes: usize = tokens.iter().map(|(token, _)| token.len() + 255).sum();
        assert!((bytes as u64) < REMEMBERED && tokens.entry_count() > 1_000, "{bytes}");
    }
}
