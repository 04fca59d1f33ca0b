//! The access tokens that were issued: 256 random bits each, which mean nothing to anybody else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::time::Instant;

/// The most tokens; a new one makes the oldest invalid when there are as many.
const MAX_TOKENS: usize = 20_000;

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Whose it is.
    pub client: String,
    /// For which scopes.
    pub scopes: Vec<String>,
}

struct Issued {
    grant: Grant,
    at: Instant,
    lives: Duration,
}

#[derive(Default)]
struct Inner {
    issued: HashMap<String, Issued>,
    /// The oldest first.
    order: VecDeque<String>,
}

/// The tokens that are good.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Inner>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token that is good for so long.
    pub fn issue(&self, grant: Grant, lives: Duration) -> String {
        let token = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut inner = self.lock();
        if inner.order.len() >= MAX_TOKENS
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.issued.remove(&oldest);
        }
        inner.order.push_back(token.clone());
        inner.issued.insert(token.clone(), Issued { grant, at: Instant::now(), lives });
        token
    }

    /// What a token is good for, if it is; so much `early` before its end it is not any more.
    pub fn check(&self, token: &str, early: Duration) -> Option<Grant> {
        let inner = self.lock();
        let issued = inner.issued.get(token)?;
        (issued.at.elapsed() < issued.lives.saturating_sub(early)).then(|| issued.grant.clone())
    }

    /// All that were issued, the oldest first.
    pub fn all(&self) -> Vec<String> {
        self.lock().order.iter().cloned().collect()
    }

    /// Makes all of them invalid.
    pub fn revoke_all(&self) {
        *self.lock() = Inner::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant { client: "c".into(), scopes: vec!["s".into()] }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_for_as_long_as_was_said_or_less() {
        let tokens = Tokens::default();
        let token = tokens.issue(grant(), Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(tokens.check(&token, Duration::ZERO), Some(grant()));
        assert_eq!(tokens.check(&token, Duration::from_secs(10)), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(tokens.check(&token, Duration::ZERO), None);
    }

    #[tokio::test]
    async fn there_are_never_more_than_so_many() {
        let tokens = Tokens::default();
        let first = tokens.issue(grant(), Duration::from_secs(60));
        let second = tokens.issue(grant(), Duration::from_secs(60));
        for _ in 1..MAX_TOKENS {
            tokens.issue(grant(), Duration::from_secs(60));
        }
        assert_eq!((tokens.check(&first, Duration::ZERO), tokens.lock().issued.len()), (None, MAX_TOKENS));
        assert!(tokens.check(&second, Duration::ZERO).is_some());
    }
}
