//! `/oauth/token`: the client credentials grant (RFC 6749 §4.4), with resource indicators (RFC 8707) and proof of possession
//! (RFC 9449 §5).

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::authenticate::refused;
use super::error::Refusal;
use super::form::Form;
use super::{Asked, AuthorizationServer, answer};
use crate::audit::{self, Act};
use crate::client::{Client, Grant};
use crate::dpop::ProofError;
use crate::scope::{Scopes, UnknownScope};
use crate::token::{Audience, Claims, Confirmation};
use crate::vault::random;

impl AuthorizationServer {
    /// Answers a request for a token.
    pub async fn token(&self, asked: Asked<'_>) -> Response<Bytes> {
        answer(self.grant(&asked).await)
    }

    async fn grant(&self, asked: &Asked<'_>) -> Result<Response<Bytes>, Refusal> {
        let (form, client) = self.admit(asked).await?;
        let granted = self.for_client(&client, asked, &form).await;
        granted.inspect_err(|refusal| refused(&client.id, refusal, asked))
    }

    async fn for_client(
        &self,
        client: &Arc<Client>,
        asked: &Asked<'_>,
        form: &Form<'_>,
    ) -> Result<Response<Bytes>, Refusal> {
        if form.need("grant_type")? != Grant::ClientCredentials.name() {
            return Err(Refusal::bad("unsupported_grant_type", "the only grant is client_credentials"));
        }
        if !client.grants.contains(&Grant::ClientCredentials) {
            return Err(Refusal::bad("unauthorized_client", "the client is not registered for this grant"));
        }
        let scopes = scopes(client, form.get("scope"))?;
        let audience = self.audience(client, form)?;
        let now = self.clock.now();
        let bound = self.bound_to(client, asked, now).await?;
        let known = self.directory.known();
        let key = known.keys.signing(now).ok_or_else(Refusal::unavailable)?;
        let lifetime = client.token_lifetime.unwrap_or(self.options.token_lifetime);
        // No longer than the key is kept, which is told to the other replicas before it is used.
        let lifetime = lifetime.min(self.options.keys.longest_token).min(key.longest_token);
        let jti = Uuid::from_bytes(random().map_err(|_| Refusal::unavailable())?);
        let claims = Claims {
            iss: self.options.issuer.clone(),
            exp: now.plus(lifetime).as_seconds(),
            aud: audience,
            sub: Arc::clone(&client.id),
            client_id: Arc::clone(&client.id),
            iat: now.as_seconds(),
            jti,
            scope: scopes.to_string(),
            client_since: client.created_at.as_millis(),
            cnf: bound.map(|jkt| Confirmation { jkt }),
        };
        let payload = serde_json::to_vec(&claims).map_err(|_| Refusal::unavailable())?;
        let body = json!({
            "access_token": key.sign(&payload),
            "token_type": if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": claims.exp - claims.iat,
            "scope": claims.scope,
        });
        audit::note(Act::Issued { client: &client.id, jti, scope: &claims.scope }, asked.address);
        Ok(super::json(StatusCode::OK, &body))
    }

    /// For which resources the token is: those that are asked for, if the client may, or this server.
    fn audience(&self, client: &Client, form: &Form<'_>) -> Result<Audience, Refusal> {
        let mut audience: Vec<String> = Vec::new();
        for resource in form.all("resource") {
            // RFC 8707 §2: an absolute URI without a fragment.
            if !Url::parse(resource).is_ok_and(|url| url.fragment().is_none()) {
                return Err(Refusal::bad("invalid_target", "'resource' must be an absolute URI without a fragment"));
            }
            if resource != self.options.audience && !client.audiences.iter().any(|allowed| allowed == resource) {
                return Err(Refusal::bad("invalid_target", "the client may not ask for tokens for this resource"));
            }
            if !audience.iter().any(|known| known == resource) {
                audience.push(resource.to_owned());
            }
        }
        if audience.is_empty() {
            audience.push(self.options.audience.clone());
        }
        Ok(Audience::of(audience))
    }

    /// The key that the token is bound to, if the client proves that it has one.
    async fn bound_to(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        now: haat_catalog::Timestamp,
    ) -> Result<Option<String>, Refusal> {
        let urls = self.options.urls("/oauth/token");
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let proved = self.proofs.prove(asked.headers, "POST", &urls, None, now).await;
        let proved = proved.map_err(|e| match e {
            ProofError::TooMany => Refusal::unavailable(),
            _ => Refusal::bad("invalid_dpop_proof", e.to_string()),
        })?;
        if proved.is_none() && client.dpop_bound {
            return Err(Refusal::bad(
                "invalid_dpop_proof",
                "the client's tokens are bound to a key: send a DPoP proof",
            ));
        }
        Ok(proved)
    }
}

/// What the token may be used for: what is asked for, if the client may, or all that it may.
fn scopes(client: &Client, asked: Option<&str>) -> Result<Scopes, Refusal> {
    let Some(asked) = asked else { return Ok(client.scopes) };
    let scopes = Scopes::parse(asked).map_err(unknown)?;
    if !client.scopes.contains_all(scopes) {
        let allowed = client.scopes;
        return Err(Refusal::bad("invalid_scope", format!("the client may only ask for: {allowed}")));
    }
    Ok(scopes)
}

/// The longest name of an unknown scope that is repeated; a secret is longer.
const MAX_NAME: usize = 32;

/// What was sent is repeated only where it may be meant as a scope's name: it may be a secret in the wrong place, and not
/// every character may stand in a description (RFC 6749 §5.2).
fn unknown(scope: UnknownScope) -> Refusal {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.' | '/' | '*');
    let name = &scope.0;
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain) {
        return Refusal::bad("invalid_scope", scope.to_string());
    }
    let all = Scopes::all();
    Refusal::bad(
        "invalid_scope",
        format!("'scope' must be names of scopes with single spaces between: there are {all}"),
    )
}
