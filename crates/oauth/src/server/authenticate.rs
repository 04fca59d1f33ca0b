//! Who asks: from credentials to a client, or to a refusal that tells nobody which clients there are.

use std::sync::Arc;

use haat_catalog::Timestamp;

use super::credentials::Credentials;
use super::error::Refusal;
use super::form::Form;
use super::{Asked, AuthorizationServer, Known};
use crate::audit::{self, Act};
use crate::client::{AuthMethod, Client};
use crate::vault::SecretHash;

impl AuthorizationServer {
    /// The client of a request.
    ///
    /// # Errors
    /// When there are no credentials, they are not good, or too many that were not came from there.
    pub(super) async fn authenticate(&self, asked: &Asked<'_>, form: &Form<'_>) -> Result<Arc<Client>, Refusal> {
        let credentials = Credentials::of(asked.headers, form)?;
        let claimed = credentials.claimed();
        let now = self.clock.now();
        self.throttle.check(&claimed, asked.address, now).await.map_err(Refusal::too_many_failures)?;
        let known = self.directory.known();
        let found = match &credentials {
            Credentials::Secret { id, secret, method } => self.by_secret(&known, id, secret, *method, now),
            Credentials::Assertion { id, jwt } => self.signer(&known, jwt, id.as_deref(), now).await,
        };
        if let Err(refusal) = &found
            && refusal.error == "invalid_client"
        {
            // Only names that are some client's: who mixes them up sends a secret in place of one.
            let client = if known.clients.contains_key(&*claimed) { &*claimed } else { "unknown" };
            audit::note(Act::Refused { client, why: &refusal.description }, asked.address);
            self.throttle.failed(&claimed, asked.address, now).await;
        }
        found
    }

    /// An unknown client takes the same path as a wrong secret: its secret is hashed and compared all the same.
    fn by_secret(
        &self,
        known: &Known,
        id: &str,
        secret: &str,
        method: AuthMethod,
        now: Timestamp,
    ) -> Result<Arc<Client>, Refusal> {
        let hash: SecretHash = self.vault.hash_secret(secret.as_bytes());
        let client = known.clients.get(id).unwrap_or(&self.nobody);
        let good = client.secret_of(&hash, now).is_some();
        if !good || !client.enabled || client.auth_method != method {
            return Err(Refusal::invalid_client());
        }
        self.uses.note(hash, now);
        Ok(Arc::clone(client))
    }
}
