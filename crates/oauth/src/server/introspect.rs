//! `/oauth/introspect`: whether a token is good, for those whom it concerns (RFC 7662).

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::authenticate::refused;
use super::error::Refusal;
use super::{Asked, AuthorizationServer, answer};
use crate::client::Client;
use crate::resource::own;
use crate::scope::Scopes;
use crate::token::Claims;

impl AuthorizationServer {
    /// Answers a question about a token.
    pub async fn introspect(&self, asked: Asked<'_>) -> Response<Bytes> {
        answer(self.look_into(&asked).await)
    }

    async fn look_into(&self, asked: &Asked<'_>) -> Result<Response<Bytes>, Refusal> {
        let (form, caller) = self.admit(asked).await?;
        let token = form.need("token").inspect_err(|refusal| refused(&caller.id, refusal, asked))?;
        let claims = own::claims(&self.directory, &self.options.issuer, token, self.clock.now()).await;
        let Some(claims) = claims.filter(|claims| concerns(claims, &caller)) else {
            return Ok(super::json(StatusCode::OK, &json!({"active": false})));
        };
        // As the check of tokens has it: no more than the client may by now.
        let known = self.directory.known();
        let allowed = known.clients.get(&claims.client_id).map_or(Scopes::NONE, |client| client.scopes);
        let mut body = json!({
            "active": true,
            "scope": Scopes::known_in(&claims.scope).and(allowed).to_string(),
            "client_id": claims.client_id,
            "token_type": if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
            "exp": claims.exp,
            "iat": claims.iat,
            "sub": claims.sub,
            "aud": claims.aud,
            "iss": claims.iss,
            "jti": claims.jti,
        });
        if let (Some(cnf), Some(body)) = (&claims.cnf, body.as_object_mut()) {
            body.insert("cnf".into(), json!(cnf));
        }
        Ok(super::json(StatusCode::OK, &body))
    }
}

/// Whether a caller may know of a token: it is its own, or the caller is a resource that it is meant for.
fn concerns(claims: &Claims, caller: &Client) -> bool {
    claims.client_id == caller.id || caller.resources().iter().any(|resource| claims.aud.contains(resource))
}
