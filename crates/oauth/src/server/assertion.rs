//! `private_key_jwt`: a client proves who it is by a statement that it signs (RFC 7523 §3, as tightened by
//! draft-ietf-oauth-rfc7523bis: the audience is this server's issuer and nothing else).

use std::time::Duration;

use haat_catalog::Timestamp;
use serde::Deserialize;

use super::error::Refusal;
use super::{AuthorizationServer, Known};
use crate::client::{AuthMethod, Client, ClientKeys};
use crate::hash::sha256;
use crate::jwks::ALGORITHMS;
use crate::token::{Header, Parts, is_type};

/// By how much clocks may differ.
pub const LEEWAY: Duration = Duration::from_secs(15);
/// The longest that a statement may be good: its `jti` is remembered for as long.
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// Of whom a statement says to be, before anything of it is checked.
pub(super) fn subject(jwt: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let parts = Parts::of(jwt)?;
    Some(serde_json::from_slice::<Subject>(&parts.payload).ok()?.sub)
}

#[derive(Deserialize)]
struct Statement {
    iss: String,
    sub: String,
    aud: serde_json::Value,
    exp: f64,
    jti: String,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
}

impl AuthorizationServer {
    /// The client that has signed a statement, if it is good and was not used before on any replica. The signature is
    /// looked at whoever it says to be of: by keys that nobody has, where there are none that may have made it. Before that
    /// `still` says once more whether it may be, for keys may have been waited for.
    ///
    /// # Errors
    /// When it is not. What is wrong is told only once the signature is right: it is the client's own business.
    pub(super) async fn signer(
        &self,
        known: &Known,
        jwt: &str,
        id: Option<&str>,
        now: Timestamp,
        still: impl Fn() -> Result<(), Refusal>,
    ) -> Result<std::sync::Arc<Client>, Refusal> {
        let unproved = Refusal::invalid_client;
        let parts = Parts::of(jwt).ok_or_else(unproved)?;
        let header: Header = serde_json::from_slice(&parts.header).map_err(|_| unproved())?;
        let statement: Statement = serde_json::from_slice(&parts.payload).map_err(|_| unproved())?;
        if statement.iss != statement.sub || id.is_some_and(|id| id != statement.sub) {
            return Err(unproved());
        }
        let typ_fits = header.typ.as_deref().is_none_or(is_statement);
        let algorithm = ALGORITHMS.iter().find(|(name, _)| *name == header.alg);
        let Some((_, algorithm)) = algorithm.filter(|_| typ_fits && header.crit.is_none()) else {
            return Err(unproved());
        };
        let signs =
            |client: &&std::sync::Arc<Client>| client.enabled && client.auth_method == AuthMethod::PrivateKeyJwt;
        let client = known.clients.get(&*statement.sub).filter(signs);
        let candidates = match client.and_then(|client| client.keys.as_ref()) {
            Some(ClientKeys::Jwks(set)) => set.candidates(header.kid.as_deref(), *algorithm),
            Some(ClientKeys::JwksUri(url)) => self.remote.candidates(url, header.kid.as_deref(), *algorithm).await,
            None => Vec::new(),
        };
        still()?;
        if candidates.is_empty() {
            parts.is_signed_by(&self.nobodys_keys.candidates(None, *algorithm), *algorithm);
            return Err(unproved());
        }
        let client = client.filter(|_| parts.is_signed_by(&candidates, *algorithm)).ok_or_else(unproved)?;
        let until = self.check(&statement, now).map_err(Refusal::no_client)?;
        if !self.is_first_use(&client.id, &statement.jti, until).await? {
            return Err(Refusal::no_client("the client assertion's jti was used before; each is good once"));
        }
        Ok(std::sync::Arc::clone(client))
    }

    /// Checks what a statement says of itself; gives until when it has to be remembered.
    fn check(&self, statement: &Statement, now: Timestamp) -> Result<Timestamp, String> {
        let issuer = &self.options.issuer;
        if statement.aud.as_str() != Some(issuer) {
            return Err(format!("the client assertion's aud must be {issuer}, as a single string"));
        }
        let (seconds, leeway) = (now.as_millis() as f64 / 1e3, LEEWAY.as_secs_f64());
        if statement.exp + leeway <= seconds {
            return Err("the client assertion has expired".into());
        }
        if statement.exp > seconds + LONGEST.as_secs_f64() + leeway {
            return Err(format!("the client assertion's exp is more than {} s ahead", LONGEST.as_secs()));
        }
        if [statement.nbf, statement.iat].into_iter().flatten().any(|from| from > seconds + leeway) {
            return Err("the client assertion is not good yet: its nbf or iat is in the future".into());
        }
        if statement.jti.is_empty() || statement.jti.len() > 255 {
            return Err("the client assertion's jti must have 1 to 255 bytes".into());
        }
        // Bounded above.
        Ok(Timestamp::from_millis((statement.exp * 1e3) as i64).plus(LEEWAY))
    }

    async fn is_first_use(&self, client: &str, jti: &str, until: Timestamp) -> Result<bool, Refusal> {
        // The length keeps one client's names apart from another's.
        let name = format!("{}:{client}:{jti}", client.len());
        Ok(self.store.first_use(sha256(name.as_bytes()), until).await?)
    }
}

/// The types that a statement may say to be: none of those of other JWTs that a client may come by.
fn is_statement(typ: &str) -> bool {
    ["jwt", "client-authentication+jwt"].iter().any(|name| is_type(typ, name))
}
