//! A [`Caller`] whose calls carry the access token.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::AUTHORIZATION;
use tokio::time::{Instant, timeout_at};
use url::Origin;

use super::manager::TokenManager;
use super::token::Token;
use crate::retry::failed;
use crate::{Answer, Call, CallError, Caller};

/// Sends calls with an access token (RFC 6750 §2.1). Without one nothing is sent. A call that is answered 401 is made once
/// more, with another token; what comes of that is the caller's.
pub struct Authorized {
    caller: Arc<dyn Caller>,
    tokens: TokenManager,
    origin: Option<Origin>,
    total: Option<Duration>,
}

impl Authorized {
    /// Sends through `caller`, with tokens of `tokens`.
    pub fn new(caller: Arc<dyn Caller>, tokens: TokenManager) -> Self {
        Self { caller, tokens, origin: None, total: None }
    }

    /// Calls to anywhere but this origin are refused, so that a link in an answer does not lead the token elsewhere.
    #[must_use]
    pub fn only_to(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// A call takes no longer than that, with the search for a token and with a second attempt after a 401.
    #[must_use]
    pub fn within(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// What gives it tokens.
    pub fn tokens(&self) -> &TokenManager {
        &self.tokens
    }

    /// A token, if there is one before the caller stops waiting.
    async fn token_before(&self, began: Instant, deadline: Option<Instant>) -> Result<Arc<Token>, CallError> {
        let token = self.tokens.token();
        let token = match deadline {
            None => token.await,
            Some(deadline) => timeout_at(deadline, token).await.map_err(|_| CallError::Timeout(began.elapsed()))?,
        };
        token.map_err(|error| CallError::NoToken(error.to_string()))
    }

    async fn send(&self, call: &Call, token: &Token) -> Result<Answer, CallError> {
        let mut call = call.clone();
        call.headers.insert(AUTHORIZATION, token.authorization());
        self.caller.call(call).await
    }
}

#[async_trait::async_trait]
impl Caller for Authorized {
    async fn call(&self, mut call: Call) -> Result<Answer, CallError> {
        if self.origin.as_ref().is_some_and(|origin| *origin != call.url.origin()) {
            return Err(CallError::ForbiddenUrl("the access token is not for that host"));
        }
        let began = Instant::now();
        // Looking for a token and being answered twice is one call.
        call.deadline = call.deadline.into_iter().chain(self.total.map(|total| began + total)).min();
        let token = self.token_before(began, call.deadline).await?;
        let first = self.send(&call, &token).await?;
        if first.status != StatusCode::UNAUTHORIZED || !self.tokens.rejected(&token) {
            return Ok(first);
        }
        let token = self.token_before(began, call.deadline).await?;
        let second = self.send(&call, &token).await?;
        match second.status {
            // What this API does not like is not the token.
            StatusCode::UNAUTHORIZED if token.issued_after(began) => self.tokens.futile(&token),
            StatusCode::UNAUTHORIZED => {
                self.tokens.rejected(&token);
            }
            // Not what some other call is answered with the old one: one endpoint that likes no token would have a new one
            // fetched each time.
            status if !failed(status) => self.tokens.accepted(),
            _ => {}
        }
        Ok(Answer { attempts: first.attempts.saturating_add(second.attempts), ..second })
    }
}
