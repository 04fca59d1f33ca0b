//! `/oauth/revoke`: a client gives a token up (RFC 7009).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::authenticate::refused;
use super::error::Refusal;
use super::form::Form;
use super::{Asked, AuthorizationServer, answer};
use crate::audit::{self, Act};
use crate::client::Client;
use crate::keys::CLOCK_SKEW;
use crate::ports::Revocation;
use crate::resource::own;

impl AuthorizationServer {
    /// Answers a request to revoke a token.
    pub async fn revoke(&self, asked: Asked<'_>) -> Response<Bytes> {
        answer(self.take_back(&asked).await)
    }

    async fn take_back(&self, asked: &Asked<'_>) -> Result<Response<Bytes>, Refusal> {
        let (form, caller) = self.admit(asked).await?;
        let done = self.revoke_of(&caller, asked, &form).await;
        done.inspect_err(|refusal| refused(&caller.id, refusal, asked))?;
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// What is not a good token of this server needs no revoking (RFC 7009 §2.2); whatever kind the hint says it is
    /// (§2.1), there is only one.
    async fn revoke_of(&self, caller: &Client, asked: &Asked<'_>, form: &Form<'_>) -> Result<(), Refusal> {
        let token = form.need("token")?;
        let claims = own::claims(&self.directory, &self.options.issuer, token, self.clock.now()).await;
        let Some(claims) = claims else { return Ok(()) };
        if claims.client_id != caller.id {
            return Err(Refusal::bad("unauthorized_client", "the token was issued to another client"));
        }
        let expires_at = claims.expires_at().plus(CLOCK_SKEW);
        let (store, client, address) = (Arc::clone(&self.store), Arc::clone(&caller.id), asked.address);
        let jti = claims.jti;
        let revoked = async move { Ok::<_, Refusal>(store.revoke(Revocation { jti, expires_at }).await?) };
        audit::on_record(revoked, move |()| audit::note(Act::Revoked { client: &client, jti }, address)).await?;
        // Here at once; other replicas follow.
        if let Err(error) = self.directory.refresh().await {
            tracing::warn!(%error, "a revoked token is not known to be revoked here yet");
        }
        Ok(())
    }
}
